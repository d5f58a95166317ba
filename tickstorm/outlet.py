"""A connection's way out: straight to the socket while nothing is pending, a bounded queue else.

A frame is never cut off nor overtaken by another frame of its kind; what answers the client (PONG,
ERROR, ACK) goes ahead of queued data. While the client keeps up there is one system call a frame
and nothing is allocated.
"""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tickstorm.errors import SlowConsumer
from tickstorm.overload import Backlog

DRAIN_BYTES = 16384
"""How much of a backlog is handed to the socket at a time: the unit of the write deadline."""
MAX_ANSWER_BYTES = 65536
"""How much may wait in answers to a client that sends but does not read."""


class Owner(Protocol):
    """What an outlet asks of the connection that it belongs to."""

    def now(self) -> float:
        """Return the seconds of the monotonic clock."""

    def congested(self) -> Backlog:
        """Return a new backlog: the socket is full."""

    def relieved(self) -> None:
        """Take note that everything is written."""

    def too_slow(self, error: SlowConsumer) -> None:
        """End the connection."""


@implementer(IPushProducer)
class Outlet:
    """Writes to one transport.

    Args:
        transport: where to. A plain socket of Twisted's is written to directly, anything that
            wraps one (TLS, the PROXY protocol) through its own `write`.
        owner: is told when the socket is full, when that is over, and when it was too much.
    """

    __slots__ = (
        "_answer_bytes",
        "_backlog",
        "_owner",
        "_paused",
        "_transport",
        "_write_some",
        "bytes_sent",
    )

    def __init__(self, transport: Any, owner: Owner) -> None:
        self._transport = transport
        self._owner = owner
        self._backlog: Backlog | None = None
        self._answer_bytes = 0
        self._paused = False
        self.bytes_sent = 0
        self._write_some: Callable[[bytes], int | BaseException] | None = None
        if isinstance(transport, FileDescriptor) and not getattr(transport, "TLS", False):
            self._write_some = transport.writeSomeData
        else:
            self._transport.registerProducer(self, True)

    @property
    def pending_bytes(self) -> int:
        """How many bytes are queued here."""
        return 0 if self._backlog is None else self._backlog.bytes

    def deliver(self, frame: bytes) -> None:
        """Write a frame now if nothing is before it, else queue it."""
        if self._backlog is not None:
            self._queue(self._backlog, frame)
        elif self._write_some is None:
            self._write_through(frame)
        else:
            sent = self._write_some(frame)
            if sent == len(frame):
                self.bytes_sent += sent
            else:
                self._fall_behind(frame, sent)

    def answer(self, frames: bytes) -> None:
        """Write what answers the client, ahead of anything queued."""
        if self._backlog is None:
            self.deliver(frames)
            return
        self._answer_bytes += len(frames)
        if self._answer_bytes > MAX_ANSWER_BYTES:
            self._owner.too_slow(SlowConsumer(f"{MAX_ANSWER_BYTES} bytes of answers are not read"))
        else:
            self._write_through(frames)

    def close(self, last_words: bytes) -> None:
        """Drop what is queued, write `last_words` behind what was begun, and close."""
        self._backlog = None
        if last_words:
            self._write_through(last_words)
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def check(self, now: float) -> None:
        """End a connection whose socket has taken nothing for too long."""
        if self._backlog is None:
            return
        try:
            self._backlog.check(now)
        except SlowConsumer as error:
            self._owner.too_slow(error)

    def pauseProducing(self) -> None:
        """The transport is full: queue from now on."""
        self._paused = True
        if self._backlog is None:
            self._backlog = self._owner.congested()

    def resumeProducing(self) -> None:
        """The transport is empty: hand on what is queued."""
        self._paused = False
        self._answer_bytes = 0
        if self._backlog is not None:
            self._drain(self._backlog)

    def stopProducing(self) -> None:
        """The connection is lost: there is nothing more to write to."""

    def _queue(self, backlog: Backlog, frame: bytes) -> None:
        try:
            backlog.push(frame)
        except SlowConsumer as error:
            self._owner.too_slow(error)

    def _drain(self, backlog: Backlog) -> None:
        while backlog and not self._paused:
            self._hand_on(backlog.take(DRAIN_BYTES, self._owner.now()))
        if self._paused:
            return
        self._backlog = None
        if self._write_some is not None:
            self._transport.unregisterProducer()
        self._owner.relieved()

    def _hand_on(self, data: bytes) -> None:
        sent = self._write_some(data) if self._write_some is not None else 0
        written = sent if isinstance(sent, int) else 0
        self.bytes_sent += written
        if written < len(data):
            self._write_through(data[written:])

    def _write_through(self, data: bytes) -> None:
        self.bytes_sent += len(data)
        self._transport.write(data)

    def _fall_behind(self, frame: bytes, sent: int | BaseException) -> None:
        # A lost connection shows here first. The reactor finds it too, on the write below, and
        # ends it in the proper order of events.
        written = sent if isinstance(sent, int) else 0
        self.bytes_sent += written
        self._backlog = self._owner.congested()
        self._transport.bufferSize = 0
        self._transport.registerProducer(self, True)
        self._write_through(frame[written:])
