"""Auctions with workers, in memory: a worker's bidders, and the pool's side of them."""

from dataclasses import replace

import pytest
from bidding import HOUR, LOGIN, NOW_MS, bid, read, watch
from certificates import authority
from conversation import PASSWORD, USER, auth
from pools import pools, report
from test_auction_reading import bids_as_values, reading
from test_workers_process import Parent, shown
from twisted.internet.interfaces import IProtocolFactory

from tickstorm.auction.book import Book
from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.life import Auction
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.permits import read_bid_right
from tickstorm.auction.rule import Answer, Bid, Outcome, Standing, Terms, at_first
from tickstorm.credentials import Peer, User
from tickstorm.errors import InvalidTick
from tickstorm.messages import Login
from tickstorm.workers.bids import (
    AuctionAnswered,
    AuctionAsked,
    Batch,
    BidsAnswered,
    BidsAsked,
    Moved,
    pack_answers,
    pack_auctions,
    pack_batches,
    read_answers,
    read_auctions,
    read_batches,
)
from tickstorm.workers.handover import PortKind
from tickstorm.workers.hiring import FIRST_WAIT
from tickstorm.workers.link import (
    AtAddress,
    AtAddresses,
    Drain,
    Drained,
    Hasten,
    Load,
    LoginAnswered,
    LoginAsked,
    LoginFailed,
    Ready,
    Reload,
    Report,
)
from tickstorm.workers.pooled_house import PooledHouse
from tickstorm.workers.process import LOAD_DELAY

SUBSCRIBERS, BIDDERS = PortKind
STREAM, AUCTION = 0, 1
"""The numbers of a worker's ports."""
OPEN = Auction(1, Terms(NOW_MS, NOW_MS + HOUR), at_first(Terms(NOW_MS, NOW_MS + HOUR)))


def led(cents, sequence=1):
    """How auction 1 stands that somebody leads."""
    return Standing(cents, 7, sequence, cents + 1, NOW_MS + HOUR)


# A worker.


@pytest.fixture(name="parent")
def make_parent():
    """Makes workers with bidders, at the link to a parent, and clears them away."""
    made = []

    def parent(**options):
        ports = {"port": ("tcp:1",), "auction": ("tcp:2",), "auction_auth": False}
        made.append(Parent(**{**ports, **options}))
        return made[-1]

    yield parent
    for each in made:
        each.close()


def said(client):
    """What a bidder was told since the last time."""
    data = client.transport.value()
    client.transport.clear()
    return read(data)


def bidding(one, **named):
    return one.client(port=AUCTION, **named)


def answer(one, *answers):
    """Have the parent answer the batch that the worker has asked for; what it was."""
    (asked,) = one.link.heard(BidsAsked)
    (batch,) = read_batches(asked.batches)
    one.link.say(BidsAnswered(asked.request, NOW_MS, pack_answers([answers])))
    one.reactor.advance(0)
    return batch


def test_what_is_bid_at_a_worker_is_decided_by_the_parent(parent):
    one = parent()
    client = bidding(one)
    client.connection.dataReceived(bid(100) + bid(50))
    one.reactor.pump([0, 0])
    batch = answer(
        one, Answer(Outcome.ACCEPTED, 100, led(100)), Answer(Outcome.TOO_LOW, 50, led(100))
    )
    assert batch == Batch(1, [Bid(1, 7, 100), Bid(1, 7, 50)])
    assert said(client) == [("ACCEPTED", 100), ("TOO_LOW", 50)]


def test_who_watches_at_a_worker_hears_of_leaders_at_any(parent):
    one = parent()
    client = bidding(one)
    client.connection.dataReceived(watch())
    (asked,) = one.link.heard(AuctionAsked)
    assert asked[1:] == ("read", (1,))
    one.link.say(AuctionAnswered(asked.request, NOW_MS, OPEN))
    one.link.say(Moved(NOW_MS, pack_auctions([OPEN._replace(standing=led(100))])))
    one.reactor.pump([0, 0])
    assert said(client) == [("UPDATE", 1, 0, 0), ("UPDATE", 1, 100, 1)]


def test_a_worker_publishes_no_ticks(parent):
    one = parent()
    assert one.worker.house.store._followers == [one.worker.house.factory.watchers]


def test_its_subscribers_are_served_beside(parent):
    one = parent()
    client, _ = one.client(port=STREAM), bidding(one)
    client.send(auth())
    assert client.names() == ["ACK"]


def test_it_tells_of_each_kind_of_connections(parent):
    one = parent()
    subscriber, bidder = one.client(port=STREAM), bidding(one)
    bidding(one)
    one.link.heard()
    bidder.vanish()
    one.reactor.advance(LOAD_DELAY)
    assert one.link.heard(Load) == [Load(1, 1), Load(2, 1, BIDDERS)]
    subscriber.vanish()
    one.reactor.advance(LOAD_DELAY)
    assert one.link.heard(Load) == [Load(1, 0), Load(2, 1, BIDDERS)]


def test_it_reports_of_its_bidders(parent):
    one = parent()
    client = bidding(one)
    client.connection.dataReceived(bid(100) + watch())
    one.reactor.advance(1)
    (told,) = one.link.heard(Report)[-1:]
    assert (told.reading.connections, told.bidders[:3]) == (0, (1, 1, 1))
    assert told.bidders.edge.connections_opened == 1


def test_a_worker_without_auctions_reports_of_none(parent):
    one = parent(auction=())
    assert [told.bidders for told in one.link.heard(Report)] == [None]
    assert one.worker.house is None


def test_its_parent_checks_logins(parent):
    one = parent(
        asks_for_logins=True, auction_auth=True, auction_users=(read_bid_right(f"{USER}:7"),)
    )
    client = bidding(one)
    client.connection.dataReceived(LOGIN + bid(100))
    ((request, *asked),) = one.link.heard(LoginAsked)
    assert asked == [Login(USER, PASSWORD), Peer("10.0.0.1")]
    one.link.say(LoginAnswered(request, User(USER)))
    one.reactor.pump([0, 0])
    answer(one, Answer(Outcome.ACCEPTED, 100, led(100)))
    assert said(client) == [f"AUTH {USER}", ("ACCEPTED", 100)]


def test_failed_logins_of_both_kinds_count_for_both_everywhere(parent):
    one = parent(auction_auth=True, max_login_failures=2)
    wrong = bidding(one)
    wrong.connection.dataReceived(LOGIN.replace(PASSWORD.encode(), b"x" * len(PASSWORD)))
    assert one.link.heard(LoginFailed) == [LoginFailed("10.0.0.1")]
    one.link.say(LoginFailed("10.0.0.1"))
    client, bidder = one.client(port=STREAM), bidding(one)
    client.send(auth())
    bidder.connection.dataReceived(LOGIN)
    assert (said(wrong), client.names()) == (["INVALID_AUTH"], ["RATE_LIMITED"])
    assert said(bidder) == ["RATE_LIMITED"]


def test_each_kind_is_limited_by_itself(parent):
    one = parent(max_connections=1)
    assert one.client(port=STREAM).names() == []
    assert [said(bidding(one)) for _ in range(2)] == [[], ["OVERLOADED"]]


def test_addresses_are_counted_for_each_kind_and_over_all_workers(parent):
    one = parent(max_connections_per_address=2, bidders={"10.0.0.1": 1})
    one.link.heard()
    assert [said(bidding(one)) for _ in range(2)] == [[], ["RATE_LIMITED"]]
    assert one.client(port=STREAM).names() == []
    assert one.link.heard(AtAddress) == [
        AtAddress("10.0.0.1", 1, BIDDERS),
        AtAddress("10.0.0.1", 1),
    ]
    one.link.say(AtAddress("10.0.0.1", 1), AtAddresses({"10.0.0.1": -1}, BIDDERS))
    assert one.client(port=STREAM).names() == ["RATE_LIMITED"]
    assert said(bidding(one)) == []


def test_its_bidders_are_held_to_other_settings(parent):
    one = parent(auction_rate_per_user=1)
    one.link.say(Reload(replace(one.settings, auction_auth=True, max_connections=1), {}))
    client = bidding(one)
    client.connection.dataReceived(bid(100))
    assert said(client) == ["AUTH_REQUIRED"]
    assert said(bidding(one)) == ["OVERLOADED"]


def test_the_certificates_of_its_auction_ports_are_read_anew(parent, tmp_path):
    def renew():
        issued = authority().issue("server")
        return issued.certificate, *issued.save(tmp_path, "server")

    old, path, key = renew()
    one = parent(auction=(f"tls:2:cert={path}:key={key}",))
    assert shown(bidding(one)) == old
    new, *paths = renew()
    one.link.say(Reload(one.settings, {str(path): path.read_bytes() for path in paths}))
    assert shown(bidding(one)) == new


def test_it_serves_once_its_own_store_has_been_looked_for(parent):
    one = parent(redis="redis://127.0.0.1:1", redis_timeout=1.0)
    assert one.link.heard(Ready) == []
    one.reactor.pump([0.1] * 40)
    assert one.link.heard(Ready) == [Ready()]
    client = bidding(one)
    client.connection.dataReceived(bid(100))
    one.reactor.pump([0, 0])
    assert said(client) == [("UNAVAILABLE", 100)]
    assert one.link.heard(BidsAsked) == []
    assert one.worker.house.read().complaints


def test_one_that_ends_before_that_does_not_say_so(parent):
    one = parent(redis="redis://127.0.0.1:1", redis_timeout=1.0)
    one.client(port=STREAM)
    one.link.say(Drain(30.0, 0.0))
    one.reactor.pump([0.1] * 40)
    assert one.link.heard(Ready) == []


# Its end.


def test_a_drain_answers_what_was_bid_and_ends_with_the_last_of_both_kinds(parent):
    one = parent()
    subscriber, bidder = one.client(port=STREAM), bidding(one)
    bidder.connection.dataReceived(bid(100))
    one.reactor.pump([0, 0])
    one.link.say(Drain(3.0, 0.0))
    assert said(bidder) == []
    answer(one, Answer(Outcome.ACCEPTED, 100, led(100)))
    assert said(bidder) == [("ACCEPTED", 100), "SHUTTING_DOWN"]
    bidder.vanish()
    assert one.link.heard(Drained) == []
    subscriber.vanish()
    assert one.link.heard(Drained) == [Drained()]
    one.reactor.advance(0)
    assert one.ended


def test_a_drain_that_is_hastened_closes_bidders_at_once(parent):
    one = parent()
    client = bidding(one)
    one.link.say(Drain(60.0, 48.0))
    assert said(client) == []
    one.link.say(Hasten())
    assert said(client) == ["SHUTTING_DOWN"]


def test_without_a_parent_it_says_what_is_not_known_and_ends(parent):
    one = parent()
    client, idle = bidding(one), bidding(one)
    client.connection.dataReceived(bid(100))
    one.reactor.pump([0, 0])
    client.connection.dataReceived(bid(200))
    one.link.vanish()
    one.reactor.pump([0, 0, 0])
    assert said(client) == [("UNDECIDED", 100), ("UNAVAILABLE", 200), "SHUTTING_DOWN"]
    assert said(idle) == ["SHUTTING_DOWN"]


# The pool.


@pytest.fixture(name="pool")
def make_pool():
    """Makes pools with a store in memory, and clears them away."""
    with pools() as make:

        def pool(*shares, **options):
            one = make(*shares, store=lambda clock: MemoryStore(Book(), clock.wall_ms), **options)
            one.store = one.pool._auctioneer._store
            one.store.create(OPEN.terms, 1)
            return one

        yield pool


def asked(*bids, request=1):
    return BidsAsked(request, pack_batches([Batch(1, bids)]))


def test_what_workers_ask_is_decided_here_and_all_hear_who_leads(pool):
    one = pool()
    first, second = one.begin_all()
    one.reactor.advance(0)
    for worker in (first, second):
        worker.heard()
    first.say(asked(Bid(1, 7, 100)))
    second.say(asked(Bid(1, 8, 100), request=5))
    ((request, now_ms, packed),) = first.heard()
    assert (request, now_ms) == (1, NOW_MS)
    assert list(read_answers(packed)) == [[Answer(Outcome.ACCEPTED, 100, led(100))]]
    ((request, _, packed),) = second.heard()
    assert (request, list(read_answers(packed))) == (
        5,
        [[Answer(Outcome.EQUAL, 100, led(100))]],
    )
    one.reactor.advance(0)
    for worker in (first, second):
        ((_, auctions),) = worker.heard(Moved)
        assert list(read_auctions(auctions)) == [OPEN._replace(standing=led(100))]


def test_a_worker_may_ask_for_anything_of_the_store(pool):
    worker = pool(10).begin_all()[0]
    worker.say(AuctionAsked(3, "read", (1,)), AuctionAsked(4, "close", (9,)))
    first, second = worker.heard(AuctionAnswered)
    assert first == AuctionAnswered(3, NOW_MS, OPEN)
    assert (second.request, str(second.answer)) == (4, "there is no auction 9")


def test_without_a_store_here_nobody_is_answered():
    with pools() as make:
        worker = make(10).begin_all()[0]
        worker.say(asked(Bid(1, 7, 100)), AuctionAsked(3, "read", (1,)))
        assert worker.heard() == []


def test_a_worker_that_dies_with_its_answer_on_the_way_leaves_the_truth(pool):
    one = pool()
    first, second = one.begin_all()
    first.say(asked(Bid(1, 7, 100, 5)))
    first.die()
    second.say(asked(Bid(1, 7, 100, 5), Bid(1, 8, 100, 5)))
    one.reactor.advance(0)
    ((answered,),) = [list(read_answers(told.answers)) for told in second.heard(BidsAnswered)]
    assert [(each.outcome, each.standing) for each in answered] == [
        (Outcome.ACCEPTED, led(100)),
        (Outcome.EQUAL, led(100)),
    ]
    one.reactor.advance(FIRST_WAIT)
    third = one.at(1).begin()
    third.say(AuctionAsked(1, "read", (1,)))
    assert third.heard(AuctionAnswered)[0].answer.standing == led(100)


def test_each_worker_has_its_share_of_what_is_in_flight(pool):
    one = pool(30, 30, 30, auction_in_flight=5000)
    assert [hired.spec.settings.auction_in_flight for hired in one.hired] == [1667] * 3


def test_bidders_are_handed_to_workers_with_the_number_of_their_port(pool):
    one = pool(10)
    worker = one.begin_all()[0]
    handed = []
    one.pool._places[0].hand = lambda port, *_: handed.append(port) or False
    one.auction_port.connect()
    one.reactor.turn()
    assert handed == [1]
    assert worker.take() == 0


def test_addresses_of_bidders_are_told_as_such(pool):
    one = pool()
    first, second = one.begin_all()
    second.heard()
    first.say(AtAddress("a", 2, BIDDERS), AtAddress("a", 1))
    assert second.heard(AtAddress) == [AtAddress("a", 2, BIDDERS), AtAddress("a", 1)]
    second.die()
    one.reactor.advance(FIRST_WAIT)
    assert one.at(2).spec.elsewhere == {SUBSCRIBERS: {"a": 1}, BIDDERS: {"a": 2}}
    one.at(2).begin()
    first.die()
    told = one.at(2).heard(AtAddresses)
    assert sorted(told, key=lambda each: each.kind) == [
        AtAddresses({"a": -1}),
        AtAddresses({"a": -2}, BIDDERS),
    ]


def test_its_numbers_of_bidders_are_the_sum_of_its_workers_and_of_those_gone(pool):
    one = pool()
    first, second = one.begin_all()
    assert one.pool.read_bidders()[:4] == (0, 0, 0, 0)
    first.say(report()._replace(bidders=reading(1)))
    second.say(report()._replace(bidders=reading(10)))
    assert one.pool.read_bidders()[:4] == (11, 22, 33, 44)
    first.die()
    whole = one.pool.read_bidders()
    assert whole[:4] == (10, 20, 30, 40)
    assert bids_as_values(whole.metrics) == bids_as_values(reading(11).metrics)


# The house.


def house(*readings, store=None):
    published = []
    store = store or MemoryStore(Book(), lambda: NOW_MS)
    return PooledHouse(store, published.extend, lambda: readings[0]), published


def test_who_leads_is_published_once_whichever_worker_took_the_bid():
    one, published = house(reading(0))
    one.store.create(OPEN.terms, 1)
    one.store.bid(1, [Bid(1, 7, 100), Bid(1, 7, 200)])
    assert [(tick.symbol, tick.price, tick.volume) for tick in published] == [
        ("AUCTION.1", 2.0, 2.0)
    ]


def test_what_is_no_tick_is_counted_with_what_the_workers_say():
    def refuse(ticks):
        raise InvalidTick("it is too dear")

    one = PooledHouse(MemoryStore(Book(), lambda: NOW_MS), refuse, lambda: reading(1))
    one.store.create(OPEN.terms, 1)
    one.store.bid(1, [Bid(1, 7, 10**12)])
    assert one.read().metrics.ticks_withheld == 1 + reading(1).metrics.ticks_withheld


def test_a_store_that_is_away_for_any_worker_is_complained_of():
    assert house(reading(1))[0].read().complaints == ()
    assert house(reading(1, BreakerState.OPEN))[0].read().complaints


def test_its_ports_listen_with_a_factory_and_its_bidders_are_the_pool_s():
    one, _ = house(reading(3))
    assert IProtocolFactory.providedBy(one.factory)
    over = []
    one.start()
    one.reload(None, None)
    one.stop_accepting()
    one.drain(1.0, 0.0).addCallback(over.append)
    one.hasten()
    one.stop()
    assert (over, one.read().connections) == ([None], 3)
