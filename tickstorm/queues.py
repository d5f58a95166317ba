"""What waits for a congested connection, by its policy. Pure.

What is lost is always whole batches, or ticks that newer ones replace, and is told by a GAP right
before the next batch that comes. Only the batches that a stream emits wait here: what a subscriber
gets of the past is ahead of them (`tickstorm.past`), in `tickstorm.overload.Backlog`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Reversible
from typing import NamedTuple, Protocol

from tickstorm.batches import Batch, shared_batch
from tickstorm.conflation import Conflation, NewestTicks
from tickstorm.errors import SlowConsumer
from tickstorm.fifo import Fifo
from tickstorm.messages import Gap, gap_frame

DROPPED = "dropped"
"""Why a GAP says that ticks were lost: their batches were given up for newer ones."""

ACTING = 1.0
"""How full a queue is whose policy acts."""

Losses = Counter[str]
"""How many ticks were lost, by the reason that the GAP gave."""


class Bound(NamedTuple):
    """How much may wait before a policy acts.

    Attributes:
        frames: at least 1.
        bytes: likewise.
    """

    frames: int
    bytes: int

    def used(self, frames: int, bytes: int) -> float:
        """Return how much of it that is: beyond 1 is too much."""
        return max(frames / self.frames, bytes / self.bytes)


class Queue(Protocol):
    """What waits, and what its policy makes of it."""

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait."""

    @property
    def fill(self) -> float:
        """How much of what may wait does: the policy acts beyond ACTING."""

    def __len__(self) -> int:
        """How many frames wait."""

    def push(self, frame: bytes) -> None:
        """Take a frame in.

        Raises:
            SlowConsumer: the policy wants the connection to end.
        """

    def take(self, at_most_bytes: int) -> bytes:
        """Give the next frames out, joined: at least one, and more as long as they fit."""

    def clear(self) -> None:
        """Forget everything."""

    def unsent(self) -> tuple[int, int] | None:
        """Return the numbers of the first and last batch not told of yet; None if there is none."""


class EveryFrame:
    """The queue of DISCONNECT: frames of any kind, none of which is ever left out.

    Args:
        bound: beyond it the connection is to end.
    """

    __slots__ = ("_bound", "_frames")

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._frames: Fifo[bytes] = Fifo()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait."""
        return self._frames.length

    @property
    def fill(self) -> float:
        """How much of the bound is used."""
        return self._bound.used(len(self._frames), self._frames.length)

    def push(self, frame: bytes) -> None:
        """Add a frame.

        Raises:
            SlowConsumer: it is one frame or byte too many; it is queued nevertheless.
        """
        self._frames.append(frame)
        frames, bytes = self._bound
        if len(self._frames) > frames:
            raise SlowConsumer(f"more than {frames} frames are waiting")
        if self._frames.length > bytes:
            raise SlowConsumer(f"more than {bytes} bytes are waiting")

    def take(self, at_most_bytes: int) -> bytes:
        """Give the oldest frames out."""
        return b"".join(self._frames.take(at_most_bytes))

    def clear(self) -> None:
        """Forget everything."""
        self._frames.clear()

    def unsent(self) -> tuple[int, int] | None:
        """Return the numbers of the first and last batch that waits."""
        return numbers_of(self._frames)


class NewestBatches:
    """The queue of DROP_OLDEST: beyond its bound the oldest batches go, but never the newest one.

    Args:
        bound: for the batches.
        losses: counts the ticks that were dropped, when that is told.
    """

    __slots__ = ("_batches", "_bound", "_gap", "_losses")

    def __init__(self, bound: Bound, losses: Losses) -> None:
        self._bound = bound
        self._losses = losses
        self._batches: Fifo[Batch] = Fifo()
        self._gap: Gap | None = None

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait."""
        return self._batches.length

    @property
    def fill(self) -> float:
        """How much of the bound is used."""
        return self._bound.used(len(self._batches), self._batches.length)

    def push(self, frame: bytes) -> None:
        """Add a batch, and drop the oldest that are too many."""
        self._batches.append(shared_batch(frame))
        while self.fill > ACTING and len(self._batches) > 1:
            self._drop(self._batches.popleft())

    def take(self, at_most_bytes: int) -> bytes:
        """Give the oldest batches out, behind the GAP if there is one."""
        gap, self._gap = self._gap, None
        return _told(gap, self._losses) + _frames(self._batches.take(at_most_bytes))

    def clear(self) -> None:
        """Forget everything."""
        self._batches.clear()
        self._gap = None

    def unsent(self) -> tuple[int, int] | None:
        """Return the numbers of the first batch not told of yet, dropped or not, and the last."""
        found = _range(self._batches)
        if found is None or self._gap is None:
            return found
        return self._gap.first_sequence, found[1]

    def _drop(self, batch: Batch) -> None:
        gap, last = self._gap, batch.sequence
        if gap is None:
            self._gap = Gap(last, last, batch.ticks, DROPPED)
        else:
            self._gap = Gap(gap.first_sequence, last, gap.ticks_lost + batch.ticks, DROPPED)


class NewestOfEach:
    """The queue of CONFLATE: beyond its bound, only the newest tick of each symbol.

    Once it was beyond, it conflates whatever comes until all is out, so that a connection that goes
    on reading slowly is as near to the present as it can be.

    Args:
        bound: for the batches.
        newest: returns that of the stream that it is for. Who asks has to add every batch from then
            on, so that it is asked no earlier than that.
        losses: counts the ticks that were replaced, when that is told.
    """

    __slots__ = ("_bound", "_conflation", "_gaps", "_losses", "_newest", "_ready")

    def __init__(self, bound: Bound, newest: Callable[[], NewestTicks], losses: Losses) -> None:
        self._bound = bound
        self._newest = newest
        self._losses = losses
        self._ready: Fifo[Batch] = Fifo()
        self._gaps: dict[int, Gap] = {}
        self._conflation: Conflation | None = None

    def __len__(self) -> int:
        return len(self._ready) + len(self._conflation or ())

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait, at most."""
        conflated = self._conflation.queued_bytes if self._conflation is not None else 0
        return self._ready.length + conflated

    @property
    def fill(self) -> float:
        """How much of the bound is used: all of it from the first conflation on."""
        if self._conflation is not None:
            return ACTING
        return self._bound.used(len(self._ready), self._ready.length)

    def push(self, frame: bytes) -> None:
        """Add a batch, and conflate if that is too much."""
        batch = shared_batch(frame)
        if self._conflation is not None:
            self._conflation.add(batch)
            return
        self._ready.append(batch)
        if self.fill > ACTING:
            self._conflation = Conflation(self._newest())
            self._conflation.begin(self._ready)
            self._ready.clear()

    def take(self, at_most_bytes: int) -> bytes:
        """Give the oldest batches out, each behind its GAP if there is one."""
        if not self._ready:
            self._end_conflation()
        taken = self._ready.take(at_most_bytes)
        return b"".join(self._with_gap(batch) for batch in taken)

    def clear(self) -> None:
        """Forget everything."""
        self._ready.clear()
        self._gaps.clear()
        self._conflation = None

    def unsent(self) -> tuple[int, int] | None:
        """Return the numbers of the first and last batch that wait, or that ticks wait of."""
        found = self._unsent_ready()
        waiting = self._conflation.range if self._conflation is not None else None
        if found is None or waiting is None:
            return found or waiting
        return found[0], waiting[1]

    def _unsent_ready(self) -> tuple[int, int] | None:
        found = _range(self._ready)
        if found is None:
            return None
        gap = self._gaps.get(found[0])
        return found if gap is None else (gap.first_sequence, found[1])

    def _end_conflation(self) -> None:
        if self._conflation is None:
            return
        for gap, batch in self._conflation.close():
            self._ready.append(batch)
            if gap is not None:
                self._gaps[batch.sequence] = gap
        self._conflation = Conflation(self._conflation.newest)

    def _with_gap(self, batch: Batch) -> bytes:
        return _told(self._gaps.pop(batch.sequence, None), self._losses) + batch.frame


def _told(gap: Gap | None, losses: Losses) -> bytes:
    if gap is None:
        return b""
    losses[gap.reason] += gap.ticks_lost
    return gap_frame(gap)


def _frames(batches: list[Batch]) -> bytes:
    return b"".join(batch.frame for batch in batches)


def numbers_of(frames: Reversible[bytes]) -> tuple[int, int] | None:
    """Return the numbers of the first and last batch among frames; None if there is none."""
    # Shared, as a client may ask for it as often as it sends a heartbeat.
    first = _first_number(map(shared_batch, frames))
    last = _first_number(map(shared_batch, reversed(frames)))
    return None if first is None or last is None else (first, last)


def _first_number(batches: Iterable[Batch]) -> int | None:
    return next((batch.sequence for batch in batches if batch.is_numbered), None)


def _range(batches: Fifo[Batch]) -> tuple[int, int] | None:
    return (batches.first.sequence, batches.last.sequence) if batches else None
