"""Ticks: who leads an auction is also a tick of `AUCTION.<id>`, for the subscribers of the stream.

One for all leading bids of a batch: the price is the newest, the volume how many they were.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from twisted.logger import Logger
from zope.interface import implementer

from tickstorm.auction.interfaces import IFollower
from tickstorm.auction.life import Auction
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.auction.money import to_amount
from tickstorm.errors import InvalidTick
from tickstorm.ticks import Tick

MAX_KNOWN = 20_000
"""Auctions whose last sequence is known; of one that is forgotten the next tick counts as one."""


@implementer(IFollower)
class Ticks:
    """Publishes what leads.

    Args:
        publish: the hub's.
        metrics: counts what can be no tick, as its price is beyond what one may have.
    """

    _log = Logger()

    def __init__(
        self, publish: Callable[[Iterable[Tick]], object], metrics: AuctionMetrics
    ) -> None:
        self._publish = publish
        self._metrics = metrics
        self._sequences: OrderedDict[int, int] = OrderedDict()
        self._withheld: set[int] = set()
        self._doubted: set[int] = set()

    def moved(self, auction: Auction) -> None:
        """Publish a new leader."""
        price, bidder, sequence, _, _ = auction.standing
        before = self._note(auction.id, sequence)
        if sequence <= before:
            return
        metadata = {"bidder": str(bidder), "sequence": str(sequence)}
        symbol, volume = f"AUCTION.{auction.id}", float(sequence - before)
        try:
            self._publish([Tick(symbol, to_amount(price), volume, metadata=metadata)])
        except InvalidTick as error:
            self._withhold(auction.id, str(error))

    def resumed(self) -> None:
        """Expect that sequences may have fallen; else the next leader tells how many there were."""
        self._doubted.update(self._sequences)

    def _note(self, auction_id: int, sequence: int) -> int:
        known, one_before = self._sequences, max(0, sequence - 1)
        before = known.pop(auction_id, one_before)
        if auction_id in self._doubted:
            self._doubted.discard(auction_id)
            before = before if before <= sequence else one_before
        known[auction_id] = max(before, sequence) if sequence else 0
        if len(known) > MAX_KNOWN:
            forgotten, _ = known.popitem(last=False)
            self._withheld.discard(forgotten)
            self._doubted.discard(forgotten)
        return before

    def _withhold(self, auction_id: int, reason: str) -> None:
        self._metrics.ticks_withheld += 1
        if auction_id not in self._withheld:
            self._withheld.add(auction_id)
            self._log.warn(
                "a leading bid of auction {auction} is no tick: {reason}",
                auction=auction_id,
                reason=reason,
            )
