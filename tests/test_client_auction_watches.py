"""What is watched: asked for one by one, again on each connection; only what is news is told."""

from decimal import Decimal
from math import inf

import pytest

from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import Decoder, read_auction_id
from tickstorm.client.auction.results import Leader
from tickstorm.client.auction.watches import Watches
from tickstorm.errors import InvalidMessage, InvalidSubscription

NOT_THERE = InvalidSubscription("auction 1 is not there")
NOT_NOW = InvalidSubscription("auction 1 cannot be read now: try again later")
TOO_MANY = InvalidSubscription("more than 100 auctions to watch")


def leader(sequence, auction=1):
    return Leader(auction, 7, Decimal(sequence), sequence)


class Desk:
    """Watches of some auctions, and the connection that they are asked for on."""

    def __init__(self, *auctions):
        self.watches = Watches(lambda: 0.5)
        for auction in auctions:
            assert self.watches.want(auction) is None

    def asked(self, now=0.0):
        decoder = Decoder()
        decoder.feed(b"".join(self.watches.frames(now)))
        return [read_auction_id(frame.value) for frame in iter(decoder.next_frame, None)]


def test_one_is_asked_for_when_the_one_before_is_answered():
    desk = Desk(1, 2, 3)
    assert (desk.asked(), desk.asked(), desk.watches.unanswered) == ([1], [], True)
    assert desk.watches.updated(leader(0, 1))
    assert desk.asked() == [2]
    assert desk.watches.ended(leader(0, 2))
    assert desk.asked() == [3]
    assert desk.watches.refused(TOO_MANY, 0.0) == 3
    assert (desk.asked(), desk.watches.unanswered) == ([], False)


def test_what_is_wanted_twice_is_asked_for_once():
    desk = Desk(1)
    desk.asked()
    desk.watches.updated(leader(5))
    assert desk.watches.want(1) == leader(5)
    assert desk.asked() == []


def test_an_update_of_another_auction_is_no_answer():
    desk = Desk(1, 2)
    desk.asked()
    desk.watches.updated(leader(5, auction=2))
    assert (desk.asked(), desk.watches.unanswered) == ([], True)


def test_only_what_is_newer_is_news():
    desk = Desk(1)
    desk.asked()
    told = [desk.watches.updated(leader(sequence)) for sequence in (4, 4, 3, 5)]
    assert told == [True, False, False, True]


def test_on_another_connection_all_is_asked_for_and_told_anew():
    desk = Desk(1, 2)
    desk.asked()
    desk.watches.updated(leader(4))
    desk.watches.connection_lost()
    assert (desk.watches.unanswered, desk.watches.want(1)) == (False, None)
    assert desk.asked() == [1]
    assert desk.watches.updated(leader(2))
    assert desk.asked() == [2]


def test_what_is_not_wanted_any_more_is_neither_asked_for_nor_told():
    desk = Desk(1, 2)
    desk.asked()
    for auction in (1, 2):
        desk.watches.drop(auction)
    assert not desk.watches.updated(leader(4))
    assert not desk.watches.ended(Leader(2, None, None, 0, Outcome.UNSOLD))
    assert desk.asked() == []


def test_what_has_ended_is_wanted_no_more():
    desk = Desk(1)
    desk.asked()
    assert desk.watches.ended(leader(4))
    desk.watches.connection_lost()
    assert desk.asked() == []


def test_one_that_is_refused_is_wanted_no_more():
    desk = Desk(1)
    desk.asked()
    assert desk.watches.refused(NOT_THERE, 0.0) == 1
    desk.watches.connection_lost()
    assert desk.asked() == []


def test_one_that_is_refused_later_is_the_one_that_is_named():
    desk = Desk(1, 2)
    desk.asked()
    desk.watches.updated(leader(4))
    assert desk.asked() == [2]
    assert desk.watches.refused(NOT_THERE, 0.0) == 1
    assert desk.watches.unanswered
    assert desk.watches.refused(NOT_THERE, 0.0) is None


def test_one_that_cannot_be_read_now_is_asked_for_again():
    desk = Desk(1)
    waits = []
    for now in (0.0, 10.0, 20.0):
        assert desk.asked(now) == [1]
        assert desk.watches.refused(NOT_NOW, now) is None
        assert desk.asked(now) == []
        waits.append(desk.watches.due - now)
    assert waits == [0.25, 0.5, 1.0]
    assert desk.asked(30.0) == [1]
    desk.watches.updated(leader(4))
    desk.watches.refused(NOT_NOW, 30.0)
    assert desk.watches.due == 30.25
    desk.watches.drop(1)
    assert (desk.watches.due, desk.asked(31.0)) == (inf, [])


def test_there_is_no_reason_to_wake_while_an_answer_is_to_come():
    desk = Desk(1)
    desk.asked()
    desk.watches.refused(NOT_NOW, 0.0)
    desk.watches.want(2)
    assert (desk.asked(), desk.watches.due) == ([2], inf)


def test_a_refusal_of_nothing():
    with pytest.raises(
        InvalidMessage, match=r"^a refusal of what was not asked for: more than 100"
    ):
        Desk().watches.refused(TOO_MANY, 0.0)
