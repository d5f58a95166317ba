"""What a measurement says: figures, warnings, and whether anything was lost. Pure.

Everything that is shown is in `as_json`; the table has a choice of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tickstorm.bench.latencies import Summary, summarise
from tickstorm.bench.outcome import Outcome, ServerUse
from tickstorm.bench.tally import Tally, sum_of

BUSY = 0.9
"""A process of the load that ran for this part of the time may have been what took the time."""
MACHINE_BUSY = 0.95
LAG_MS, LAG_SHARE = 5.0, 0.5
"""The same of one that read so late at its p99, and for such a part of the p99 of the latency."""
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
        cores: of this machine.
    """

    address: str
    mode: str
    period: float
    symbols: tuple[str, ...] | None
    connections: int
    processes: int
    local: bool
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
            "crc_failures": total.crc_failures,
            "garbled": total.garbled,
        }

    @property
    def exit_code(self) -> int:
        """What the whole comes to."""
        if self.outcome.interrupted:
            return INTERRUPTED
        if not self.total.subscribed:
            return NOT_RUN
        lost = any(self.losses.values()) or self.outcome.endings
        return SOMETHING_LOST if lost else NOTHING_LOST

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why not all figures are to be believed, a line each."""
        found = (*self.outcome.endings, *self._load_warnings(), self._clock_warning())
        return tuple(line for line in (*found, self._quiet_warning()) if line)

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
            "refusals": total.refusals,
            "errors": total.errors,
            "handshakes_per_s": self.handshakes_per_second,
            "batches": {
                "received": total.batches,
                "per_s": _rate(total.batches, seconds),
                "missing": total.missing,
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
            "server": _server(self.outcome.server, total),
            "load_generator": {
                "processes": self.asked.processes,
                "cpu_percent": 100 * _rate(total.cpu_ns, total.wall_ns),
                "cpu_us_per_batch": _rate(total.cpu_ns / 1e3, total.batches),
                "busiest_percent": 100 * self.busiest,
                "lag_ms": _figures(self.lag),
            },
            "warnings": list(self.warnings),
        }

    def _load_warnings(self) -> tuple[str, ...]:
        bounds = "latencies are upper bounds"
        lines = []
        if self.busiest >= BUSY:
            lines.append(
                f"the load generator was busy {100 * self.busiest:.0f} % of the time: {bounds}"
            )
        if self.lag is not None and self.latency is not None:
            lag, latency = self.lag.percentiles[99.0], self.latency.percentiles[99.0]
            if lag >= max(LAG_MS, LAG_SHARE * latency):
                lines.append(f"the load generator read up to {lag:.0f} ms late (p99): {bounds}")
        server = self.outcome.server
        if server is not None and self.asked.local:
            busy = min(1.0, server.machine_busy / (server.wall * self.asked.cores))
            if busy >= MACHINE_BUSY:
                lines.append(
                    f"this machine, which has the server and the load generator, was busy "
                    f"{100 * busy:.0f} % of the time: {bounds}"
                )
        return tuple(lines)

    def _clock_warning(self) -> str:
        early = self.total.early
        if not early:
            return ""
        return f"{early:,} batches came before they were published, as the clocks have it"

    def _quiet_warning(self) -> str:
        if not self.total.subscribed or self.total.batches or not self.outcome.seconds:
            return ""
        if self.asked.period > self.outcome.seconds:
            return f"a batch comes once in {self.asked.period:g} s: measure for longer"
        return "no batch arrived in the measured time"


def _figures(summary: Summary | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    by_name = {f"p{percentile:g}": value for percentile, value in summary.percentiles.items()}
    return {"count": summary.total, **by_name, "max": summary.max, "hdr_us": summary.encoded}


def _server(use: ServerUse | None, total: Tally) -> dict[str, Any] | None:
    if use is None:
        return None
    return {
        "processes": len(use.pids),
        "pids": list(use.pids),
        "cpu_percent": 100 * _rate(use.cpu, use.wall),
        "cpu_us_per_batch": _rate(use.cpu * 1e6, total.batches),
        "memory_bytes": use.memory,
    }


def _rate(amount: float, over: float) -> float:
    return amount / over if over else 0.0
