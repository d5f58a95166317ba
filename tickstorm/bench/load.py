"""One process of the load: an epoll loop over its connections, from the first to the last.

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

from tickstorm.bench.connections import READ_BYTES, Connections
from tickstorm.bench.jobs import Begin, Job, Progress
from tickstorm.bench.meter import Meter
from tickstorm.bench.pace import Ramp
from tickstorm.bench.receipts import OVERDUE_NS, Receipts
from tickstorm.bench.tally import Tally
from tickstorm.bench.wire import Wire, make_wire

MAX_EVENTS = 1024
"""How many connections are read before anything else is looked at again."""
MAX_OUTSTANDING = 100
"""Logins under way at once in a process."""
PROGRESS_SECONDS = 0.25
HOUSE_NS = 2_000_000
"""How often is done what is not about the connections that are ready."""
POLL_SECONDS = 0.002
"""The same while none is."""
_CONTROL = select.EPOLLIN | select.EPOLLRDNORM
"""Both are reported then, which tells this from a connection, where one was asked for."""


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
        control.send(Load(job, control, make_wire(job.tls), epoll, files).run())


class Load:
    """The loop of one process.

    Args:
        job: what to do.
        control: as `run_job` has it.
        wire: opens and reads the connections.
        epoll: watches them.
        files: every file descriptor is below this.
        wall_ns: nanoseconds since the Unix epoch.
        monotonic: seconds that never go back.
    """

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
        self._control = control
        self._wire = wire
        self._epoll = epoll
        self._tally = Tally()
        self._receipts = Receipts(self._tally, job.period_ns, files, job.ahead_ns)
        self._connections = Connections(
            job, wire, epoll, self._tally, self._receipts, wall_ns=wall_ns, monotonic=monotonic
        )
        self._wall_ns = wall_ns
        self._monotonic = monotonic
        self._ramp = Ramp(job.connections, job.per_second, MAX_OUTSTANDING, monotonic())
        self._meter = Meter(self._tally, time.process_time_ns, MAX_EVENTS)
        self._window: Begin | None = None
        self._stopped = False
        self._tell_at = 0.0
        self._told = Progress(0, 0, ready=False)
        epoll.register(control.fileno(), _CONTROL)

    def run(self) -> Tally:
        """Return what was counted once the time is over, or somebody says stop."""
        keep_house_ns = 0
        while not self._stopped:
            asked_ns = self._wall_ns()
            events = self._epoll.poll(POLL_SECONDS, MAX_EVENTS)
            woken_ns = self._wall_ns()
            self._take(events)
            self._meter.turned(asked_ns, woken_ns, self._wall_ns(), len(events))
            # With many connections a turn is about a few of them: what is not about them can wait.
            if not keep_house_ns - HOUSE_NS <= woken_ns < keep_house_ns:
                keep_house_ns = woken_ns + HOUSE_NS
                self._keep_house(woken_ns)
        return self._end()

    def _keep_house(self, now_ns: int) -> None:
        """Do what is to be done now and then."""
        under_way = self._connections.logging_in
        self._connections.begin(self._ramp.take(self._monotonic(), under_way))
        self._connections.send_heartbeats()
        self._connections.give_up_late_logins()
        self._tell()
        self._stopped = self._stopped or self._over(now_ns)

    def _end(self) -> Tally:
        now_ns = self._wall_ns()
        self._meter.end(now_ns)
        self._receipts.end(now_ns)
        self._connections.end(now_ns)
        return self._tally

    def _take(self, events: Iterable[tuple[int, int]]) -> None:
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
        if descriptor == self._control.fileno():
            self._hear()
        else:
            self._connections.ready(descriptor, mask)

    def _hear(self) -> None:
        try:
            told = self._control.recv()
        except (EOFError, OSError):
            told = None
        if isinstance(told, Begin):
            self._window = told
            self._receipts.measure(told.start_ns, told.end_ns)
            self._meter.measure(told)
        else:
            self._stopped = True

    def _over(self, now_ns: int) -> bool:
        return self._window is not None and now_ns >= self._window.end_ns + OVERDUE_NS

    def _tell(self) -> None:
        """Tell how far this is, if that has changed and was not told just before."""
        now = self._monotonic()
        progress = self._progress()
        if progress == self._told or now < self._tell_at:
            return
        self._tell_at = now + PROGRESS_SECONDS
        self._told = progress
        try:
            self._control.send(progress)
        except OSError:
            self._stopped = True

    def _progress(self) -> Progress:
        # Without a connection it goes on all the same: what others still get is missing here.
        ready = self._ramp.done and not self._connections.logging_in
        deserted = ready and not self._connections.subscribed
        return Progress(self._tally.subscribed, self._tally.refused, ready, deserted)
