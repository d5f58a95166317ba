"""Conflation: of successive batches, the newest tick of each symbol. Pure.

What a stalled connection costs at each batch is the same however many ticks that has: they are
taken in once for all who do not keep up with the stream, and each of those only remembers where it
stopped.

Batches are melted together in runs, each of which becomes one batch with the number of its last.
Behind that nothing of the run is missing, so that whoever is cut off between two of them goes on
behind the first as behind any batch.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tickstorm.batches import Batch
from tickstorm.frames import MIN_PAYLOAD_BYTES, OVERHEAD_BYTES
from tickstorm.messages import Gap
from tickstorm.records import MAX_TRAILER_BYTES, batch_frame
from tickstorm.sequences import is_before, later
from tickstorm.ticks import MAX_TICKS_PER_BATCH

CONFLATED = "conflated"
"""Why a GAP says that ticks were lost: newer ones of their symbols came instead."""

Conflated = tuple[Gap | None, Batch]
"""A batch, and what is to be told before it."""


class _Newest(NamedTuple):
    sequence: int
    record: bytes


class Run:
    """Successive batches whose ticks that are still the newest of their symbols fit into one.

    Args:
        batch: the first.

    Attributes:
        first, last: the numbers of its batches.
        ticks: how many all of them had.
        records_bytes: how long what is left of them is.
        batch: the only one, whole; None if there are several.
    """

    __slots__ = ("_newest", "_trailer", "batch", "first", "last", "records_bytes", "ticks")

    def __init__(self, batch: Batch) -> None:
        self.first = self.last = batch.sequence
        self.ticks = batch.ticks
        self.batch: Batch | None = batch
        self.records_bytes = 0
        self._trailer = batch.trailer
        self._newest: dict[bytes, _Newest] = {}  # in the order of their batches
        for symbol, record in batch.records():
            self.give_up(symbol)
            self._newest[symbol] = _Newest(batch.sequence, record)
            self.records_bytes += len(record)

    def __len__(self) -> int:
        """How many ticks are left."""
        return len(self._newest)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the symbols of these."""
        return iter(self._newest)

    @property
    def queued_bytes(self) -> int:
        """How long the batch is that it becomes, at most."""
        if self.batch is not None:
            return len(self.batch)
        return self.records_bytes + OVERHEAD_BYTES + MAX_TRAILER_BYTES

    def give_up(self, symbol: bytes) -> None:
        """Leave the tick of a symbol out, if there is one: a newer one has come."""
        replaced = self._newest.pop(symbol, None)
        if replaced is not None:
            self.records_bytes -= len(replaced.record)

    def fits(self, following: "Run", room: int) -> bool:
        """Say whether what is left of both is one batch, whose ticks may have so many bytes."""
        return (
            len(self) + len(following) <= MAX_TICKS_PER_BATCH
            and self.records_bytes + following.records_bytes <= room
        )

    def append(self, following: "Run") -> None:
        """Take in the run that follows, which has no symbol of this one."""
        self._newest.update(following._newest)
        self._trailer = following._trailer
        self.last = following.last
        self.ticks += following.ticks
        self.records_bytes += following.records_bytes
        self.batch = None

    def since(self, first: int, ticks: int) -> Conflated:
        """Return what it becomes for who has taken some of its batches, but not the last two.

        Args:
            first: the number of the first that was not taken.
            ticks: in those that were not.
        """
        records = [
            record for number, record in self._newest.values() if not is_before(number, first)
        ]
        gap = Gap(first, later(self.last, -1), ticks - len(records), CONFLATED)
        return gap, Batch(
            batch_frame(
                records,
                timestamp_ms=self._trailer.timestamp_ms,
                sequence=self.last,
                publish_time_ns=self._trailer.publish_time_ns,
            )
        )


class NewestTicks:
    """The newest tick of each symbol in the successive batches of one stream.

    Everybody who conflates the stream adds each batch; whoever comes first is the one that counts.

    Two runs that are neighbours are more than one batch together. So there are no more of them than
    twice the batches that all symbols take, and one.

    Attributes:
        runs: of all the batches, in order.
        queued_bytes: how long what they become is together, at most.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.queued_bytes = 0
        self._run_of: dict[bytes, Run] = {}
        self._payload_bytes = MIN_PAYLOAD_BYTES

    def include(self, batches: Iterable[Batch]) -> None:
        """Take in the batches that one connection has waiting, some of which may be known."""
        batches = tuple(batches)
        if self.runs:
            first = self.runs[0].first
            older = [batch for batch in batches if is_before(batch.sequence, first)]
            if older:
                self._begin_with(older)
        for batch in batches:
            self.add(batch)

    def add(self, batch: Batch) -> None:
        """Take in the stream's next batch; nothing happens if it is known."""
        if self.runs and not is_before(self.runs[-1].last, batch.sequence):
            return
        self._take_in(batch)
        self._join_runs()

    def since(self, first: int) -> list[Run]:
        """Return the runs of the batches from this number on."""
        return [run for run in self.runs if not is_before(run.last, first)]

    def _begin_with(self, older: list[Batch]) -> None:
        known, self.runs, self._run_of = self.runs, [], {}
        for batch in older:
            self._take_in(batch)
        for run in known:
            self._append(run)
        self._join_runs()

    def _take_in(self, batch: Batch) -> None:
        # As long as a batch of the stream was, ours may be: its readers take that much.
        self._payload_bytes = max(self._payload_bytes, batch.records_bytes + MAX_TRAILER_BYTES)
        self._append(Run(batch))

    def _append(self, run: Run) -> None:
        for symbol in run:
            before = self._run_of.get(symbol)
            if before is not None:
                before.give_up(symbol)
            self._run_of[symbol] = run
        self.runs.append(run)

    def _join_runs(self) -> None:
        room = self._payload_bytes - MAX_TRAILER_BYTES
        joined: list[Run] = []
        for run in self.runs:
            if joined and joined[-1].fits(run, room):
                joined[-1].append(run)
                self._run_of.update(dict.fromkeys(run, joined[-1]))
            else:
                joined.append(run)
        self.runs = joined
        self.queued_bytes = sum(run.queued_bytes for run in joined)


class Conflation:
    """What is left of the successive batches that one connection did not take.

    Attributes:
        newest: of the stream. Every batch that comes from the beginning on is to be added.
    """

    __slots__ = ("_bytes", "_count", "_first", "_last", "_only", "_ticks", "newest")

    def __init__(self, newest: NewestTicks) -> None:
        self.newest = newest
        self._only: Batch | None = None
        self._first = self._last = 0
        self._count = self._ticks = self._bytes = 0

    def __len__(self) -> int:
        """How many batches it becomes, at most."""
        return min(self._count, len(self.newest.runs))

    @property
    def queued_bytes(self) -> int:
        """How long those are together, at most."""
        held = len(self._only) if self._only is not None else 0
        return min(self._bytes, self.newest.queued_bytes + held)

    @property
    def range(self) -> tuple[int, int] | None:
        """The numbers of the first and the last batch that it stands for; None if it is empty."""
        return (self._first, self._last) if self._count else None

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
            self._only = batch
        self._last = batch.sequence
        self._count += 1
        self._ticks += batch.ticks
        self._bytes += len(batch)
        if self._only is not None and self.newest.since(self._first)[0].last != self._first:
            self._only = None  # it is in a run with others for good

    def close(self) -> list[Conflated]:
        """Return the batches that it becomes, in order; nothing is added later."""
        if not self._count:
            return []
        begun, *others = self.newest.since(self._first)
        ticks = self._ticks - sum(run.ticks for run in others)
        first: Conflated = begun.since(self._first, ticks)
        if self._only is not None:
            first = None, self._only
        return [first, *map(_whole, others)]


def _whole(run: Run) -> Conflated:
    return run.since(run.first, run.ticks) if run.batch is None else (None, run.batch)
