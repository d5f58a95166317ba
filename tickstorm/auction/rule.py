"""The rule: whether a bid leads. Pure, and the same in every store.

Times are milliseconds since the Unix epoch on the clock of the store, amounts are cents.
"""

from enum import IntEnum, unique
from typing import NamedTuple


@unique
class Outcome(IntEnum):
    """What became of a bid, as its RESULT says it; from SOLD on, what became of an auction."""

    ACCEPTED = 1
    TOO_LOW = 2
    EQUAL = 3
    CLOSED = 4
    NOT_OPEN = 5
    UNKNOWN_AUCTION = 6
    MALFORMED = 7
    NOT_PERMITTED = 8
    RATE_LIMITED = 9
    UNAVAILABLE = 10
    UNDECIDED = 11
    SOLD = 32
    UNSOLD = 33

    @property
    def is_decided(self) -> bool:
        """Whether the auction has decided this, so that the same bid_id gets it again."""
        return self <= Outcome.NOT_OPEN


class Terms(NamedTuple):
    """What an auction was created with; see `life.validate` for what may be.

    Attributes:
        opens_ms: the first moment at which a bid may lead.
        closes_ms: the first at which none may any more, unless a late bid extends it.
        start: the least that the first bid must be.
        increment: by how much at least a bid must be above the price that stands.
        reserve: below it nothing is sold, and it is told to nobody; 0 for none.
        soft_close_ms: the auction stays open for so long after each leading bid; 0 for a hard end.
    """

    opens_ms: int
    closes_ms: int
    start: int = 1
    increment: int = 1
    reserve: int = 0
    soft_close_ms: int = 0


class Standing(NamedTuple):
    """How an auction stands; a new one takes its place with each leading bid.

    Attributes:
        price: the leading bid; 0 before the first.
        bidder: whose it is; of no meaning before the first.
        sequence: how many bids have led so far.
        minimum: the least that would lead now.
        closes_ms: when it closes if nobody bids any more.
    """

    price: int
    bidder: int
    sequence: int
    minimum: int
    closes_ms: int


NOWHERE = Standing(0, 0, 0, 0, 0)
"""How an auction stands that there is not, or of which nothing is known."""


class Bid(NamedTuple):
    """A bid as it came in.

    Attributes:
        auction_id: 0 to 2^32 - 1.
        user_id: 0 to 2^32 - 1.
        cents: the amount; 0 if what was sent is no amount.
        bid_id: what the client knows it by, 0 for nothing: that bid is not remembered.
    """

    auction_id: int
    user_id: int
    cents: int
    bid_id: int = 0


class Answer(NamedTuple):
    """The answer to a bid.

    Attributes:
        outcome: what became of it.
        cents: the amount that was decided on.
        standing: how the auction stood right after that.
        retry_after_ms: how long to wait with another try; 0 for no advice.
    """

    outcome: Outcome
    cents: int
    standing: Standing = NOWHERE
    retry_after_ms: int = 0


def at_first(terms: Terms) -> Standing:
    """Return how an auction stands before any bid."""
    return Standing(0, 0, 0, terms.start, terms.closes_ms)


def decide(terms: Terms, standing: Standing, cents: int, now_ms: int) -> Outcome:
    """Return whether a bid of `cents`, 1 to MAX_CENTS, leads now, or why not."""
    if now_ms >= standing.closes_ms:
        return Outcome.CLOSED
    if now_ms < terms.opens_ms:
        return Outcome.NOT_OPEN
    if cents >= standing.minimum:
        return Outcome.ACCEPTED
    if cents == standing.price:
        return Outcome.EQUAL
    return Outcome.TOO_LOW


def led_by(terms: Terms, standing: Standing, bidder: int, cents: int, now_ms: int) -> Standing:
    """Return how an auction stands once an accepted bid leads."""
    closes_ms = standing.closes_ms
    if terms.soft_close_ms:
        closes_ms = max(closes_ms, now_ms + terms.soft_close_ms)
    return Standing(cents, bidder, standing.sequence + 1, cents + terms.increment, closes_ms)
