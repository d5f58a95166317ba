"""The book: all auctions of one process, and the only place where their standing changes. Pure.

Its time never goes back, whatever the clock does: an auction that has closed stays closed.
"""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from tickstorm.auction.bid_ids import BidIdLimits, BidIds
from tickstorm.auction.life import (
    MAX_AUCTION_ID,
    Auction,
    AuctionExists,
    Entry,
    InvalidAuction,
    NoSuchAuction,
    Phase,
    TooManyAuctions,
    closed,
    created,
)
from tickstorm.auction.rule import Answer, Bid, Outcome, Terms, decide, led_by


class BookLimits(NamedTuple):
    """What a book holds at most.

    Attributes:
        auctions: for one more, that which closed first is given up.
        entries: of the record of each auction: the newest.
        bid_ids: of all auctions together.
    """

    auctions: int = 10_000
    entries: int = 100
    bid_ids: BidIdLimits = BidIdLimits()


class Book:
    """Takes bids, and keeps the auctions.

    Args:
        limits: what it holds at most.
    """

    def __init__(self, limits: BookLimits = BookLimits()) -> None:
        self._limits = limits
        self._pages: dict[int, _Page] = {}
        self._ids = BidIds(limits.bid_ids)
        self._opened = 0
        self._last_id = 0
        self._now_ms = 0

    @property
    def forgotten_early(self) -> int:
        """How many bid_ids were forgotten before their time."""
        return self._ids.forgotten_early

    def time(self, now_ms: int) -> int:
        """Return the time: `now_ms`, or the latest that was heard of."""
        self._now_ms = max(self._now_ms, now_ms)
        return self._now_ms

    def bid(self, auction_id: int, bids: Sequence[Bid], now_ms: int) -> list[Answer]:
        """Decide bids for one auction, all at one moment, each before the next.

        Args:
            auction_id: that of each bid.
            bids: their amounts are 1 to MAX_CENTS.
            now_ms: the present.

        Returns:
            The answers in their order.
        """
        page = self._pages.get(auction_id)
        if page is None:
            return [Answer(Outcome.UNKNOWN_AUCTION, bid.cents) for bid in bids]
        now_ms = self.time(now_ms)
        self._ids.expire(now_ms)
        return [
            self._answer(page, bid, now_ms) if bid.bid_id else page.decide(bid, now_ms)
            for bid in bids
        ]

    def read(self, auction_id: int) -> Auction | None:
        """Return an auction as it stands."""
        page = self._pages.get(auction_id)
        return None if page is None else page.auction

    def find(self, auction_id: int) -> Auction:
        """Return an auction as it stands.

        Raises:
            NoSuchAuction: there is none of this id.
        """
        return self._page(auction_id).auction

    def create(self, terms: Terms, now_ms: int, auction_id: int = 0) -> Auction:
        """Open a page for an auction, and return it; the same terms again change nothing.

        Args:
            terms: see `life.validate`.
            now_ms: the present.
            auction_id: 0 for the next that is free.

        Raises:
            InvalidAuction: the id or a term is out of its range, or no id is left.
            AuctionExists: the id is that of an auction with other terms.
            TooManyAuctions: no more can be kept.
        """
        auction = created(auction_id or self._next_id(), terms)
        there = self.read(auction.id)
        if there is not None and there.terms == terms:
            return there
        if there is not None:
            raise AuctionExists(f"there is an auction {auction.id}, with other terms")
        self._make_room(self.time(now_ms))
        self._opened += 1
        self._pages[auction.id] = _Page(auction, self._opened, self._limits.entries)
        self._last_id = max(self._last_id, auction.id)
        return auction

    def close(self, auction_id: int, now_ms: int) -> Auction:
        """Close an auction at this moment if it is not closed, and return how it stands.

        Raises:
            NoSuchAuction: there is none of this id.
        """
        page = self._page(auction_id)
        page.standing = closed(page.auction, self.time(now_ms)).standing
        return page.auction

    def auctions(self, after: int, limit: int) -> list[Auction]:
        """Return the auctions with an id above `after`, the lowest first, at most `limit`."""
        ids = sorted(id for id in self._pages if id > after)
        return [self._pages[id].auction for id in ids[:limit]]

    def record(self, auction_id: int, after: int, limit: int) -> list[Entry]:
        """Return what is kept of the leading bids of a sequence above `after`, at most `limit`.

        Raises:
            NoSuchAuction: there is none of this id.
        """
        entries = map(Entry._make, self._page(auction_id).entries)
        return list(islice((entry for entry in entries if entry.sequence > after), limit))

    def _answer(self, page: "_Page", bid: Bid, now_ms: int) -> Answer:
        key = (page.number, bid.user_id, bid.bid_id)
        answer = self._ids.answer(key)
        if answer is None:
            answer = page.decide(bid, now_ms)
            self._ids.note(key, answer, now_ms)
        return answer

    def _page(self, auction_id: int) -> "_Page":
        page = self._pages.get(auction_id)
        if page is None:
            raise NoSuchAuction(f"there is no auction {auction_id}")
        return page

    def _next_id(self) -> int:
        if self._last_id == MAX_AUCTION_ID:
            raise InvalidAuction(f"no id is left above {MAX_AUCTION_ID}: give one that is free")
        return self._last_id + 1

    def _make_room(self, now_ms: int) -> None:
        if len(self._pages) < self._limits.auctions:
            return
        oldest = min(self._pages.values(), key=lambda page: page.standing.closes_ms)
        if oldest.auction.phase(now_ms) is not Phase.CLOSED:
            raise TooManyAuctions(f"there are {len(self._pages)} auctions, and none has closed")
        del self._pages[oldest.auction.id]


class _Page:
    # One auction. Its number is its own for good: an id may come again once its auction is given
    # up, and what is remembered of the one before is not to answer for it.

    __slots__ = ("_id", "_terms", "entries", "number", "standing")

    def __init__(self, auction: Auction, number: int, entries: int) -> None:
        self._id, self._terms, self.standing = auction
        self.number = number
        self.entries: deque[tuple[int, ...]] = deque(maxlen=entries)

    @property
    def auction(self) -> Auction:
        return Auction(self._id, self._terms, self.standing)

    def decide(self, bid: Bid, now_ms: int) -> Answer:
        _, user_id, cents, bid_id = bid
        terms, standing = self._terms, self.standing
        outcome = decide(terms, standing, cents, now_ms)
        if outcome is Outcome.ACCEPTED:
            self.standing = standing = led_by(terms, standing, user_id, cents, now_ms)
            self.entries.append((standing.sequence, user_id, cents, bid_id, now_ms))
        elif outcome is Outcome.NOT_OPEN:
            return Answer(outcome, cents, standing, terms.opens_ms - now_ms)
        return Answer(outcome, cents, standing)
