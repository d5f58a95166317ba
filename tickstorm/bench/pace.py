"""When to connect, and when to send heartbeats. Pure: the caller has the clock.

The heartbeats of all connections together are an even flow, however fast the connections came.
"""

from collections.abc import Iterator
from math import ceil, inf

SLOT_SECONDS = 0.02
"""How far a heartbeat may be from its moment."""
GOLDEN_RATIO = 0.618033988749895
"""Its multiples, less their whole parts, lie evenly between 0 and 1 however many there are."""


class Ramp:
    """How many connections may be begun.

    Args:
        connections: how many to begin in all.
        per_second: how many a second; infinity for as fast as the others are done.
        outstanding: how many may be under way at once.
        now: when the first may begin, in seconds.
    """

    def __init__(self, connections: int, per_second: float, outstanding: int, now: float) -> None:
        self.begun = 0
        self._connections = connections
        self._per_second = per_second
        self._outstanding = outstanding
        self._began = now

    @property
    def done(self) -> bool:
        """Whether all have begun."""
        return self.begun == self._connections

    def take(self, now: float, under_way: int) -> int:
        """Return how many are to be begun now, and count them as begun."""
        due: float = self._connections
        if self._per_second < inf:
            due = min(due, 1 + int((now - self._began) * self._per_second))
        room = max(0, self._outstanding - under_way)
        count = max(0, min(int(due) - self.begun, room))
        self.begun += count
        return count


class EvenPace:
    """When each of something is due: one after the other, at an even pace.

    Args:
        per_second: how many a second, above 0.
        phase: 0 to below 1, how far behind `start_ns` one is, in parts of what lies between two.
        start_ns: a moment, in nanoseconds.
        now_ns: the first is due from here on, in nanoseconds.
    """

    def __init__(self, per_second: float, phase: float, start_ns: int, now_ns: int) -> None:
        self._start_ns = start_ns
        self._interval_ns = 1e9 / per_second
        self._place = ceil((now_ns - start_ns) / self._interval_ns - phase) + phase

    @property
    def next_ns(self) -> int:
        """When the next is due, in nanoseconds."""
        return self._start_ns + ceil(self._place * self._interval_ns)

    def due(self, until_ns: int) -> Iterator[int]:
        """Yield when each was due that is, up to a moment, and was not yielded before."""
        while (due_ns := self.next_ns) <= until_ns:
            self._place += 1
            yield due_ns


class HeartbeatWheel:
    """Whose heartbeat is due when: each connection has one moment of the interval.

    Args:
        interval: seconds between two heartbeats of a connection.
        now: seconds.
    """

    def __init__(self, interval: float, now: float) -> None:
        slots = max(1, round(interval / SLOT_SECONDS))
        self.slot_seconds = interval / slots
        self._slots: list[list[int]] = [[] for _ in range(slots)]
        self._next = int(now / self.slot_seconds)

    def add(self, connection: int, number: int) -> None:
        """Give a connection its moment.

        Args:
            connection: what `due` yields of it.
            number: of the connection among all of them, those of other wheels, too.
        """
        self._slots[int(number * GOLDEN_RATIO % 1 * len(self._slots))].append(connection)

    def discard(self, connection: int, number: int) -> None:
        """Take a connection out."""
        self._slots[int(number * GOLDEN_RATIO % 1 * len(self._slots))].remove(connection)

    def due(self, now: float) -> Iterator[int]:
        """Yield the connections whose moment has come since the last call, each once."""
        reached = int(now / self.slot_seconds)
        first = max(self._next, reached - len(self._slots) + 1)
        self._next = max(self._next, reached + 1)
        for slot in range(first, reached + 1):
            yield from tuple(self._slots[slot % len(self._slots)])
