"""The connections of one process, but for the one thing that happens to them all the time.

A connection that is subscribed has no object: its file descriptor is its name, and what is known of
it lies in `receipts`. Those on the way to it are few, and have a `Login` each.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from tickstorm.bench.arrivals import Arrivals, count, reason
from tickstorm.bench.cutting import cut_frames
from tickstorm.bench.heartbeats import Heartbeats
from tickstorm.bench.jobs import Job
from tickstorm.bench.login import Login
from tickstorm.bench.pace import HeartbeatWheel
from tickstorm.bench.receipts import Receipts
from tickstorm.bench.tally import Tally
from tickstorm.bench.wire import Wire
from tickstorm.client.messages import decode_error, decode_pong, heartbeat_frame
from tickstorm.errors import ChecksumFailed, ProtocolError
from tickstorm.frames import Frame, FrameDecoder, FrameType

READ_BYTES = 65536


class Connections:
    """Opens connections, logs them in, and takes what is not read by the loop itself.

    Args:
        job: what to do.
        wire: opens and reads them.
        epoll: watches them.
        tally: takes what happens.
        receipts: takes the batches.
        wall_ns: nanoseconds since the Unix epoch.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        job: Job,
        wire: Wire,
        epoll: select.epoll,
        tally: Tally,
        receipts: Receipts,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = job
        self._wire = wire
        self._tally = tally
        self._receipts = receipts
        self._wall_ns = wall_ns
        self._monotonic = monotonic
        self._logins = Arrivals(job, self._login, wire, epoll, tally, wall_ns=wall_ns)
        self._numbers: dict[int, int] = {}
        self._partial: dict[int, bytes] = {}
        self._heartbeats = Heartbeats(tally)
        self._wheel: HeartbeatWheel | None = None

    @property
    def logging_in(self) -> int:
        """How many are on the way to a subscription."""
        return len(self._logins)

    @property
    def subscribed(self) -> int:
        """How many have a subscription."""
        return len(self._numbers)

    def begin(self, count: int) -> None:
        """Begin to connect that many more."""
        self._logins.begin(count)

    def ready(self, connection: int, mask: int) -> None:
        """Take what epoll says of a connection, if that is more than that it can be read."""
        arriving = self._logins.get(connection) is not None
        if not arriving and connection not in self._numbers:
            return  # lost while this was waiting
        if mask & select.EPOLLOUT:
            self._logins.connected(connection)
            return
        try:
            data = self._wire.read(connection, READ_BYTES)
        except OSError as error:
            self.failed(connection, error)
        else:
            self.received(connection, data, self._wall_ns())

    def received(self, connection: int, data: bytes, now_ns: int) -> None:
        """Take any data that arrived; empty is the end."""
        if not data:
            self._lose(connection, "closed by the server")
            return
        login = self._logins.get(connection)
        if login is None:
            self._stream(connection, data, now_ns)
        else:
            self._go_on(connection, login, data, now_ns)

    def failed(self, connection: int, error: OSError) -> None:
        """Take what the wire raised."""
        if not isinstance(error, BlockingIOError):
            self._lose(connection, reason(error))

    def send_heartbeats(self) -> None:
        """Send those that are due; to a connection that takes nothing now, none is sent."""
        if self._wheel is None:
            return
        for connection in self._wheel.due(self._monotonic()):
            now_ns = self._wall_ns()
            # A server may refuse a time that is far from its own.
            server_ms = (now_ns + self._job.ahead_ns) // 1_000_000
            frame = heartbeat_frame(server_ms, sequence=now_ns)
            try:
                self._wire.write(connection, frame)
            except OSError as error:
                self.failed(connection, error)
            else:
                self._heartbeats.sent(connection, now_ns)

    def give_up_late_logins(self) -> None:
        """End the logins that have been under way for too long."""
        self._logins.give_up_late()

    def end(self, now_ns: int) -> None:
        """Count what is unanswered, and close them all without counting that."""
        self._heartbeats.end(now_ns)
        self._logins.close()
        for connection in self._numbers:
            self._wire.close(connection)

    def _login(self, number: int, now_ns: int) -> Login:
        return Login(self._job.requests, number, now_ns)

    def _go_on(self, connection: int, login: Login, data: bytes, now_ns: int) -> None:
        try:
            answer = login.received(data)
            if answer:
                self._wire.write(connection, answer)
        except ProtocolError as error:
            self._lose(connection, error.code.name)
        except OSError as error:
            self.failed(connection, error)
        else:
            if login.subscribed is not None:
                self._subscribed(connection, login, now_ns)

    def _subscribed(self, connection: int, login: Login, now_ns: int) -> None:
        assert login.subscribed is not None
        self._logins.come_in(connection, now_ns)
        self._numbers[connection] = login.number
        self._receipts.subscribe(connection, login.subscribed.next_sequence, now_ns)
        self._wheel_of(login.subscribed.heartbeat_interval).add(connection, login.number)
        if login.rest:
            self._stream(connection, login.rest, now_ns)

    def _wheel_of(self, interval: float) -> HeartbeatWheel:
        if self._wheel is None:
            self._wheel = HeartbeatWheel(self._job.heartbeat or interval, self._monotonic())
        return self._wheel

    def _stream(self, connection: int, data: bytes, now_ns: int) -> None:
        """Take a piece of the stream, cut wherever it was."""
        held = self._partial.pop(connection, b"")
        if held:
            data = held + data
            self._receipts.resume(connection)
        try:
            frames, rest = cut_frames(data)
            for frame in frames:
                self._frame(connection, frame, now_ns)
        except ProtocolError:
            self._tally.garbled += 1
            self._lose(connection, "garbled")
            return
        if rest:
            self._partial[connection] = rest
            self._receipts.pause(connection)

    def _frame(self, connection: int, raw: bytes, now_ns: int) -> None:
        if self._receipts.knows(raw):
            self._receipts.batch(connection, raw, now_ns)
            return
        try:
            frame = _checked(raw)
        except ChecksumFailed:
            self._tally.crc_failures += 1
            return
        if frame.type is FrameType.DATA_BATCH:
            self._receipts.batch(connection, raw, now_ns)
        elif frame.type is FrameType.PONG:
            self._heartbeats.answered(connection, decode_pong(frame.payload).sequence, now_ns)
        elif frame.type is FrameType.ERROR:
            count(self._tally.errors, decode_error(frame.payload).error.code.name)

    def _lose(self, connection: int, why: str) -> None:
        if self._logins.get(connection) is not None:
            self._logins.refuse(connection, why)
            return
        self._tally.closed += 1
        self._receipts.leave(connection)
        self._heartbeats.leave(connection, self._wall_ns())
        self._partial.pop(connection, None)
        number = self._numbers.pop(connection)
        if self._wheel is not None:
            self._wheel.discard(connection, number)
        self._wire.close(connection)


def _checked(raw: bytes) -> Frame:
    """Return what a frame's bytes are.

    Raises:
        ChecksumFailed: the checksum is wrong.
        ProtocolError: it is no frame.
    """
    decoder = FrameDecoder(len(raw))
    decoder.feed(raw)
    frame = decoder.next_frame()
    assert frame is not None  # it was cut off at its end
    return frame
