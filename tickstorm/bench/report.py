"""What a measurement says: its figures, and whether anything was lost. Pure.

Everything that is shown is in `as_json`; the table has a choice of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tickstorm.bench.doubts import doubts
from tickstorm.bench.effort import Effort, figures, rate
from tickstorm.bench.latencies import summarise
from tickstorm.bench.outcome import Outcome


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
        self.effort = Effort(outcome, asked.processes, asked.cores)
        self.total = self.effort.total
        self.latency = summarise(self.total.latencies)
        self.corrected = summarise(self.total.corrected)
        self.handshake = summarise(self.total.handshakes)
        self.round_trip = summarise(self.total.round_trips)

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
        return self.effort.exit_code(self.losses)

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
            "handshakes_per_s": self.effort.handshakes_per_second,
            "batches": {
                "received": total.batches,
                "per_s": rate(total.batches, seconds),
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
            "ticks": {"received": total.ticks, "per_s": rate(total.ticks, seconds)},
            "bytes": {"received": total.bytes, "per_s": rate(total.bytes, seconds)},
            "latency_ms": figures(self.latency),
            "corrected_latency_ms": figures(self.corrected),
            "handshake_ms": figures(self.handshake),
            "round_trip_ms": figures(self.round_trip),
            "server": self.effort.server_json("batch", total.batches),
            "server_clock_ahead_ms": self.asked.ahead_ms,
            "machine_busy_percent": 100 * self.effort.machine_busy,
            "load_generator": self.effort.load_json("batch", total.batches),
            "warnings": list(self.warnings),
        }
