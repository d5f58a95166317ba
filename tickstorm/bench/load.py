"""One process of the load: what it does with its connections, from the first to the last.

What arrives on a connection is nearly always the frame that arrived on the one before. So the loop
compares bytes and notes the time, and leaves all else to `Connections`.
"""

from __future__ import annotations

import gc
import resource
import select
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection

from tickstorm.bench.bid_load import BidLoad
from tickstorm.bench.connections import READ_BYTES, Connections
from tickstorm.bench.jobs import Job, Progress
from tickstorm.bench.loop import MAX_EVENTS, Loop
from tickstorm.bench.meter import Meter
from tickstorm.bench.pace import Ramp
from tickstorm.bench.receipts import Receipts
from tickstorm.bench.tally import Tally
from tickstorm.bench.wire import Wire, make_wire

MAX_OUTSTANDING = 100
"""Logins under way at once in a process."""


def run_job(job: Job, control: Connection) -> None:
    """Do a job to its end: the whole life of a process.

    Args:
        job: what to do.
        control: brings `Begin` and `Stop`, takes `Progress` and at the end a `Tally`. When its
            other end is closed, the job ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is meant for the parent, which then says Stop
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    gc.disable()  # the loop makes no cycles, and a collection would show in what it measures
    with select.epoll() as epoll, suppress(OSError):
        control.send(_load(job, control, epoll, files).run())


def _load(job: Job, control: Connection, epoll: select.epoll, files: int) -> Load | BidLoad:
    wire = make_wire(job.tls)
    if job.bidding is not None:
        return BidLoad(job, job.bidding, control, wire, epoll)
    return Load(job, control, wire, epoll, files)


class Load:
    """The work of one process.

    Args:
        job: what to do.
        control: as `run_job` has it.
        wire: opens and reads the connections.
        epoll: watches them.
        files: every file descriptor is below this.
        wall_ns: nanoseconds since the Unix epoch.
        monotonic: seconds that never go back.
    """

    settled = False
    """What was published within the measured time may still be under way at its end."""

    def __init__(
        self,
        job: Job,
        control: Connection,
        wire: Wire,
        epoll: select.epoll,
        files: int,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = wire
        self._tally = Tally()
        self._receipts = Receipts(self._tally, job.period_ns, files, job.ahead_ns)
        self._connections = Connections(
            job, wire, epoll, self._tally, self._receipts, wall_ns=wall_ns, monotonic=monotonic
        )
        self._wall_ns = wall_ns
        self._monotonic = monotonic
        self._ramp = Ramp(job.connections, job.per_second, MAX_OUTSTANDING, monotonic())
        meter = Meter(self._tally, time.process_time_ns, MAX_EVENTS)
        self._loop = Loop(control, epoll, epoll.poll, meter, wall_ns=wall_ns, monotonic=monotonic)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        # Without a connection it goes on all the same: what others still get is missing here.
        ready = self._ramp.done and not self._connections.logging_in
        deserted = ready and not self._connections.subscribed
        return Progress(self._tally.subscribed, self._tally.refused, ready, deserted)

    def run(self) -> Tally:
        """Return what was counted once the time is over, or somebody says stop."""
        self._loop.run(self)
        return self._tally

    def keep_house(self) -> None:
        """Begin connections, send heartbeats, and give up what takes too long."""
        under_way = self._connections.logging_in
        self._connections.begin(self._ramp.take(self._monotonic(), under_way))
        self._connections.send_heartbeats()
        self._connections.give_up_late_logins()

    def end(self, now_ns: int) -> None:
        """Count what is missing."""
        self._receipts.end(now_ns)
        self._connections.end(now_ns)

    def take(self, events: Iterable[tuple[int, int]]) -> None:
        """Read every connection that has something: all the cost of a load is here."""
        read, clock, readable = self._wire.read, self._wall_ns, select.EPOLLIN
        receipts, last = self._receipts, self._receipts.last
        frame, seen, append = receipts.current
        for connection, mask in events:
            if mask != readable:
                self._unusual(connection, mask)
                continue
            try:
                data = read(connection, READ_BYTES)
            except OSError as error:
                self._connections.failed(connection, error)
                continue
            now_ns = clock()
            if data == frame and last[connection] is seen.before:
                last[connection] = seen
                append(now_ns)
            else:
                self._connections.received(connection, data, now_ns)
                frame, seen, append = receipts.current

    def _unusual(self, descriptor: int, mask: int) -> None:
        if descriptor != self._loop.control:
            self._connections.ready(descriptor, mask)
            return
        window = self._loop.hear()
        if window is not None:
            self._receipts.measure(window.start_ns, window.end_ns)
