"""The last batches of one stream, and what is read of them by those who missed some. Pure.

What is read is not copied: whoever reads has a place, and each piece costs what the piece is,
however much is here. No place is used twice, so that who comes too late for a batch finds that out.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from typing import NamedTuple

from tickstorm.errors import SlowConsumer
from tickstorm.fifo import fitting
from tickstorm.sequences import later, steps

ENTRY_BYTES = 224
"""What keeping a batch costs beside its frame, which may be shorter than that."""

NO_LONGER_KEPT = "the next of what it missed is not kept any more: it was not read in time"


class Entry(NamedTuple):
    """A batch that is kept.

    Attributes:
        sequence: its number.
        timestamp_ms: milliseconds since the Unix epoch.
        frame: as it was sent.
    """

    sequence: int
    timestamp_ms: int
    frame: bytes

    @property
    def cost(self) -> int:
        """What it counts for, in bytes."""
        return len(self.frame) + ENTRY_BYTES


_DROPPED = Entry(0, 0, b"")


class Ring:
    """The last batches of one stream.

    Args:
        next_sequence: the stream's: what was before it is not here.
        now_ms: milliseconds since the Unix epoch.

    Attributes:
        bytes: what the batches cost.
        idle: whether nobody listens to the stream.
        first_place: that of the oldest batch; each of the others has one more.
        passed_over: for its history: how many were dropped that stand in its order yet.
    """

    __slots__ = (
        "_entries",
        "_first_sequence",
        "_oldest",
        "_since_ms",
        "bytes",
        "first_place",
        "idle",
        "passed_over",
    )

    def __init__(self, next_sequence: int, now_ms: int) -> None:
        # Those that were dropped stay in front until they are as many as the others, so that
        # neither to drop one nor to find one costs a look at the rest.
        self._entries: list[Entry] = []
        self._oldest = 0
        self._first_sequence = next_sequence
        self._since_ms = now_ms + 1  # in this millisecond there may have been others before
        self.bytes = 0
        self.idle = False
        self.first_place = 0
        self.passed_over = 0

    def __len__(self) -> int:
        return len(self._entries) - self._oldest

    @property
    def oldest_ms(self) -> int:
        """The time of the batch that goes first."""
        return self._entries[self._oldest].timestamp_ms

    @property
    def end_place(self) -> int:
        """The place of the batch that comes next."""
        return self.first_place + len(self)

    def entry(self, place: int) -> Entry:
        """Return the batch at a place.

        Raises:
            SlowConsumer: it has been dropped.
        """
        if place < self.first_place:
            raise SlowConsumer(NO_LONGER_KEPT)
        return self._entries[self._oldest + place - self.first_place]

    def append(self, entry: Entry) -> None:
        """Keep the next batch."""
        self._entries.append(entry)
        self.bytes += entry.cost

    def drop_oldest(self) -> Entry:
        """Let the first batch go, and return it."""
        entry = self._entries[self._oldest]
        self._entries[self._oldest] = _DROPPED
        self._oldest += 1
        self.first_place += 1
        if 2 * self._oldest >= len(self._entries):
            del self._entries[: self._oldest]
            self._oldest = 0
        self.bytes -= entry.cost
        self._first_sequence = later(entry.sequence)
        self._since_ms = max(self._since_ms, entry.timestamp_ms + 1)
        return entry

    def after(self, sequence: int, next_sequence: int) -> "Replay | None":
        """Return what was sent behind a batch; None if not all of that is here.

        Args:
            sequence: the batch's.
            next_sequence: the stream's.
        """
        first = later(sequence)
        missed = steps(first, next_sequence)
        if missed > steps(self._first_sequence, next_sequence):
            return None
        index = bisect_left(
            self._entries,
            -missed,
            self._oldest,
            key=lambda entry: -steps(entry.sequence, next_sequence),
        )
        return Replay(first, self._from(index), True)

    def since(self, start_ms: int, next_sequence: int) -> "Replay":
        """Return what is here of the batches of a time and after it.

        Args:
            start_ms: milliseconds since the Unix epoch.
            next_sequence: the stream's.
        """
        count = sum(1 for _ in dropwhile(lambda entry: entry.timestamp_ms < start_ms, self._here()))
        kept = self._from(len(self._entries) - count)
        numbers = kept.numbers()
        first = next_sequence if numbers is None else numbers[0]
        return Replay(first, kept, start_ms >= self._since_ms)

    def _here(self) -> Sequence[Entry]:
        return self._entries[self._oldest :]

    def _from(self, index: int) -> "Kept":
        length = sum(len(entry.frame) for entry in self._entries[index:])
        return Kept(self, self.first_place + index - self._oldest, length)


class Kept:
    """Takes what a ring has now, from some place on, while the ring goes on and drops its oldest.

    Args:
        ring: it is read, and costs nothing here.
        place: of the first batch.
        length: of all frames together, in bytes.

    Attributes:
        length: of those that are left.
    """

    __slots__ = ("_end", "_first", "_last", "_place", "_ring", "length")

    def __init__(self, ring: Ring, place: int, length: int) -> None:
        self._ring = ring
        self._place = place
        self._end = ring.end_place
        self._first = self._last = 0
        self.length = length
        if self:
            self._first = ring.entry(place).sequence
            self._last = ring.entry(self._end - 1).sequence

    def __len__(self) -> int:
        return self._end - self._place

    def __iter__(self) -> Iterator[bytes]:
        return (self._ring.entry(place).frame for place in range(self._place, self._end))

    @property
    def cost(self) -> int:
        """Nothing: whoever waits for it or not, it is kept."""
        return 0

    def check(self) -> None:
        """See that what comes next is still there.

        Raises:
            SlowConsumer: it has been dropped.
        """
        if self:
            self._ring.entry(self._place)

    def take(self, at_most_bytes: int) -> list[bytes]:
        """Return the next frames: no more of them than fit, but at least one.

        Raises:
            SlowConsumer: they have been dropped.
        """
        taken = fitting(self, at_most_bytes)
        self._place += len(taken)
        self.length -= sum(map(len, taken))
        if self:
            self._first = self._ring.entry(self._place).sequence
        return taken

    def numbers(self) -> tuple[int, int] | None:
        """Return the numbers of the first and last batch left, dropped or not; None without one."""
        return (self._first, self._last) if self else None

    def enter(self, account: object) -> None:
        """Do nothing: it costs nothing."""

    def leave(self) -> None:
        """Do nothing likewise."""


class Replay(NamedTuple):
    """What was sent before now.

    Attributes:
        next_sequence: the number of the first batch that comes, of these or of those behind them.
        kept: these.
        complete: whether that is all that was asked for.
    """

    next_sequence: int
    kept: Kept
    complete: bool
