"""The wheel and the sweeper: the silent are reaped, soon, once, at the cost of what is due."""

from math import inf

import pytest
from twisted.internet.task import Clock as Scheduler

from tickstorm.clock import simulated_clock
from tickstorm.heartbeat import SWEEP_INTERVAL, DeadlineWheel, Sweeper
from tickstorm.metrics import Metrics


class Life:
    """A mortal that counts how often its deadline is asked for."""

    def __init__(self, deadline):
        self.asked = 0
        self.expired_at = []
        self._deadline = deadline

    @property
    def deadline(self):
        self.asked += 1
        return self._deadline

    def move(self, deadline):
        self._deadline = deadline

    def expire(self, now):
        self.expired_at.append(now)
        self._deadline = inf


class Failing(Life):
    def expire(self, now):
        super().expire(now)
        raise ValueError("it would not die")


class Sweeps:
    """A running sweeper on simulated time."""

    def __init__(self, start=0.0, also=lambda now: None):
        self.scheduler = Scheduler()
        self.scheduler.advance(start)
        self.wheel = DeadlineWheel()
        self.metrics = Metrics()
        self.sweeper = Sweeper(simulated_clock(self.scheduler), self.wheel, self.metrics, also)
        self.sweeper.start()

    def add(self, *deadlines, kind=Life):
        mortals = [kind(deadline) for deadline in deadlines]
        for mortal in mortals:
            self.wheel.add(mortal)
        return mortals

    def pass_time(self, seconds, step=1.0):
        self.scheduler.pump([step] * round(seconds / step))


def test_the_wheel_gives_out_what_is_reached_once():
    wheel = DeadlineWheel()
    lives = [Life(deadline) for deadline in (0.5, 1.0, 1.5, 7.0)]
    for life in lives:
        wheel.add(life)
    assert (len(wheel), wheel.take_due(0.0)) == (4, [])  # its second has begun, it is not due
    assert (len(wheel), wheel.take_due(0.9)) == (4, [lives[0]])
    assert (len(wheel), wheel.take_due(1.0)) == (3, [lives[1]])
    assert (len(wheel), wheel.take_due(1.5)) == (2, [lives[2]])
    assert (len(wheel), wheel.take_due(6.9)) == (1, [])
    assert wheel.take_due(100.0) == [lives[3]]
    assert (len(wheel), wheel.take_due(200.0)) == (0, [])


def test_who_was_added_twice_is_looked_at_twice():
    wheel = DeadlineWheel()
    life = Life(8.0)
    wheel.add(life)
    life.move(3.0)
    wheel.add(life)
    assert (wheel.take_due(3.0), wheel.take_due(8.0)) == ([life], [life])
    assert len(wheel) == 0


def test_who_is_gone_is_not_taken():
    wheel = DeadlineWheel()
    lives = [Life(3.0), Life(3.0), Life(3.0)]
    for life in lives:
        wheel.add(life)
    lives[1].move(inf)
    wheel.note_gone()
    assert (len(wheel), wheel.take_due(3.0)) == (3, [lives[0], lives[2]])
    assert (len(wheel), wheel._gone, wheel._buckets) == (0, 0, {})


def test_as_soon_as_half_are_gone_none_of_them_is_held():
    wheel = DeadlineWheel()
    lives = [Life(3.0 + n % 2) for n in range(9)]
    for life in lives:
        wheel.add(life)
    for life in lives[:4]:
        life.move(inf)
        wheel.note_gone()
    assert len(wheel) == 9
    lives[4].move(inf)
    wheel.note_gone()
    assert (len(wheel), wheel._gone) == (4, 0)
    assert set(wheel.take_due(9.0)) == set(lives[5:])


def test_the_last_one_leaves_nothing_behind():
    wheel = DeadlineWheel()
    life = Life(3.0)
    wheel.add(life)
    life.move(inf)
    wheel.note_gone()
    assert (len(wheel), wheel._buckets) == (0, {})


def test_a_wheel_holds_fewer_of_the_gone_than_of_the_living_however_many_come_and_go():
    wheel = DeadlineWheel()
    for life in (Life(20.0) for _ in range(100)):
        wheel.add(life)
    for life in (Life(20.0) for _ in range(10_000)):
        wheel.add(life)
        life.move(inf)
        wheel.note_gone()
        assert len(wheel) <= 201


def test_heartbeats_move_a_deadline_for_nothing():
    sweeps = Sweeps()
    (life,) = sweeps.add(20.0)
    for second in range(1, 21):
        life.move(second + 20.0)
        sweeps.pass_time(1)
    assert (life.asked, life.expired_at) == (2, [])  # put in; looked at once in 20 s, and put back
    sweeps.pass_time(20)
    assert life.expired_at == [40.0]


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.875])
@pytest.mark.parametrize("fraction", [0.0, 0.125, 0.5, 0.875])
def test_reaped_by_the_next_sweep(phase, fraction):
    sweeps = Sweeps(start=phase)
    deadline = 10 + fraction
    (life,) = sweeps.add(deadline)
    sweeps.pass_time(13, step=0.125)
    (at,) = life.expired_at
    assert deadline <= at < deadline + SWEEP_INTERVAL
    assert at % 1 == phase


def test_a_blocked_reactor_reaps_all_that_fell_due_at_once():
    sweeps = Sweeps()
    lives = sweeps.add(*range(1, 31))
    sweeps.scheduler.advance(30.0)
    assert [life.expired_at for life in lives] == [[30.0]] * 30
    assert len(sweeps.wheel) == 0


def test_who_lives_on_and_is_added_in_expire_is_looked_at_again():
    class Lingering(Life):
        def expire(self, now):
            super().expire(now)
            if len(self.expired_at) == 1:
                self.move(now + 5.0)
                sweeps.wheel.add(self)

    sweeps = Sweeps()
    (life,) = sweeps.add(3.0, kind=Lingering)
    sweeps.pass_time(20)
    assert life.expired_at == [3.0, 8.0]
    assert len(sweeps.wheel) == 0


def test_who_leaves_while_another_expires_is_not_reaped():
    sweeps = Sweeps()

    class Murderous(Life):
        def expire(self, now):
            super().expire(now)
            for life in pair:
                life.move(inf)
                sweeps.wheel.note_gone()

    pair = sweeps.add(3.0, 3.0, kind=Murderous)
    sweeps.pass_time(10)
    assert sorted(len(life.expired_at) for life in pair) == [0, 1]
    assert len(sweeps.wheel) == 0


@pytest.mark.parametrize("order", [[Failing, Life], [Life, Failing]])
def test_a_failure_spares_nobody_else_and_nothing_else(order, failures):
    called = []
    sweeps = Sweeps(also=called.append)
    mortals = [sweeps.add(*[3.0] * 5, kind=kind) for kind in order]
    sweeps.pass_time(6)
    assert [life.expired_at for lives in mortals for life in lives] == [[3.0]] * 10
    assert called == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert (sweeps.metrics.failures, sweeps.sweeper.last_at) == ({"sweep": 5}, 6.0)
    assert [str(failure) for failure in failures] == ["it would not die"] * 5
    failures.clear()


def test_who_fails_and_stays_due_is_tried_at_each_sweep(failures):
    class Stubborn(Failing):
        def expire(self, now):
            try:
                super().expire(now)
            finally:
                self.move(3.0 if len(self.expired_at) < 3 else inf)

    sweeps = Sweeps()
    (life,) = sweeps.add(3.0, kind=Stubborn)
    sweeps.pass_time(10)
    assert (life.expired_at, sweeps.metrics.failures["sweep"]) == ([3.0, 4.0, 5.0], 3)
    assert len(sweeps.wheel) == 0
    failures.clear()


def test_a_failure_in_what_else_a_sweep_does_is_caught_too(failures):
    def also(now):
        raise ValueError(now)

    sweeps = Sweeps(also=also)
    (life,) = sweeps.add(3.0)
    sweeps.pass_time(4)
    assert (life.expired_at, sweeps.metrics.failures["sweep"], len(failures)) == ([3.0], 4, 4)
    failures.clear()


def test_the_lag_and_the_time_of_a_sweep_are_kept():
    sweeps = Sweeps()
    seen = []
    for seconds in (1.0, 1.0, 3.5, 0.5, 1.0):
        sweeps.scheduler.advance(seconds)
        seen.append((sweeps.sweeper.last_at, sweeps.sweeper.lag))
    assert seen == [(1.0, 0.0), (2.0, 0.0), (5.5, 2.5), (6.0, 0.0), (7.0, 0.0)]


def test_stop_and_start_again():
    sweeps = Sweeps()
    (life,) = sweeps.add(2.0)
    sweeps.sweeper.stop()
    sweeps.sweeper.stop()
    assert sweeps.scheduler.getDelayedCalls() == []
    sweeps.pass_time(5)
    assert life.expired_at == []
    sweeps.sweeper.start()
    sweeps.pass_time(1)
    assert (life.expired_at, sweeps.sweeper.lag) == ([6.0], 0.0)


def test_a_sweep_costs_what_is_due_and_not_what_is_connected():
    sweeps = Sweeps()
    lives = sweeps.add(*(1000.0 + n % 1000 for n in range(100_000)))
    due = sweeps.add(3.0, 4.0)
    for life in lives:
        life.asked = 0
    sweeps.pass_time(10)
    assert [life.expired_at for life in due] == [[3.0], [4.0]]
    assert sum(life.asked for life in lives) == 0
    assert len(sweeps.wheel._buckets) == 1000


def test_a_wheel_of_100_000_that_all_send_heartbeats_is_looked_at_once_a_timeout():
    sweeps = Sweeps()
    lives = sweeps.add(*(1.0 + n % 20 for n in range(100_000)))
    for life in lives:
        life.asked = 0
        life.move(30.0)
    sweeps.pass_time(29)
    assert {life.asked for life in lives} == {1}
    assert len(sweeps.wheel) == 100_000
