"""The bids that are under way: sent in order, answered once, and sent again under their number."""

from math import inf

import pytest

from tickstorm.auction.rule import Answer, Bid, Outcome, Standing
from tickstorm.auction.wire import Decoder
from tickstorm.auction.wire import Result as Said
from tickstorm.client.auction.bids import Bids, Offer, Stage
from tickstorm.client.auction.results import Result
from tickstorm.client.backoff import Backoff
from tickstorm.errors import BidderClosed, InvalidAuth, InvalidMessage, TickstormError

STANDING = Standing(1250, 7, 3, 1300, 60_000)
NO_EFFECT = (Outcome.RATE_LIMITED, Outcome.UNAVAILABLE)
REFUSED = (Outcome.UNKNOWN_AUCTION, Outcome.MALFORMED, Outcome.NOT_PERMITTED)
CLOSED = BidderClosed("closed")


class Desk:
    """Bids, and the connection that they are sent on. Waits are half of what they could be."""

    def __init__(self, max_sent=4):
        self.bids = Bids(max_sent, lambda: 0.5)
        self.now = 0.0

    def bid(self, number, cents=1250, *, until=30.0):
        offer = Offer(Bid(1, 7, cents, number), until)
        self.bids.add(offer)
        return offer

    def sent(self):
        """The numbers of the bids that are sent now."""
        decoder = Decoder()
        decoder.feed(b"".join(self.bids.frames(self.now)))
        return [bid.bid_id for bid in decoder.take_bids(1000)]

    def answer(self, number, outcome=Outcome.ACCEPTED, retry_after_ms=0, standing=STANDING):
        answer = Answer(outcome, 1250, standing, retry_after_ms)
        self.bids.answered(Said(Bid(1, 7, 1250, number), answer), self.now)

    def ended(self):
        ended = [offer.bid.bid_id for offer in self.bids.ended]
        self.bids.ended.clear()
        return ended

    def expire(self):
        self.bids.expire(self.now)
        return self.ended()


@pytest.fixture
def desk():
    return Desk()


def outcome(offer):
    return offer.result().outcome


# The order.


def test_bids_are_sent_and_answered_in_order(desk):
    offers = [desk.bid(number) for number in (11, 12, 13)]
    assert (desk.sent(), desk.bids.unanswered) == ([11, 12, 13], 3)
    for number in (11, 12, 13):
        desk.answer(number)
    assert (desk.ended(), desk.bids.unanswered, desk.bids.idle) == ([11, 12, 13], 0, True)
    assert {outcome(offer) for offer in offers} == {Outcome.ACCEPTED}


def test_what_is_sent_is_bounded_and_goes_on_in_order():
    desk = Desk(max_sent=2)
    for number in (11, 12, 13):
        desk.bid(number)
    assert (desk.sent(), desk.sent()) == ([11, 12], [])
    desk.answer(11)
    assert desk.sent() == [13]


@pytest.mark.parametrize("max_sent", [0, -1])
def test_a_bound_that_is_none(max_sent):
    with pytest.raises(ValueError, match=f"^{max_sent} bids at a time are not at least 1$"):
        Bids(max_sent, lambda: 0.5)


def test_a_result_of_what_was_not_sent(desk):
    with pytest.raises(InvalidMessage, match=r"^a RESULT of a bid that was not sent$"):
        desk.answer(11)


def test_a_result_out_of_order_leaves_all_in_doubt(desk):
    offers = [desk.bid(11), desk.bid(12)]
    desk.sent()
    with pytest.raises(
        InvalidMessage, match=r"^a RESULT of another bid than the one that was sent"
    ):
        desk.answer(12)
    desk.bids.connection_lost()
    assert [offer.in_doubt for offer in offers] == [True, True]
    assert desk.sent() == [11, 12]


# What becomes of them.


def test_the_result_in_full(desk):
    offer = desk.bid(11)
    desk.sent()
    desk.answer(11, Outcome.TOO_LOW, 250)
    assert offer.result() == Result.of(
        Bid(1, 7, 1250, 11), Answer(Outcome.TOO_LOW, 1250, STANDING, 250)
    )


@pytest.mark.parametrize(
    "decided", [each for each in Outcome if each.is_decided or each in REFUSED]
)
def test_what_is_an_answer_ends_a_bid(desk, decided):
    offer = desk.bid(11)
    desk.sent()
    desk.answer(11, decided)
    assert (desk.ended(), outcome(offer)) == ([11], decided)


@pytest.mark.parametrize("refusal", NO_EFFECT)
def test_what_had_no_effect_is_sent_again_after_the_wait(desk, refusal):
    offer = desk.bid(11)
    desk.sent()
    desk.answer(11, refusal, 500)
    assert (desk.ended(), desk.sent(), desk.bids.due) == ([], [], 0.55)
    desk.now = 0.55
    assert (desk.sent(), desk.bids.due) == ([11], inf)
    desk.answer(11)
    assert (desk.ended(), outcome(offer)) == ([11], Outcome.ACCEPTED)


def test_the_waits_double(desk):
    desk.bid(11, until=inf)
    waits = []
    for _ in range(8):
        desk.sent()
        desk.answer(11, Outcome.UNAVAILABLE)
        waits.append(round(desk.bids.due - desk.now, 3))
        desk.now = desk.bids.due
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]


@pytest.mark.parametrize("refusal", NO_EFFECT)
def test_what_would_be_tried_again_too_late_is_the_answer(desk, refusal):
    offer = desk.bid(11, until=0.5)
    desk.sent()
    desk.answer(11, refusal, 500)
    assert (desk.ended(), outcome(offer), offer.result().retry_after_ms) == ([11], refusal, 500)


def test_a_wait_is_no_reason_to_wake_while_there_is_no_room():
    desk = Desk(max_sent=1)
    desk.bid(11)
    desk.sent()
    desk.answer(11, Outcome.UNAVAILABLE)
    desk.bid(12)
    assert (desk.sent(), desk.bids.due) == ([12], inf)


def test_what_is_put_off_by_the_same_time_keeps_its_order(desk):
    for number in (11, 12):
        desk.bid(number)
    desk.sent()
    for number in (11, 12):
        desk.answer(number, Outcome.UNAVAILABLE)
    desk.now = 1.0
    assert desk.sent() == [11, 12]


# In doubt.


def test_what_lost_its_answer_is_sent_again_before_all_else(desk):
    for number in (11, 12):
        desk.bid(number)
    desk.sent()
    desk.answer(11)
    desk.bid(13)
    desk.bids.connection_lost()
    assert desk.bids.unanswered == 0
    assert desk.sent() == [12, 13]


def test_an_undecided_bid_is_asked_for_beyond_its_time(desk):
    offer = desk.bid(11, until=1.0)
    for _ in range(5):
        assert desk.sent() == [11]
        desk.answer(11, Outcome.UNDECIDED, 1000)
        desk.now = desk.bids.due
    assert (desk.expire(), desk.now > 5.0) == ([], True)
    desk.sent()
    desk.answer(11)
    assert (outcome(offer), offer.result().in_doubt) == (Outcome.ACCEPTED, False)


@pytest.mark.parametrize("refusal", NO_EFFECT)
def test_what_may_count_is_not_told_to_have_had_no_effect(desk, refusal):
    offer = desk.bid(11, until=1.0)
    desk.sent()
    desk.bids.connection_lost()
    desk.now = 2.0
    assert (desk.expire(), desk.sent()) == ([], [11])
    desk.answer(11, refusal)
    desk.now = 10.0
    assert (desk.ended(), desk.sent()) == ([], [11])
    desk.answer(11, Outcome.TOO_LOW)
    assert (outcome(offer), offer.result().in_doubt) == (Outcome.TOO_LOW, False)


@pytest.mark.parametrize("refusal", REFUSED)
def test_a_refusal_of_what_may_count_says_so(desk, refusal):
    offer = desk.bid(11)
    desk.sent()
    desk.bids.connection_lost()
    desk.sent()
    desk.answer(11, refusal)
    assert (outcome(offer), offer.result().in_doubt) == (refusal, True)


# Too late.


def test_what_was_never_sent_is_not_available(desk):
    offer = desk.bid(11, until=5.0)
    assert desk.bids.next_expiry(0.0) == 5.0
    desk.now = 4.9
    assert desk.expire() == []
    desk.now = 5.0
    assert (desk.expire(), desk.sent(), desk.bids.idle) == ([11], [], True)
    assert offer.result() == Result.of(Bid(1, 7, 1250, 11), Answer(Outcome.UNAVAILABLE, 1250))


def test_what_waits_for_its_next_try_has_its_last_answer(desk):
    offer = desk.bid(11, until=5.0)
    desk.sent()
    desk.answer(11, Outcome.RATE_LIMITED, 3000)
    desk.now = 5.0
    assert (desk.expire(), outcome(offer), desk.sent()) == ([11], Outcome.RATE_LIMITED, [])


def test_what_is_sent_is_not_given_up(desk):
    desk.bid(11, until=5.0)
    desk.sent()
    desk.now = 6.0
    assert (desk.expire(), desk.bids.next_expiry(6.0)) == ([], inf)
    desk.answer(11, Outcome.UNAVAILABLE)
    assert desk.ended() == [11]


def test_the_next_to_be_too_late(desk):
    desk.bid(11, until=5.0)
    desk.bid(12, until=3.0)
    desk.sent()
    assert [desk.bids.next_expiry(now) for now in (0.0, 3.0, 5.0)] == [3.0, 5.0, inf]
    desk.bids.connection_lost()
    assert desk.bids.next_expiry(0.0) == inf


# Given up.


def test_one_that_is_given_up_before_it_is_sent_had_no_effect(desk):
    offer = desk.bid(11)
    desk.bids.give_up(offer, CLOSED)
    assert (desk.ended(), desk.sent()) == ([11], [])
    with pytest.raises(BidderClosed, match=r"^closed; the bid had no effect$") as raised:
        offer.result()
    assert raised.value.__cause__ is CLOSED


def test_one_that_is_given_up_behind_that_may_count(desk):
    offer = desk.bid(11)
    desk.bid(12)
    desk.sent()
    desk.bids.give_up(offer, CLOSED)
    with pytest.raises(BidderClosed, match=r"^closed; whether bid 11 counts is not known$"):
        offer.result()
    desk.answer(11)
    desk.answer(12)
    assert desk.ended() == [11, 12]


def test_one_that_was_given_up_is_not_sent_again(desk):
    offer = desk.bid(11)
    desk.bid(12)
    desk.sent()
    desk.bids.give_up(offer, CLOSED)
    desk.bids.connection_lost()
    assert desk.sent() == [12]


def test_one_that_is_over_cannot_be_given_up(desk):
    offer = desk.bid(11)
    desk.sent()
    desk.answer(11)
    desk.bids.give_up(offer, CLOSED)
    assert (desk.ended(), outcome(offer)) == ([11], Outcome.ACCEPTED)


def test_one_that_is_given_up_while_it_waits_is_not_tried_again(desk):
    offer = desk.bid(11)
    desk.sent()
    desk.answer(11, Outcome.UNAVAILABLE)
    desk.bids.give_up(offer, CLOSED)
    desk.now = 1.0
    assert (desk.sent(), offer.stage) == ([], Stage.OVER)


def test_what_may_count_is_waited_for_by_who_gives_up_the_rest(desk):
    sent, lost, waits = desk.bid(11), desk.bid(12), desk.bid(13)
    desk.sent()
    desk.answer(11, Outcome.UNDECIDED)
    desk.answer(12, Outcome.RATE_LIMITED)
    desk.bids.give_up_harmless(CLOSED)
    assert desk.ended() == [12]
    assert [each.stage for each in (sent, lost, waits)] == [
        Stage.WAITING,
        Stage.OVER,
        Stage.SENT,
    ]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InvalidAuth("no"), InvalidAuth, "no; the bid had no effect"),
        (TickstormError("no"), TickstormError, "no; the bid had no effect"),
        (OSError("no"), TickstormError, "OSError('no'); the bid had no effect"),
    ],
)
def test_the_end_of_all(desk, error, kind, message):
    offer = desk.bid(11)
    desk.bids.give_up_all(error)
    assert (desk.ended(), desk.bids.idle) == ([11], True)
    with pytest.raises(kind) as raised:
        offer.result()
    assert (type(raised.value), str(raised.value)) == (kind, message)


def test_each_bid_has_its_own_waits(desk):
    first, second = desk.bid(11), desk.bid(12)
    desk.sent()
    desk.answer(11, Outcome.UNAVAILABLE)
    assert (type(first.backoff), second.backoff) == (Backoff, None)
