"""Outlet on a plain socket: whole frames in order, one system call a frame, and bounds."""

import sys

import pytest
from lagging import batch, told
from outlets import LIMITS, Direct, frame

from tickstorm.outlet import MAX_ANSWER_BYTES, PIECE_BYTES
from tickstorm.overload import BacklogLimits
from tickstorm.subscriptions import Overload

# While the client keeps up.


def test_one_call_a_frame_and_nothing_else():
    direct = Direct()
    for number in range(1000):
        direct.outlet.deliver(frame(number))
    assert direct.socket.sends == 1000
    assert direct.taken == b"".join(map(frame, range(1000)))
    assert (direct.owner.events, direct.outlet.own_bytes) == ([], 0)
    assert (direct.transport.producer, direct.wire.reactor.writers) == (None, set())


def test_nothing_is_kept_for_a_client_that_keeps_up():
    direct = Direct()
    data = frame(1)
    direct.socket.taken = type("Sink", (), {"__iadd__": lambda sink, data: sink})()
    direct.outlet.deliver(data)
    before = sys.getallocatedblocks()
    for _ in range(10_000):
        direct.outlet.deliver(data)
    assert sys.getallocatedblocks() - before < 100
    assert direct.outlet.pending_bytes == 0


def test_answers_go_straight_too():
    direct = Direct()
    direct.outlet.answer(b"pong")
    direct.outlet.deliver(b"data")
    direct.outlet.answer(b"pong")
    assert (direct.taken, direct.socket.sends) == (b"pongdatapong", 3)


# When the socket is full.


@pytest.mark.parametrize("room", [0, 1, 99])
def test_a_frame_that_does_not_fit_is_never_cut(room):
    direct = Direct(room)
    direct.outlet.deliver(frame(1))
    assert direct.taken == frame(1)[:room]
    assert (direct.owner.events, direct.outlet.own_bytes) == (["congested"], 0)
    direct.outlet.deliver(frame(2))
    assert direct.outlet.pending_bytes == 100 - room + 100
    direct.drain()
    assert direct.taken == frame(1) + frame(2)
    assert (direct.owner.events, direct.outlet.pending_bytes) == (["congested", "relieved"], 0)


def test_while_congested_the_socket_is_left_to_the_reactor():
    direct = Direct(10)
    for number in range(5):
        direct.outlet.deliver(frame(number))
    assert direct.socket.sends == 1
    assert direct.transport in direct.wire.reactor.writers


def test_relieved_is_as_before():
    direct = Direct(10)
    direct.outlet.deliver(frame(1))
    direct.drain()
    assert (direct.transport.producer, direct.wire.reactor.writers) == (None, set())
    sends = direct.socket.sends
    direct.outlet.deliver(frame(2))
    assert direct.socket.sends == sends + 1
    direct.socket.room = 0
    direct.outlet.deliver(frame(3))
    direct.outlet.deliver(frame(4))
    direct.drain()
    assert direct.taken == b"".join(map(frame, range(1, 5)))
    assert direct.owner.events == ["congested", "relieved"] * 2


def test_a_queue_goes_out_in_pieces_as_the_socket_takes_it():
    direct = Direct(0, BacklogLimits())
    frames = [frame(number, 9000) for number in range(20)]
    for each in frames:
        direct.outlet.deliver(each)
    while direct.transport in direct.wire.reactor.writers:
        direct.wire.take(7777)
        assert len(direct.buffered) <= PIECE_BYTES
    assert direct.taken == b"".join(frames)
    assert direct.owner.events == ["congested", "relieved"]
    assert direct.outlet.own_bytes == 0


def test_answers_go_ahead_of_the_queue_and_behind_what_was_begun():
    direct = Direct(50)
    direct.outlet.deliver(frame(1))
    direct.outlet.deliver(frame(2))
    direct.outlet.answer(b"pong")
    direct.outlet.deliver(frame(3))
    direct.outlet.answer(b"ack")
    direct.drain()
    assert direct.taken == frame(1) + b"pongack" + frame(2) + frame(3)


def test_an_answer_that_does_not_fit_is_never_cut_either():
    direct = Direct(2)
    direct.outlet.answer(b"pong")
    direct.outlet.answer(b"PONG")
    direct.outlet.deliver(frame(1))
    direct.drain()
    assert direct.taken == b"pongPONG" + frame(1)


def test_an_answer_to_a_half_drained_queue_is_never_inside_a_frame():
    direct = Direct(0, BacklogLimits())
    frames = [frame(number, 9000) for number in range(4)]
    for each in frames:
        direct.outlet.deliver(each)
    direct.wire.take(10_000)
    direct.wire.take(3_000)  # the second frame is cut here
    direct.outlet.answer(b"pong")
    direct.drain()
    assert b"pong" in direct.taken
    assert direct.taken.replace(b"pong", b"") == b"".join(frames)
    assert direct.taken.index(b"pong") % 9000 == 0


def test_while_congested_the_transport_asks_for_each_piece():
    direct = Direct(0, BacklogLimits())
    before = direct.producer
    for number in range(6):
        direct.outlet.deliver(frame(number, 9000))
    assert direct.producer == (direct.outlet, False)
    pieces = []
    while direct.transport in direct.wire.reactor.writers:
        pieces.append(len(direct.buffered))
        direct.wire.take(PIECE_BYTES)
    assert pieces == [9000] * 6  # two frames are more than a piece
    assert (before, direct.producer) == ((None, False), (None, False))


def test_small_frames_share_a_piece_and_a_large_one_is_a_piece():
    direct = Direct(0, BacklogLimits())
    for number, size in enumerate((100, 8000, 8000, 8000, 60_000, 100)):
        direct.outlet.deliver(frame(number, size))
    pieces = []
    while direct.transport in direct.wire.reactor.writers:
        pieces.append(len(direct.buffered))
        direct.wire.take(pieces[-1])
    assert pieces == [100, 16_000, 8000, 60_000, 100]


def test_a_congested_connection_still_reads():
    direct = Direct(0)
    size = direct.transport.bufferSize
    direct.outlet.deliver(frame(1))
    for words in (b"one", b"two"):
        direct.socket.inbox = words
        direct.wire.turn()
    assert (direct.peer.received, direct.peer.lost) == (b"onetwo", [])
    assert direct.transport.bufferSize == size


def test_a_relieved_connection_still_reads():
    direct = Direct(0)
    direct.outlet.deliver(frame(1))
    direct.drain()
    direct.socket.inbox = b"heartbeat"
    direct.wire.turn()
    assert (direct.peer.received, direct.peer.lost) == (b"heartbeat", [])


# Policies.


def test_what_is_dropped_or_told_of_is_not_counted_as_sent_by_the_stream():
    direct = Direct(0, policy=Overload.DROP_OLDEST)
    outlet, frames = direct.outlet, [batch(number, ("A", 1.0)) for number in range(1, 21)]
    for each in frames:
        outlet.deliver(each)
    assert outlet.pending_bytes == sum(map(len, [frames[0], *frames[12:]]))
    assert outlet.own_bytes == -sum(map(len, frames[1:12]))
    direct.drain()
    assert [each[0] for each in told(direct.taken)] == [1, 2, *range(13, 21)]
    assert outlet.own_bytes == len(direct.taken) - sum(map(len, frames))


@pytest.mark.parametrize("policy", Overload)
def test_the_next_number_is_that_of_what_is_queued_or_of_the_streams_next_batch(policy):
    direct = Direct(0, policy=policy)
    outlet = direct.outlet
    numbers = [outlet.next_sequence(1)]
    for number in range(1, 5):
        outlet.deliver(batch(number, ("A", 1.0)))
        numbers.append(outlet.next_sequence(number + 1))
    direct.drain()
    assert [*numbers, outlet.next_sequence(5)] == [1, 2, 2, 2, 2, 5]


def test_what_is_queued_is_told_in_words():
    direct = Direct(0)
    told_so = [direct.outlet.unsent]
    for number in range(1, 4):
        direct.outlet.deliver(batch(number))
        told_so.append(direct.outlet.unsent)
    assert told_so == ["", "", "batch 2 was not sent", "batches 2 to 3 were not sent"]


def test_a_stream_is_dropped_but_for_what_was_begun_and_answers():
    direct = Direct(30)
    outlet, frames = direct.outlet, [batch(number, ("A", 1.0)) for number in range(1, 5)]
    outlet.drop_stream()  # nothing is queued: nothing happens
    for each in frames:
        outlet.deliver(each)
    outlet.answer(b"pong")
    outlet.drop_stream()
    assert outlet.pending_bytes == len(frames[0][30:] + b"pong") == len(direct.buffered)
    assert outlet.own_bytes == 4 - sum(map(len, frames[1:]))
    outlet.deliver(batch(9, ("A", 1.0)))
    direct.drain()
    assert direct.taken == frames[0] + b"pong" + batch(9, ("A", 1.0))
    assert direct.owner.events == ["congested", "congested", "relieved"]


def test_to_drop_a_stream_puts_no_deadline_off():
    direct = Direct(0)
    direct.outlet.deliver(frame(1))
    direct.owner.time += 4.0
    direct.outlet.drop_stream()
    direct.owner.time += 1.0
    direct.outlet.check(direct.owner.time)
    assert direct.owner.events[2:] == ["what was written 5 s ago is not yet read"]


def test_the_owner_hears_how_full_the_queue_is():
    direct = Direct(0)
    for number in range(5):
        direct.outlet.deliver(frame(number))
    assert direct.owner.fill == 4 / LIMITS.max_frames
    direct.drain()
    assert direct.owner.fill == 0.0


def test_a_connection_that_is_lost_gives_back_what_was_queued():
    direct = Direct(0)
    for number in range(5):
        direct.outlet.deliver(frame(number))
    budget = direct.owner.backlogs.budget
    assert budget.bytes == direct.outlet.pending_bytes == 500
    direct.outlet.lose()
    assert budget.bytes == direct.outlet.pending_bytes == 0
    direct.outlet.deliver(frame(9))
    direct.outlet.answer(b"pong")
    direct.outlet.lose()
    assert (direct.taken, direct.owner.events) == (b"", ["congested"])


# What the transport has.


def counted(direct):
    """What is queued, what is with the transport, and the same together as the budget has it."""
    backlog, budget = direct.outlet._backlog, direct.owner.backlogs.budget.bytes
    assert direct.outlet.pending_bytes == budget
    return (0, 0, budget) if backlog is None else (backlog.bytes, backlog.with_transport, budget)


def test_a_piece_is_counted_until_the_socket_has_taken_all_of_it():
    direct = Direct(0, BacklogLimits())
    for number in range(3):
        direct.outlet.deliver(frame(number, 9000))
    found = [counted(direct)]
    for room in (8999, 1, 9000, 8999, 1):
        direct.wire.take(room)
        found.append(counted(direct))
    assert found == [
        (18_000, 9000, 27_000),
        (18_000, 9000, 27_000),
        (9000, 9000, 18_000),
        (0, 9000, 9000),
        (0, 9000, 9000),
        (0, 0, 0),
    ]


def test_answers_are_counted_with_the_piece_that_they_follow():
    direct = Direct(0, BacklogLimits())
    direct.outlet.deliver(frame(1))
    direct.outlet.deliver(frame(2))
    direct.outlet.answer(bytes(50))
    found = [counted(direct)]
    for room in (100, 50, 100):
        direct.wire.take(room)
        found.append(counted(direct))
    assert found == [(100, 150, 250), (100, 150, 250), (0, 100, 100), (0, 0, 0)]


def test_the_owner_hears_of_answers_that_wait():
    direct = Direct(0)
    direct.outlet.deliver(frame(1))
    del direct.owner.fill
    direct.outlet.answer(b"pong")
    assert direct.owner.fill == 0.0


def test_what_is_with_the_transport_is_counted_from_the_close_to_the_loss():
    direct = Direct(0)
    for number in range(3):
        direct.outlet.deliver(frame(number))
    direct.outlet.close(b"<bye>")
    assert counted(direct) == (0, 105, 105)
    direct.wire.take(90)
    assert counted(direct) == (0, 105, 105)
    direct.outlet.lose()
    assert counted(direct) == (0, 0, 0)


def test_nothing_waits_for_one_that_kept_up_to_its_close():
    direct = Direct()
    direct.outlet.deliver(frame(1))
    direct.outlet.close(b"<bye>")
    assert counted(direct) == (0, 0, 0)


# Bounds.


def test_too_many_frames():
    direct = Direct(0)
    for number in range(LIMITS.max_frames + 2):
        direct.outlet.deliver(frame(number))
    assert "more than 8 frames are waiting" in direct.owner.events
    direct.drain()
    assert direct.taken == frame(0) + b"<slow>"
    assert direct.peer.lost == ["ConnectionDone"]


def test_exactly_so_many_frames_are_fine():
    direct = Direct(0)
    for number in range(LIMITS.max_frames + 1):  # the first is with the transport
        direct.outlet.deliver(frame(number))
    direct.drain()
    assert direct.taken == b"".join(map(frame, range(LIMITS.max_frames + 1)))
    assert direct.owner.events == ["congested", "relieved"]


def test_too_many_bytes():
    direct = Direct(0)
    for number in range(4):
        direct.outlet.deliver(frame(number, 1500))
    assert "more than 4000 bytes are waiting" in direct.owner.events


def test_too_long_without_reading():
    direct = Direct(0)
    direct.outlet.check(1e9)  # nothing is pending: no time is too long
    direct.outlet.deliver(frame(1))
    direct.outlet.check(104.9)
    assert direct.owner.events == ["congested"]
    direct.outlet.check(105.0)
    assert direct.owner.events[1] == "what was written 5 s ago is not yet read"


def test_who_reads_slowly_but_reads_is_kept():
    direct = Direct(0, BacklogLimits())
    for number in range(10):
        direct.outlet.deliver(frame(number, 9000))
    while direct.owner.events == ["congested"]:
        direct.owner.time += 4.0
        direct.wire.take(9000)
        direct.outlet.check(direct.owner.time)
    assert direct.owner.events == ["congested", "relieved"]


def test_the_deadline_is_that_of_a_whole_piece():
    direct = Direct(0, BacklogLimits())
    direct.outlet.deliver(frame(1, 60_000))
    direct.owner.time += 4.0
    direct.wire.take(59_000)
    direct.outlet.check(direct.owner.time)
    assert direct.owner.events == ["congested"]
    direct.owner.time += 1.0
    direct.outlet.check(direct.owner.time)
    assert direct.owner.events == ["congested", "what was written 5 s ago is not yet read"]


def test_answers_that_are_not_read_are_bounded():
    direct = Direct(0)
    answers = 0
    while len(direct.owner.events) < 2:
        direct.outlet.answer(bytes(1000))
        answers += 1
    assert direct.owner.events[1] == f"{MAX_ANSWER_BYTES} bytes of answers are not read"
    assert answers == MAX_ANSWER_BYTES // 1000 + 2  # the first is what did not fit
    assert len(direct.buffered) <= MAX_ANSWER_BYTES + 2000


def test_answers_that_are_read_are_not_counted_for_ever():
    direct = Direct(0)
    for _ in range(10):
        direct.socket.room = 0
        direct.outlet.answer(bytes(100))
        direct.outlet.answer(bytes(60_000))
        direct.drain()
    assert direct.owner.events == ["congested", "relieved"] * 10


# The end.


def test_close_without_a_queue():
    direct = Direct()
    direct.outlet.deliver(frame(1))
    direct.outlet.close(b"bye")
    direct.drain()
    assert (direct.taken, direct.peer.lost) == (frame(1) + b"bye", ["ConnectionDone"])


def test_close_without_last_words():
    direct = Direct()
    direct.outlet.close(b"")
    direct.drain()
    assert (direct.taken, direct.peer.lost) == (b"", ["ConnectionDone"])


def test_close_with_a_queue_ends_the_frame_begun_and_says_the_last_words():
    direct = Direct(30)
    for number in range(5):
        direct.outlet.deliver(frame(number))
    direct.outlet.answer(b"pong")
    direct.outlet.close(b"bye")
    direct.drain()
    assert (direct.taken, direct.peer.lost) == (frame(0) + b"pongbye", ["ConnectionDone"])


def test_a_closed_outlet_is_not_congested_again():
    direct = Direct(30)
    direct.outlet.deliver(frame(1))
    direct.outlet.close(b"bye")
    assert direct.owner.events == ["congested"]


def test_close_with_a_flush_sends_the_queue_before_the_last_words():
    direct = Direct(30)
    for number in range(5):
        direct.outlet.deliver(frame(number))
    direct.outlet.answer(b"pong")
    direct.outlet.close(b"bye", flush=True)
    assert direct.outlet.pending_bytes == len(direct.buffered) == 70 + 4 + 400 + 3
    direct.drain()
    queued = b"".join(map(frame, range(1, 5)))
    assert (direct.taken, direct.peer.lost) == (
        frame(0) + b"pong" + queued + b"bye",
        ["ConnectionDone"],
    )
    assert direct.outlet.own_bytes == len(b"pong" + b"bye")


def test_close_with_a_flush_and_nothing_queued():
    direct = Direct()
    direct.outlet.deliver(frame(1))
    direct.outlet.close(b"bye", flush=True)
    direct.drain()
    assert (direct.taken, direct.peer.lost) == (frame(1) + b"bye", ["ConnectionDone"])


@pytest.mark.parametrize("room", [None, 30])
@pytest.mark.parametrize("flush", [False, True])
def test_nothing_is_written_after_the_close(room, flush):
    direct = Direct(room)
    direct.outlet.deliver(frame(1))
    direct.outlet.close(b"bye", flush)
    pending = len(direct.buffered) if room else 0
    assert (direct.outlet.pending_bytes, direct.producer) == (pending, (None, False))
    direct.outlet.deliver(frame(2))
    direct.outlet.answer(b"pong")
    direct.outlet.replay([frame(3)])
    direct.outlet.drop_stream()
    direct.outlet.resumeProducing()
    direct.outlet.check(1e9)
    assert direct.outlet.pending_bytes == pending
    direct.drain()
    assert direct.taken == frame(1) + b"bye"
    assert direct.owner.events == (["congested"] if room else [])


def test_a_lost_connection_is_lost_once():
    direct = Direct()
    direct.socket.broken = True
    for number in range(3):
        direct.outlet.deliver(frame(number))
    direct.outlet.answer(b"pong")
    assert direct.peer.lost == []  # not in the middle of somebody's fan-out
    direct.drain()
    direct.drain()
    assert direct.peer.lost == ["ConnectionLost"]
    assert direct.taken == b""


def test_a_connection_lost_while_draining():
    direct = Direct(0)
    for number in range(4):
        direct.outlet.deliver(frame(number))
    direct.socket.broken = True
    direct.drain()
    assert direct.peer.lost == ["ConnectionLost"]
    direct.outlet.deliver(frame(9))
    assert direct.taken == b""
