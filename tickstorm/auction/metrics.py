"""What the auction counts: plain numbers, cheap enough for the path of a bid. Pure."""

from collections import Counter

from tickstorm.auction.rule import Outcome
from tickstorm.metrics import Histogram

DECISION_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BATCH_BIDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class AuctionMetrics:
    """The counters of the auctions of one server.

    Attributes:
        outcomes: bids that were answered, by what became of them.
        decision_seconds: from a bid's coming to its answer.
        batch_bids: how many bids the store was asked for at a time.
        store_errors: batches that the store has not answered, by why.
        updates: UPDATEs, those that were "sent", and those that newer ones took the place of.
        ticks_withheld: leading bids that are no ticks.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.decision_seconds = Histogram(DECISION_SECONDS)
        self.batch_bids = Histogram(BATCH_BIDS)
        self.store_errors: Counter[str] = Counter()
        self.updates: Counter[str] = Counter()
        self.ticks_withheld = 0

    def add(self, other: "AuctionMetrics") -> None:
        """Count what another process has counted."""
        self.outcomes.update(other.outcomes)
        self.decision_seconds.add(other.decision_seconds)
        self.batch_bids.add(other.batch_bids)
        self.store_errors.update(other.store_errors)
        self.updates.update(other.updates)
        self.ticks_withheld += other.ticks_withheld
