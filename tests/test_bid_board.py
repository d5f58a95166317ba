"""What somebody who bids knows of the auction, and the line that says it."""

from decimal import Decimal

import pytest

from tickstorm.auction.rule import Answer, Bid, Outcome, Standing
from tickstorm.client.auction import Disconnected, Entered
from tickstorm.client.auction.amounts import to_decimal
from tickstorm.client.auction.results import Leader, Result
from tickstorm.commands.bid_board import BidBoard, span

NOW_MS = 1_000_000
NOBODY = Leader(1, None, None, 0)


def leader(cents, sequence, bidder=8):
    return Leader(1, bidder, to_decimal(cents), sequence)


def answer(outcome, cents, price, sequence, minimum, **how):
    standing = Standing(price, 7, sequence, minimum, NOW_MS + 65_000)._replace(**how)
    return Result.of(Bid(1, 7, cents, 9), Answer(outcome, cents, standing))


@pytest.fixture(name="board")
def make_board():
    board = BidBoard(1, 7)
    board.note(Entered("desk"))
    return board


def line(board, width=80, now_ms=NOW_MS):
    return board.line(now_ms, width)


def test_before_anything_is_known():
    board = BidBoard(1, 7)
    assert (line(board), board.minimum, board.least) == (
        "connecting, auction 1: -",
        None,
        Decimal("0.01"),
    )


def test_who_leads(board):
    board.lead(NOBODY)
    assert line(board) == "auction 1: no bid yet"
    board.lead(leader(1250, 1))
    assert line(board) == "auction 1: 12.50 by user 8"
    assert (board.minimum, board.least) == (None, Decimal("12.51"))
    board.lead(leader(1300, 2, bidder=7))
    assert line(board) == "auction 1: 13.00 by you"


def test_from_the_first_bid_on_it_is_known_what_would_lead_and_when_it_closes(board):
    board.lead(leader(1250, 1))
    board.answered(answer(Outcome.TOO_LOW, 100, 1250, 1, 1300, bidder=8))
    assert line(board) == "auction 1: 12.50 by user 8, next from 13.00, 1:05 left"
    assert board.least == Decimal("13.00")
    board.lead(leader(2000, 2))
    assert line(board) == "auction 1: 20.00 by user 8, next from 20.50, 1:05 left or more"


def test_a_first_bid_that_is_too_low(board):
    board.lead(NOBODY)
    board.answered(answer(Outcome.TOO_LOW, 100, 0, 0, 500))
    assert line(board) == "auction 1: no bid yet, next from 5.00, 1:05 left"
    assert board.least == Decimal("5.00")


@pytest.mark.parametrize("result_first", [True, False])
def test_an_own_bid_and_its_update_come_in_any_order(board, result_first):
    accepted = answer(Outcome.ACCEPTED, 1250, 1250, 1, 1300)
    steps = [lambda: board.answered(accepted), lambda: board.lead(leader(1250, 1, bidder=7))]
    board.lead(NOBODY)
    for step in steps if result_first else reversed(steps):
        step()
    assert line(board) == "auction 1: 12.50 by you, next from 13.00, 1:05 left"


def test_a_result_that_is_older_than_the_leader_is_no_step_back(board):
    board.lead(leader(2000, 5))
    board.answered(answer(Outcome.ACCEPTED, 1250, 1250, 1, 1300))
    assert line(board) == "auction 1: 20.00 by user 8, next from 20.50, 1:05 left or more"


def test_a_result_that_is_not_decided_says_nothing(board):
    board.lead(leader(1250, 1))
    board.answered(Result.of(Bid(1, 7, 5, 9), Answer(Outcome.UNAVAILABLE, 5)))
    assert line(board) == "auction 1: 12.50 by user 8"


def test_a_closed_one_has_no_time_left(board):
    board.answered(answer(Outcome.TOO_LOW, 100, 1250, 1, 1300))
    board.answered(answer(Outcome.CLOSED, 100, 1250, 1, 1300, closes_ms=NOW_MS - 5))
    assert line(board) == "auction 1: 12.50 by you, next from 13.00, 0:00 left"


def test_what_the_connection_does(board):
    board.note(Disconnected(OSError("gone"), 1.0))
    assert line(board) == "disconnected, auction 1: -"
    board.note(Entered("desk"))
    assert line(board) == "auction 1: -"


def test_what_has_no_room_is_left_out_whole(board):
    board.lead(leader(1250, 1))
    board.answered(answer(Outcome.TOO_LOW, 100, 1250, 1, 1300, bidder=8))
    assert [line(board, width) for width in (49, 45, 30, 10)] == [
        "auction 1: 12.50 by user 8, next from 13.00",
        "auction 1: 12.50 by user 8, next from 13.00",
        "auction 1: 12.50 by user 8",
        "",
    ]


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0:00"), (999, "0:00"), (61_000, "1:01"), (7_205_000, "2:00:05")]
)
def test_a_span(ms, text):
    assert span(ms) == text
