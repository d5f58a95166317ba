"""What became of a bid, in plain words."""

from decimal import Decimal

import pytest

from tickstorm.auction.rule import Answer, Bid, Outcome, Standing
from tickstorm.client.auction.results import Leader, Result
from tickstorm.commands.bid_words import end_line, result_code, result_line

BID = Bid(1, 7, 1250, 99)
OTHERS = Standing(1300, 8, 3, 1350, 60_000)
OWN = Standing(1250, 7, 3, 1300, 60_000)
NOBODY = Standing(0, 0, 0, 500, 60_000)


def told(outcome, standing=OTHERS, retry_after_ms=0, *, in_doubt=False):
    result = Result.of(BID, Answer(outcome, 1250, standing, retry_after_ms), in_doubt=in_doubt)
    return result_line(result), result_code(result)


@pytest.mark.parametrize(
    ("outcome", "standing", "line", "code"),
    [
        (Outcome.ACCEPTED, OWN, "you lead with 12.50", 0),
        (Outcome.EQUAL, OWN, "you lead with 12.50 already", 0),
        (Outcome.EQUAL, OTHERS, "12.50 is bid already: at least 13.50", 1),
        (Outcome.TOO_LOW, OTHERS, "too low: at least 13.50", 1),
        (Outcome.TOO_LOW, NOBODY, "too low: at least 5.00", 1),
        (Outcome.CLOSED, OTHERS, "closed", 1),
        (Outcome.CLOSED, OWN, "closed", 1),
        (Outcome.NOT_OPEN, NOBODY, "not open yet", 1),
        (Outcome.NOT_PERMITTED, OTHERS, "this login may not bid for user 7", 1),
        (Outcome.UNKNOWN_AUCTION, OTHERS, "there is no auction 1", 1),
        (Outcome.MALFORMED, OTHERS, "the server does not take 12.50", 1),
        (Outcome.RATE_LIMITED, OTHERS, "too fast, and without effect: try again later", 2),
        (Outcome.UNAVAILABLE, OTHERS, "not possible now, and without effect: try again later", 2),
        (Outcome.UNDECIDED, OTHERS, "the answer was lost: try again later", 2),
    ],
)
def test_what_became_of_a_bid(outcome, standing, line, code):
    assert told(outcome, standing) == (line, code)


@pytest.mark.parametrize("outcome", Outcome)
def test_there_are_words_for_everything(outcome):
    line, code = told(outcome)
    assert line
    assert code in (1, 2)


def test_when_to_try_again():
    assert told(Outcome.RATE_LIMITED, retry_after_ms=1250)[0].endswith(": try again in 1.2 s")


def test_what_may_count():
    assert told(Outcome.NOT_PERMITTED, in_doubt=True) == (
        "this login may not bid for user 7; whether bid 99 counts is not known",
        2,
    )


@pytest.mark.parametrize(
    ("bidder", "outcome", "line"),
    [
        (8, Outcome.SOLD, "closed: sold to user 8 for 12.50"),
        (7, Outcome.SOLD, "closed: sold to you for 12.50"),
        (7, Outcome.UNSOLD, "closed: not sold"),
        (None, Outcome.UNSOLD, "closed: not sold"),
    ],
)
def test_how_an_auction_has_ended(bidder, outcome, line):
    assert end_line(Leader(1, bidder, Decimal("12.50"), 3, outcome), 7) == line
