"""What a subscriber is given of the past, in pieces, as its socket takes them. Pure.

What a history keeps is read there (`tickstorm.ring`). Everything else is copies: a snapshot, or
what another process has sent. All who wait for the same copies count them once.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from itertools import chain
from typing import Protocol

from tickstorm.fifo import Fifo, fitting
from tickstorm.queues import numbers_of

RUN_BYTES = 16_384
"""How much of copies is counted together, if a frame is not longer, and let go of together."""


class Run:
    """Some copies in a row.

    Args:
        frames: one at least.
        following: those behind them, which are kept as long as somebody has these; None at the end.

    Attributes:
        length: of the frames together, in bytes.
    """

    __slots__ = ("_numbers", "_was_read", "following", "frames", "length")

    def __init__(self, frames: Sequence[bytes], following: "Run | None") -> None:
        self.frames = frames
        self.following = following
        self.length = sum(map(len, frames))
        self._numbers: tuple[int, int] | None = None
        self._was_read = False

    def numbers(self) -> tuple[int, int] | None:
        """Return the numbers of the first and last batch; None if all are snapshots."""
        if not self._was_read:  # once, as a client may ask for it as often as it sends a heartbeat
            self._was_read = True
            self._numbers = numbers_of(self.frames)
        return self._numbers


class Account(Protocol):
    """Counts copies that are waited for, each run once."""

    def enter(self, run: Run) -> None:
        """Take note that one more waits for these copies."""

    def leave(self, run: Run) -> None:
        """Take note that one fewer does."""

    def waiting(self, run: Run) -> int:
        """Return how many do."""


class Stretch(Protocol):
    """Frames that are taken from the front."""

    @property
    def length(self) -> int:
        """Of the frames that are left, in bytes."""

    @property
    def cost(self) -> int:
        """What of that is a single subscriber's share in an account, in bytes."""

    def __len__(self) -> int:
        """How many frames are left."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield those, without taking them."""

    def check(self) -> None:
        """See that what comes next can be had.

        Raises:
            SlowConsumer: it cannot.
        """

    def take(self, at_most_bytes: int) -> list[bytes]:
        """Return the next frames: no more of them than fit, but at least one.

        Raises:
            SlowConsumer: they cannot be had.
        """

    def numbers(self) -> tuple[int, int] | None:
        """Return the numbers of the first and last batch left; None if there is none."""

    def enter(self, account: Account) -> None:
        """Have what is left counted."""

    def leave(self) -> None:
        """Have what is left counted no more."""


class Copies:
    """Frames in memory.

    Args:
        frames: in their order.

    Attributes:
        length: of those that are left.
    """

    __slots__ = ("_account", "_at", "_count", "_run", "length")

    def __init__(self, frames: Iterable[bytes] = ()) -> None:
        self._run: Run | None = None
        self._at = self._count = self.length = 0
        self._account: Account | None = None
        for each in reversed(list(_runs(frames))):
            self._run = Run(each, self._run)
            self._count += len(each)
            self.length += self._run.length

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(map(self._rest, self._left()))

    @property
    def cost(self) -> int:
        """What is left, shared evenly by all who wait for the next of it."""
        # More wait for what is behind, so it is rather too much: who holds the most goes first.
        if self._account is None or self._run is None:
            return 0
        return self.length // self._account.waiting(self._run)

    def past(self) -> "Past":
        """Return what is left as the past of one more subscriber."""
        if not self:
            return NO_PAST
        other = copy(self)
        other._account = None
        return Past([other])

    def check(self) -> None:
        """Do nothing: they are here."""

    def take(self, at_most_bytes: int) -> list[bytes]:
        """Return the next frames: no more of them than fit, but at least one."""
        run = self._run
        if run is None:
            return []
        taken = fitting(self._rest(run), at_most_bytes)
        self._at += len(taken)
        self._count -= len(taken)
        self.length -= sum(map(len, taken))
        if self._at == len(run.frames):
            self._go_on(run)
        return taken

    def numbers(self) -> tuple[int, int] | None:
        """Return the numbers of the first and last batch left; None if all are snapshots."""
        return from_first_to_last(map(self._numbers_of, self._left()))

    def enter(self, account: Account) -> None:
        """Have what is left counted."""
        self._account = account
        for run in self._left():
            account.enter(run)

    def leave(self) -> None:
        """Forget what is left, and have it counted no more."""
        while self._run is not None:
            self._go_on(self._run)
        self._count = self.length = 0

    def _go_on(self, run: Run) -> None:
        if self._account is not None:
            self._account.leave(run)
        self._run, self._at = run.following, 0

    def _left(self) -> Iterator[Run]:
        run = self._run
        while run is not None:
            yield run
            run = run.following

    def _numbers_of(self, run: Run) -> tuple[int, int] | None:
        was_begun = run is self._run and self._at > 0
        return numbers_of(self._rest(run)) if was_begun else run.numbers()

    def _rest(self, run: Run) -> Sequence[bytes]:
        return run.frames[self._at :] if run is self._run else run.frames


class Past:
    """What one subscriber still gets before anything that is live.

    Args:
        stretches: one behind the other.
    """

    __slots__ = ("_stretches",)

    def __init__(self, stretches: Iterable[Stretch] = ()) -> None:
        self._stretches = deque(stretch for stretch in stretches if stretch)

    def __len__(self) -> int:
        return sum(map(len, self._stretches))

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self._stretches)

    @property
    def length(self) -> int:
        """Of the frames that are left, in bytes."""
        return sum(stretch.length for stretch in self._stretches)

    @property
    def cost(self) -> int:
        """What of that is this subscriber's share in an account, in bytes."""
        return sum(stretch.cost for stretch in self._stretches)

    def extend(self, past: "Past") -> None:
        """Add what comes behind this, and leave nothing there."""
        self._stretches.extend(past._stretches)
        past._stretches.clear()

    def check(self) -> None:
        """See that what comes next can be had.

        Raises:
            SlowConsumer: the history has dropped it.
        """
        if self._stretches:
            self._stretches[0].check()

    def take(self, at_most_bytes: int) -> list[bytes]:
        """Return the next frames: no more of them than fit, but at least one if any is left.

        Raises:
            SlowConsumer: the history has dropped them.
        """
        if not self._stretches:
            return []
        first = self._stretches[0]
        taken = first.take(at_most_bytes)
        if not first:
            self._stretches.popleft()
        return taken

    def numbers(self) -> tuple[int, int] | None:
        """Return the numbers of the first and last batch left; None if all are snapshots."""
        return from_first_to_last(each.numbers() for each in self._stretches)

    def enter(self, account: Account) -> None:
        """Have what is left counted, as far as it is memory of its own."""
        for stretch in self._stretches:
            stretch.enter(account)

    def clear(self) -> None:
        """Forget what is left, and have it counted no more."""
        for stretch in self._stretches:
            stretch.leave()
        self._stretches.clear()


NO_PAST = Past()


def from_first_to_last(
    numbers: Iterable[tuple[int, int] | None],
) -> tuple[int, int] | None:
    """Return the first and last number of pieces in a row, of which some may have none."""
    found = [each for each in numbers if each is not None]
    return (found[0][0], found[-1][1]) if found else None


def _runs(frames: Iterable[bytes]) -> Iterator[list[bytes]]:
    left: Fifo[bytes] = Fifo()
    for frame in frames:
        left.append(frame)
    while left:
        yield left.take(RUN_BYTES)
