"""When to bid on which connection: as soon as there is room, or at an even pace. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import chain
from typing import Protocol

from tickstorm.bench.jobs import Begin
from tickstorm.bench.pace import EvenPace

MAX_BEHIND = 1_000_000
"""Bids of a process that may be due and not sent yet."""

Due = tuple[int, int]
"""When bids are due, in nanoseconds since the Unix epoch, and how many."""


class Demand(Protocol):
    """Says which connection is to bid, and how much. Times are nanoseconds since the Unix epoch."""

    @property
    def next_ns(self) -> int | None:
        """When the next bid is due that is not yet; None if none will be of itself."""

    @property
    def behind(self) -> int:
        """How many bids are due and wait for room."""

    def join(self, connection: int) -> None:
        """Take a connection that may bid."""

    def leave(self, connection: int) -> Iterable[int]:
        """Forget a connection; returns when the bids were due that it was still to send."""

    def start(self, window: Begin, now_ns: int) -> None:
        """Bid from now on, and until the end of the window."""

    def look(self, now_ns: int) -> Iterable[int]:
        """Yield the connections for which a bid has become due, apart from RESULTs."""

    def take(self, connection: int, room: int, now_ns: int) -> Iterable[Due]:
        """Return what a connection is to send now, at most `room` bids; these count as sent."""

    def drop(self) -> Iterable[int]:
        """Return when the bids were due that are never to be sent, each once."""

    def waiting(self) -> Iterable[int]:
        """Return when the bids were due that still wait for room."""


class Unpaced:
    """Each connection bids whenever it has room, until the end."""

    next_ns = None
    behind = 0

    def __init__(self) -> None:
        self._waiting: dict[int, None] = {}
        self._end_ns = 0

    def join(self, connection: int) -> None:
        """Take a connection that may bid."""
        self._waiting[connection] = None

    def leave(self, connection: int) -> Iterable[int]:
        """Forget a connection: nothing is ever due."""
        self._waiting.pop(connection, None)
        return ()

    def start(self, window: Begin, now_ns: int) -> None:  # noqa: ARG002 - nothing is due
        """Bid from now on."""
        self._end_ns = window.end_ns

    def look(self, now_ns: int) -> Iterable[int]:
        """Return, once each, the connections that have not bid yet."""
        if now_ns >= self._end_ns or not self._waiting:
            return ()
        waiting = tuple(self._waiting)
        self._waiting.clear()
        return waiting

    def take(self, connection: int, room: int, now_ns: int) -> Iterable[Due]:  # noqa: ARG002
        """Return as much as there is room for."""
        return ((now_ns, room),) if room > 0 and now_ns < self._end_ns else ()

    def drop(self) -> Iterable[int]:
        """Return nothing."""
        return ()

    def waiting(self) -> Iterable[int]:
        """Return nothing."""
        return ()


class Paced:
    """Bids become due at an even pace, on one connection after the other.

    Args:
        per_second: how many, on all connections of the process together.
        phase: where between two of them `start_ns` is, 0 to below 1.
        most_behind: bids that are due and not sent yet; more than that are never sent.
    """

    def __init__(self, per_second: float, phase: float, most_behind: int = MAX_BEHIND) -> None:
        self._per_second = per_second
        self._phase = phase
        self._most_behind = most_behind
        self._connections: deque[int] = deque()
        self._due: dict[int, deque[int]] = {}
        self._dropped: list[int] = []
        self._pace: EvenPace | None = None
        self._end_ns = 0
        self.behind = 0

    @property
    def next_ns(self) -> int | None:
        """When the next bid is due; None before the start and after the end."""
        if self._pace is None:
            return None
        next_ns = self._pace.next_ns
        return next_ns if next_ns < self._end_ns else None

    def join(self, connection: int) -> None:
        """Take a connection that may bid."""
        self._connections.append(connection)
        self._due[connection] = deque()

    def leave(self, connection: int) -> Iterable[int]:
        """Forget a connection; returns when the bids were due that it was still to send."""
        self._connections.remove(connection)
        due = self._due.pop(connection)
        self.behind -= len(due)
        return due

    def start(self, window: Begin, now_ns: int) -> None:
        """Bid from now on, and until the end of the window."""
        self._pace = EvenPace(self._per_second, self._phase, window.start_ns, now_ns)
        self._end_ns = window.end_ns

    def look(self, now_ns: int) -> Iterable[int]:
        """Yield the connections for which a bid has become due."""
        if self._pace is None:
            return
        for due_ns in self._pace.due(min(now_ns, self._end_ns - 1)):
            if not self._connections or self.behind >= self._most_behind:
                self._dropped.append(due_ns)
                continue
            connection = self._connections[0]
            self._connections.rotate(-1)
            self._due[connection].append(due_ns)
            self.behind += 1
            yield connection

    def take(self, connection: int, room: int, now_ns: int) -> Iterable[Due]:  # noqa: ARG002
        """Return the bids that were due first, each by itself."""
        due = self._due[connection]
        count = min(room, len(due))
        self.behind -= count
        return [(due.popleft(), 1) for _ in range(count)]

    def drop(self) -> Iterable[int]:
        """Return when the bids were due that are never to be sent, each once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def waiting(self) -> Iterable[int]:
        """Return when the bids were due that still wait for room."""
        return chain.from_iterable(self._due.values())
