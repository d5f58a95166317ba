"""A connection's way out: straight to the socket while nothing is pending, a bounded queue else.

A frame is never cut off, nor overtaken by another of its stream; what answers the client (PONG,
ERROR, ACK) goes ahead of queued frames. While the client keeps up there is one system call a frame
and nothing is allocated.
"""

from contextlib import suppress
from enum import Enum, auto
from typing import Any, Protocol

from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from tickstorm.errors import SlowConsumer
from tickstorm.overload import Backlog
from tickstorm.past import Past
from tickstorm.transports import innermost, plain_socket

PIECE_BYTES = 16384
"""How much of a backlog is handed to the transport at a time, if a frame is not longer."""
FULL_BYTES = PIECE_BYTES // 2
"""Beyond how much what wraps a socket pauses: then one piece is enough."""
MAX_ANSWER_BYTES = 65536
"""How much may wait in answers to a client that sends but does not read."""


class Owner(Protocol):
    """What an outlet asks of the connection that it belongs to."""

    def now(self) -> float:
        """Return the seconds of the monotonic clock."""

    def congested(self) -> Backlog:
        """Return a new backlog: the socket is full."""

    def queued(self, backlog: Backlog) -> None:
        """Take note that more is queued, or less, which may close the outlet."""

    def relieved(self) -> None:
        """Take note that nothing is queued any more."""

    def too_slow(self, error: SlowConsumer) -> None:
        """End the connection."""


class State(Enum):
    """How frames leave: at once, behind others, or not at all."""

    CLEAR = auto()
    CONGESTED = auto()
    CLOSED = auto()


_CLEAR, _CONGESTED, _CLOSED = State


@implementer(IPushProducer, IPullProducer)
class Outlet:
    """Writes to one transport.

    A plain socket is sent to directly. Its transport has this as a pull producer while it is
    congested, so that it asks for more whenever it is empty. What wraps a socket (TLS, the PROXY
    protocol) is written to through its own `write`, and has this as a push producer all along.

    Args:
        transport: where to.
        owner: is told when the socket is full, when that is over, and when it was too much.

    Attributes:
        own_bytes: of answers, last words, and whatever else was for this connection alone. Those of
            its stream's frames are counted there, once for all; what was dropped is taken off.
    """

    __slots__ = (
        "_answer_bytes",
        "_backlog",
        "_owner",
        "_paused",
        "_socket",
        "_state",
        "_transport",
        "own_bytes",
    )

    def __init__(self, transport: Any, owner: Owner) -> None:
        self._transport = transport
        self._owner = owner
        self._state = _CLEAR
        self._backlog: Backlog | None = None
        self._answer_bytes = 0
        self._paused = False
        self.own_bytes = 0
        # Not its bound `send`, which would be 80 bytes more for each connection.
        self._socket = plain_socket(transport)
        if self._socket is None:
            # A socket also reads as many at a time, so they must not be none.
            innermost(transport).bufferSize = FULL_BYTES
            transport.registerProducer(self, True)

    @property
    def pending_bytes(self) -> int:
        """How many bytes wait: queued here, or handed to a transport that may still have them.

        Of what was handed to one that keeps up nothing waits.
        """
        return 0 if self._backlog is None else self._backlog.pending_bytes

    @property
    def cost(self) -> int:
        """What of the budget of all queues it uses."""
        return 0 if self._backlog is None else self._backlog.cost

    @property
    def unsent(self) -> str:
        """Which batches are queued, in words; nothing if there are none."""
        return "" if self._backlog is None else self._backlog.unsent()

    def next_sequence(self, of_stream: int) -> int:
        """Return the number of the batch, or of the GAP, that comes next from here.

        Args:
            of_stream: that of the stream's next batch.
        """
        queued = None if self._backlog is None else self._backlog.next_sequence()
        return of_stream if queued is None else queued

    def deliver(self, frame: bytes) -> None:
        """Write a frame now if nothing is before it, else queue it."""
        if self._state is not _CLEAR:
            self._queue(frame)
        elif self._socket is None:
            self._transport.write(frame)
            if self._backlog is not None:
                self._note_rest(self._backlog, frame)
        else:
            try:
                sent = self._socket.send(frame)
            except OSError:
                sent = 0
            if sent != len(frame):
                self._fall_behind(frame[sent:])

    def replay(self, past: Past) -> None:
        """Write what was sent before to others, as fast as the client takes it.

        Call it when a subscription begins: it is ahead of whatever is delivered later.
        """
        while past and self._state is _CLEAR:
            data = b"".join(past.take(PIECE_BYTES))
            self.own_bytes += len(data)
            self.deliver(data)
        if past:
            self._queue_past(past)

    def answer(self, frames: bytes) -> None:
        """Write what answers the client, ahead of anything queued."""
        if self._state is _CLOSED:
            return
        if self._state is _CLEAR:
            self.own_bytes += len(frames)
            self.deliver(frames)
        else:
            self._answer_bytes += len(frames)
            if self._answer_bytes > MAX_ANSWER_BYTES:
                self._owner.too_slow(
                    SlowConsumer(f"{MAX_ANSWER_BYTES} bytes of answers are not read")
                )
            elif self._backlog is not None:
                self.own_bytes += len(frames)
                self._write_through(frames)
                self._owner.queued(self._backlog)

    def drop_stream(self) -> None:
        """Forget the batches that are queued, and queue others as their subscription wants it.

        What was begun, and answers, go out nevertheless. Call it when a subscription ends, and when
        one begins.
        """
        old = self._queueing
        if old is None:
            return
        self._forget(old)
        self._backlog = self._owner.congested()
        self._backlog.take_over(old)

    def lose(self) -> None:
        """Forget everything: the connection is lost, or given up."""
        backlog, self._backlog = self._backlog, None
        self._state = _CLOSED
        if backlog is not None:
            self._forget(backlog)
            backlog.note_taken()

    def close(self, last_words: bytes, flush: bool = False) -> None:
        """Write `last_words` behind what was begun, and close. Nothing is written any more.

        What the transport of a congested connection has by then waits until that is lost.

        Args:
            last_words: whole frames, or nothing.
            flush: whether what is queued goes out before them; `check` first whether it can.
        """
        backlog = self._backlog
        self._state = _CLOSED
        self._transport.unregisterProducer()
        with suppress(SlowConsumer):  # nothing goes out behind what a history has dropped
            while flush and backlog:
                self._write_through(self._take(backlog))
        if backlog is not None:
            self._forget(backlog)
        if last_words:
            self.own_bytes += len(last_words)
            self._write_through(last_words)
        self._transport.loseConnection()

    def check(self, now: float) -> None:
        """End a connection that has not taken its piece, or what was missed, for too long."""
        backlog = self._queueing
        if backlog is None:
            return
        try:
            backlog.check(now)
        except SlowConsumer as error:
            self._owner.too_slow(error)

    def pauseProducing(self) -> None:
        """Queue from now on: what wraps the socket is full."""
        self._paused = True
        if self._state is _CLEAR:
            self._congest().note_written(FULL_BYTES)

    def resumeProducing(self) -> None:
        """Hand on what is queued: the transport is empty."""
        self._paused = False
        self._answer_bytes = 0
        backlog = self._queueing
        if backlog is None:
            return
        backlog.note_taken()
        if self._socket is not None:
            self._hand_on(backlog)
            return
        while self._backlog and not self._paused:
            self._hand_on(self._backlog)
        if self._state is _CONGESTED and not self._paused:
            self._relieve()

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost, and its owner hears of it in another way."""

    @property
    def _queueing(self) -> Backlog | None:
        # Of one that is closed the backlog only counts what is with the transport.
        return self._backlog if self._state is _CONGESTED else None

    def _queue(self, frame: bytes) -> None:
        backlog = self._queueing
        if backlog is None:
            self.own_bytes -= len(frame)
            return
        expected = backlog.bytes + len(frame)
        try:
            backlog.push(frame)
        except SlowConsumer as error:
            self._account(backlog, expected)
            self._owner.too_slow(error)
        else:
            self._account(backlog, expected)
            self._owner.queued(backlog)

    def _queue_past(self, past: Past) -> None:
        backlog = self._queueing
        if backlog is not None:
            self.own_bytes += past.length
            backlog.push_past(past)
            self._owner.queued(backlog)

    def _account(self, backlog: Backlog, expected: int) -> None:
        # What a policy drops, melts together or tells of is not what the stream counts as sent.
        self.own_bytes += backlog.bytes - expected

    def _take(self, backlog: Backlog) -> bytes:
        before = backlog.bytes
        taken = backlog.take(PIECE_BYTES, self._owner.now())
        self._account(backlog, before - len(taken))
        return taken

    def _forget(self, backlog: Backlog) -> None:
        self.own_bytes -= backlog.bytes
        backlog.clear()

    def _congest(self) -> Backlog:
        self._state = _CONGESTED
        self._backlog = self._owner.congested()
        return self._backlog

    def _fall_behind(self, rest: bytes) -> None:
        # The socket is full, or the connection is lost: the reactor finds out which, and ends a
        # lost one in the proper order of events.
        self._congest().push_rest(rest)
        self._transport.registerProducer(self, False)

    def _hand_on(self, backlog: Backlog) -> None:
        if not backlog:
            self._relieve()
            return
        try:
            piece = self._take(backlog)
        except SlowConsumer as error:
            self._owner.too_slow(error)
        else:
            self._write_through(piece)
            self._owner.queued(backlog)

    def _relieve(self) -> None:
        self._state = _CLEAR
        backlog, self._backlog = self._backlog, None
        if backlog is not None:  # what wraps a socket has a little, as of any that keeps up
            backlog.note_taken()
        if self._socket is not None:
            self._transport.unregisterProducer()
        self._owner.relieved()

    def _write_through(self, data: bytes) -> None:
        if self._backlog is not None:
            self._backlog.note_written(len(data))
        self._transport.write(data)

    def _note_rest(self, backlog: Backlog, frame: bytes) -> None:
        # What paused at a frame does not say how much it has: this one, and else only a little more
        # than FULL_BYTES, which are counted already.
        backlog.note_written(max(0, len(frame) - FULL_BYTES))
        self._owner.queued(backlog)
