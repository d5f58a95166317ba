"""Connections on their way in: each is opened, says who it is, and then is in or refused."""

from __future__ import annotations

import errno
import os
import select
import ssl
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from tickstorm.bench.jobs import Job
from tickstorm.bench.latencies import add_latency
from tickstorm.bench.tally import Tally
from tickstorm.bench.wire import Wire

LOGIN_SECONDS = 30.0
"""A login that takes longer has failed."""


class Arriving(Protocol):
    """What is known of a connection on its way: its number, and when it began."""

    @property
    def number(self) -> int:
        """Of the connection among all."""

    @property
    def began_ns(self) -> int:
        """Since the Unix epoch."""

    @property
    def hello(self) -> bytes:
        """What it sends first."""


A = TypeVar("A", bound=Arriving)


class Arrivals(Generic[A]):
    """The connections of a process that are on their way, by their file descriptors.

    Args:
        job: how many there are to be, and where.
        make: makes what is known of one, of its number and the time.
        wire: opens them.
        epoll: watches them.
        tally: takes what becomes of them.
        wall_ns: nanoseconds since the Unix epoch.
    """

    def __init__(
        self,
        job: Job,
        make: Callable[[int, int], A],
        wire: Wire,
        epoll: select.epoll,
        tally: Tally,
        *,
        wall_ns: Callable[[], int],
    ) -> None:
        self._job = job
        self._make = make
        self._wire = wire
        self._epoll = epoll
        self._tally = tally
        self._wall_ns = wall_ns
        self._under_way: dict[int, A] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def get(self, connection: int) -> A | None:
        """Return what is known of one; None if it is not on its way."""
        return self._under_way.get(connection)

    def begin(self, count: int) -> None:
        """Begin to connect that many more."""
        for _ in range(count):
            self._begin()

    def connected(self, connection: int) -> None:
        """Say hello, as it may be written to now."""
        try:
            self._wire.write(connection, self._under_way[connection].hello)
        except BlockingIOError:
            return
        except OSError as error:
            self.refuse(connection, reason(error))
        else:
            self._epoll.modify(connection, select.EPOLLIN)

    def come_in(self, connection: int, now_ns: int) -> A:
        """Take that one is in, and return what was known of it."""
        arrived = self._under_way.pop(connection)
        self._tally.subscribed += 1
        self._tally.last_subscribed_ns = now_ns
        add_latency(self._tally.handshakes, (now_ns - arrived.began_ns) // 1000)
        return arrived

    def refuse(self, connection: int, why: str) -> None:
        """Give one up."""
        del self._under_way[connection]
        count(self._tally.refusals, why)
        self._wire.close(connection)

    def give_up_late(self) -> None:
        """Give up those that have been under way for too long."""
        late_ns = self._wall_ns() - int(LOGIN_SECONDS * 1e9)
        while self._under_way:
            oldest = next(iter(self._under_way))
            if self._under_way[oldest].began_ns > late_ns:
                return
            self.refuse(oldest, f"no answer within {LOGIN_SECONDS:g} s")

    def close(self) -> None:
        """Close them without counting that."""
        for connection in self._under_way:
            self._wire.close(connection)

    def _begin(self) -> None:
        job, tally = self._job, self._tally
        index = tally.connections
        source = job.sources[index % len(job.sources)] if job.sources else ""
        now_ns = self._wall_ns()
        tally.connections += 1
        tally.first_begun_ns = tally.first_begun_ns or now_ns
        try:
            connection = self._wire.open(job.place, source)
        except OSError as error:
            count(tally.refusals, reason(error))
            return
        self._under_way[connection] = self._make(job.first + index, now_ns)
        self._epoll.register(connection, select.EPOLLIN | select.EPOLLOUT)


def count(table: dict[str, int], name: str) -> None:
    """Count one more of a name."""
    table[name] = table.get(name, 0) + 1


def reason(error: OSError) -> str:
    """Return what went wrong, in few words that are the same each time."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no free port at the source address"
    return os.strerror(error.errno) if error.errno else type(error).__name__
