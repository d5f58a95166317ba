"""A worker's silence: who does nothing hangs, who works is waited for, but not forever."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.workers.silence import BUSY, IDLE, SILENCE, Silence, Verdict

WELL, WORKS, HANGS = Verdict


def verdicts(cpu, step=1.0, until=2 * BUSY):
    """The verdicts after each step, up to the first by which it hangs.

    Args:
        cpu: the worker's CPU seconds at each second of its silence.
    """
    silence, now, found = Silence(), 0.0, []
    while HANGS not in found and now < until:
        now += step
        found.append(silence.last(step, partial(cpu, now)))
    assert silence.verdict is found[-1]
    return found


def hangs_at(cpu, step=1.0):
    """After how many seconds of silence a worker is said to hang."""
    return len(verdicts(cpu, step)) * step


def working(until=10 * BUSY, each=1.0):
    """Whose CPU time rises once in so many seconds, up to a moment."""
    return lambda now: 5.0 + 0.01 * (min(now, until) // each)


STEPS = pytest.mark.parametrize("step", [0.125, 0.25, 1.0, 2.0])


@STEPS
@pytest.mark.parametrize("cpu", [None, 0.0, 7.25])
def test_one_that_does_nothing_or_cannot_be_looked_at_hangs_as_soon_as_that_is_a_silence(cpu, step):
    assert verdicts(lambda _: cpu, step) == [WELL] * int(SILENCE / step) + [HANGS]


@STEPS
def test_one_that_works_is_waited_for_until_it_is_too_long(step):
    well, works = int(SILENCE / step), int((BUSY - SILENCE) / step)
    assert verdicts(working(each=step), step) == [WELL] * well + [WORKS] * works + [HANGS]


@pytest.mark.parametrize("each", [1.0, 2.0, IDLE - 1])
def test_so_is_one_that_is_seldom_let_work_for_want_of_processors(each):
    assert hangs_at(working(each=each)) == BUSY + 1


@pytest.mark.parametrize("until", [8.0, 9.0, 20.0, 50.0])
def test_one_that_stops_working_hangs_once_it_has_done_nothing_for_a_while(until):
    assert hangs_at(working(until)) == until + IDLE


@given(st.floats(0.0, SILENCE - IDLE))
def test_what_it_worked_before_that_is_no_excuse(until):
    assert hangs_at(working(until, each=0.01)) == SILENCE + 1


def test_one_that_is_born_late_has_its_time_too():
    assert hangs_at(lambda now: None if now < 7 else 0.0) == 7 + IDLE


def test_one_that_is_gone_has_no_more_of_it():
    assert hangs_at(lambda now: now if now < 7 else None) == 6 + IDLE


def test_nobody_looks_while_it_does_not_matter():
    silence = Silence()
    looks = []
    for _ in range(int(SILENCE - IDLE) - 1):
        silence.last(1.0, lambda: looks.append("looked"))
    assert looks == []
    silence.last(1.0, lambda: looks.append("looked"))
    assert looks == ["looked"]


def test_the_times_are_named():
    assert (SILENCE, IDLE, BUSY) == (8.0, 4.0, 60.0)
