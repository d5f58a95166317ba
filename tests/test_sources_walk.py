"""`walk:` at its rate, whatever the timers and the hub do."""

import re

import pytest
from twisted.internet.task import Clock as Time

from tickstorm.clock import simulated_clock
from tickstorm.errors import SourceError
from tickstorm.hub import Hub
from tickstorm.sources.walk import (
    MAX_TICKS_PER_CALL,
    TICKS_PER_CALL,
    call_interval,
    makeSource,
    read_symbols,
)


class Published:
    """What a source published, call by call; a call of `failing` raises."""

    def __init__(self):
        self.calls = []
        self.failing = False

    def __call__(self, ticks):
        if self.failing:
            raise RuntimeError("the hub is broken")
        self.calls.append(list(ticks))
        return len(self.calls[-1])

    @property
    def ticks(self):
        return [tick for call in self.calls for tick in call]


def started(arguments):
    time, published = Time(), Published()
    walk = makeSource(arguments, published, simulated_clock(time))
    walk.startService()
    return walk, time, published


def test_by_default_five_symbols_and_fifty_ticks_a_second():
    _, time, published = started("")
    time.pump([0.01] * 1000 + [0.005])
    assert len(published.ticks) == 500
    assert {tick.symbol for tick in published.ticks} == {"SIM1", "SIM2", "SIM3", "SIM4", "SIM5"}
    assert all(abs(tick.price - 100) < 10 for tick in published.ticks)


@pytest.mark.parametrize("rate", [0.3, 1, 7, 50, 333, 1000, 12345])
def test_the_rate_is_kept_to_the_tick(rate):
    _, time, published = started(f"rate={rate}")
    steps = round(10 / call_interval(rate))
    time.pump([call_interval(rate)] * steps)
    assert len(published.ticks) == int(steps * call_interval(rate) * rate + 1e-6)


def test_a_call_has_a_bounded_number_of_ticks():
    _, time, published = started("rate=1000000")
    time.pump([0.001] * 50)
    assert {len(call) for call in published.calls} <= {999, TICKS_PER_CALL, 1001}
    time.advance(5)
    assert len(published.calls[-1]) == MAX_TICKS_PER_CALL
    time.pump([0.001] * 50)
    assert {len(call) for call in published.calls[-50:]} <= {999, TICKS_PER_CALL, 1001}


def test_it_makes_up_for_a_second_and_no_more():
    _, time, published = started("rate=10")
    time.pump([0.8, 60.0, 0.1])
    assert [len(call) for call in published.calls] == [8, 10, 1]


def test_a_slow_walk_makes_up_for_one_tick():
    _, time, published = started("rate=0.1")
    time.pump([25.0, 5.0])
    assert [len(call) for call in published.calls] == [1, 1]


def test_the_same_seed_gives_the_same_ticks_at_any_rate_and_pace():
    _, slow, one = started("seed=7:rate=10:symbols=A,B,C:price=5")
    _, fast, other = started("price=5:symbols=A,B,C:rate=10000:seed=7")
    slow.pump([0.1] * 210)
    fast.pump([0.003] * 80)
    assert one.ticks[:200] == other.ticks[:200]
    assert {tick.symbol for tick in one.ticks} == {"A", "B", "C"}
    assert 4 < one.ticks[0].price < 6


def test_it_stops_and_goes_on():
    walk, time, published = started("rate=10")
    time.pump([0.1] * 5)
    walk.stopService()
    assert (len(published.ticks), time.getDelayedCalls()) == (5, [])
    walk.stopService()
    time.advance(10)
    walk.startService()
    time.pump([0.1] * 5)
    assert len(published.ticks) == 10
    assert published.ticks == started("rate=10:seed=0")[2].ticks + published.ticks


def test_an_exception_does_not_stop_it_and_is_logged_once_in_a_row(failures):
    _, time, published = started("rate=10")
    for failing in (True, False, True):
        published.failing = failing
        time.pump([0.1] * 5)
    assert [str(failure) for failure in failures] == ["the hub is broken"] * 2
    assert len(published.ticks) == 5
    failures.clear()


def test_the_hub_takes_it():
    time = Time()
    hub = Hub("epoch", simulated_clock(time).wall_ns)
    makeSource("rate=100:symbols=3", hub.publish, simulated_clock(time)).startService()
    time.pump([0.01] * 100)
    assert (hub.ticks_published, hub.symbols) == (100, 3)


@pytest.mark.parametrize(
    ("text", "symbols"),
    [("1", ["SIM1"]), ("AAPL", ["AAPL"]), ("A,B.C,D-E_9", ["A", "B.C", "D-E_9"])],
)
def test_symbols(text, symbols):
    assert read_symbols(text) == symbols


def test_as_many_symbols_as_a_hub_holds():
    assert len(set(read_symbols("10000"))) == 10_000


@pytest.mark.parametrize("text", ["", "0", "10001", "a", "A,,B", "A,A", "A B", "A" * 17])
def test_symbols_that_are_none(text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        read_symbols(text)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("AAA", "walk: 'AAA' is not KEY=VALUE"),
        (
            "speed=1",
            "walk: there is no argument speed=; the arguments are: symbols=, rate=, seed=, price=",
        ),
        ("rate=0", "walk: rate=0 is not a number 0.001 to 1000000"),
        ("rate=1000001", "walk: rate=1000001 is not a number 0.001 to 1000000"),
        ("seed=-1", "walk: seed=-1 is not a whole number 0 to 18446744073709551615"),
        ("price=0.01", "walk: price=0.01 is not a number 0.02 to 999900"),
        (
            "symbols=aapl",
            "walk: symbols=aapl is not a count 1 to 10000,"
            " nor different names of 1 to 16 of A-Z 0-9 . _ - with commas",
        ),
    ],
)
def test_arguments_that_are_refused(arguments, error):
    with pytest.raises(SourceError) as caught:
        makeSource(arguments, Published(), simulated_clock(Time()))
    assert str(caught.value) == error
