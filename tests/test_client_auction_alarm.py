"""An alarm: the earliest of the times, each time once."""

from math import inf

import pytest
from twisted.internet.task import Clock

from tickstorm.client.auction.alarm import Alarm
from tickstorm.client.on_twisted import TwistedFramework
from tickstorm.clock import simulated_clock


@pytest.fixture(name="clock")
def make_clock():
    return Clock()


@pytest.fixture(name="rung")
def make_rung():
    return []


@pytest.fixture(name="alarm")
def make_alarm(clock, rung):
    return Alarm(TwistedFramework(None, simulated_clock(clock)), rung.append)


def test_the_earliest_time_rings(clock, rung, alarm):
    for at in (5.0, 3.0, 4.0):
        alarm.set(at)
    clock.pump([1.0] * 9)
    assert (rung, clock.getDelayedCalls()) == ([3.0], [])


def test_behind_that_it_can_be_set_again(clock, rung, alarm):
    alarm.set(1.0)
    clock.advance(1.0)
    alarm.set(2.0)
    clock.advance(1.0)
    assert rung == [1.0, 2.0]


def test_a_time_that_is_over_rings_at_once(clock, rung, alarm):
    clock.advance(5.0)
    alarm.set(1.0)
    clock.advance(0.0)
    assert rung == [5.0]


def test_never_is_no_time(clock, alarm):
    alarm.set(inf)
    assert clock.getDelayedCalls() == []


def test_it_can_be_cancelled(clock, rung, alarm):
    alarm.cancel()
    alarm.set(1.0)
    alarm.cancel()
    clock.advance(2.0)
    assert rung == []
    alarm.set(9.0)
    assert len(clock.getDelayedCalls()) == 1
