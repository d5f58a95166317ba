"""Outlet on what wraps a socket, as TLS and the PROXY protocol do: it is told when to pause."""

import pytest
from outlets import LIMITS, Wrapped, frame

from tickstorm.overload import BacklogLimits


def test_is_written_through_and_its_producer_is_the_outlet():
    wrapped = Wrapped()
    wrapped.outlet.deliver(frame(1))
    wrapped.outlet.answer(b"pong")
    assert wrapped.taken == frame(1) + b"pong"
    assert (wrapped.transport.producer, wrapped.transport.streaming) == (wrapped.outlet, True)
    assert wrapped.outlet.own_bytes == len(b"pong")


def test_queues_between_pause_and_resume():
    wrapped = Wrapped()
    wrapped.outlet.pauseProducing()
    wrapped.outlet.deliver(frame(1))
    wrapped.outlet.answer(b"pong")
    wrapped.outlet.deliver(frame(2))
    assert (wrapped.taken, wrapped.outlet.pending_bytes) == (b"pong", 200)
    wrapped.outlet.resumeProducing()
    assert wrapped.taken == b"pong" + frame(1) + frame(2)
    assert wrapped.owner.events == ["congested", "relieved"]
    wrapped.outlet.deliver(frame(3))
    assert wrapped.taken.endswith(frame(3))


def test_paused_twice_is_congested_once():
    wrapped = Wrapped()
    wrapped.outlet.pauseProducing()
    wrapped.outlet.deliver(frame(1))
    wrapped.outlet.pauseProducing()
    assert (wrapped.owner.events, wrapped.outlet.pending_bytes) == (["congested"], 100)


def test_paused_while_draining_stops_there():
    wrapped = Wrapped(BacklogLimits())
    wrapped.outlet.pauseProducing()
    for number in range(4):
        wrapped.outlet.deliver(frame(number, 9000))
    write = wrapped.transport.write

    def fill(data):
        write(data)
        wrapped.outlet.pauseProducing()

    wrapped.transport.write = fill
    wrapped.outlet.resumeProducing()
    assert wrapped.taken == frame(0, 9000)
    wrapped.transport.write = write
    wrapped.outlet.resumeProducing()
    assert wrapped.taken == b"".join(frame(number, 9000) for number in range(4))
    assert wrapped.owner.events == ["congested", "relieved"]


def test_resumed_without_a_pause_is_nothing():
    wrapped = Wrapped()
    wrapped.outlet.resumeProducing()
    assert wrapped.owner.events == []


def test_close_with_a_queue():
    wrapped = Wrapped()
    wrapped.outlet.pauseProducing()
    wrapped.outlet.deliver(frame(1))
    wrapped.outlet.close(b"bye")
    assert (wrapped.taken, wrapped.transport.disconnecting) == (b"bye", True)
    assert wrapped.transport.producer is None


def test_close_with_a_flush_sends_the_queue_before_the_last_words():
    wrapped = Wrapped()
    wrapped.outlet.pauseProducing()
    for number in range(3):
        wrapped.outlet.deliver(frame(number))
    wrapped.outlet.close(b"bye", flush=True)
    assert wrapped.taken == b"".join(map(frame, range(3))) + b"bye"
    assert (wrapped.transport.producer, wrapped.transport.disconnecting) == (None, True)
    assert (wrapped.outlet.pending_bytes, wrapped.outlet.own_bytes) == (0, len(b"bye"))


@pytest.mark.parametrize("paused", [False, True])
def test_nothing_is_written_after_the_close(paused):
    wrapped = Wrapped()
    if paused:
        wrapped.outlet.pauseProducing()
    wrapped.outlet.close(b"bye")
    wrapped.outlet.deliver(frame(1))
    wrapped.outlet.answer(b"pong")
    wrapped.outlet.resumeProducing()
    wrapped.outlet.pauseProducing()
    wrapped.outlet.check(1e9)
    assert (wrapped.taken, wrapped.owner.events) == (b"bye", ["congested"] * paused)


def test_too_many_frames_end_with_the_last_words():
    wrapped = Wrapped()
    wrapped.outlet.pauseProducing()
    for number in range(LIMITS.max_frames + 2):
        wrapped.outlet.deliver(frame(number))
    assert wrapped.taken == b"<slow>"


def test_the_transport_may_stop_the_producer_at_any_time():
    wrapped = Wrapped()
    wrapped.outlet.stopProducing()
    wrapped.outlet.pauseProducing()
    wrapped.outlet.stopProducing()
    assert wrapped.owner.events == ["congested"]
