"""The store: decides bids for every server that shares it, and keeps the auctions.

The same suite of tests runs over each implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from tickstorm.errors import TickstormError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from tickstorm.auction.life import Auction, Entry
    from tickstorm.auction.rule import Answer, Bid, Terms


class StoreUnavailable(TickstormError):
    """The store can't be asked now: what was asked for has had no effect and will have none.

    Args:
        message: why.
        retry_after_ms: after how long it makes sense to ask again; 0 for no advice.
    """

    def __init__(self, message: str, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class AnswerLost(TickstormError):
    """The store was asked, and its answer did not come: it may have had its effect, or may yet.

    Args:
        message: why.
        retry_after_ms: as above; the same bid_id finds out what became of a bid.
    """

    def __init__(self, message: str, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class IFollower(Interface):
    """What a store tells of all its auctions, whichever server took the bid."""

    def moved(auction: Auction) -> None:
        """Take note of how an auction stands now: it was created or closed, or somebody leads.

        Of several steps in a row only the last may be told. Its sequence never falls.
        """

    def resumed() -> None:
        """Take note that something may have been missed: read again what is of interest."""


class IAuctionStore(Interface):
    """Keeps auctions. Every Deferred may fail with StoreUnavailable or AnswerLost, in bounded time.

    What changes nothing (`read`, `auctions`, `record`) only fails with StoreUnavailable.
    """

    state = Attribute("How it does: BreakerState.CLOSED is well, with any other it refuses.")

    def start() -> Deferred[None]:
        """Begin; the Deferred has its result after the first try, whatever came of it."""

    def stop() -> None:
        """End for good: what has no answer is lost."""

    def bid(auction_id: int, bids: Sequence[Bid]) -> Deferred[Sequence[Answer]]:
        """Decide bids for one auction, at one moment and each before the next.

        The answers, in the order of the bids, stand in the store already. Those that
        `Outcome.is_decided` are remembered by auction, user and bid_id for a time, and given to the
        same bid again. One with a bid_id of 0 is a bid of its own each time.

        Args:
            auction_id: that of each bid; there need not be such an auction.
            bids: at least one; their amounts are 1 to MAX_CENTS.
        """

    def read(auction_id: int) -> Deferred[Auction | None]:
        """Return an auction as it stands, or None."""

    def create(terms: Terms, auction_id: int = 0) -> Deferred[Auction]:
        """Create an auction and return it; asked for once more with the same terms, return it.

        Args:
            terms: see `life.validate`.
            auction_id: 0 for one that is free.

        The Deferred may fail with InvalidAuction, AuctionExists or TooManyAuctions.
        """

    def close(auction_id: int) -> Deferred[Auction]:
        """Close an auction now if it is not closed, for good; it may fail with NoSuchAuction."""

    def settle(auction_id: int) -> Deferred[Auction]:
        """Have the record, where it is kept, end with what became of an auction, and return that.

        Nothing happens to one that is not closed, or is settled. It may fail with NoSuchAuction.
        """

    def auctions(after: int, limit: int) -> Deferred[Sequence[Auction]]:
        """Return the auctions with an id above `after`, the lowest first, at most `limit`."""

    def record(auction_id: int, after: int, limit: int) -> Deferred[Sequence[Entry]]:
        """Return the leading bids of a sequence above `after` that are kept, at most `limit`.

        It may fail with NoSuchAuction.
        """

    def now_ms() -> int:
        """Return the time on the store's clock, as well as it is known here."""

    def follow(follower: IFollower) -> None:
        """Tell somebody of all auctions from now on."""
