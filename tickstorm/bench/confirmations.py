"""Which bids were sent, and which of them have a RESULT. Pure: the caller has sockets and clock.

RESULTs come in the order of a connection's bids, so no bid needs a name: each RESULT is that of the
oldest bid without one. Two latencies are counted of the bids that were due within the measured
time: from sending a bid to its RESULT; and, where bids have a rate and so each is due at a moment,
from that to its RESULT, which is corrected for coordinated omission: a bid that had to wait for the
RESULTs of others, or for the load itself, counts with that time. A bid without a RESULT counts with
the time that it has waited.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from tickstorm.bench.heartbeats import OVERDUE_NS
from tickstorm.bench.jobs import Begin
from tickstorm.bench.latencies import add_latency
from tickstorm.bench.tally import Tally
from tickstorm.errors import InvalidMessage


class Sent(NamedTuple):
    """Bids of one connection that were sent together.

    Attributes:
        due_ns: when they were due, since the Unix epoch; if nothing was, when they were sent.
        sent_ns: when they were sent, likewise.
        bids: how many.
    """

    due_ns: int
    sent_ns: int
    bids: int


class Confirmations:
    """The bids of all connections of a process.

    Args:
        tally: takes the counts.
        paced: whether bids have a rate.
    """

    def __init__(self, tally: Tally, *, paced: bool) -> None:
        self._tally = tally
        self._paced = paced
        self._waiting: dict[int, deque[Sent]] = {}
        self._missing: dict[int, int] = {}
        self._window = Begin(0, 0)

    def __contains__(self, connection: int) -> bool:
        return connection in self._waiting

    def __iter__(self) -> Iterator[int]:
        return iter(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def missing(self) -> bool:
        """Whether there are bids without a RESULT."""
        return any(self._missing.values())

    def measure(self, window: Begin) -> None:
        """Count what is of this time, and not before."""
        self._window = window

    def join(self, connection: int) -> None:
        """Take a connection that has sent nothing yet."""
        self._waiting[connection] = deque()
        self._missing[connection] = 0

    def missing_of(self, connection: int) -> int:
        """Return how many bids of a connection are without a RESULT."""
        return self._missing[connection]

    def sent(self, connection: int, group: Sent) -> None:
        """Take that a connection has sent some."""
        self._waiting[connection].append(group)
        self._missing[connection] += group.bids

    def confirmed(self, connection: int, outcomes: bytes, now_ns: int) -> None:
        """Take RESULTs: the outcome of each.

        Raises:
            InvalidMessage: they are more than the bids were.
        """
        count = len(outcomes)
        if count > self._missing[connection]:
            raise InvalidMessage("a RESULT came to no bid")
        self._missing[connection] -= count
        if self._window.start_ns <= now_ns < self._window.end_ns:
            self._tally.outcomes.update(outcomes)
        waiting = self._waiting[connection]
        while count:
            group = waiting.popleft()
            if group.bids > count:
                waiting.appendleft(group._replace(bids=group.bids - count))
                group = group._replace(bids=count)
            self._time(group, now_ns)
            count -= group.bids

    def leave(self, connection: int, now_ns: int) -> None:
        """Expect no more on a connection: what it was still to get is lost."""
        del self._missing[connection]
        for group in self._waiting.pop(connection):
            self._lose(group, now_ns)

    def end(self, now_ns: int) -> None:
        """Count what should be here by now."""
        for waiting in self._waiting.values():
            for group in waiting:
                if now_ns - group.sent_ns >= OVERDUE_NS:
                    self._lose(group, now_ns)

    def unsent(self, due_ns: int, now_ns: int) -> None:
        """Take that a bid was due and will not be sent."""
        self._tally.unsent += 1
        if self._measured(due_ns):
            add_latency(self._tally.corrected, (now_ns - due_ns) // 1000)

    def _lose(self, group: Sent, now_ns: int) -> None:
        self._tally.unconfirmed += group.bids
        self._time(group, now_ns)

    def _time(self, group: Sent, now_ns: int) -> None:
        due_ns, sent_ns, count = group
        if not self._measured(due_ns):
            return
        add_latency(self._tally.latencies, (now_ns - sent_ns) // 1000, count)
        if self._paced:
            add_latency(self._tally.corrected, (now_ns - due_ns) // 1000, count)

    def _measured(self, due_ns: int) -> bool:
        return self._window.start_ns <= due_ns < self._window.end_ns
