"""The loop of one process of a load: it polls, has the work done, and listens to the parent."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection
from typing import Protocol

from tickstorm.bench.jobs import Begin, Progress
from tickstorm.bench.meter import Meter
from tickstorm.bench.receipts import OVERDUE_NS

MAX_EVENTS = 1024
"""How many connections are read before anything else is looked at again."""
PROGRESS_SECONDS = 0.25
HOUSE_NS = 2_000_000
"""How often is done what is not about the connections that are ready."""
POLL_SECONDS = 0.002
"""The same while none is."""
_CONTROL = select.EPOLLIN | select.EPOLLRDNORM
"""Both are reported then, which tells this from a connection, where one was asked for."""

Poll = Callable[[float, int], Sequence[tuple[int, int]]]
"""Waits for at most some seconds and returns at most some events, as `select.epoll.poll` does."""


class Work(Protocol):
    """What a process does."""

    @property
    def progress(self) -> Progress:
        """How far it is."""

    @property
    def settled(self) -> bool:
        """Whether nothing is awaited any more, once the measured time is over."""

    def take(self, events: Iterable[tuple[int, int]]) -> None:
        """Take what the poll has returned; that of `Loop.control` is an order, for `Loop.hear`."""

    def keep_house(self) -> None:
        """Do what is to be done now and then."""

    def end(self, now_ns: int) -> None:
        """Take what there is as all."""


class Loop:
    """Turns until the measured time is over, or somebody says stop.

    Args:
        control: as `load.run_job` has it.
        epoll: watches it.
        poll: waits for what this epoll watches.
        meter: is told of each turn.
        wall_ns: nanoseconds since the Unix epoch.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        control: Connection,
        epoll: select.epoll,
        poll: Poll,
        meter: Meter,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.control = control.fileno()
        """The file descriptor that brings orders."""
        self._connection = control
        self._poll = poll
        self._meter = meter
        self._wall_ns = wall_ns
        self._monotonic = monotonic
        self._window: Begin | None = None
        self._stopped = False
        self._tell_at = 0.0
        self._told = Progress(0, 0, ready=False)
        epoll.register(self.control, _CONTROL)

    def run(self, work: Work) -> None:
        """Have it done to its end."""
        keep_house_ns = 0
        while not self._stopped:
            asked_ns = self._wall_ns()
            events = self._poll(POLL_SECONDS, MAX_EVENTS)
            woken_ns = self._wall_ns()
            work.take(events)
            self._meter.turned(asked_ns, woken_ns, self._wall_ns(), len(events))
            # With many connections a turn is about a few of them: what is not about them can wait.
            if not keep_house_ns - HOUSE_NS <= woken_ns < keep_house_ns:
                keep_house_ns = woken_ns + HOUSE_NS
                work.keep_house()
                self._tell(work.progress)
                self._stopped = self._stopped or self._over(woken_ns, work)
        now_ns = self._wall_ns()
        self._meter.end(now_ns)
        work.end(now_ns)

    def hear(self) -> Begin | None:
        """Take an order; returns the time to measure if it says that."""
        try:
            told = self._connection.recv()
        except (EOFError, OSError):
            told = None
        if not isinstance(told, Begin):
            self._stopped = True
            return None
        self._window = told
        self._meter.measure(told)
        return told

    def _over(self, now_ns: int, work: Work) -> bool:
        if self._window is None or now_ns < self._window.end_ns:
            return False
        return work.settled or now_ns >= self._window.end_ns + OVERDUE_NS

    def _tell(self, progress: Progress) -> None:
        """Tell how far this is, if that has changed and was not told just before."""
        now = self._monotonic()
        if progress == self._told or now < self._tell_at:
            return
        self._tell_at = now + PROGRESS_SECONDS
        self._told = progress
        try:
            self._connection.send(progress)
        except OSError:
            self._stopped = True
