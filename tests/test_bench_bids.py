"""bids: what is sent are bids that the wire reads, some of which are above all before."""

import pytest

from tickstorm.auction.wire import Decoder
from tickstorm.bench.bids import IDS_OF_A_CONNECTION, RAISE_EVERY, RING_BIDS, Bids
from tickstorm.bench.jobs import Bidding

BIDDING = Bidding((7, 8, 9), (100, 120), 1, float("inf"), 500, 0)


def read(data):
    decoder = Decoder()
    decoder.feed(data)
    bids = decoder.take_bids(len(data))
    assert decoder.pending_bytes == 0
    return bids


@pytest.mark.parametrize("first_bid_id", [0, 10**18])
def test_they_are_bids_of_these_users_in_these_auctions(first_bid_id):
    sent = read(Bids(BIDDING._replace(first_bid_id=first_bid_id), 0).take(1000))
    assert len(sent) == 1000
    assert {bid.auction_id for bid in sent} == {7, 8, 9}
    assert {bid.user_id for bid in sent} == set(range(100, 121))


def test_of_each_eight_one_is_above_all_before():
    sent = [bid.cents for bid in read(Bids(BIDDING, 0).take(100 * RAISE_EVERY))]
    assert sent[::RAISE_EVERY] == [500 + n for n in range(1, 101)]
    others = [cents for at, cents in enumerate(sent) if at % RAISE_EVERY]
    assert 1 <= min(others) < max(others) <= 500


@pytest.mark.parametrize("first_bid_id", [0, 10**18])
@pytest.mark.parametrize("size", [1, 3, 16, 1000])
def test_however_many_are_taken_at_a_time_they_are_the_same(size, first_bid_id):
    bidding = BIDDING._replace(first_bid_id=first_bid_id)
    whole, pieces = Bids(bidding, 0), Bids(bidding, 0)
    count = 5 * 3 * 16 * 1000
    assert b"".join(pieces.take(size) for _ in range(count // size)) == b"".join(
        whole.take(count // 10) for _ in range(10)
    )


def test_beyond_the_ring_they_go_on_to_rise():
    bids = Bids(BIDDING, 0)
    first = read(bids.take(RING_BIDS - 4))
    over = [bid.cents for bid in read(bids.take(12))]
    assert max(bid.cents for bid in first) == 500 + RING_BIDS // RAISE_EVERY
    assert (over[4], len(over)) == (500 + RING_BIDS // RAISE_EVERY + 1, 12)


def test_ids_are_told_once_and_are_of_one_process():
    bidding = BIDDING._replace(first_bid_id=10**18)
    bids = Bids(bidding, 0)
    ids = [bid.bid_id for size in (1, 5, 94) for bid in read(bids.take(size))]
    assert ids == list(range(10**18, 10**18 + 100))
    (other,) = read(Bids(bidding, 1000).take(1))
    assert other.bid_id == 10**18 + 1000 * IDS_OF_A_CONNECTION


def test_without_ids_there_are_none():
    assert {bid.bid_id for bid in read(Bids(BIDDING, 0).take(50))} == {0}


def test_processes_bid_differently():
    assert Bids(BIDDING, 0).take(50) != Bids(BIDDING, 1).take(50)
