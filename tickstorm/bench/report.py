"""What a measurement says: its figures, and whether anything was lost. Pure.

Everything that is shown is in `as_json`; the table has a choice of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tickstorm.bench.doubts import doubts
from tickstorm.bench.latencies import Summary, summarise
from tickstorm.bench.outcome import Outcome
from tickstorm.bench.tally import Tally, sum_of

NOTHING_LOST, NOT_RUN, SOMETHING_LOST, INTERRUPTED = 0, 1, 3, 130
"""The exit codes."""


class Asked(NamedTuple):
    """What was asked for.

    Attributes:
        address: of the server.
        mode: its name.
        period: seconds between two batches of a connection; 0 for TICK.
        symbols: None for all.
        connections: how many.
        processes: how many the load has.
        local: whether the server is on this machine.
        ahead_ms: how far the server's clock is ahead of this machine's; that is put right.
        cores: of this machine.
    """

    address: str
    mode: str
    period: float
    symbols: tuple[str, ...] | None
    connections: int
    processes: int
    local: bool
    ahead_ms: float
    cores: int


class Report:
    """The figures of one measurement.

    Args:
        asked: what was asked for.
        outcome: what came of it.
    """

    def __init__(self, asked: Asked, outcome: Outcome) -> None:
        self.asked = asked
        self.outcome = outcome
        self.total: Tally = sum_of(outcome.tallies)
        self.latency = summarise(self.total.latencies)
        self.corrected = summarise(self.total.corrected)
        self.handshake = summarise(self.total.handshakes)
        self.round_trip = summarise(self.total.round_trips)
        self.lag = summarise(self.total.lags)

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
        return min(1.0, _rate(use.busy, use.wall * self.asked.cores)) if use is not None else 0.0

    @property
    def server_cpu(self) -> float:
        """Which part of the time the server ran, 0 to 1 for each core; 0 if it is not known."""
        server, machine = self.outcome.server, self.outcome.machine
        return (
            _rate(server.cpu, machine.wall) if server is not None and machine is not None else 0.0
        )

    @property
    def handshakes_per_second(self) -> float:
        """From the first beginning to the last subscription; 0 for none."""
        span = self.total.last_subscribed_ns - self.total.first_begun_ns
        return self.total.subscribed / span * 1e9 if self.total.subscribed and span > 0 else 0.0

    @property
    def losses(self) -> Mapping[str, int]:
        """What should have been 0, by name, in the order of the table."""
        total = self.total
        return {
            "refused": total.refused,
            "closed": total.closed,
            "errors": sum(total.errors.values()),
            "gaps": total.gaps,
            "lost": total.lost,
            "repeats": total.repeats,
            "restarts": total.restarts,
            "missing": total.missing,
            "overdue": total.overdue,
            "unanswered": total.unanswered,
            "crc_failures": total.crc_failures,
            "garbled": total.garbled,
            "processes": len(self.outcome.endings),
        }

    @property
    def exit_code(self) -> int:
        """What the whole comes to."""
        if self.outcome.interrupted:
            return INTERRUPTED
        if not self.total.subscribed:
            return NOT_RUN
        return SOMETHING_LOST if any(self.losses.values()) else NOTHING_LOST

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why not all figures are to be believed, a line each."""
        return doubts(self)

    def as_json(self) -> dict[str, Any]:
        """Return everything, as JSON has it."""
        total, seconds = self.total, self.outcome.seconds
        return {
            "address": self.asked.address,
            "mode": self.asked.mode,
            "period_s": self.asked.period or None,
            "symbols": self.asked.symbols,
            "seconds": seconds,
            "interrupted": self.outcome.interrupted,
            "exit_code": self.exit_code,
            "connections": {
                "asked": self.asked.connections,
                "subscribed": total.subscribed,
                "refused": total.refused,
                "closed": total.closed,
            },
            "heartbeats": {
                "answered": sum(total.round_trips.values()) - total.unanswered,
                "unanswered": total.unanswered,
            },
            "refusals": total.refusals,
            "errors": total.errors,
            "handshakes_per_s": self.handshakes_per_second,
            "batches": {
                "received": total.batches,
                "per_s": _rate(total.batches, seconds),
                "missing": total.missing,
                "overdue": total.overdue,
                "gaps": total.gaps,
                "lost": total.lost,
                "repeats": total.repeats,
                "restarts": total.restarts,
                "crc_failures": total.crc_failures,
                "garbled": total.garbled,
                "early": total.early,
            },
            "ticks": {"received": total.ticks, "per_s": _rate(total.ticks, seconds)},
            "bytes": {"received": total.bytes, "per_s": _rate(total.bytes, seconds)},
            "latency_ms": _figures(self.latency),
            "corrected_latency_ms": _figures(self.corrected),
            "handshake_ms": _figures(self.handshake),
            "round_trip_ms": _figures(self.round_trip),
            "server": self._server(),
            "server_clock_ahead_ms": self.asked.ahead_ms,
            "machine_busy_percent": 100 * self.machine_busy,
            "load_generator": {
                "processes": self.asked.processes,
                "cpu_percent": 100 * _rate(total.cpu_ns, total.wall_ns),
                "cpu_us_per_batch": _rate(total.cpu_ns / 1e3, total.batches),
                "busiest_percent": 100 * self.busiest,
                "busiest_connecting_percent": 100 * self.busiest_connecting,
                "lag_ms": _figures(self.lag),
            },
            "warnings": list(self.warnings),
        }

    def _server(self) -> dict[str, Any] | None:
        use = self.outcome.server
        if use is None:
            return None
        return {
            "processes": len(use.pids),
            "pids": list(use.pids),
            "ended": use.ended,
            "cpu_percent": 100 * self.server_cpu,
            "cpu_us_per_batch": _rate(use.cpu * 1e6, self.total.batches) or None,
            "memory_bytes": use.memory,
        }


def _figures(summary: Summary | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    by_name = {f"p{percentile:g}": value for percentile, value in summary.percentiles.items()}
    return {"count": summary.total, **by_name, "max": summary.max, "hdr_us": summary.encoded}


def _rate(amount: float, over: float) -> float:
    return amount / over if over else 0.0
