"""What a connection that does not keep up still has to get, and when it has had its chance.

A backlog exists only while its connection is congested. It is bounded in frames, bytes and age;
beyond a bound the connection is a slow consumer, and its end is told.
"""

from collections import deque
from typing import NamedTuple

from tickstorm.errors import SlowConsumer


class BacklogLimits(NamedTuple):
    """How far a connection may fall behind.

    Attributes:
        max_frames: frames queued.
        max_bytes: bytes queued.
        write_deadline: seconds that a piece handed to the socket (some frames, 16 KiB or one frame)
            may take.
    """

    max_frames: int = 1000
    max_bytes: int = 4 * 1024 * 1024
    write_deadline: float = 5.0


class Backlog:
    """The frames queued for one congested connection, oldest first.

    Args:
        limits: the bounds.
        now: in seconds of a monotonic clock.
    """

    __slots__ = ("_frames", "_handed_on_at", "_limits", "bytes")

    def __init__(self, limits: BacklogLimits, now: float) -> None:
        self._limits = limits
        self._frames: deque[bytes] = deque()
        self.bytes = 0
        self._handed_on_at = now

    def __len__(self) -> int:
        return len(self._frames)

    def push(self, frame: bytes) -> None:
        """Queue a frame.

        Raises:
            SlowConsumer: it would be one frame or byte too many.
        """
        if len(self._frames) >= self._limits.max_frames:
            raise SlowConsumer(f"more than {self._limits.max_frames} frames are waiting")
        if self.bytes + len(frame) > self._limits.max_bytes:
            raise SlowConsumer(f"more than {self._limits.max_bytes} bytes are waiting")
        self._frames.append(frame)
        self.bytes += len(frame)

    def push_rest(self, rest: bytes) -> None:
        """Queue what is left of a frame that was begun, whatever the bounds."""
        self._frames.append(rest)
        self.bytes += len(rest)

    def take(self, at_most_bytes: int, now: float) -> bytes:
        """Return the oldest frames, joined: at least one, and more as long as they fit."""
        self._handed_on_at = now
        taken: list[bytes] = []
        size = 0
        while self._frames and (not taken or size + len(self._frames[0]) <= at_most_bytes):
            frame = self._frames.popleft()
            taken.append(frame)
            size += len(frame)
        self.bytes -= size
        return b"".join(taken)

    def check(self, now: float) -> None:
        """Judge how long the socket has been at the piece that it was handed last.

        Raises:
            SlowConsumer: for the write deadline or longer.
        """
        if now - self._handed_on_at >= self._limits.write_deadline:
            raise SlowConsumer(
                f"what was written {self._limits.write_deadline:g} s ago is not yet read"
            )
