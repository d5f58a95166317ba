"""What an application is told of a bid and of who leads."""

from decimal import Decimal

import pytest

from tickstorm.auction import wire
from tickstorm.auction.rule import Answer, Bid, Outcome, Standing
from tickstorm.client.auction.results import Leader, Result

BID = Bid(1, 7, 1250, 99)
STANDING = Standing(1250, 7, 3, 1300, 60_000)
NOBODY = Standing(0, 0, 0, 500, 60_000)


def test_a_result_in_full():
    assert Result.of(BID, Answer(Outcome.ACCEPTED, 1250, STANDING, 5)) == Result(
        outcome=Outcome.ACCEPTED,
        amount=Decimal("12.50"),
        price=Decimal("12.50"),
        bidder=7,
        sequence=3,
        minimum=Decimal("13.00"),
        closes_ms=60_000,
        retry_after_ms=5,
        auction_id=1,
        user_id=7,
        bid_id=99,
        in_doubt=False,
    )


def test_a_result_while_nobody_leads():
    result = Result.of(BID, Answer(Outcome.TOO_LOW, 100, NOBODY))
    assert (result.price, result.bidder, result.sequence) == (None, None, 0)
    assert (result.minimum, result.leads) == (Decimal("5.00"), False)


def test_a_result_of_what_was_not_decided():
    result = Result.of(BID, Answer(Outcome.UNAVAILABLE, 1250))
    assert (result.price, result.bidder, result.minimum, result.closes_ms) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("outcome", "cents", "standing", "leads"),
    [
        (Outcome.ACCEPTED, 1250, STANDING, True),
        (Outcome.EQUAL, 1250, STANDING, True),
        (Outcome.EQUAL, 1250, STANDING._replace(bidder=8), False),
        (Outcome.TOO_LOW, 1200, STANDING, False),
        (Outcome.UNAVAILABLE, 1250, NOBODY, False),
    ],
)
def test_who_leads_with_a_bid(outcome, cents, standing, leads):
    assert Result.of(BID, Answer(outcome, cents, standing)).leads is leads


@pytest.mark.parametrize("outcome", Outcome)
def test_what_is_decided_is_in_no_doubt(outcome):
    result = Result.of(BID, Answer(outcome, 1250), in_doubt=True)
    assert result.in_doubt is not outcome.is_decided


def test_who_leads():
    assert Leader.of_update(wire.Update(1, 7, 1250, 3)) == Leader(1, 7, Decimal("12.50"), 3)
    assert Leader.of_update(wire.Update(1, 0, 0, 0)) == Leader(1, None, None, 0)


@pytest.mark.parametrize("outcome", [Outcome.SOLD, Outcome.UNSOLD])
def test_how_it_has_ended(outcome):
    said = wire.Result(Bid(1, 7, 1250), Answer(outcome, 1250, STANDING))
    assert Leader.at_the_end(said) == Leader(1, 7, Decimal("12.50"), 3, outcome)


def test_how_it_has_ended_without_a_bid():
    said = wire.Result(Bid(1, 0, 0), Answer(Outcome.UNSOLD, 0, NOBODY))
    assert Leader.at_the_end(said) == Leader(1, None, None, 0, Outcome.UNSOLD)
