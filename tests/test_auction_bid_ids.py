"""Bids that are remembered: for a time, and so many; then they are forgotten, in bulk."""

import pytest

from tickstorm.auction.bid_ids import BidIdLimits, BidIds
from tickstorm.auction.rule import Answer, Outcome

FIRST, SECOND = Answer(Outcome.ACCEPTED, 500), Answer(Outcome.TOO_LOW, 400)


def test_what_is_kept_by_default():
    assert BidIdLimits() == BidIdLimits(keep_ms=300_000, most=250_000)


def test_each_bid_has_its_own_answer():
    ids = BidIds()
    ids.note((1, 7, 1), FIRST, 0)
    ids.note((1, 7, 2), SECOND, 0)
    asked = [(1, 7, 1), (1, 7, 2), (1, 8, 1), (2, 7, 1)]
    assert [ids.answer(bid) for bid in asked] == [FIRST, SECOND, None, None]


@pytest.mark.parametrize("noted_ms", [1000, 1050, 1099])
def test_a_bid_is_remembered_for_its_time_and_less_than_twice_that(noted_ms):
    ids = BidIds(BidIdLimits(keep_ms=100))
    ids.expire(1000)
    ids.note("bid", FIRST, noted_ms)
    for now_ms in range(noted_ms, noted_ms + 100, 10):
        ids.expire(now_ms)
        assert ids.answer("bid") == FIRST
    for now_ms in range(noted_ms + 100, noted_ms + 201, 10):
        ids.expire(now_ms)
    assert (ids.answer("bid"), len(ids)) == (None, 0)


def test_after_a_long_silence_nothing_is_remembered():
    ids = BidIds(BidIdLimits(keep_ms=100))
    ids.expire(1000)
    ids.note("bid", FIRST, 1000)
    ids.expire(1200)
    assert (ids.answer("bid"), len(ids), ids.forgotten_early) == (None, 0, 0)


def test_what_is_too_many_is_forgotten_before_its_time_and_counted():
    ids = BidIds(BidIdLimits(keep_ms=100, most=10))
    ids.expire(1000)
    for number in range(20):
        ids.note(number, FIRST, 1000)
    assert (len(ids), ids.forgotten_early) == (20, 0)
    ids.note(20, FIRST, 1000)
    assert (len(ids), ids.forgotten_early) == (11, 10)
    known = [number for number in range(21) if ids.answer(number)]
    assert known == [*range(10, 21)]


def test_the_time_of_those_that_stay_begins_anew_when_others_are_forgotten_early():
    ids = BidIds(BidIdLimits(keep_ms=100, most=1))
    ids.expire(1000)
    ids.note("first", FIRST, 1000)
    ids.note("second", FIRST, 1090)
    ids.expire(1189)
    assert (ids.answer("first"), ids.answer("second")) == (FIRST, FIRST)
    ids.expire(1190)
    assert (ids.answer("first"), ids.answer("second")) == (None, FIRST)
