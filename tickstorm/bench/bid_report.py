"""What a measurement of bids says: its figures, and whether anything was lost. Pure.

Confirmed is a bid of which a RESULT came that an auction has decided. What a server answers without
that, because it limits rates or cannot reach its store, is cheap, and would make a sick server look
like a fast one: it is counted by itself, and as a loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tickstorm.auction.rule import Outcome as Said
from tickstorm.bench.doubts import doubts_of_load
from tickstorm.bench.effort import Effort, figures, rate
from tickstorm.bench.latencies import summarise
from tickstorm.bench.outcome import Outcome

_NAMES = {int(said): said.name for said in Said}
_DECIDED = {int(said) for said in Said if said.is_decided}


class BidsAsked(NamedTuple):
    """What was asked for.

    Attributes:
        address: of the server.
        auctions: in how many.
        pipeline: bids of a connection without a RESULT, at most.
        per_second: bids a second in all; None for as fast as RESULTs come.
        bid_ids: whether bids have ids.
        connections: how many.
        processes: how many the load has.
        local: whether the server is on this machine.
        cores: of this machine.
    """

    address: str
    auctions: int
    pipeline: int
    per_second: float | None
    bid_ids: bool
    connections: int
    processes: int
    local: bool
    cores: int


class BidReport:
    """The figures of one measurement of bids.

    Args:
        asked: what was asked for.
        outcome: what came of it.
    """

    def __init__(self, asked: BidsAsked, outcome: Outcome) -> None:
        self.asked = asked
        self.outcome = outcome
        self.effort = Effort(outcome, asked.processes, asked.cores)
        self.total = self.effort.total
        self.latency = summarise(self.total.latencies)
        self.corrected = summarise(self.total.corrected)
        self.first = summarise(self.total.handshakes)

    @property
    def confirmed(self) -> int:
        """How many bids were decided."""
        return sum(times for said, times in self.total.outcomes.items() if said in _DECIDED)

    @property
    def confirmed_per_second(self) -> float:
        """How many that is a second."""
        return rate(self.confirmed, self.outcome.seconds)

    @property
    def decided(self) -> Mapping[str, int]:
        """How many bids were decided how, most first."""
        return self._outcomes(decided=True)

    @property
    def undecided(self) -> Mapping[str, int]:
        """How many RESULTs said that nothing was decided, and why, most first."""
        return self._outcomes(decided=False)

    @property
    def losses(self) -> Mapping[str, int]:
        """What should have been 0, by name, in the order of the table."""
        total = self.total
        return {
            "refused": total.refused,
            "closed": total.closed,
            "errors": sum(total.errors.values()),
            "undecided": sum(self.undecided.values()),
            "unconfirmed": total.unconfirmed,
            "unsent": total.unsent,
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
        return (
            *doubts_of_load(self.effort, self.latency, local=self.asked.local),
            *self._doubts(),
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything, as JSON has it."""
        asked, total = self.asked, self.total
        return {
            "address": asked.address,
            "auctions": asked.auctions,
            "pipeline": asked.pipeline,
            "rate_per_s": asked.per_second,
            "bid_ids": asked.bid_ids,
            "seconds": self.outcome.seconds,
            "interrupted": self.outcome.interrupted,
            "exit_code": self.exit_code,
            "connections": {
                "asked": asked.connections,
                "answered": total.subscribed,
                "refused": total.refused,
                "closed": total.closed,
            },
            "refusals": total.refusals,
            "errors": total.errors,
            "handshakes_per_s": self.effort.handshakes_per_second,
            "bids": {
                "confirmed": self.confirmed,
                "per_s": self.confirmed_per_second,
                "decided": dict(self.decided),
                "undecided": dict(self.undecided),
                "unconfirmed": total.unconfirmed,
                "unsent": total.unsent,
                "garbled": total.garbled,
            },
            "latency_ms": figures(self.latency),
            "corrected_latency_ms": figures(self.corrected),
            "first_result_ms": figures(self.first),
            "server": self.effort.server_json("bid", self.confirmed),
            "machine_busy_percent": 100 * self.effort.machine_busy,
            "load_generator": self.effort.load_json("bid", self.confirmed),
            "warnings": list(self.warnings),
        }

    def _outcomes(self, *, decided: bool) -> dict[str, int]:
        outcomes = sorted(self.total.outcomes.items(), key=lambda item: -item[1])
        return {
            _NAMES.get(said, f"outcome {said}"): times
            for said, times in outcomes
            if (said in _DECIDED) is decided
        }

    def _doubts(self) -> Iterator[str]:
        limited = self.undecided.get(Said.RATE_LIMITED.name, 0)
        if limited:
            yield (
                f"the server limits rates, which {limited:,} bids were above: see its "
                "auction_rate_per_user and auction_rate_per_address"
            )
        if self.total.subscribed and self.outcome.seconds and not self.confirmed:
            yield "no bid was decided in the measured time"
