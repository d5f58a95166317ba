"""Bars against a computation that anybody can check by eye."""

from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tickstorm.bars import Bar, BarTable, SlidingBars, _Window
from tickstorm.ticks import Tick

# Prices and volumes of few bits, so that every sum and product is exact and equality is equality.
prices = st.integers(1, 24).map(lambda n: n / 4)
volumes = st.integers(0, 100).map(float)
ticks = st.builds(Tick, st.just("A"), prices, volumes, st.integers(1, 10**18))
tick_lists = st.lists(ticks, min_size=1, max_size=30)


def bar_of(ticks):
    first, *others = ticks
    bar = Bar(first)
    for tick in others:
        bar.add(tick)
    return bar


def shown(bar):
    return (bar.open, bar.high, bar.low, bar.last, bar.volume, bar.notional, bar.count, bar.vwap)


def naive(ticks):
    prices = [tick.price for tick in ticks]
    volume = sum(tick.volume for tick in ticks)
    notional = sum(tick.price * tick.volume for tick in ticks)
    vwap = notional / volume if volume else 0.0
    return prices[0], max(prices), min(prices), ticks[-1], volume, notional, len(ticks), vwap


@given(tick_lists)
def test_a_bar_is_what_its_ticks_did(ticks):
    assert shown(bar_of(ticks)) == naive(ticks)


@given(tick_lists, tick_lists, tick_lists)
def test_bars_add_up(first, second, third):
    a, b, c = map(bar_of, (first, second, third))
    whole = naive(first + second + third)
    assert shown(a.then(b).then(c)) == shown(a.then(b.then(c))) == whole
    assert [shown(bar) for bar in (a, b, c)] == [naive(t) for t in (first, second, third)]


def test_a_bar_without_volume_has_no_vwap():
    assert Bar(Tick("A", 5.0)).vwap == 0.0


def test_a_bar_of_one_tick():
    tick = Tick("A", 5.0, 2.0)
    assert shown(Bar(tick)) == (5.0, 5.0, 5.0, tick, 2.0, 10.0, 1, 5.0)


rounded_ticks = st.builds(
    Tick, st.just("A"), st.floats(0.0001, 1e6), st.floats(0, 1e9) | st.sampled_from([0.0, 5e-324])
)


@given(st.lists(rounded_ticks, min_size=1, max_size=10))
@example([Tick("A", 0.1, 3.0)])
@example([Tick("A", 0.0001, 5e-324)])
@example([Tick("A", 1e6, 0.3), Tick("A", 1e6, 0.1)])
def test_the_vwap_is_between_low_and_high(ticks):
    bar = bar_of(ticks)
    assert bar.low <= bar.vwap <= bar.high or (bar.vwap, bar.volume) == (0.0, 0.0)


@given(st.lists(rounded_ticks, min_size=1, max_size=10))
def test_the_vwap_is_the_exact_one_but_for_rounding(ticks):
    volume = sum(Fraction(tick.volume) for tick in ticks)
    assume(volume > 1e-6)
    exact = sum(Fraction(tick.price) * Fraction(tick.volume) for tick in ticks) / volume
    assert bar_of(ticks).vwap == pytest.approx(float(exact), rel=1e-12)


def test_a_table_gives_the_bars_of_the_last_ended_period():
    table = BarTable()
    a, b, later = Tick("A", 1.0), Tick("B", 2.0), Tick("A", 3.0)
    table.add(a)
    table.add(b)
    assert table.bars() == {}
    table.end(7)
    table.add(later)
    assert {symbol: shown(bar) for symbol, bar in table.bars().items()} == {
        "A": naive([a]),
        "B": naive([b]),
    }
    table.end(8)
    assert {symbol: shown(bar) for symbol, bar in table.bars().items()} == {"A": naive([later])}
    table.end(9)
    assert table.bars() == {}


@pytest.mark.parametrize("step", [9, 8, 3])
def test_a_table_has_one_period_however_many_were_left_out(step):
    table = BarTable()
    first, second = Tick("A", 1.0), Tick("A", 2.0)
    table.add(first)
    table.end(8)
    table.add(second)
    table.end(step)
    assert {symbol: shown(bar) for symbol, bar in table.bars().items()} == {"A": naive([second])}


# The sliding window.


def naive_window(steps, width):
    """Of the last `width` steps, each a list of ticks, the bar of each symbol."""
    by_symbol = {}
    for step in steps[max(0, len(steps) - width) :]:
        for tick in step:
            by_symbol.setdefault(tick.symbol, []).append(tick)
    return {symbol: naive(ticks) for symbol, ticks in by_symbol.items()}


def bars_of(sliding):
    return {symbol: shown(bar) for symbol, bar in sliding.bars().items()}


steps = st.lists(
    st.tuples(
        st.lists(st.builds(Tick, st.sampled_from("ABC"), prices, volumes), max_size=4),
        st.booleans(),
        st.sampled_from([0, 0, 0, 1, 2, 8, 9, 10, 1000]),
    ),
    max_size=40,
)


@given(steps, st.integers(1, 9), st.sampled_from([0, 340_000_000_000]))
def test_sliding_bars_are_those_of_the_window(steps, width, begin):
    sliding = SlidingBars(width)
    ended = []
    for ticks, asked, skip in steps:
        for tick in ticks:
            sliding.add(tick)
        left_out = skip if ended else 0
        ended += [*([[]] * left_out), ticks]
        sliding.end(begin + len(ended))
        if asked:
            assert bars_of(sliding) == bars_of(sliding) == naive_window(ended, width)
    assert bars_of(sliding) == naive_window(ended, width)


def in_window(sliding):
    """The prices of the window's ticks at its two ends, and how many it has."""
    bar = sliding.bars().get("A")
    return bar and (bar.open, bar.last.price, bar.count)


def test_steps_that_were_left_out_are_empty():
    sliding = SlidingBars(4)
    seen = []
    for step in (1, 2, 3, 6, 7, 12):
        sliding.add(Tick("A", float(step)))
        sliding.end(step)
        seen.append(in_window(sliding))
    assert seen == [(1, 1, 1), (1, 2, 2), (1, 3, 3), (3, 6, 2), (6, 7, 2), (12, 12, 1)]


@pytest.mark.parametrize("number", [3, 2, -5])
def test_a_step_whose_number_does_not_rise_is_the_next(number):
    sliding = SlidingBars(2)
    for step in (2, 3, number, 5):
        sliding.add(Tick("A", float(step)))
        sliding.end(step)
    assert in_window(sliding) == (number, 5, 2)


def test_the_step_under_way_is_not_in_the_window():
    sliding = SlidingBars(3)
    sliding.add(Tick("A", 1.0))
    assert sliding.bars() == {}


@pytest.mark.parametrize("width", [1, 2, 200])
def test_a_tick_is_in_as_many_windows_as_the_width(width):
    sliding = SlidingBars(width)
    sliding.add(Tick("A", 1.0))
    seen = []
    for step in range(width + 2):
        sliding.end(step)
        seen.append("A" in sliding.bars())
    assert seen == [True] * width + [False, False]


def test_a_wide_window_of_one_step_is_the_table():
    sliding, table = SlidingBars(1), BarTable()
    for step in (1, 2, 3, 9):
        for bars in (sliding, table):
            bars.add(Tick("A", float(step)))
            bars.end(step)
        assert bars_of(sliding) == bars_of(table)


def held(sliding):
    """How many steps are kept, in all windows."""
    windows = sliding._windows.values()
    return sum(len(window._front) + len(window._back) for window in windows)


def test_a_quiet_symbol_takes_no_room_once_somebody_asks():
    sliding = SlidingBars(3)
    sliding.add(Tick("A", 1.0))
    for step in range(1, 5):
        sliding.end(step)
    assert (sliding.bars(), held(sliding), len(sliding._windows)) == ({}, 0, 0)


@pytest.mark.parametrize("asked", [False, True])
def test_a_symbol_that_ticks_on_every_step_takes_bounded_room(asked):
    width, most = 10, 0
    sliding = SlidingBars(width)
    for step in range(50 * width):
        sliding.add(Tick("A", 1.0))
        sliding.end(step)
        most = max(most, held(sliding))
        if asked:
            sliding.bars()
    assert most == width


class CountedMerge:
    """Stands for a bar, and counts the merges that made it and all others."""

    merges = 0

    def then(self, later):
        CountedMerge.merges += 1
        return CountedMerge()


def test_the_merges_of_a_step_are_few_however_wide_the_window_is():
    steps, width = 4000, 200
    window = _Window()
    CountedMerge.merges = 0
    for step in range(steps):
        window.push(step, CountedMerge(), step - width)
        assert window.merge_after(step - width) is not None
    assert CountedMerge.merges <= 3 * steps
