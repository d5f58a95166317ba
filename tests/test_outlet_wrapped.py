"""Outlet on what wraps a socket, as TLS and the PROXY protocol do: it is told when to pause."""

import pytest
from outlets import LIMITS, Wrapped, frame
from test_outlet_past import Behind

from tickstorm.outlet import FULL_BYTES
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
    assert (wrapped.taken, wrapped.outlet.pending_bytes) == (b"pong", FULL_BYTES + 4 + 200)
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
    assert wrapped.owner.events == ["congested"]
    assert wrapped.outlet.pending_bytes == FULL_BYTES + 100


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
    assert wrapped.outlet.pending_bytes == FULL_BYTES + 300 + 3
    assert wrapped.outlet.own_bytes == len(b"bye")


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


# What it was handed.


def counted(behind):
    """What is queued, what is with the transport, and the same together as the budget has it."""
    backlog, budget = behind.outlet._backlog, behind.owner.backlogs.budget.bytes
    assert behind.outlet.pending_bytes == budget
    return (0, 0, budget) if backlog is None else (backlog.bytes, backlog.with_transport, budget)


def test_of_who_keeps_up_nothing_is_counted():
    behind = Behind(None, BacklogLimits())
    for number in range(8):
        behind.outlet.deliver(frame(number, 1000))
    assert (counted(behind), behind.owner.events) == ((0, 0, 0), [])


def test_a_large_frame_that_it_pauses_at_is_counted():
    behind = Behind(0, BacklogLimits())
    behind.outlet.deliver(frame(1, 20_000))
    assert counted(behind) == (0, 20_000, 20_000)
    assert behind.owner.fill == 0.0
    behind.wire.take(19_999)
    assert counted(behind) == (0, 20_000, 20_000)
    behind.wire.take(1)
    assert (counted(behind), behind.owner.events) == ((0, 0, 0), ["congested", "relieved"])


def test_small_frames_are_counted_as_what_it_pauses_at():
    behind = Behind(0, BacklogLimits())
    for number in range(9):
        behind.outlet.deliver(frame(number, 1000))
    assert (counted(behind), len(behind.buffered)) == ((0, FULL_BYTES, FULL_BYTES), 9000)


def test_pieces_and_answers_are_counted_until_it_is_empty():
    behind = Behind(0, BacklogLimits())
    for number in range(4):
        behind.outlet.deliver(frame(number, 9000))
    behind.outlet.answer(bytes(50))
    found = [counted(behind)]
    for room in (9000, 50, 9000, 9000, 9000):
        behind.wire.take(room)
        found.append(counted(behind))
    assert found == [
        (27_000, 9050, 36_050),
        (27_000, 9050, 36_050),
        (18_000, 9000, 27_000),
        (9000, 9000, 18_000),
        (0, 9000, 9000),
        (0, 0, 0),
    ]
    assert behind.taken == frame(0, 9000) + bytes(50) + b"".join(frame(n, 9000) for n in (1, 2, 3))


def test_small_pieces_are_counted_together():
    behind = Behind(0, BacklogLimits())
    for number, size in enumerate((9000, 100, 16_300, 100, 16_300)):
        behind.outlet.deliver(frame(number, size))
    behind.wire.take(9000)
    assert counted(behind) == (16_400, 16_400, 32_800)


def test_what_it_has_is_counted_from_the_close_to_the_loss():
    behind = Behind(0, BacklogLimits())
    for number in range(4):
        behind.outlet.deliver(frame(number, 9000))
    behind.outlet.close(b"<bye>", flush=True)
    assert counted(behind) == (0, 36_005, 36_005)
    behind.wire.take(30_000)
    assert counted(behind) == (0, 36_005, 36_005)
    behind.outlet.lose()
    assert counted(behind) == (0, 0, 0)


def test_the_transport_may_stop_the_producer_at_any_time():
    wrapped = Wrapped()
    wrapped.outlet.stopProducing()
    wrapped.outlet.pauseProducing()
    wrapped.outlet.stopProducing()
    assert wrapped.owner.events == ["congested"]
