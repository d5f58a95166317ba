"""Conflation: of successive batches, the newest tick of each symbol. Pure.

What a stalled connection costs at each batch is the same however many ticks that has: they are
taken in once for all who do not keep up with the stream, and each of those only remembers where it
stopped.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tickstorm.batches import Batch
from tickstorm.frames import OVERHEAD_BYTES
from tickstorm.messages import (
    MAX_TICKS_PER_BATCH,
    MAX_TRAILER_BYTES,
    BatchTrailer,
    Gap,
    batch_frame,
    split_records,
)
from tickstorm.sequences import SEQUENCE_MODULUS

LEAST_PAYLOAD_BYTES = 32_768
"""What a batch of a stream may have at least, wherever it was made: `hub.MIN_PAYLOAD_BYTES`."""


CONFLATED = "conflated"
"""Why a GAP says that ticks were lost: newer ones of their symbols came instead."""


class _Newest(NamedTuple):
    sequence: int
    record: bytes


class NewestTicks:
    """The newest tick of each symbol in the successive batches of one stream.

    Everybody who conflates the stream adds each batch; whoever comes first is the one that counts.

    Attributes:
        most_batches: no more than this come of any of them.
        queued_bytes: how long the batches of all of them would be together, at most.
    """

    def __init__(self) -> None:
        self._newest: dict[bytes, _Newest] = {}  # in the order of their batches
        self._first: int | None = None
        self._last = 0
        self._largest = 0
        self._records_bytes = 0
        self._payload_bytes = LEAST_PAYLOAD_BYTES
        self.most_batches = 1
        self.queued_bytes = 0

    def include(self, batches: Iterable[Batch]) -> None:
        """Take in the batches that one connection has waiting, some of which may be known."""
        batches = tuple(batches)
        first = self._first
        if first is not None:
            older = [batch for batch in batches if _is_before(batch.sequence, first)]
            if older:
                self._begin_with(older)
        for batch in batches:
            self.add(batch)

    def add(self, batch: Batch) -> None:
        """Take in the stream's next batch; nothing happens if it is known."""
        if self._first is None:
            self._first = batch.sequence
        elif not _is_before(self._last, batch.sequence):
            return
        self._last = batch.sequence
        self._take_in(batch)
        self._measure()

    def since(self, first: int) -> list[bytes]:
        """Return the newest tick of each symbol in the batches from this number on, in order."""
        span = (self._last - first) % SEQUENCE_MODULUS
        records = []
        for sequence, record in reversed(self._newest.values()):
            if (self._last - sequence) % SEQUENCE_MODULUS > span:
                break
            records.append(record)
        records.reverse()
        return records

    def batches(self, records: list[bytes]) -> list[list[bytes]]:
        """Cut records into as few batches as they fit in, in order."""
        return [list(run) for run in split_records(records, self._payload_bytes)]

    def _begin_with(self, older: list[Batch]) -> None:
        known, self._newest, self._records_bytes = self._newest, {}, 0
        self._first = older[0].sequence
        for batch in older:
            self._take_in(batch)
        for symbol, newest in known.items():
            self._put(symbol, newest)
        self._measure()

    def _take_in(self, batch: Batch) -> None:
        # As long as a batch of the stream was, ours may be: its readers take that much.
        self._payload_bytes = max(self._payload_bytes, batch.records_bytes + MAX_TRAILER_BYTES)
        sequence = batch.sequence
        for symbol, record in batch.records:
            self._put(symbol, _Newest(sequence, record))

    def _put(self, symbol: bytes, newest: _Newest) -> None:
        replaced = self._newest.pop(symbol, None)
        if replaced is not None:
            self._records_bytes -= len(replaced.record)
        self._newest[symbol] = newest
        self._records_bytes += len(newest.record)
        self._largest = max(self._largest, len(newest.record))

    def _measure(self) -> None:
        # Each batch but the last is full: it has all the ticks that it may, or no room for the
        # largest one.
        room = self._payload_bytes - MAX_TRAILER_BYTES - self._largest + 1
        full = len(self._newest) // MAX_TICKS_PER_BATCH + self._records_bytes // room
        self.most_batches = 1 + full
        overhead = OVERHEAD_BYTES + MAX_TRAILER_BYTES
        self.queued_bytes = self._records_bytes + self.most_batches * overhead


class Conflation:
    """What is left of the successive batches that one connection did not take.

    It becomes fewer batches than they were, so that a number is free for each that comes, and those
    before them can be told of as missing. As long as it would not, nothing is replaced.

    A batch more makes it at most one batch more: the ticks are in the order of their batches, so
    what is left of one fits into one. What could be fewer once can be so ever after.

    Attributes:
        newest: of the stream. Every batch that comes from the beginning on is to be added.
    """

    __slots__ = ("_bytes", "_count", "_first", "_last", "_ticks", "_whole", "newest")

    def __init__(self, newest: NewestTicks) -> None:
        self.newest = newest
        self._whole: list[Batch] = []
        self._first = 0
        self._last: Batch | None = None
        self._count = self._ticks = self._bytes = 0

    def __len__(self) -> int:
        """How many batches it becomes, at most."""
        return len(self._whole) or min(self._count, self.newest.most_batches)

    @property
    def queued_bytes(self) -> int:
        """How long those are together, at most."""
        return self._bytes if self._whole else min(self._bytes, self.newest.queued_bytes)

    @property
    def range(self) -> tuple[int, int] | None:
        """The numbers of the first and the last batch that it stands for; None if it is empty."""
        return None if self._last is None else (self._first, self._last.sequence)

    def begin(self, batches: Iterable[Batch]) -> None:
        """Take in those that have waited so far."""
        batches = tuple(batches)
        self.newest.include(batches)
        for batch in batches:
            self.add(batch)

    def add(self, batch: Batch) -> None:
        """Take in the stream's next batch."""
        self.newest.add(batch)
        if not self._count:
            self._first = batch.sequence
        if self._whole or not self._count:
            self._whole.append(batch)
        self._last = batch
        self._count += 1
        self._ticks += batch.ticks
        self._bytes += len(batch)
        if self._whole and self._count > self.newest.most_batches:
            self._whole = []

    def close(self) -> tuple[Gap | None, list[Batch]]:
        """Return the batches that it becomes, and what they leave out; nothing is added later."""
        if self._last is None or self._whole:
            return None, self._whole
        runs = self.newest.batches(self.newest.since(self._first))
        last = self._last.trailer
        first_kept = last.sequence - len(runs) + 1
        lost = self._ticks - sum(map(len, runs))
        gap = Gap(self._first, (first_kept - 1) % SEQUENCE_MODULUS, lost, CONFLATED)
        return gap, [_batch(run, first_kept + at, last) for at, run in enumerate(runs)]


def _batch(records: list[bytes], sequence: int, like: BatchTrailer) -> Batch:
    return Batch(
        batch_frame(
            records,
            timestamp_ms=like.timestamp_ms,
            sequence=sequence % SEQUENCE_MODULUS,
            publish_time_ns=like.publish_time_ns,
        )
    )


def _is_before(sequence: int, other: int) -> bool:
    return 0 < (other - sequence) % SEQUENCE_MODULUS < SEQUENCE_MODULUS // 2
