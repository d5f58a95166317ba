"""The store in memory: nothing to install, and it ends with the process that it is in."""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, execute, succeed
from twisted.logger import Logger
from zope.interface import implementer

from tickstorm.auction.book import Book
from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import IAuctionStore, IFollower
from tickstorm.auction.life import Auction, Entry
from tickstorm.auction.rule import Answer, Bid, Terms


@implementer(IAuctionStore)
class MemoryStore:
    """A book with a clock. Every Deferred has its result when it is returned.

    Args:
        book: keeps the auctions.
        wall_ms: milliseconds since the Unix epoch.

    Attributes:
        state: it is always well.
    """

    state = BreakerState.CLOSED

    _log = Logger()

    def __init__(self, book: Book, wall_ms: Callable[[], int]) -> None:
        self._book = book
        self._wall_ms = wall_ms
        self._followers: list[IFollower] = []

    def start(self) -> Deferred[None]:
        """Do nothing."""
        return succeed(None)

    def stop(self) -> None:
        """Do nothing: nothing is ever without an answer."""

    def bid(self, auction_id: int, bids: Sequence[Bid]) -> Deferred[Sequence[Answer]]:
        """Decide bids."""
        before = self._book.read(auction_id)
        answers = self._book.bid(auction_id, bids, self._wall_ms())
        after = self._book.read(auction_id)
        if after is not None and after != before:
            self._tell(after)
        return succeed(answers)

    def read(self, auction_id: int) -> Deferred[Auction | None]:
        """Return an auction as it stands, or None."""
        return succeed(self._book.read(auction_id))

    def create(self, terms: Terms, auction_id: int = 0) -> Deferred[Auction]:
        """Create an auction."""
        return execute(self._book.create, terms, self._wall_ms(), auction_id).addCallback(
            self._changed
        )

    def close(self, auction_id: int) -> Deferred[Auction]:
        """Close an auction."""
        return execute(self._book.close, auction_id, self._wall_ms()).addCallback(self._changed)

    def settle(self, auction_id: int) -> Deferred[Auction]:
        """Return how an auction stands: what became of it follows from that."""
        return execute(self._book.find, auction_id)

    def auctions(self, after: int, limit: int) -> Deferred[Sequence[Auction]]:
        """Return some of the auctions."""
        return succeed(self._book.auctions(after, limit))

    def record(self, auction_id: int, after: int, limit: int) -> Deferred[Sequence[Entry]]:
        """Return some of an auction's leading bids."""
        return execute(self._book.record, auction_id, after, limit)

    def now_ms(self) -> int:
        """Return the time."""
        return self._book.time(self._wall_ms())

    def follow(self, follower: IFollower) -> None:
        """Tell somebody of all auctions from now on."""
        self._followers.append(follower)

    def _changed(self, auction: Auction) -> Auction:
        self._tell(auction)
        return auction

    def _tell(self, auction: Auction) -> None:
        for follower in self._followers:
            try:
                follower.moved(auction)
            except Exception:
                self._log.failure("a follower of the auctions failed")
