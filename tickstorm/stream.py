"""A stream: what a set of subscribers shares, numbered and encoded once for all of them.

Sequence numbers rise by one with each batch of a stream, and wrap at 2^32. Within an epoch none is
used twice, also when a stream was unused and gone for a while: its cadence then begins it beyond
every number that it had. So a subscriber that comes back sees the next number or a hole, never an
old number on new data; and no hole means that nothing was missed, while a hole after a reconnect
can also come of what others were sent meanwhile.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from math import inf
from typing import Generic, NamedTuple, Protocol, TypeVar

from tickstorm.history import NO_HISTORY, History
from tickstorm.records import batch_frame, split_records
from tickstorm.ring import Ring
from tickstorm.sequences import SEQUENCE_MODULUS, later
from tickstorm.symbols import KnownSymbols


class Subscriber(Protocol):
    """Who takes a stream's frames."""

    def deliver(self, frame: bytes) -> None:
        """Take one frame, at once and without an exception."""


S = TypeVar("S", bound=Subscriber)


class StreamKey(NamedTuple):
    """What tells streams apart.

    Attributes:
        symbols: names, and beginnings with an asterisk behind them; None is all.
        slot: of the period.
        period_ms: that of the cadence; 0 is TICK.
    """

    symbols: frozenset[str] | None
    slot: int = 0
    period_ms: int = 0


class Surroundings:
    """What the streams of one hub have in common.

    Args:
        max_payload_bytes: no frame's payload is longer.
        epoch: names this run of sequence numbers; that of each stream begins with it.
        known: the symbols that there are.
        history: keeps what was sent.
    """

    __slots__ = ("epoch", "history", "known", "max_payload_bytes")

    def __init__(
        self,
        max_payload_bytes: int,
        epoch: str = "",
        known: KnownSymbols | None = None,
        history: History | None = None,
    ) -> None:
        self.max_payload_bytes = max_payload_bytes
        self.epoch = epoch
        self.known = known if known is not None else KnownSymbols()
        self.history = history if history is not None else History(NO_HISTORY)


class Stream(Generic[S]):
    """One numbered sequence of batches, and who gets it.

    Args:
        key: what tells it apart.
        next_sequence: the number of its first batch.
        around: what it has in common with others.
        epoch: names the run of its numbers, which are no other stream's.
        ring: takes its batches, to be kept.

    Attributes:
        patterns: the key's symbols in order, so that every process makes the same batch of the same
            ticks; None is all.
        has_beginnings: whether there are others than names among them.
    """

    __slots__ = (
        "_around",
        "bytes_sent",
        "epoch",
        "has_beginnings",
        "key",
        "left_ms",
        "next_round",
        "next_sequence",
        "patterns",
        "ring",
        "subscribers",
    )

    def __init__(
        self,
        key: StreamKey,
        next_sequence: int,
        around: Surroundings,
        epoch: str = "",
        ring: Ring | None = None,
    ) -> None:
        self.key = key
        self.epoch = epoch
        self.ring = ring
        self.next_sequence = next_sequence
        self.next_round = 0
        """For its cadence: the round that `next_sequence` belongs to."""
        self.bytes_sent = 0
        """Of the frames so far: what a subscriber has that was there for all of them."""
        self.subscribers: dict[S, int] = {}
        """With what `bytes_sent` was when each joined."""
        self.left_ms: float = -inf
        """When one left it last that may come back, in milliseconds since the Unix epoch."""
        self.patterns = None if key.symbols is None else tuple(sorted(key.symbols))
        self.has_beginnings = any(pattern.endswith("*") for pattern in self.patterns or ())
        self._around = around

    @property
    def symbols(self) -> tuple[str, ...] | None:
        """The names of its symbols, in order, as far as they are known now; None for all."""
        return self.symbols_among(self._around.known)

    def symbols_among(self, known: KnownSymbols) -> tuple[str, ...] | None:
        """Return the names of its symbols, in order, as if only these were known; None for all."""
        if self.patterns is None or not self.has_beginnings:
            return self.patterns
        return known.meant_by(self.patterns)

    def join(self, subscriber: S) -> None:
        """Put a subscriber on; nothing happens if it is."""
        if self.ring is not None and not self.subscribers:
            self._around.history.note_listened(self.ring)
        self.subscribers.setdefault(subscriber, self.bytes_sent)

    def sent_to(self, subscriber: S) -> int:
        """Return the bytes of the frames that a subscriber got, or has queued, since it joined."""
        return self.bytes_sent - self.subscribers.get(subscriber, self.bytes_sent)

    def catch_up(self, round: int) -> None:
        """Begin the next batch in this round: each round that passed without it is a hole."""
        missed = max(0, round - self.next_round)
        self.next_sequence = later(self.next_sequence, missed)
        self.next_round = round + 1

    def batches(
        self, records: Sequence[bytes], timestamp_ms: int, publish_time_ns: int
    ) -> list[bytes]:
        """Encode and number the next batch, as several frames if it does not fit into one."""
        frames, first = [], self.next_sequence
        for run in split_records(records, self._around.max_payload_bytes):
            frames.append(
                batch_frame(
                    run,
                    timestamp_ms=timestamp_ms,
                    sequence=self.next_sequence,
                    publish_time_ns=publish_time_ns,
                )
            )
            self.next_sequence = later(self.next_sequence)
        if self.ring is not None:
            self._around.history.keep(self.ring, first, timestamp_ms, frames)
        return frames


class StreamTable(Generic[S]):
    """The streams of one cadence that somebody listens to, or did lately.

    Args:
        around: what they have in common with others.
        marks: what a stream of some key is to be found by.
    """

    def __init__(
        self,
        around: Surroundings,
        marks: Callable[[StreamKey], Iterable[Hashable]] = lambda _: (),
    ) -> None:
        self._streams: dict[StreamKey, Stream[S]] = {}
        self._idle_since_ms: OrderedDict[Stream[S], float] = OrderedDict()
        self._marked: dict[Hashable, dict[Stream[S], None]] = {}
        self._marks = marks
        self._around = around

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream[S]]:
        return iter(self._streams.values())

    def __contains__(self, key: StreamKey) -> bool:
        return key in self._streams

    def get(self, key: StreamKey) -> Stream[S] | None:
        """Return the stream of this key, if somebody listens to it."""
        return self._streams.get(key)

    def marked(self, mark: Hashable) -> Collection[Stream[S]]:
        """Return the streams that have this mark."""
        return self._marked.get(mark, {}).keys()

    def open(
        self, key: StreamKey, first_sequence: int, epoch: str = "", now_ms: int = 0
    ) -> Stream[S]:
        """Return the stream of this key.

        Args:
            key: what tells it apart.
            first_sequence: the number of its next batch, if it is a new one.
            epoch: names the run of its numbers, likewise.
            now_ms: milliseconds since the Unix epoch.
        """
        stream = self._streams.get(key)
        if stream is None:
            stream = self._begin(key, first_sequence % SEQUENCE_MODULUS, epoch, now_ms)
            self._streams[key] = stream
            for mark in self._marks(key):
                self._marked.setdefault(mark, {})[stream] = None
        return stream

    def leave(self, stream: Stream[S], subscriber: S, now_ms: int = 0, kept: bool = True) -> None:
        """Take a subscriber off.

        The last one takes the stream with it, or leaves it idle if somebody may come back to it.

        Args:
            stream: that it is on.
            subscriber: who leaves.
            now_ms: milliseconds since the Unix epoch.
            kept: whether it may come back.
        """
        stream.subscribers.pop(subscriber, None)
        if kept:
            stream.left_ms = now_ms
        if stream.subscribers or self._streams.get(stream.key) is not stream:
            return
        history = self._around.history
        if stream.ring is None or stream.left_ms <= now_ms - history.limits.seconds * 1000:
            self._forget(stream)
            return
        history.note_idle(stream.ring)
        self._idle_since_ms[stream] = stream.left_ms
        self._idle_since_ms.move_to_end(stream)
        most = self._around.history.limits.idle_streams_of(stream.key.period_ms)
        if len(self._idle_since_ms) > most:
            self._end_idle(next(iter(self._idle_since_ms)))

    def expire(self, now_ms: int) -> None:
        """Forget the streams that nobody has come back to in time."""
        last_ms = now_ms - self._around.history.limits.seconds * 1000
        for stream, since_ms in list(self._idle_since_ms.items()):
            if since_ms > last_ms:
                return
            self._end_idle(stream)

    def end_idle(self) -> None:
        """Forget the streams that nobody listens to."""
        for stream in list(self._idle_since_ms):
            self._end_idle(stream)

    def _begin(self, key: StreamKey, first_sequence: int, epoch: str, now_ms: int) -> Stream[S]:
        history = self._around.history
        ring = Ring(first_sequence, now_ms) if history.limits.seconds else None
        return Stream(key, first_sequence, self._around, epoch, ring)

    def _end_idle(self, stream: Stream[S]) -> None:
        self._idle_since_ms.pop(stream, None)
        if not stream.subscribers:
            self._forget(stream)

    def _forget(self, stream: Stream[S]) -> None:
        self._idle_since_ms.pop(stream, None)
        del self._streams[stream.key]
        if stream.ring is not None:
            self._around.history.forget(stream.ring)
        for mark in self._marks(stream.key):
            streams = self._marked[mark]
            del streams[stream]
            if not streams:
                del self._marked[mark]
