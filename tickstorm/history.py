"""History: the batches that each stream sent lately, for those who come back. Pure.

It is bounded in time, in bytes for each stream, and in bytes for all of them together. Whatever is
beyond a bound, the oldest goes first, of streams that nobody listens to before others; so what is
kept of a stream is the end of it, without a hole.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from tickstorm.ring import Entry, Ring
from tickstorm.sequences import later


class HistoryLimits(NamedTuple):
    """What is kept.

    Attributes:
        seconds: no batch for longer, nor a stream that nobody listens to; 0 keeps nothing.
        stream_bytes: of one stream.
        total_bytes: of all together.
        idle_streams: how many of one period are kept at most that nobody listens to; of a period
            shorter than a second, so many batches a second.
    """

    seconds: float = 60.0
    stream_bytes: int = 4 * 1024 * 1024
    total_bytes: int = 64 * 1024 * 1024
    idle_streams: int = 1000

    def idle_streams_of(self, period_ms: int) -> int:
        """Return how many streams of a period are kept that nobody listens to; 0 is TICK."""
        return ceil(self.idle_streams * min(period_ms or 1000, 1000) / 1000)


NO_HISTORY = HistoryLimits(0.0, 0, 0, 0)


class History:
    """The rings of all streams, and the bounds that they share.

    Args:
        limits: the bounds.

    Attributes:
        bytes: what all the batches cost.
    """

    def __init__(self, limits: HistoryLimits) -> None:
        self.limits = limits
        self.bytes = 0
        self._order: deque[Ring] = deque()
        """The ring of each batch, the oldest first. To find one in the middle would cost a look at
        all: so what is dropped out of its turn stays, to be passed over when its turn comes."""
        self._passed_over = 0
        self._idle: OrderedDict[Ring, None] = OrderedDict()
        """Those that nobody listens to and that have something."""

    def __len__(self) -> int:
        return len(self._order) - self._passed_over

    def keep(
        self, ring: Ring, first_sequence: int, timestamp_ms: int, frames: Sequence[bytes]
    ) -> None:
        """Keep the next batches of a stream.

        Args:
            ring: the stream's.
            first_sequence: the number of the first frame; each other has one more.
            timestamp_ms: of all of them.
            frames: as they were sent.
        """
        for at, frame in enumerate(frames):
            sequence = later(first_sequence, at)
            entry = Entry(sequence, timestamp_ms, frame)
            ring.append(entry)
            self._order.append(ring)
            self.bytes += entry.cost
        if ring.idle:
            self._idle[ring] = None
        while ring.bytes > self.limits.stream_bytes:
            self._drop_of(ring)
        while self.bytes > self.limits.total_bytes:
            self._drop_of(next(iter(self._idle), None) or self._order[0])

    def note_idle(self, ring: Ring) -> None:
        """Take note that nobody listens to a stream: its batches go before those of others."""
        ring.idle = True
        if ring:
            self._idle[ring] = None

    def note_listened(self, ring: Ring) -> None:
        """Take note that somebody listens to a stream again."""
        ring.idle = False
        self._idle.pop(ring, None)

    def forget(self, ring: Ring) -> None:
        """Drop all batches of a stream."""
        while ring:
            self._drop_of(ring)

    def expire(self, now_ms: int) -> None:
        """Drop what is too old.

        Args:
            now_ms: milliseconds since the Unix epoch.
        """
        last_ms = now_ms - self.limits.seconds * 1000
        while self._order and self._order[0].oldest_ms < last_ms:
            self._drop_of(self._order[0])

    def _drop_of(self, ring: Ring) -> None:
        self.bytes -= ring.drop_oldest().cost
        if not ring:
            self._idle.pop(ring, None)
        ring.passed_over += 1
        self._passed_over += 1
        while self._order and self._order[0].passed_over:
            self._order.popleft().passed_over -= 1
            self._passed_over -= 1
