"""The life of an auction: scheduled, open, closed, as the time and its standing say it. Pure.

No phase is stored, so none can be missed: whoever looks, on whatever server, sees the same.
"""

from enum import Enum, unique
from typing import NamedTuple

from tickstorm.auction.money import MAX_CENTS, cents_text
from tickstorm.auction.rule import Outcome, Standing, Terms, at_first
from tickstorm.errors import TickstormError

MAX_AUCTION_ID = 99_999_999
"""The largest id: with it "AUCTION.99999999" is a symbol still, of 16 characters."""
MAX_TIME_MS = 2**53
"""Far beyond any date, and told exactly by a double."""
MAX_SOFT_CLOSE_MS = 86_400_000


class InvalidAuction(TickstormError):
    """An auction that cannot be: the message names the term and what it may be."""


class AuctionExists(TickstormError):
    """There is an auction of this id already, with other terms."""


class TooManyAuctions(TickstormError):
    """There are as many auctions as there may be, and none of them has closed."""


class NoSuchAuction(TickstormError):
    """There is no auction of this id."""


@unique
class Phase(Enum):
    """Where in its life an auction is."""

    SCHEDULED = "scheduled"
    OPEN = "open"
    CLOSED = "closed"


class Auction(NamedTuple):
    """One auction as it stands.

    Attributes:
        id: 1 to MAX_AUCTION_ID.
        terms: what it was created with.
        standing: how it stands.
    """

    id: int
    terms: Terms
    standing: Standing

    def phase(self, now_ms: int) -> Phase:
        """Return where in its life it is."""
        if now_ms >= self.standing.closes_ms:
            return Phase.CLOSED
        return Phase.OPEN if now_ms >= self.terms.opens_ms else Phase.SCHEDULED

    @property
    def final(self) -> Outcome:
        """What becomes of it if nobody bids any more: SOLD to its bidder, or UNSOLD."""
        standing = self.standing
        if standing.sequence and standing.price >= self.terms.reserve:
            return Outcome.SOLD
        return Outcome.UNSOLD


class Entry(NamedTuple):
    """A leading bid in the record of its auction.

    Attributes:
        sequence: 1 for the first; each next one is one more.
        user_id: whose it is.
        cents: its amount.
        bid_id: as in the bid.
        at_ms: when it was decided.
    """

    sequence: int
    user_id: int
    cents: int
    bid_id: int
    at_ms: int


def created(id: int, terms: Terms) -> Auction:
    """Return a new auction.

    Raises:
        InvalidAuction: the id or a term is out of its range.
    """
    _require(1 <= id <= MAX_AUCTION_ID, f"the id {id} is not 1 to {MAX_AUCTION_ID}")
    validate(terms)
    return Auction(id, terms, at_first(terms))


def closed(auction: Auction, now_ms: int) -> Auction:
    """Return the same auction, closed from `now_ms` on if it was not closed before."""
    closes_ms = min(auction.standing.closes_ms, now_ms)
    return auction._replace(standing=auction.standing._replace(closes_ms=closes_ms))


def validate(terms: Terms) -> None:
    """Let terms through, or say why not.

    Raises:
        InvalidAuction: it names the term.
    """
    _require(terms.opens_ms >= 0, "it opens before 1970")
    _require(terms.opens_ms < terms.closes_ms, "it closes before it opens")
    _require(terms.closes_ms <= MAX_TIME_MS, f"it closes later than {MAX_TIME_MS} ms")
    for name, least in (("start", 1), ("increment", 1), ("reserve", 0)):
        cents = getattr(terms, name)
        _require(
            least <= cents <= MAX_CENTS,
            f"the {name} is not {cents_text(least)} to {cents_text(MAX_CENTS)}",
        )
    _require(
        0 <= terms.soft_close_ms <= MAX_SOFT_CLOSE_MS,
        f"the soft close is not 0 to {MAX_SOFT_CLOSE_MS} ms",
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidAuction(otherwise)
