"""A stream: what a set of subscribers shares, numbered and encoded once for all of them.

Sequence numbers rise by one with each batch of a stream, and wrap at 2^32. Within an epoch none is
used twice, also when a stream was unused and gone for a while: its cadence then begins it beyond
every number that it had. So a subscriber that comes back sees the next number or a hole, never an
old number on new data; and no hole means that nothing was missed, while a hole after a reconnect
can also come of what others were sent meanwhile.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from tickstorm.messages import batch_frame, split_records

SEQUENCE_MODULUS = 2**32


class Subscriber(Protocol):
    """Who takes a stream's frames."""

    def deliver(self, frame: bytes) -> None:
        """Take one frame, at once and without an exception."""


S = TypeVar("S", bound=Subscriber)


class StreamKey(NamedTuple):
    """What tells the streams of one cadence apart: their symbols (None is all) and their slot."""

    symbols: frozenset[str] | None
    slot: int = 0


class Stream(Generic[S]):
    """One numbered sequence of batches, and who gets it.

    Args:
        key: its symbols and slot.
        next_sequence: the number of its first batch.
        max_payload_bytes: no frame's payload is longer.
    """

    __slots__ = (
        "_max_payload_bytes",
        "bytes_sent",
        "key",
        "next_round",
        "next_sequence",
        "subscribers",
        "symbols",
    )

    def __init__(self, key: StreamKey, next_sequence: int, max_payload_bytes: int) -> None:
        self.key = key
        self.symbols = None if key.symbols is None else tuple(sorted(key.symbols))
        """The same in order, so that every process makes the same batch of the same ticks."""
        self.next_sequence = next_sequence
        self.next_round = 0
        """For its cadence: the round that `next_sequence` belongs to."""
        self.bytes_sent = 0
        """Of the frames so far: what a subscriber has that was there for all of them."""
        self.subscribers: dict[S, int] = {}
        """With what `bytes_sent` was when each joined."""
        self._max_payload_bytes = max_payload_bytes

    def join(self, subscriber: S) -> None:
        """Put a subscriber on; nothing happens if it is."""
        self.subscribers.setdefault(subscriber, self.bytes_sent)

    def sent_to(self, subscriber: S) -> int:
        """Return the bytes of the frames that a subscriber got, or has queued, since it joined."""
        return self.bytes_sent - self.subscribers.get(subscriber, self.bytes_sent)

    def catch_up(self, round: int) -> None:
        """Begin the next batch in this round: each round that passed without it is a hole."""
        missed = max(0, round - self.next_round)
        self.next_sequence = (self.next_sequence + missed) % SEQUENCE_MODULUS
        self.next_round = round + 1

    def batches(
        self, records: Sequence[bytes], timestamp_ms: int, publish_time_ns: int
    ) -> list[bytes]:
        """Encode and number the next batch, as several frames if it does not fit into one."""
        frames = []
        for run in split_records(records, self._max_payload_bytes):
            frames.append(
                batch_frame(
                    run,
                    timestamp_ms=timestamp_ms,
                    sequence=self.next_sequence,
                    publish_time_ns=publish_time_ns,
                )
            )
            self.next_sequence = (self.next_sequence + 1) % SEQUENCE_MODULUS
        return frames


class StreamTable(Generic[S]):
    """The streams of one cadence that somebody listens to.

    Args:
        max_payload_bytes: no frame's payload is longer.
        marks: what a stream of some key is to be found by.
    """

    def __init__(
        self,
        max_payload_bytes: int,
        marks: Callable[[StreamKey], Iterable[Hashable]] = lambda _: (),
    ) -> None:
        self._streams: dict[StreamKey, Stream[S]] = {}
        self._marked: dict[Hashable, dict[Stream[S], None]] = {}
        self._marks = marks
        self._max_payload_bytes = max_payload_bytes

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

    def open(self, key: StreamKey, first_sequence: int) -> Stream[S]:
        """Return the stream of this key; if it is a new one, it begins at `first_sequence`."""
        stream = self._streams.get(key)
        if stream is None:
            stream = Stream(key, first_sequence % SEQUENCE_MODULUS, self._max_payload_bytes)
            self._streams[key] = stream
            for mark in self._marks(key):
                self._marked.setdefault(mark, {})[stream] = None
        return stream

    def leave(self, stream: Stream[S], subscriber: S) -> None:
        """Take a subscriber off; the last one takes the stream with it."""
        stream.subscribers.pop(subscriber, None)
        if not stream.subscribers and self._streams.get(stream.key) is stream:
            self._forget(stream)

    def _forget(self, stream: Stream[S]) -> None:
        del self._streams[stream.key]
        for mark in self._marks(stream.key):
            streams = self._marked[mark]
            del streams[stream]
            if not streams:
                del self._marked[mark]
