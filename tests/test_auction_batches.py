"""Batches: one of each auction at a time, in the order of bids, each answer in its place."""

import pytest

from tickstorm.auction.batches import Batches, Decided
from tickstorm.auction.rule import Answer, Bid, Outcome
from tickstorm.auction.turns import Turn


def turn(*auctions):
    """A turn of bids, whose amounts are their places in it, from 1."""
    return Turn([Bid(auction, 7, cents) for cents, auction in enumerate(auctions, 1)])


def accepted(batch):
    return [Answer(Outcome.ACCEPTED, bid.cents) for bid in batch.bids]


def ready(batches):
    """What is ready, as the amounts of each auction's bids, and the batches."""
    taken = batches.take_ready()
    return {batch.auction_id: [bid.cents for bid in batch.bids] for batch in taken}, taken


def test_the_bids_of_a_turn_go_by_auction_in_their_order():
    batches = Batches(10)
    batches.add("alice", turn(1, 2, 1), 0.0)
    batches.add("bob", turn(2, 1), 0.0)
    assert ready(batches)[0] == {1: [1, 3, 2], 2: [2, 1]}
    assert batches.in_flight == 5


def test_what_comes_while_a_batch_is_under_way_is_the_next_one():
    batches = Batches(10)
    batches.add("alice", turn(1), 0.0)
    _, (first,) = ready(batches)
    batches.add("bob", turn(1, 1), 0.0)
    batches.add("carol", turn(1, 2), 0.0)
    assert ready(batches)[0] == {2: [2]}
    assert not batches.has_ready
    batches.answer(first, accepted(first))
    assert batches.has_ready
    assert ready(batches)[0] == {1: [1, 2, 1]}


def test_a_batch_has_a_limit():
    batches = Batches(2)
    batches.add("alice", turn(1, 1, 1, 1, 1), 0.0)
    sizes = []
    while batches.has_ready:
        found, (batch,) = ready(batches)
        sizes.append(found[1])
        batches.answer(batch, accepted(batch))
    assert sizes == [[1, 2], [3, 4], [5]]
    assert batches.in_flight == 0


def test_each_answer_goes_to_its_place_and_a_turn_is_told_once_it_misses_nothing():
    batches = Batches(10)
    mixed = turn(1, 2, 1)
    batches.add("alice", mixed, 3.0)
    one, two = batches.take_ready()
    assert batches.answer(two, [Answer(Outcome.EQUAL, 2)]) == []
    assert batches.in_flight == 2
    answers = [Answer(Outcome.ACCEPTED, 1), Answer(Outcome.TOO_LOW, 3)]
    assert batches.answer(one, answers) == [Decided("alice", 3, 3.0)]
    assert list(mixed.outcomes()) == [Outcome.ACCEPTED, Outcome.EQUAL, Outcome.TOO_LOW]


def test_what_is_answered_already_is_not_asked_for():
    batches = Batches(10)
    partly, wholly = turn(1, 1), turn(1)
    partly.answer(0, Answer(Outcome.MALFORMED, 0))
    wholly.answer(0, Answer(Outcome.MALFORMED, 0))
    batches.add("alice", partly, 0.0)
    batches.add("alice", wholly, 0.0)
    assert ready(batches)[0] == {1: [2]}
    assert batches.in_flight == 1


def test_an_answer_too_few_is_an_error():
    batches = Batches(10)
    batches.add("alice", turn(1, 1), 0.0)
    (batch,) = batches.take_ready()
    with pytest.raises(ValueError, match="shorter"):
        batches.answer(batch, [Answer(Outcome.EQUAL, 1)])
