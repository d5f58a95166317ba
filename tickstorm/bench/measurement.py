"""One measurement from the first connection to the last figure."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from tickstorm.bench.cpu_log import CpuLog
from tickstorm.bench.crew import Crew
from tickstorm.bench.jobs import Begin, Progress
from tickstorm.bench.outcome import MachineUse, Outcome, ServerUse
from tickstorm.bench.server_process import Server

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
        machine_busy: seconds that the cores of this machine together were not idle so far.
        server: None if its processes are not known.
        watcher: is shown how it goes.
    """

    def __init__(
        self,
        crew: Crew,
        seconds: float,
        machine_busy: Callable[[], float],
        server: Server | None,
        watcher: Watcher,
    ) -> None:
        self._crew = crew
        self._seconds = seconds
        self._machine_busy = machine_busy
        self._server = server
        self._watcher = watcher
        self._start_ns = 0
        self._machine: tuple[int, float] | None = None
        self._cpu: CpuLog | None = None

    def run(self) -> Outcome:
        """Measure to the end, or until an interrupt."""
        interrupted = False
        try:
            self._measure()
        except KeyboardInterrupt:
            interrupted = True
            self._crew.stop()
        now_ns = time.time_ns()
        machine, server = self._machine_use(now_ns), self._server_use()
        tallies = self._crew.tallies()
        ended_ns = min(now_ns, self._end_ns)
        measured_ns = max(0, ended_ns - self._start_ns) if self._start_ns else 0
        return Outcome(
            tuple(tally for tally in tallies if tally is not None),
            self._crew.endings(),
            measured_ns / 1e9,
            ended_ns,
            machine,
            server,
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
        self._machine = time.time_ns(), self._machine_busy()
        if self._server is not None:
            self._cpu = CpuLog(self._server.cpu())
        crew.await_time(self._end_ns, self._show)
        self._show()
        if crew.progress.deserted:
            crew.stop()

    def _show(self) -> None:
        # A process of the server that ends takes its figures with it: they are seen before.
        if self._server is not None and self._cpu is not None:
            self._cpu.look(self._server.cpu_of(self._cpu.pids))
        self._watcher.measuring(min(self._seconds, (time.time_ns() - self._start_ns) / 1e9))

    def _machine_use(self, now_ns: int) -> MachineUse | None:
        if self._machine is None:
            return None
        began_ns, busy = self._machine
        return MachineUse(self._machine_busy() - busy, (now_ns - began_ns) / 1e9)

    def _server_use(self) -> ServerUse | None:
        if self._server is None or self._cpu is None:
            return None
        cpu = self._server.cpu()
        self._cpu.look(cpu)
        return ServerUse(tuple(cpu), self._cpu.ended(cpu), self._cpu.used, self._server.memory())


def _nothing() -> None:
    return None
