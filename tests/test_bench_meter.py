"""meter: CPU time and lag, of the measured time only."""

from tickstorm.bench.jobs import Begin
from tickstorm.bench.meter import Meter
from tickstorm.bench.tally import Tally


def metered(*turns, end=None):
    tally, cpu = Tally(), iter(range(0, 1000, 10))
    meter = Meter(tally, lambda: next(cpu))
    meter.measure(Begin(1_000_000, 5_000_000))
    for turn in turns:
        meter.turned(*turn)
    if end is not None:
        meter.end(end)
    return tally


def test_turns_within_the_time():
    tally = metered(
        (0, 900_000, 5),
        (900_000, 1_000_000, 5),  # from here on
        (2_000_000, 2_030_000, 3),
        (3_000_000, 3_000_000, 0),
        (4_000_000, 5_100_000, 2),  # up to here
        (6_000_000, 6_500_000, 9),
        end=7_000_000,
    )
    assert tally == Tally(lags={30: 3, 1100: 2}, cpu_ns=10, wall_ns=4_100_000)


def test_an_end_before_its_time():
    assert metered((0, 1_000_000, 1), end=2_000_000) == Tally(cpu_ns=10, wall_ns=1_000_000)


def test_an_end_before_the_beginning():
    assert metered((0, 900_000, 1), end=950_000) == Tally()


def test_without_a_time_nothing_is_measured():
    tally = Tally()
    meter = Meter(tally, lambda: 0)
    meter.turned(0, 1, 1)
    meter.end(2)
    assert tally == Tally()
