"""How busy load, machine and server were, and how fast the connections came. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tickstorm.bench.latencies import Summary, summarise
from tickstorm.bench.outcome import Outcome
from tickstorm.bench.tally import Tally, sum_of

NOTHING_LOST, NOT_RUN, SOMETHING_LOST, INTERRUPTED = 0, 1, 3, 130
"""The exit codes."""


class Effort:
    """What a measurement took.

    Args:
        outcome: what came of it.
        processes: how many the load has.
        cores: of this machine.
    """

    def __init__(self, outcome: Outcome, processes: int, cores: int) -> None:
        self.outcome = outcome
        self.processes = processes
        self.total: Tally = sum_of(outcome.tallies)
        self.lag = summarise(self.total.lags)
        self._cores = cores

    @property
    def busiest(self) -> float:
        """Which part of the time the busiest process of the load ran."""
        return max((tally.busy for tally in self.outcome.tallies), default=0.0)

    @property
    def busiest_connecting(self) -> float:
        """The same while it connected."""
        return max((tally.busy_connecting for tally in self.outcome.tallies), default=0.0)

    @property
    def machine_busy(self) -> float:
        """Which part of the time the cores of this machine were not idle, 0 to 1."""
        use = self.outcome.machine
        return min(1.0, rate(use.busy, use.wall * self._cores)) if use is not None else 0.0

    @property
    def server_cpu(self) -> float:
        """Which part of the time the server ran, 0 to 1 for each core; 0 if it is not known."""
        server, machine = self.outcome.server, self.outcome.machine
        return rate(server.cpu, machine.wall) if server is not None and machine is not None else 0.0

    @property
    def handshakes_per_second(self) -> float:
        """From the first beginning to the last connection that is in; 0 for none."""
        span = self.total.last_subscribed_ns - self.total.first_begun_ns
        return self.total.subscribed / span * 1e9 if self.total.subscribed and span > 0 else 0.0

    def exit_code(self, losses: Mapping[str, int]) -> int:
        """What the whole comes to, with these losses."""
        if self.outcome.interrupted:
            return INTERRUPTED
        if not self.total.subscribed:
            return NOT_RUN
        return SOMETHING_LOST if any(losses.values()) else NOTHING_LOST

    def server_json(self, noun: str, count: int) -> dict[str, Any] | None:
        """Return the server's part as JSON has it; None if it is not known.

        Args:
            noun: what its CPU time is told for each of.
            count: how many there were.
        """
        use = self.outcome.server
        if use is None:
            return None
        return {
            "processes": len(use.pids),
            "pids": list(use.pids),
            "ended": use.ended,
            "cpu_percent": 100 * self.server_cpu,
            f"cpu_us_per_{noun}": rate(use.cpu * 1e6, count) or None,
            "memory_bytes": use.memory,
        }

    def load_json(self, noun: str, count: int) -> dict[str, Any]:
        """Return the load's own part likewise."""
        total = self.total
        return {
            "processes": self.processes,
            "cpu_percent": 100 * rate(total.cpu_ns, total.wall_ns),
            f"cpu_us_per_{noun}": rate(total.cpu_ns / 1e3, count),
            "busiest_percent": 100 * self.busiest,
            "busiest_connecting_percent": 100 * self.busiest_connecting,
            "lag_ms": figures(self.lag),
        }


def figures(summary: Summary | None) -> dict[str, Any] | None:
    """Return a summary as JSON has it."""
    if summary is None:
        return None
    by_name = {f"p{percentile:g}": value for percentile, value in summary.percentiles.items()}
    return {"count": summary.total, **by_name, "max": summary.max, "hdr_us": summary.encoded}


def rate(amount: float, over: float) -> float:
    """Return how much that is for each; 0 for none."""
    return amount / over if over else 0.0
