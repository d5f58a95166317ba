"""The store in Redis, on a real server: what every store promises."""

import auction_store_suite as suite
import pytest
import pytest_twisted
from redis_bidding import ask, open_terms, opened, until
from redis_servers import redis_server
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tickstorm.auction.redis_limits import RedisLimits
from tickstorm.auction.redis_opening import redis_store
from tickstorm.auction.redis_packing import keys_of
from tickstorm.auction.redis_url import parse_redis_url
from tickstorm.auction.rule import Bid, Outcome, Terms
from tickstorm.clock import system_clock

pytestmark = pytest.mark.real


@pytest.fixture(name="server", scope="module")
def run_server():
    with redis_server() as server:
        yield server


@pytest.fixture(name="place")
def open_place(server):
    server.say("FLUSHALL")
    url = parse_redis_url(server.url)
    stores = [redis_store(reactor, url, system_clock(reactor)) for _ in range(2)]
    for store in stores:
        pytest_twisted.blockon(store.start())
    yield suite.Place(stores, lambda at_ms: until_then(stores[0], at_ms), lambda: settled(stores))
    for store in stores:
        store.stop()


async def until_then(store, at_ms):
    while store.now_ms() < at_ms:
        await deferLater(reactor, 0.001)


async def settled(stores):
    """What was published was written to the subscribers before the reply that we had."""
    await deferLater(reactor, 0.05)


async def ended(store, *prices, **changes):
    """An auction that was closed and settled."""
    now_ms = store.now_ms()
    auction = await store.create(Terms(now_ms - 1000, now_ms + 60_000)._replace(**changes))
    for cents in prices:
        await store.bid(auction.id, [Bid(auction.id, 7, cents)])
    await store.settle(auction.id)  # too early: nothing happens
    auction = await store.close(auction.id)
    for _ in range(2):
        await store.settle(auction.id)
    return auction


@pytest.mark.parametrize(
    ("prices", "reserve", "last"),
    [
        ((), 0, b"unsold 0 0"),
        ((500, 600), 0, b"sold 7 600"),
        ((500,), 500, b"sold 7 500"),
        ((500,), 501, b"unsold 7 500"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_record_ends_with_what_became_of_it(place, prices, reserve, last):
    auction = await ended(place.store, *prices, reserve=reserve)
    key = keys_of(auction.id).record
    *_, (id, fields) = await place.store._calls.ask(key, b"XRANGE", key, b"-", b"+")
    closes_ms = b"%d" % auction.standing.closes_ms
    assert (id, fields) == (b"%d-1" % len(prices), [b"at_ms", closes_ms, b"final", last])
    assert len(await place.store.record(auction.id, 0, 10)) == len(prices)


@pytest_twisted.ensureDeferred
async def test_an_id_that_comes_again_begins_anew(place, server):
    terms = place.terms()
    for _ in range(2):
        auction = await place.store.create(terms, 12)
        bids = [Bid(12, 7, 500, 1), Bid(12, 7, 600, 2)]
        answers = await place.store.bid(12, bids)
        assert [answer.standing.sequence for answer in answers] == [1, 2]
        assert (await place.store.read(12)).standing == answers[-1].standing
        assert len(await place.store.record(auction.id, 0, 10)) == 2
        server.say("DEL", "auction:{12}")  # and what is remembered of it stays


@pytest_twisted.ensureDeferred
async def test_a_record_may_be_bounded(server):
    limits = RedisLimits(record=10)
    async with opened(server.url, limits) as store:
        auction = await store.create(open_terms(store))
        for cents in range(1, 1001):
            await store.bid(auction.id, [Bid(auction.id, 7, cents)])
        entries = await store.record(auction.id, 0, 10_000)
        assert 10 <= len(entries) < 1000
        assert [entry.sequence for entry in entries] == list(range(1001 - len(entries), 1001))


@pytest_twisted.ensureDeferred
async def test_an_answer_is_remembered_beyond_the_end_of_a_span(server):
    async with opened(server.url) as store:
        now_ms = store.now_ms()
    keep_ms = next(each for each in range(20_000, 60_000) if 200 < each - now_ms % each < 400)
    async with opened(server.url, RedisLimits(keep_ms=keep_ms)) as store:
        auction = await store.create(open_terms(store))
        first = await ask(store, Bid(auction.id, 7, 500, 1))
        span = store.now_ms() // keep_ms
        await until(lambda: store.now_ms() // keep_ms > span, "another span")
        second = await ask(store, Bid(auction.id, 7, 900, 2))
        assert await ask(store, Bid(auction.id, 7, 950, 1)) == first
        assert await ask(store, Bid(auction.id, 7, 950, 2)) == second
        found = server.say("EXISTS", *keys_of(auction.id)[1:3])
        assert found == b":2\r\n"  # there were two spans


@pytest_twisted.ensureDeferred
async def test_answers_are_remembered_for_two_spans_at_most(server):
    async with opened(server.url, RedisLimits(keep_ms=200)) as store:
        auction = await store.create(open_terms(store))
        first = await ask(store, Bid(auction.id, 7, 500, 1))
        assert await ask(store, Bid(auction.id, 7, 900, 1)) == first
        keys = keys_of(auction.id)
        ids = (keys.ids_even, keys.ids_odd)
        await until(lambda: server.say("EXISTS", *ids) == b":0\r\n", "they are forgotten")
        again = await ask(store, Bid(auction.id, 7, 500, 1))
        assert again.outcome is Outcome.EQUAL  # what led once does not lead again


@pytest_twisted.ensureDeferred
async def test_a_server_with_an_older_clock_opens_nothing_again(place, server):
    auction = await ended(place.store, 500)
    later = place.store.now_ms() + 1_000_000
    key = keys_of(auction.id).auction
    # As if the server that saw it close had been ahead of this one.
    server.say("HSET", key, "at_ms", later, "ends_ms", later - 1)
    answer = await ask(place.store, Bid(auction.id, 7, 900))
    assert answer.outcome is Outcome.CLOSED


@pytest_twisted.ensureDeferred
async def test_the_time_of_an_auction_never_goes_back(place, server):
    auction = await place.store.create(open_terms(place.store))
    later = place.store.now_ms() + 1_000_000
    key = keys_of(auction.id).auction
    server.say("HSET", key, "at_ms", later)
    await ask(place.store, Bid(auction.id, 7, 500))
    (entry,) = await place.store.record(auction.id, 0, 10)
    assert entry.at_ms == later
    assert server.say("HGET", key, "at_ms").split()[1] == b"%d" % later


@pytest_twisted.ensureDeferred
async def test_what_somebody_saw_closed_is_not_opened_by_an_older_clock(place, server):
    auction = await place.store.create(open_terms(place.store))
    closes_ms = place.store.now_ms()
    key = keys_of(auction.id).auction
    server.say("HSET", key, "ends_ms", closes_ms)
    assert (await place.store.read(auction.id)).standing.closes_ms == closes_ms
    # A server with a clock that is behind finds here that it has closed.
    assert int(server.say("HGET", key, "at_ms").split()[1]) >= closes_ms


@pytest.mark.parametrize("case", suite.CASES, ids=lambda case: case.__name__)
@pytest_twisted.ensureDeferred
async def test_what_every_store_promises(case, place):
    await case(place)
