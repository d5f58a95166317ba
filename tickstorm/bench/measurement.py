"""One measurement from the first connection to the last figure."""

from __future__ import annotations

import time
from typing import Protocol

from tickstorm.bench.crew import Crew
from tickstorm.bench.jobs import Begin, Progress
from tickstorm.bench.outcome import Outcome, ServerUse
from tickstorm.bench.server_process import Server, Use

LEAD_NS = 500_000_000
"""How long before the measured time it is announced."""


class Watcher(Protocol):
    """Is shown how a measurement goes, several times a second."""

    def connecting(self, progress: Progress) -> None:
        """Take how far the connections are."""

    def measuring(self, seconds: float) -> None:
        """Take how much of the measured time is over."""


class Measurement:
    """Lets a crew connect, and then measures.

    Args:
        crew: has the connections; it is running.
        seconds: how long to measure.
        server: None if its processes are not known.
        watcher: is shown how it goes.
    """

    def __init__(self, crew: Crew, seconds: float, server: Server | None, watcher: Watcher) -> None:
        self._crew = crew
        self._seconds = seconds
        self._server = server
        self._watcher = watcher
        self._start_ns = 0
        self._before: tuple[int, Use] | None = None
        self._use: ServerUse | None = None

    def run(self) -> Outcome:
        """Measure to the end, or until an interrupt."""
        interrupted = False
        try:
            self._measure()
        except KeyboardInterrupt:
            interrupted = True
            self._crew.stop()
        now_ns = time.time_ns()
        if self._use is None:
            self._use = self._server_use(now_ns)
        tallies = self._crew.tallies()
        measured_ns = min(now_ns, self._end_ns) - self._start_ns if self._start_ns else 0
        return Outcome(
            tuple(tally for tally in tallies if tally is not None),
            self._crew.endings(),
            max(0, measured_ns) / 1e9,
            self._use,
            interrupted,
        )

    @property
    def _end_ns(self) -> int:
        return self._start_ns + int(self._seconds * 1e9)

    def _measure(self) -> None:
        crew, watcher = self._crew, self._watcher
        crew.await_ready(lambda: watcher.connecting(crew.progress))
        if not crew.progress.subscribed:
            crew.stop()
            return
        self._start_ns = time.time_ns() + LEAD_NS
        crew.begin(Begin(self._start_ns, self._end_ns))
        crew.await_time(self._start_ns, _nothing)
        if self._server is not None:
            self._before = time.time_ns(), self._server.use()
        crew.await_time(self._end_ns, self._show)
        self._show()
        self._use = self._server_use(time.time_ns())

    def _show(self) -> None:
        self._watcher.measuring(min(self._seconds, (time.time_ns() - self._start_ns) / 1e9))

    def _server_use(self, now_ns: int) -> ServerUse | None:
        if self._server is None or self._before is None:
            return None
        began_ns, before = self._before
        after = self._server.use()
        return ServerUse(
            after.pids,
            after.cpu - before.cpu,
            self._server.memory(),
            after.busy - before.busy,
            (now_ns - began_ns) / 1e9,
        )


def _nothing() -> None:
    return None
