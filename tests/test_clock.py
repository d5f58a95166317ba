"""WallClockLoop: on the wall clock's marks, whatever that clock and the calls do."""

import pytest
from twisted.internet.task import Clock as Scheduler

from tickstorm.clock import Clock, WallClockLoop, simulated_clock, system_clock

SECOND_NS = 1_000_000_000


class Times:
    """A scheduler, and a wall clock that runs with it but can be set."""

    def __init__(self, wall_s=100.0):
        self.scheduler = Scheduler()
        self.offset_ns = round(wall_s * SECOND_NS)
        self.clock = Clock(self.scheduler, self.scheduler.seconds, self.wall_ns)

    def wall_ns(self):
        return round(self.scheduler.seconds() * SECOND_NS) + self.offset_ns

    def step(self, seconds):
        self.offset_ns += round(seconds * SECOND_NS)

    def loop(self, interval_ms=1000, during=lambda mark: None, **options):
        """A started loop, and where it notes (mark, mark before, wall seconds) of each call."""
        calls = []

        def call(mark, before):
            calls.append((mark, before, self.wall_ns() / SECOND_NS))
            during(mark)

        loop = WallClockLoop(self.clock, interval_ms, call, **options)
        loop.start()
        return loop, calls


def pending(times):
    return len(times.scheduler.getDelayedCalls())


def test_simulated_clock_has_only_the_schedulers_seconds():
    scheduler = Scheduler()
    clock = simulated_clock(scheduler)
    scheduler.advance(12.345)
    assert (clock.monotonic(), clock.wall_ns(), clock.wall_ms()) == (12.345, 12_345_000_000, 12_345)


def test_system_clock_is_the_operating_systems():
    clock = system_clock(Scheduler())
    assert clock.monotonic() <= clock.monotonic()
    assert clock.wall_ms() > 1_700_000_000_000


def test_calls_at_every_mark_with_its_number():
    times = Times(100.25)
    _, calls = times.loop()
    times.scheduler.pump([0.25] * 16)
    assert calls == [
        (101, 100, 101.0),
        (102, 101, 102.0),
        (103, 102, 103.0),
        (104, 103, 104.0),
    ]


def test_a_start_on_a_mark_begins_with_the_next():
    times = Times(100.0)
    _, calls = times.loop()
    times.scheduler.pump([0, 0.5, 0.5])
    assert calls == [(101, 100, 101.0)]


def test_minutes_are_whole_minutes():
    times = Times(3599.0)
    _, calls = times.loop(60_000)
    times.scheduler.pump([1] * 62)
    assert calls == [(60, 59, 3600.0), (61, 60, 3660.0)]


def test_it_does_not_drift():
    times = Times(100.9)
    _, calls = times.loop(5)
    times.scheduler.pump([0.0001] * 1000)
    assert [mark for mark, _, _ in calls] == list(range(20181, 20201))


def test_a_blocked_reactor_gets_one_call_for_the_present_mark():
    times = Times(100.5)
    _, calls = times.loop()
    times.scheduler.advance(3.2)
    assert calls == [(103, 100, 103.7)]
    times.scheduler.advance(0.3)
    assert calls[1:] == [(104, 103, 104.0)]


def test_a_call_that_takes_long_costs_marks_but_stays_on_them():
    times = Times(100.0)

    def slow(mark):
        times.offset_ns += 2_500_000_000 if mark == 101 else 0

    _, calls = times.loop(during=slow)
    times.scheduler.pump([0.25] * 10)
    assert calls == [(101, 100, 101.0), (104, 101, 104.0), (105, 104, 105.0)]


def test_an_early_timer_does_not_call_twice_nor_early():
    times = Times(100.0)
    _, calls = times.loop()
    times.step(-0.003)  # the scheduler's second is over 3 ms before the wall clock's
    times.scheduler.advance(1.0)
    assert calls == []
    times.scheduler.advance(0.003)
    assert calls == [(101, 100, 101.0)]
    times.scheduler.pump([0.5] * 2)
    assert calls == [(101, 100, 101.0), (102, 101, 102.0)]


def test_a_failing_call_is_logged_and_counted_and_the_next_comes(failures):
    times = Times()
    failed = []

    def fail(mark):
        if mark != 102:
            raise ValueError(mark)

    _, calls = times.loop(during=fail, failed=lambda: failed.append(times.wall_ns()))
    times.scheduler.pump([1] * 3)
    assert [mark for mark, _, _ in calls] == [101, 102, 103]
    assert failed == [101 * SECOND_NS, 103 * SECOND_NS]
    assert [str(failure) for failure in failures] == ["101", "103"]
    failures.clear()


def test_a_failing_call_that_nobody_counts_is_logged_all_the_same(failures):
    times = Times()

    def fail(mark):
        raise ValueError(mark)

    times.loop(during=fail)
    times.scheduler.pump([1] * 2)
    assert [str(failure) for failure in failures] == ["101", "102"]
    failures.clear()


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3600.25])
def test_a_clock_set_forward_is_followed(seconds):
    times = Times(100.0)
    _, calls = times.loop()
    times.scheduler.advance(0.25)
    times.step(seconds)
    times.scheduler.pump([1 / 16] * 48)
    marks = [mark for mark, _, _ in calls]
    assert marks == list(range(marks[0], marks[0] + len(marks)))
    assert [at for _, _, at in calls[1:]] == marks[1:]


@pytest.mark.parametrize("seconds", [0.125, 1.0, 3600.25])
def test_a_clock_set_back_is_followed_and_soon_on_its_marks(seconds):
    times = Times(10_000.0)
    _, calls = times.loop()
    times.scheduler.advance(0.5)
    times.step(-seconds)
    times.scheduler.pump([1 / 16] * 48)
    assert len(calls) >= 2
    assert [at for _, _, at in calls[1:]] == [mark for mark, _, _ in calls[1:]]


def test_the_first_call_after_the_clock_was_set_back_tells_it_by_its_marks():
    times = Times(100.0)
    _, calls = times.loop()
    times.scheduler.advance(1.0)
    times.step(-10.25)
    times.scheduler.pump([0.25] * 9)
    assert calls == [(101, 100, 101.0), (91, 101, 91.75), (92, 91, 92.0), (93, 92, 93.0)]


def test_a_clock_set_back_within_a_period_does_not_repeat_its_mark():
    times = Times(100.0)
    _, calls = times.loop()
    times.scheduler.pump([0.25] * 6)
    times.step(-0.25)
    times.scheduler.pump([0.25] * 4)
    assert calls == [(101, 100, 101.0), (102, 101, 102.0)]


def test_stop_leaves_nothing_scheduled():
    times = Times()
    loop, calls = times.loop()
    times.scheduler.advance(1)
    loop.stop()
    assert pending(times) == 0
    times.scheduler.advance(10)
    assert calls == [(101, 100, 101.0)]


def test_stop_before_start_and_twice_is_nothing():
    times = Times()
    loop = WallClockLoop(times.clock, 1000, lambda mark, before: None)
    loop.stop()
    loop.start()
    loop.stop()
    loop.stop()
    assert pending(times) == 0


def test_stop_within_the_call_is_kept():
    times = Times()
    loop, calls = times.loop(during=lambda mark: loop.stop())
    times.scheduler.pump([1] * 3)
    assert calls == [(101, 100, 101.0)]
    assert pending(times) == 0


def test_a_restart_within_the_call_schedules_once():
    times = Times()

    def restart(mark):
        loop.stop()
        loop.start()

    loop, calls = times.loop(during=restart)
    times.scheduler.pump([1] * 3)
    assert [mark for mark, _, _ in calls] == [101, 102, 103]
    assert pending(times) == 1
