"""Ticks: who leads an auction, as the stream has it."""

import pytest

from tickstorm.auction import ticks as module
from tickstorm.auction.life import created
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.auction.rule import Standing, Terms
from tickstorm.auction.ticks import Ticks
from tickstorm.errors import InvalidTick
from tickstorm.ticks import Tick, validate


def auction(sequence, cents=1250, id=42):
    """An auction of which so many bids have led, the last with this amount."""
    return created(id, Terms(0, 10_000))._replace(
        standing=Standing(cents, 7, sequence, cents + 1, 10_000)
    )


class Hub:
    """Takes what is a tick."""

    def __init__(self):
        self.ticks = []

    def publish(self, ticks):
        for tick in ticks:
            validate(tick)
        self.ticks += ticks


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def metrics():
    return AuctionMetrics()


@pytest.fixture
def follower(hub, metrics):
    return Ticks(hub.publish, metrics)


def test_a_leader_is_a_tick(hub, follower):
    follower.moved(auction(0))
    follower.moved(auction(1))
    metadata = {"bidder": "7", "sequence": "1"}
    assert hub.ticks == [Tick("AUCTION.42", 12.5, 1.0, metadata=metadata)]


def test_its_volume_is_how_many_have_led_since(hub, follower):
    for sequence in (0, 3, 4, 9):
        follower.moved(auction(sequence))
    assert [tick.volume for tick in hub.ticks] == [3.0, 1.0, 5.0]


def test_no_new_leader_is_no_tick(hub, follower):
    for sequence in (0, 2, 2, 1):
        follower.moved(auction(sequence))
    assert [tick.metadata["sequence"] for tick in hub.ticks] == ["2"]


def test_the_first_that_is_heard_of_counts_as_one(hub, follower):
    follower.moved(auction(500))
    assert [tick.volume for tick in hub.ticks] == [1.0]


def test_an_auction_that_is_created_anew_begins_anew(hub, follower):
    for sequence in (0, 5, 0, 2):
        follower.moved(auction(sequence))
    assert [tick.volume for tick in hub.ticks] == [5.0, 2.0]


def test_what_is_no_tick_is_withheld(hub, metrics, follower):
    for sequence in (0, 1, 2):
        follower.moved(auction(sequence, cents=100_000_001))
    follower.moved(auction(3, cents=100_000_000, id=43))
    assert [tick.symbol for tick in hub.ticks] == ["AUCTION.43"]
    assert metrics.ticks_withheld == 2


def test_a_symbol_too_many_is_withheld(metrics):
    def publish(_):
        raise InvalidTick("one too many")

    follower = Ticks(publish, metrics)
    follower.moved(auction(1))
    assert metrics.ticks_withheld == 1


def test_what_is_remembered_is_bounded(hub, follower):
    for id in range(1, module.MAX_KNOWN + 10):
        follower.moved(auction(5, id=id))
    assert len(follower._sequences) == module.MAX_KNOWN
    follower.moved(auction(9, id=1))
    assert hub.ticks[-1].volume == 1.0


def test_after_a_store_has_lost_steps_the_next_leader_is_a_tick_all_the_same(hub, follower):
    for sequence in (1, 5):
        follower.moved(auction(sequence))
    follower.resumed()
    for sequence in (4, 4, 6):
        follower.moved(auction(sequence))
    assert [tick.volume for tick in hub.ticks] == [1.0, 4.0, 1.0, 2.0]


def test_what_was_not_lost_is_no_tick_again(hub, follower):
    follower.moved(auction(5))
    follower.resumed()
    follower.moved(auction(5))
    follower.moved(auction(4))
    assert [tick.volume for tick in hub.ticks] == [1.0]


def test_after_a_gap_the_next_leader_tells_how_many_there_were(hub, follower):
    follower.moved(auction(1))
    follower.resumed()
    follower.moved(auction(7))
    assert [tick.volume for tick in hub.ticks] == [1.0, 6.0]
