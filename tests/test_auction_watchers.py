"""Watchers: who hears of a leader, how often, and of the end."""

import pytest
from bidding import NOW_MS, SlowStore, WireBidder, bid, watch
from bidding import Server as AuctionServer
from twisted.internet.defer import Deferred, fail
from zope.interface.verify import verifyObject

from tickstorm.auction.book import Book
from tickstorm.auction.interfaces import IFollower, StoreUnavailable
from tickstorm.auction.life import NoSuchAuction
from tickstorm.auction.looks import AT_ONCE
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.rule import Bid, Terms
from tickstorm.auction.session import SessionLimits


class SlowReads(SlowStore):
    """A store whose reads are answered when it is told to."""

    def __init__(self, store):
        super().__init__(store)
        self.reads = []

    def bid(self, auction_id, bids):
        return self.store.bid(auction_id, bids)

    def read(self, auction_id):
        self.reads.append((auction_id, Deferred()))
        return self.reads[-1][1]

    def answer_read(self, before=None):
        auction_id, answer = self.reads.pop(0)
        answer.callback(before or self.store.read(auction_id).result)


class Server(AuctionServer):
    """A server whose store can be put before another."""

    def replace(self, make):
        store = make(self.store)
        self.store = self.factory.watchers._store = store
        return store


def closing(server, seconds, id=2, **terms):
    """Create an auction that closes soon."""
    server.store.create(Terms(NOW_MS, NOW_MS + seconds * 1000, **terms), id)


def test_it_follows_the_store():
    verifyObject(IFollower, Server().factory.watchers)


# The beginning.


def test_a_watch_is_answered_with_who_leads():
    server = Server()
    watcher = server.connect()
    assert watcher.ask(watch()) == [("UPDATE", 1, 0, 0)]
    server.connect().ask(bid(100))
    assert server.connect().ask(watch()) == [("UPDATE", 1, 100, 1)]


def test_to_watch_twice_is_to_watch_once():
    server = Server()
    watcher = server.connect()
    assert watcher.ask(watch(), watch()) == [("UPDATE", 1, 0, 0)] * 2
    server.connect().ask(bid(100))
    assert watcher.read() == [("UPDATE", 1, 100, 1)]


def test_who_begins_to_watch_between_a_bid_and_its_update_hears_of_it_once():
    server = Server()
    first, watcher = server.connect(), server.connect()
    first.ask(watch())
    server.connect().send(bid(100))
    server.turn(1)  # it is decided, and not told yet
    assert watcher.ask(watch()) == [("UPDATE", 1, 100, 1)]
    assert first.read() == [("UPDATE", 1, 100, 1)]


def test_what_there_is_not_cannot_be_watched():
    server = Server()
    watcher = server.connect()
    assert watcher.ask(watch(9), bid(5)) == ["INVALID_SUBSCRIPTION", ("ACCEPTED", 5)]
    assert not watcher.closed
    assert server.factory.edge.protocol_errors == {"INVALID_SUBSCRIPTION": 1}


def test_so_many_can_be_watched_at_a_time():
    server = Server(session_limits=SessionLimits(max_watched=2))
    server.open(2)
    server.open(3)
    watcher = server.connect()
    assert watcher.ask(watch(1), watch(9), watch(2), watch(3), watch(1)) == [
        ("UPDATE", 1, 0, 0),
        "INVALID_SUBSCRIPTION",
        ("UPDATE", 2, 0, 0),
        "INVALID_SUBSCRIPTION",
        ("UPDATE", 1, 0, 0),
    ]
    assert not watcher.closed


def test_what_moves_while_it_is_read_is_not_missed_and_not_told_twice():
    server = Server()
    store = server.replace(SlowReads)
    watcher = server.connect()
    watcher.ask(watch(), watch())
    assert len(store.reads) == 1
    before = store.store.read(1).result
    server.connect().ask(bid(100))
    assert watcher.read() == []
    store.answer_read(before)
    assert watcher.ask() == [("UPDATE", 1, 100, 1)]
    server.connect().ask(bid(200))
    assert watcher.read() == [("UPDATE", 1, 200, 2)]


def test_who_goes_before_the_answer_is_forgotten():
    server = Server()
    store = server.replace(SlowReads)
    watcher = server.connect()
    watcher.ask(watch())
    watcher.vanish()
    store.answer_read()
    server.turn()
    assert server.left_behind() == {}


def test_a_store_that_is_away_can_be_asked_again():
    server = Server()
    read = server.store.read
    server.store.read = lambda _: fail(StoreUnavailable("away"))
    watcher = server.connect()
    assert watcher.ask(watch()) == ["INVALID_SUBSCRIPTION"]
    server.store.read = read
    assert watcher.ask(watch()) == [("UPDATE", 1, 0, 0)]


def test_a_store_that_breaks_is_in_the_log(failures):
    server = Server()
    server.store.read = lambda _: fail(RuntimeError("broken"))
    assert server.connect().ask(watch()) == ["INVALID_SUBSCRIPTION"]
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()


# Who leads.


def test_every_watcher_hears_of_each_leader_once_a_turn():
    server = Server()
    server.open(2)
    watchers = [server.connect() for _ in range(3)]
    for watcher in watchers:
        watcher.ask(watch(1), watch(2))
    bidder = server.connect()
    bidder.ask(bid(100), bid(200), bid(150), bid(70, auction=2))
    bidder.ask(bid(200))
    bidder.ask(bid(201))
    for watcher in watchers:
        assert watcher.read() == [
            ("UPDATE", 1, 200, 2),
            ("UPDATE", 2, 70, 1),
            ("UPDATE", 1, 201, 3),
        ]
    assert server.factory.metrics.updates == {"sent": 9, "conflated": 0}


def test_a_bidder_may_watch_too():
    server = Server()
    bidder = server.connect()
    said = bidder.ask(watch(), bid(100))
    assert sorted(map(str, said)) == sorted(
        map(str, [("UPDATE", 1, 0, 0), ("ACCEPTED", 100), ("UPDATE", 1, 100, 1)])
    )


def test_who_does_not_read_hears_of_the_newest_when_it_does():
    server = Server()
    server.open(2)
    slow, other, bidder = WireBidder(server), server.connect(), server.connect()
    for watcher in (slow, other):
        watcher.ask(watch(1), watch(2))
    slow.socket.room = 10
    for cents in range(1, 50):
        bidder.ask(bid(cents), bid(cents, auction=2))
    assert len(other.read()) == 98
    slow.wire.drain()
    assert slow.read() == [
        ("UPDATE", 1, 1, 1),
        ("UPDATE", 2, 1, 1),
        ("UPDATE", 1, 49, 49),
        ("UPDATE", 2, 49, 49),
    ]
    bidder.ask(bid(60))
    assert slow.read() == [("UPDATE", 1, 60, 50)]
    assert server.factory.metrics.updates["conflated"] == 47 * 2


def test_the_store_is_asked_for_some_at_a_time():
    server = Server()
    store = server.replace(SlowReads)
    for id in range(2, 101):
        server.open(id)
    watcher = server.connect()
    assert watcher.ask(*(watch(id) for id in range(1, 101))) == []
    assert [id for id, _ in store.reads] == list(range(1, AT_ONCE + 1))
    store.answer_read()
    assert watcher.ask() == [("UPDATE", 1, 0, 0)]
    assert [id for id, _ in store.reads] == list(range(2, AT_ONCE + 2))


def test_after_a_lost_subscription_everything_is_read_again():
    server = Server()
    server.open(2)
    watcher = server.connect()
    watcher.ask(watch(1), watch(2))
    server.store._followers.clear()  # nothing is told any more
    server.connect().ask(bid(100))
    assert watcher.ask() == []
    server.factory.watchers.resumed()
    assert watcher.ask() == [("UPDATE", 1, 100, 1), ("UPDATE", 2, 0, 0)]


def test_what_a_store_has_lost_is_not_believed_any_more():
    server = Server()
    watcher = server.connect()
    server.connect().ask(bid(100), bid(200))
    assert watcher.ask(watch()) == [("UPDATE", 1, 200, 2)]
    server.replace(lambda _: Server().store)  # empty again, but for the auction
    server.store.bid(1, [Bid(1, 9, 50)])
    server.factory.watchers.resumed()
    assert watcher.ask() == [("UPDATE", 1, 50, 1)]


def test_a_store_that_has_lost_everything_has_nothing_to_watch():
    server = Server()
    watcher = server.connect()
    watcher.ask(watch())
    server.replace(lambda _: MemoryStore(Book(), lambda: NOW_MS))
    server.factory.watchers.resumed()
    assert watcher.ask() == ["INVALID_SUBSCRIPTION"]
    assert len(server.factory.watchers) == 0


def test_one_that_breaks_keeps_nobody_from_hearing(failures):
    server = Server()
    broken, other = server.connect(), server.connect()
    broken.ask(watch())
    other.ask(watch())
    broken.connection._outlet = None
    server.connect().ask(bid(5))
    assert other.read() == [("UPDATE", 1, 5, 1)]
    assert broken.transport.disconnected
    assert [type(failure) for failure in failures] == [AttributeError]
    failures.clear()


# The end.


@pytest.mark.parametrize(("reserve", "outcome"), [(0, "SOLD"), (1000, "UNSOLD")])
def test_at_its_end_an_auction_has_one_result(reserve, outcome):
    server = Server()
    closing(server, 10, reserve=reserve)
    watchers = [server.connect() for _ in range(2)]
    for watcher in watchers:
        watcher.ask(watch(2))
    server.connect().ask(bid(100, auction=2))
    server.advance(9)
    assert watchers[0].read() == [("UPDATE", 2, 100, 1)]
    server.advance(2)
    server.turn()
    assert watchers[0].read() == [(outcome, 100)]
    assert watchers[1].read() == [("UPDATE", 2, 100, 1), (outcome, 100)]
    server.advance(100)
    assert [watcher.read() for watcher in watchers] == [[], []]
    assert len(server.factory.watchers) == 0


def test_who_watches_a_closed_one_has_the_same_result():
    server = Server()
    closing(server, 10)
    server.connect().ask(bid(100, auction=2))
    server.advance(11)
    watcher = server.connect()
    assert watcher.ask(watch(2), watch(2)) == [("SOLD", 100)] * 2
    assert len(server.factory.watchers) == 0


def test_an_ended_auction_makes_room_for_another():
    server = Server(session_limits=SessionLimits(max_watched=1))
    closing(server, 10)
    watcher = server.connect()
    watcher.ask(watch(2))
    server.advance(11)
    assert watcher.ask(watch(1)) == [("UNSOLD", 0), ("UPDATE", 1, 0, 0)]


def test_a_late_bid_puts_the_end_off():
    server = Server()
    closing(server, 10, soft_close_ms=5000)
    watcher, bidder = server.connect(), server.connect()
    watcher.ask(watch(2))
    server.advance(8)
    bidder.ask(bid(100, auction=2))
    server.advance(4)
    assert watcher.read() == [("UPDATE", 2, 100, 1)]
    server.advance(2)
    server.turn()
    assert watcher.read() == [("SOLD", 100)]


def test_one_that_is_closed_by_hand_ends_at_once():
    server = Server()
    watcher = server.connect()
    watcher.ask(watch())
    server.connect().ask(bid(5))
    server.store.close(1)
    server.advance(0.002, step=0.001)
    server.turn()
    assert watcher.read() == [("UPDATE", 1, 5, 1), ("SOLD", 5)]


def test_an_end_that_the_store_cannot_tell_is_told_later():
    server = Server()
    closing(server, 10)
    watcher = server.connect()
    watcher.ask(watch(2))
    settle = server.store.settle
    server.store.settle = lambda _: fail(StoreUnavailable("away"))
    server.advance(11)
    assert watcher.ask() == []
    server.store.settle = settle
    server.advance(1)
    assert watcher.ask() == [("UNSOLD", 0)]


def test_who_does_not_read_has_the_end_too():
    server = Server()
    closing(server, 10)
    slow = WireBidder(server)
    slow.ask(watch(2))
    slow.socket.room = 0
    server.connect().ask(bid(100, auction=2))
    server.connect().ask(bid(200, auction=2))
    server.advance(2)
    server.store.close(2)
    server.advance(0.01, step=0.001)
    server.turn()
    slow.wire.drain()
    assert slow.read() == [("UPDATE", 2, 100, 1), ("SOLD", 200)]


def test_nothing_is_left_of_who_has_watched():
    server = Server()
    closing(server, 10)
    watcher = server.connect()
    watcher.ask(watch(1), watch(2))
    other = server.connect()
    other.ask(watch(2))
    watcher.vanish()
    assert len(server.factory.watchers._closings) == 1
    other.vanish()
    assert len(server.factory.watchers._closings) == 0
    assert server.left_behind() == {}


def test_an_auction_that_is_no_more_is_looked_for_no_more():
    server = Server()
    closing(server, 10)
    watcher = server.connect()
    watcher.ask(watch(2))
    server.store.settle = lambda _: fail(NoSuchAuction("gone"))
    server.advance(11)
    server.turn()
    assert watcher.read() == ["INVALID_SUBSCRIPTION"]
    assert len(server.factory.watchers) == 0
