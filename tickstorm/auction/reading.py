"""What a process that serves bidders says of itself; what several say adds up. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.metrics import Metrics


class AuctionReading(NamedTuple):
    """One process's numbers at one moment.

    Attributes:
        connections: the open ones.
        watchers: those of them that watch something.
        in_flight: bids without an answer.
        paused: connections that are not read until there is room for their bids.
        metrics: what is counted of bids.
        edge: what is counted of connections, logins and errors.
        state: how the store does, as it is seen from there.
    """

    connections: int
    watchers: int
    in_flight: int
    paused: int
    metrics: AuctionMetrics
    edge: Metrics
    state: BreakerState = BreakerState.CLOSED

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is wrong for every server that has this store: one sentence for each thing."""
        if self.state is BreakerState.CLOSED:
            return ()
        return ("the store of the auctions is away",)

    def retired(self) -> "AuctionReading":
        """Return what stays of it once its process is gone: what has happened."""
        return AuctionReading(0, 0, 0, 0, self.metrics, self.edge)


NOTHING = AuctionReading(0, 0, 0, 0, AuctionMetrics(), Metrics())
"""What no process at all says."""


def together(readings: Iterable[AuctionReading]) -> AuctionReading:
    """Return the sum; of the stores, the one that is worst off."""
    readings = (NOTHING, *readings)
    metrics, edge = AuctionMetrics(), Metrics()
    for reading in readings:
        metrics.add(reading.metrics)
        edge.add(reading.edge)
    return AuctionReading(
        sum(reading.connections for reading in readings),
        sum(reading.watchers for reading in readings),
        sum(reading.in_flight for reading in readings),
        sum(reading.paused for reading in readings),
        metrics,
        edge,
        max((reading.state for reading in readings), key=lambda state: state.value),
    )
