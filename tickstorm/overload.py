"""What a connection that does not keep up still has to get, and when it has had its chance. Pure.

A backlog exists only while its connection is congested, and then until that is lost. It is bounded
in frames, bytes and age, whatever its policy; beyond a bound the connection is a slow consumer, and
its end is told. All backlogs of a process share one budget, which counts what is queued and what
the transports were handed and may still have.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple, TypeVar

from tickstorm.errors import SlowConsumer
from tickstorm.past import NO_PAST, Past, Run
from tickstorm.queues import Bound, Queue

LEFT_BY_SHEDDING = 0.9
"""What part of a budget may still be used once those with the most have gone."""

_Owner = TypeVar("_Owner")


class BacklogLimits(NamedTuple):
    """How far a connection may fall behind.

    Attributes:
        max_frames: frames queued.
        max_bytes: bytes queued.
        write_deadline: seconds that a piece handed to the socket (some frames, 16 KiB or one frame)
            may take.
        soft_bytes: bytes queued beyond which CONFLATE and DROP_OLDEST act; max_bytes if that is
            less.
        lossy_write_deadline: the write deadline of these two.
    """

    max_frames: int = 1000
    max_bytes: int = 4 * 1024 * 1024
    write_deadline: float = 5.0
    soft_bytes: int = 1024 * 1024
    lossy_write_deadline: float = 60.0

    @property
    def hard(self) -> Bound:
        """Beyond it DISCONNECT acts."""
        return Bound(self.max_frames, self.max_bytes)

    @property
    def soft(self) -> Bound:
        """Beyond it CONFLATE and DROP_OLDEST act."""
        return Bound(self.max_frames, min(self.soft_bytes, self.max_bytes))


class Budget:
    """What waits for all backlogs of a process together, and what that may be.

    Args:
        max_bytes: beyond it somebody has to go.

    Attributes:
        bytes: what is queued, or with a transport. Copies of the past that several wait for are in
            it once, and what a history keeps is not in it.
    """

    __slots__ = ("_waiting", "bytes", "max_bytes")

    def __init__(self, max_bytes: float = inf) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._waiting: Counter[Run] = Counter()

    @property
    def is_exceeded(self) -> bool:
        """Whether somebody has to go."""
        return self.bytes > self.max_bytes

    def enter(self, run: Run) -> None:
        """Take note that one more waits for some copies."""
        if not self._waiting[run]:
            self.bytes += run.length
        self._waiting[run] += 1

    def leave(self, run: Run) -> None:
        """Take note that one fewer waits for some copies."""
        self._waiting[run] -= 1
        if not self._waiting[run]:
            del self._waiting[run]
            self.bytes -= run.length

    def waiting(self, run: Run) -> int:
        """Return how many wait for some copies."""
        return self._waiting[run]

    def surplus(self, owners: Iterable[_Owner], cost: Callable[[_Owner], int]) -> list[_Owner]:
        """Return whose backlogs have to go, the largest first, so that LEFT_BY_SHEDDING is kept."""
        left = self.bytes
        going = []
        for owner in sorted(owners, key=cost, reverse=True):
            if left <= self.max_bytes * LEFT_BY_SHEDDING or not cost(owner):
                break
            left -= cost(owner)
            going.append(owner)
        return going


class Backlog:
    """What is queued for one congested connection.

    What was begun on the socket goes first, then what is of the past, then what the queue gives.
    What the transport was handed is no part of it any more, nor of its bounds, but is counted here.

    Args:
        queue: keeps the frames, by the connection's policy.
        max_bytes: beyond it the connection is to end, whatever the queue makes of it; what is of
            the past is not in that.
        write_deadline: seconds that the socket may take for a piece.
        budget: counts what is queued, until `clear`, and what is with the transport, until
            `note_taken`.
        now: in seconds of a monotonic clock.

    Attributes:
        bytes: queued.
        with_transport: bytes that the transport was handed, and that it may still have.
        handed_on_at: when the socket was given its last piece.
    """

    __slots__ = (
        "_begun",
        "_budget",
        "_counted",
        "_max_bytes",
        "_past",
        "_queue",
        "_write_deadline",
        "bytes",
        "handed_on_at",
        "with_transport",
    )

    def __init__(
        self, queue: Queue, max_bytes: int, write_deadline: float, budget: Budget, now: float
    ) -> None:
        self._queue = queue
        self._max_bytes = max_bytes
        self._write_deadline = write_deadline
        self._budget = budget
        self._begun = b""
        self._past = NO_PAST
        self._counted = 0
        self.bytes = 0
        self.with_transport = 0
        self.handed_on_at = now

    def __len__(self) -> int:
        return len(self._queue) + len(self._past) + bool(self._begun)

    @property
    def pending_bytes(self) -> int:
        """How many bytes wait: queued, or with the transport."""
        return self.bytes + self.with_transport

    @property
    def fill(self) -> float:
        """How much is queued, as a part of what makes the policy act."""
        return self._queue.fill

    @property
    def cost(self) -> int:
        """What of the budget it uses: of what it shares with others, its share."""
        return self._counted + self._past.cost + self.with_transport

    def push(self, frame: bytes) -> None:
        """Queue a frame.

        Raises:
            SlowConsumer: it is one frame or byte too many; it is queued nevertheless.
        """
        try:
            self._queue.push(frame)
        finally:
            self._recount()
        if self.bytes - self._past.length > self._max_bytes:
            raise SlowConsumer(f"more than {self._max_bytes} bytes are waiting")

    def push_rest(self, rest: bytes) -> None:
        """Queue what is left of a frame that was begun, ahead of everything."""
        self._begun = rest
        self._recount()

    def push_past(self, past: Past) -> None:
        """Queue what was sent before, ahead of what the queue has.

        Nothing of it is ever left out, and however much it is, it is not too much: it is not the
        client's reading that made it. The budget counts what is not kept by a history anyhow.
        """
        past.enter(self._budget)
        if self._past:
            self._past.extend(past)
        else:
            self._past = past
        self._recount()

    def take(self, at_most_bytes: int, now: float) -> bytes:
        """Return what goes out next: whole frames, and no more of them than fit, but at least one.

        What was begun goes alone.

        Raises:
            SlowConsumer: what comes next is of the past, and a history has dropped it.
        """
        self.handed_on_at = now
        begun, self._begun = self._begun, b""
        taken = begun or b"".join(self._past.take(at_most_bytes)) or self._queue.take(at_most_bytes)
        self._recount()
        return taken

    def note_written(self, size: int) -> None:
        """Count what the transport was handed, in bytes, whether or not it was queued before."""
        self.with_transport += size
        self._budget.bytes += size

    def note_taken(self) -> None:
        """Take note that the transport has nothing any more."""
        self._budget.bytes -= self.with_transport
        self.with_transport = 0

    def take_over(self, other: "Backlog") -> None:
        """Count what is with the transport in the place of another one, with the time it has."""
        self.handed_on_at = other.handed_on_at
        self._write_deadline = max(self._write_deadline, other._write_deadline)
        self.note_written(other.with_transport)
        other.note_taken()

    def clear(self) -> None:
        """Forget everything that is queued."""
        self._begun = b""
        self._past.clear()
        self._queue.clear()
        self._recount()

    def check(self, now: float) -> None:
        """Judge how long the socket has been at the piece that it was handed last.

        Raises:
            SlowConsumer: for the write deadline or longer, or so long that a history has dropped
                what comes next.
        """
        self._past.check()
        if now - self.handed_on_at >= self._write_deadline:
            raise SlowConsumer(f"what was written {self._write_deadline:g} s ago is not yet read")

    def next_sequence(self) -> int | None:
        """Return the number of the first batch that was not told of yet; None if there is none."""
        unsent = self._unsent()
        return None if unsent is None else unsent[0]

    def unsent(self) -> str:
        """Say which batches are queued; nothing if there are none."""
        unsent = self._unsent()
        if unsent is None:
            return ""
        first, last = unsent
        if first == last:
            return f"batch {first} was not sent"
        return f"batches {first} to {last} were not sent"

    def _unsent(self) -> tuple[int, int] | None:
        past, queued = self._past.numbers(), self._queue.unsent()
        if past is None or queued is None:
            return past or queued
        return past[0], queued[1]

    def _recount(self) -> None:
        counted = len(self._begun) + self._queue.queued_bytes
        self._budget.bytes += counted - self._counted
        self._counted = counted
        self.bytes = counted + self._past.length
