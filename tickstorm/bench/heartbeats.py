"""Which heartbeats were sent and are not answered yet. Pure: the caller has sockets and clock.

A heartbeat without a PONG is as slow as one can be: it counts with the time that it waited, and as
a loss.
"""

from collections import deque

from tickstorm.bench.latencies import add_latency
from tickstorm.bench.tally import Tally

OVERDUE_NS = 1_000_000_000
"""How long one waits before it is unanswered at the end."""
MAX_WAITING = 64
"""Of one connection; the oldest of more is unanswered."""


class Heartbeats:
    """The heartbeats of all connections of a process. Times are nanoseconds since the Unix epoch.

    Args:
        tally: takes the counts.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._waiting: dict[int, deque[int]] = {}

    def sent(self, connection: int, now_ns: int) -> None:
        """Take that a connection has sent one, with this time as its sequence."""
        waiting = self._waiting.setdefault(connection, deque())
        if len(waiting) >= MAX_WAITING:
            self._unanswered(waiting.popleft(), now_ns)
        waiting.append(now_ns)

    def answered(self, connection: int, sequence: int, now_ns: int) -> None:
        """Take a PONG: of the heartbeat with its sequence; without one, of the oldest."""
        waiting = self._waiting.get(connection)
        if not waiting:
            return
        sent_ns = sequence or waiting[0]
        if sent_ns not in waiting:
            return
        waiting.remove(sent_ns)
        add_latency(self._tally.round_trips, (now_ns - sent_ns) // 1000)
        if not waiting:
            del self._waiting[connection]

    def leave(self, connection: int, now_ns: int) -> None:
        """Expect no more on a connection."""
        for sent_ns in self._waiting.pop(connection, ()):
            if now_ns - sent_ns >= OVERDUE_NS:
                self._unanswered(sent_ns, now_ns)

    def end(self, now_ns: int) -> None:
        """Count what is overdue by now."""
        for connection in tuple(self._waiting):
            self.leave(connection, now_ns)

    def _unanswered(self, sent_ns: int, now_ns: int) -> None:
        self._tally.unanswered += 1
        add_latency(self._tally.round_trips, (now_ns - sent_ns) // 1000)
