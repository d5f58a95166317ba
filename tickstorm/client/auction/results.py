"""What comes of a bid, and who leads, as an application has it: amounts are Decimals. Pure."""

from decimal import Decimal
from typing import NamedTuple, Self

from tickstorm.auction import wire
from tickstorm.auction.rule import Answer, Bid, Outcome
from tickstorm.client.auction.amounts import to_decimal


class Result(NamedTuple):
    """What became of a bid.

    Attributes:
        outcome: ACCEPTED, or why not.
        amount: that was decided on.
        price: that stood right after the decision; None while nobody leads, and if nothing was
            decided.
        bidder: whose that is; None likewise.
        sequence: how many bids had led by then.
        minimum: the least that would have led then; None if the server did not say.
        closes_ms: when the auction closes if nobody bids any more, in milliseconds since 1970 on
            the server's clock; 0 if it did not say.
        retry_after_ms: how long to wait with another try; 0 for no advice.
        auction_id: of the auction.
        user_id: for whom it was bid.
        bid_id: the number that the server knows the bid by.
        in_doubt: whether an earlier sending of the same bid may count all the same: its answer was
            lost, and this one, which is not of the auction's deciding, does not tell.
    """

    outcome: Outcome
    amount: Decimal
    price: Decimal | None
    bidder: int | None
    sequence: int
    minimum: Decimal | None
    closes_ms: int
    retry_after_ms: int
    auction_id: int
    user_id: int
    bid_id: int
    in_doubt: bool = False

    @property
    def leads(self) -> bool:
        """Whether the price that stood then is this user's bid of this amount.

        So it is of an ACCEPTED bid, and of an EQUAL one that was bid by the same user before.
        """
        return self.bidder == self.user_id and self.price == self.amount

    @classmethod
    def of(cls, bid: Bid, answer: Answer, *, in_doubt: bool = False) -> Self:
        """Return the result that an answer is, of a bid that may have been sent before."""
        standing = answer.standing
        leads = standing.sequence > 0
        return cls(
            answer.outcome,
            to_decimal(answer.cents),
            to_decimal(standing.price) if leads else None,
            standing.bidder if leads else None,
            standing.sequence,
            to_decimal(standing.minimum) if standing.minimum else None,
            standing.closes_ms,
            answer.retry_after_ms,
            bid.auction_id,
            bid.user_id,
            bid.bid_id,
            in_doubt and not answer.outcome.is_decided,
        )


class Leader(NamedTuple):
    """Who leads an auction; and, as its last word, how it has ended.

    Attributes:
        auction_id: of the auction.
        bidder: who leads; None while nobody does.
        price: with how much; None likewise.
        sequence: how many bids have led so far.
        outcome: None until the end; then SOLD to the bidder for the price, or UNSOLD.
    """

    auction_id: int
    bidder: int | None
    price: Decimal | None
    sequence: int
    outcome: Outcome | None = None

    @classmethod
    def of_update(cls, update: wire.Update) -> Self:
        """Return who leads, as an UPDATE says it."""
        if not update.sequence:
            return cls(update.auction_id, None, None, 0)
        price = to_decimal(update.cents)
        return cls(update.auction_id, update.user_id, price, update.sequence)

    @classmethod
    def at_the_end(cls, result: wire.Result) -> Self:
        """Return how an auction has ended, as its final RESULT says it."""
        auction_id, outcome = result.bid.auction_id, result.answer.outcome
        price, bidder, sequence, _, _ = result.answer.standing
        if not sequence:
            return cls(auction_id, None, None, 0, outcome)
        return cls(auction_id, bidder, to_decimal(price), sequence, outcome)
