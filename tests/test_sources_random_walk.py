"""The walk stays within the limits, wherever it begins, and can be repeated."""

from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickstorm.sources.random_walk import MAX_CENTS, MIN_CENTS, walk
from tickstorm.ticks import Tick, validate


def ticks(count, symbols=("AAA", "BBB"), start_cents=10_000, seed=1):
    return list(islice(walk(symbols, start_cents, Random(seed)), count))


def test_the_first_ticks_of_a_seed_never_change():
    assert ticks(3) == [
        Tick("AAA", 100.02, 1600.0, 0, 100.01, 100.03, 600, 1000),
        Tick("AAA", 100.03, 1600.0, 0, 100.02, 100.04, 200, 100),
        Tick("BBB", 100.0, 1600.0, 0, 99.99, 100.01, 100, 900),
    ]


def test_another_seed_is_another_walk():
    assert ticks(100, seed=1) == ticks(100, seed=1) != ticks(100, seed=2)


def test_all_symbols_come():
    symbols = [f"S{n}" for n in range(20)]
    assert {tick.symbol for tick in ticks(1000, symbols)} == set(symbols)


@settings(max_examples=50)
@given(st.integers(MIN_CENTS, MAX_CENTS), st.integers(0, 2**64 - 1))
def test_every_tick_is_a_valid_quote_in_cents(start_cents, seed):
    for tick in ticks(200, start_cents=start_cents, seed=seed):
        validate(tick)
        assert 0 < tick.bid < tick.price < tick.ask
        assert tick.bid_size > 0 < tick.ask_size
        assert tick.volume > 0
        assert [round(price, 2) for price in tick[1:2] + tick[4:6]] == [
            tick.price,
            tick.bid,
            tick.ask,
        ]


class Pushing:
    """Draws that always move a price the same way."""

    def __init__(self, draw):
        self._draw = draw

    def random(self):
        return self._draw


@pytest.mark.parametrize(
    ("draw", "start_cents", "bid", "price", "ask"),
    [
        (0.0, MIN_CENTS + 3, 0.01, 0.02, 0.03),
        (0.999, MAX_CENTS - 15_000, 999_800.01, 999_900.0, 999_999.99),
    ],
)
def test_it_turns_back_at_the_limits(draw, start_cents, bid, price, ask):
    for tick in list(islice(walk(["AAA"], start_cents, Pushing(draw)), 20))[2:]:
        validate(tick)
        assert (tick.bid, tick.price, tick.ask) == (bid, price, ask)
