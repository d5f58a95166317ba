"""Bids between a worker and its parent: whatever is packed is read as it was."""

from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.life import MAX_AUCTION_ID, MAX_TIME_MS, Auction
from tickstorm.auction.money import MAX_CENTS
from tickstorm.auction.rule import NOWHERE, Answer, Bid, Outcome, Standing, Terms
from tickstorm.workers.bids import (
    Batch,
    pack_answers,
    pack_auctions,
    pack_batches,
    read_answers,
    read_auctions,
    read_batches,
)

uint32 = st.integers(0, 2**32 - 1)
uint64 = st.integers(0, 2**64 - 1)
cents = st.integers(0, MAX_CENTS)
times = st.integers(0, MAX_TIME_MS + 86_400_000)
standings = st.builds(Standing, cents, uint32, uint64, st.integers(0, 2 * MAX_CENTS), times)
terms = st.builds(Terms, times, times, cents, cents, cents, st.integers(0, 86_400_000))
auctions = st.lists(st.builds(Auction, st.integers(1, MAX_AUCTION_ID), terms, standings))


@st.composite
def batches(draw):
    auction_id = draw(uint32)
    bids = st.lists(st.builds(Bid, st.just(auction_id), uint32, cents, uint64), min_size=1)
    return Batch(auction_id, draw(bids))


@st.composite
def runs_of_answers(draw):
    few = draw(st.lists(standings, min_size=1, max_size=3))
    answer = st.builds(Answer, st.sampled_from(Outcome), cents, st.sampled_from(few), times)
    return draw(st.lists(answer, min_size=1))


@given(st.lists(batches()))
def test_batches_are_read_as_they_were(packed):
    assert list(read_batches(pack_batches(packed))) == packed


@given(st.lists(runs_of_answers() | st.none()))
def test_answers_are_read_as_they_were(packed):
    assert list(read_answers(pack_answers(packed))) == packed


@given(auctions)
def test_auctions_are_read_as_they_were(packed):
    assert list(read_auctions(pack_auctions(packed))) == packed


def test_what_is_read_is_of_the_types_that_were_packed():
    bid, answer = Bid(1, 2, 3, 4), Answer(Outcome.EQUAL, 3, Standing(3, 2, 1, 4, 5), 6)
    (batch,) = read_batches(pack_batches([Batch(1, [bid])]))
    ((read,),) = read_answers(pack_answers([[answer]]))
    assert [type(each) for each in (batch.bids[0], read, read.standing, read.outcome)] == [
        Bid,
        Answer,
        Standing,
        Outcome,
    ]


def test_what_a_bid_and_its_answer_take():
    many = [Bid(1, 2, 3)] * 1000
    assert len(pack_batches([Batch(1, many)])) == 8 + 1000 * 20
    refused = [Answer(Outcome.EQUAL, 3, Standing(3, 2, 1, 4, 5))] * 1000
    assert len(pack_answers([refused])) == 8 + 36 + 1000 * 21


def test_who_shares_a_standing_gets_the_same_one():
    answers = [Answer(Outcome.EQUAL, 3, NOWHERE), Answer(Outcome.EQUAL, 4, NOWHERE)]
    ((first, second),) = read_answers(pack_answers([answers]))
    assert first.standing is second.standing
