"""The signs of life of a conversation."""

from math import inf

from tickstorm.client.events import Silent
from tickstorm.client.messages import heartbeat_frame
from tickstorm.client.pulse import Pulse


def settled(draw=0.0):
    pulse = Pulse(10.0, lambda: draw, 0.0)
    pulse.settle(15.0, 20.0)
    return pulse


def test_before_it_is_settled_only_silence_counts():
    pulse = Pulse(10.0, lambda: 0.0, 5.0)
    assert pulse.deadline == 15.0
    assert pulse.wake(15.0, 0) == Silent(10.0)


def test_heartbeats_are_counted_and_come_up_to_a_fifth_early():
    pulse = settled(0.5)
    assert pulse.deadline == 13.5
    assert pulse.wake(13.4, 0) == b""
    assert pulse.wake(13.5, 7) == heartbeat_frame(7, 1)
    pulse.heard(13.6)
    assert pulse.wake(27.0, 8) == heartbeat_frame(8, 2)


def test_silence_is_told_and_anything_heard_ends_it():
    pulse = settled()
    pulse.heard(3.0)
    pulse.wake(15.0, 0)
    assert pulse.deadline == 23.0
    pulse.heard(22.0)
    assert pulse.wake(23.0, 0) == b""
    pulse.wake(30.0, 0)
    assert pulse.wake(42.0, 0) == Silent(20.0)


def test_who_looks_late_blames_nobody():
    pulse = settled()
    assert pulse.wake(60.0, 5) == heartbeat_frame(5, 1)
    assert pulse.deadline == 75.0


def test_what_is_not_read_cannot_be_silent():
    pulse = settled()
    pulse.pause()
    pulse.wake(15.0, 0)
    assert pulse.deadline == 30.0 < inf
    pulse.resume(29.0)
    for now in (30.0, 45.0):
        assert pulse.wake(now, 0) != b""
    assert pulse.wake(49.0, 0) == Silent(20.0)
