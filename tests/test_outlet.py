"""Outlet: whole frames in order, one system call a frame, and bounds for who does not read."""

import sys

import pytest
from conversation import (
    Wire,
    keep_failures,  # noqa: F401 - a fixture
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport

from tickstorm.errors import SlowConsumer
from tickstorm.outlet import PIECE_BYTES, MAX_ANSWER_BYTES, Outlet
from tickstorm.overload import Backlog, BacklogLimits

LIMITS = BacklogLimits(max_frames=8, max_bytes=4000, write_deadline=5.0)


class Owner:
    """A connection as an outlet sees it, which closes on a slow consumer as a real one does."""

    def __init__(self, limits=LIMITS):
        self.time = 100.0
        self.limits = limits
        self.events = []
        self.outlet = None

    def now(self):
        return self.time

    def congested(self):
        self.events.append("congested")
        return Backlog(self.limits, self.time)

    def relieved(self):
        self.events.append("relieved")

    def too_slow(self, error):
        self.events.append(error.message)
        self.outlet.close(b"<slow>")


class Peer(Protocol):
    """What Twisted calls at the transport's upper end: it notes what came and the end."""

    def __init__(self):
        self.received = b""
        self.lost = []

    def dataReceived(self, data):
        self.received += data

    def connectionLost(self, reason):
        self.lost.append(reason.type.__name__)


class Direct:
    """An outlet on one of Twisted's own transports over a scripted socket."""

    def __init__(self, room=None, limits=LIMITS):
        self.peer = Peer()
        self.wire = Wire(self.peer, room=room)
        self.socket, self.transport = self.wire.socket, self.wire.transport
        self.owner = Owner(limits)
        self.outlet = self.owner.outlet = Outlet(self.transport, self.owner)

    @property
    def taken(self):
        return bytes(self.socket.taken)

    @property
    def buffered(self):
        """What the transport keeps for the socket."""
        waiting = self.transport.dataBuffer[self.transport.offset :]
        return waiting + b"".join(self.transport._tempDataBuffer)

    def drain(self):
        """Let the socket take everything, as often as the transport wants."""
        self.socket.room = None
        while self.transport in self.wire.reactor.writers:
            self.wire.turn()


class Wrapped:
    """An outlet on a transport that only has `write`, as TLS and the PROXY protocol do."""

    def __init__(self, limits=LIMITS):
        self.transport = StringTransport()
        self.owner = Owner(limits)
        self.outlet = self.owner.outlet = Outlet(self.transport, self.owner)

    @property
    def taken(self):
        return self.transport.value()


def frame(number, size=100):
    return (b"<%d>" % number).ljust(size, b".")


# While the client keeps up.


def test_one_call_a_frame_and_nothing_else():
    direct = Direct()
    for number in range(1000):
        direct.outlet.deliver(frame(number))
    assert direct.socket.sends == 1000
    assert direct.taken == b"".join(map(frame, range(1000)))
    assert (direct.owner.events, direct.outlet.bytes_sent) == ([], 100_000)
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
    assert (direct.owner.events, direct.outlet.bytes_sent) == (["congested"], 100)
    direct.outlet.deliver(frame(2))
    assert direct.outlet.pending_bytes == 100
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
    assert direct.outlet.bytes_sent == 180_000


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


@pytest.mark.xfail(strict=True, reason="bufferSize = 0 is also what the transport reads: recv(0)")
def test_a_congested_connection_still_reads():
    direct = Direct(0)
    direct.outlet.deliver(frame(1))
    direct.socket.inbox = b"heartbeat"
    direct.wire.turn()
    assert (direct.peer.received, direct.peer.lost) == (b"heartbeat", [])


@pytest.mark.xfail(strict=True, reason="bufferSize stays 0: the next read ends the connection")
def test_a_relieved_connection_still_reads():
    direct = Direct(0)
    direct.outlet.deliver(frame(1))
    direct.drain()
    direct.socket.inbox = b"heartbeat"
    direct.wire.turn()
    assert (direct.peer.received, direct.peer.lost) == (b"heartbeat", [])


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
    assert direct.owner.events[1] == "nothing was read for 5 s"


def test_who_reads_slowly_but_reads_is_kept():
    direct = Direct(0, BacklogLimits())
    for number in range(10):
        direct.outlet.deliver(frame(number, 9000))
    while direct.owner.events == ["congested"]:
        direct.owner.time += 4.0
        direct.wire.take(9000)
        direct.outlet.check(direct.owner.time)
    assert direct.owner.events == ["congested", "relieved"]


@pytest.mark.xfail(
    strict=True, reason="the deadline counts whole pieces of 16 KiB, not bytes taken"
)
def test_who_reads_less_than_a_piece_within_the_deadline_is_kept():
    direct = Direct(0, BacklogLimits())
    direct.outlet.deliver(frame(1, 60_000))
    for _ in range(3):
        direct.owner.time += 4.0
        direct.wire.take(9000)
        direct.outlet.check(direct.owner.time)
    assert direct.owner.events == ["congested"]


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


@pytest.mark.xfail(strict=True, reason="close() writes its last words as the transport's producer")
def test_a_closed_outlet_is_not_congested_again():
    direct = Direct(30)
    direct.outlet.deliver(frame(1))
    direct.outlet.close(b"bye")
    assert direct.owner.events == ["congested"]


@pytest.mark.parametrize("congested", [False, True])
def test_what_is_delivered_after_the_close_is_not_sent(congested, request):
    if not congested:
        request.applymarker(
            pytest.mark.xfail(strict=True, reason="deliver() does not know of close")
        )
    direct = Direct(30 if congested else None)
    direct.outlet.deliver(frame(1))
    direct.outlet.close(b"bye")
    direct.socket.room = None
    direct.outlet.deliver(frame(2))
    direct.drain()
    assert direct.taken == frame(1) + b"bye"


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


# Transports that wrap another.


def test_wrapped_is_written_through_and_its_producer_is_the_outlet():
    wrapped = Wrapped()
    wrapped.outlet.deliver(frame(1))
    wrapped.outlet.answer(b"pong")
    assert wrapped.taken == frame(1) + b"pong"
    assert (wrapped.transport.producer, wrapped.transport.streaming) == (wrapped.outlet, True)
    assert wrapped.outlet.bytes_sent == 104


def test_wrapped_queues_between_pause_and_resume():
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


def test_wrapped_paused_twice_is_congested_once():
    wrapped = Wrapped()
    wrapped.outlet.pauseProducing()
    wrapped.outlet.deliver(frame(1))
    wrapped.outlet.pauseProducing()
    assert (wrapped.owner.events, wrapped.outlet.pending_bytes) == (["congested"], 100)


def test_wrapped_paused_while_draining_stops_there():
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


def test_wrapped_resumed_without_a_pause_is_nothing():
    wrapped = Wrapped()
    wrapped.outlet.resumeProducing()
    assert wrapped.owner.events == []


def test_wrapped_close_with_a_queue():
    wrapped = Wrapped()
    wrapped.outlet.pauseProducing()
    wrapped.outlet.deliver(frame(1))
    wrapped.outlet.close(b"bye")
    assert (wrapped.taken, wrapped.transport.disconnecting) == (b"bye", True)
    assert wrapped.transport.producer is None


@pytest.mark.xfail(strict=True, reason="deliver() does not know of close")
def test_wrapped_too_many_frames_end_with_the_last_words():
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


# Any order of events.

HEAD = 5
KINDS = {"deliver": (b"D", Outlet.deliver), "answer": (b"A", Outlet.answer)}
UNBOUNDED = BacklogLimits(max_frames=10**6, max_bytes=10**9)

scripts = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(1, 40_000)),
        st.tuples(st.just("answer"), st.integers(1, 500)),
        st.tuples(st.just("room"), st.integers(0, 50_000)),
    ),
    max_size=60,
)


def whole_frames(taken, frames):
    """Cut what was taken into (kind, index) of the frames that it is made of; the last may be cut.

    A frame begins with its kind and its index among the frames of that kind.
    """
    found = []
    while len(taken) >= HEAD:
        kind, index = taken[:1], int.from_bytes(taken[1:HEAD])
        body = frames[kind][index]
        assert body.startswith(taken[: len(body)]), "a frame was cut or changed"
        found.append((kind, index))
        taken = taken[len(body) :]
    return found


def play(direct, script):
    """Do what the script says, and return the frames that were given to the outlet, by kind."""
    frames = {b"D": [], b"A": []}
    for what, size in script:
        if what == "room":
            direct.wire.take(size)
            continue
        kind, write = KINDS[what]
        frames[kind].append((kind + len(frames[kind]).to_bytes(4)).ljust(size + HEAD, kind))
        write(direct.outlet, frames[kind][-1])
    return frames


def of_kind(found, kind):
    return [index for each, index in found if each == kind]


@given(scripts, st.integers(0, 50_000), st.booleans())
def test_a_peer_gets_whole_frames_each_kind_in_order(script, room, drains):
    direct = Direct(room, UNBOUNDED)
    frames = play(direct, script)
    if drains:
        direct.drain()
    found = whole_frames(direct.taken, frames)
    for kind, sent in frames.items():
        indices = of_kind(found, kind)
        assert indices == list(range(len(sent) if drains else len(indices)))
    assert direct.outlet.bytes_sent + direct.outlet.pending_bytes == sum(
        len(each) for sent in frames.values() for each in sent
    )
    assert direct.peer.lost == []


@given(scripts, st.integers(0, 50_000))
def test_a_peer_that_is_closed_on_gets_whole_frames_and_the_last_words(script, room):
    direct = Direct(room, UNBOUNDED)
    frames = play(direct, script)
    frames[b"Z"] = [b"Z\0\0\0\0 the end"]
    direct.outlet.close(frames[b"Z"][0])
    direct.drain()
    found = whole_frames(direct.taken, frames)
    assert found[-1] == (b"Z", 0)
    assert of_kind(found, b"A") == list(range(len(frames[b"A"])))
    assert of_kind(found, b"D") == list(range(len(of_kind(found, b"D"))))
    assert direct.peer.lost == ["ConnectionDone"]


def test_slow_consumer_is_the_error_of_the_bounds():
    backlog = Backlog(LIMITS, 0.0)
    with pytest.raises(SlowConsumer):
        backlog.push(bytes(4001))
