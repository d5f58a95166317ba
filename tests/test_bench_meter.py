"""meter: CPU time and lag of the measured time only, and CPU time while connecting."""

from tickstorm.bench.jobs import Begin
from tickstorm.bench.meter import PROMPT_NS, Meter
from tickstorm.bench.tally import Tally

MS = 1_000_000
MOST = 10


def metered(*turns, window=Begin(1 * MS, 5 * MS), end=None):
    """Turns as (asked, woken, done, events), of a process that uses 10 ns of CPU between looks."""
    tally, cpu = Tally(), iter(range(0, 1000, 10))
    meter = Meter(tally, lambda: next(cpu), MOST)
    if window is not None:
        meter.measure(window)
    for turn in turns:
        meter.turned(*turn)
    if end is not None:
        meter.end(end)
    return tally


def test_turns_within_the_time():
    tally = metered(
        (0, 0, 900_000, 5),
        (900_000, 900_000, 1 * MS, 5),  # from here on
        (1 * MS, 2 * MS, 2_030_000, 3),
        (2_990_000, 2_990_000, 3 * MS, 0),
        (3 * MS, 4 * MS, 5_100_000, 2),  # up to here
        (6 * MS, 6 * MS, 6_500_000, 9),
        end=7 * MS,
    )
    # Nothing was waiting at 900,000, where it was asked before the first, and at 2,990,000.
    assert tally == Tally(lags={1130: 3, 2110: 2}, cpu_ns=10, wall_ns=4_100_000)


def lags(*turns):
    return metered((0, 0, 0, 0), *turns, window=Begin(0, 10**12)).lags


def test_a_process_that_was_kept_from_its_answer_was_late():
    late = PROMPT_NS * 100
    # It slept through its waiting, was told of nothing, and finds it only when it asks again.
    assert lags((MS, MS + late, MS + late, 0), (MS + late, MS + late, MS + late, 4)) == {
        400_000 - 400_000 % 256: 4
    }


def test_a_process_that_was_kept_while_it_had_an_answer_was_late_with_the_rest_as_well():
    late = PROMPT_NS * 100
    found = lags((MS, MS + late, MS + late, 1), (MS + late, MS + late, MS + late, 4))
    assert sum(found.values()) == 5
    assert min(found) > 399_000


def test_what_waits_while_others_are_read_is_late_by_that():
    # The kernel named as many as it may: others may have been waiting all along.
    assert lags((MS, MS, 2 * MS, MOST), (2 * MS, 2 * MS, 3 * MS, 4)) == {2000: MOST, 3000: 4}
    assert lags((MS, MS, 2 * MS, 9), (2 * MS, 2 * MS, 3 * MS, 4)) == {2000: 9 + 4}


def test_an_end_before_its_time():
    assert metered((0, 0, 1 * MS, 1), end=2 * MS) == Tally(cpu_ns=10, wall_ns=1 * MS)


def test_an_end_before_the_beginning():
    assert metered((0, 0, 900_000, 1), end=950_000) == Tally()


def test_without_a_time_nothing_is_measured():
    assert metered((0, 0, 1, 1), window=None, end=2) == Tally()


def test_cpu_while_connecting_is_up_to_the_last_subscription():
    tally, cpu = Tally(), [0]
    meter = Meter(tally, lambda: cpu[0], MOST)
    for now, used, last_subscribed in ((5, 1, 0), (9, 4, 8), (20, 13, 19), (50, 40, 19)):
        cpu[0], tally.last_subscribed_ns = used, last_subscribed
        meter.turned(now - 1, now - 1, now, 1)
    assert (tally.connecting_cpu_ns, tally.connecting_wall_ns) == (12, 16)
    assert tally.busy_connecting == 0.75
