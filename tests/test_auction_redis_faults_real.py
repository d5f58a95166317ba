"""Redis goes away while bids flow, and comes back: no false answer, and nobody waits for long."""

import pytest
import pytest_twisted
from redis_bidding import LOST, REFUSED, Flow, Follower, ask, check_truth, open_terms, opened, until
from redis_proxy import proxied
from redis_servers import HOST, redis_server
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import StoreUnavailable
from tickstorm.auction.rule import Bid, Outcome

pytestmark = pytest.mark.real


@pytest_twisted.ensureDeferred
async def test_redis_is_stopped():
    with redis_server() as server:
        async with opened(server.url) as store:
            auction = await store.create(open_terms(store))
            flow = Flow(store, auction.id)
            await flow.accepted()
            server.stop()
            await flow.failed()
            assert store.state is not BreakerState.CLOSED
            server.go_on()
            await flow.accepted()
            await flow.end()
            await check_truth(flow, store, auction.id)


@pytest_twisted.ensureDeferred
async def test_what_a_stopped_redis_was_given_is_not_done_much_later():
    with redis_server() as server:
        async with opened(server.url) as store:
            auction = await store.create(open_terms(store))
            server.stop()
            assert await ask(store, Bid(auction.id, 7, 500, 1)) == LOST
            await deferLater(reactor, 1.0)
            server.go_on()
            await until(lambda: store.state is BreakerState.CLOSED, "it is there again")
            assert await store.read(auction.id) == auction
            assert (await ask(store, Bid(auction.id, 7, 500, 1))).outcome is Outcome.ACCEPTED


@pytest_twisted.ensureDeferred
async def test_redis_is_restarted_empty():
    with redis_server() as server:
        async with opened(server.url) as store:
            auction = await store.create(open_terms(store))
            follower = Follower()
            store.follow(follower)
            flow = Flow(store, auction.id)
            await flow.accepted()
            server.kill()
            await flow.failed()
            assert await ask(store, Bid(auction.id, 7, 10**6)) == REFUSED
            server.start()
            await until(lambda: flow.told[-1].end not in (LOST, REFUSED), "bids are answered")
            await flow.end()
            assert flow.told[-1].end.outcome is Outcome.UNKNOWN_AUCTION
            await until(lambda: store.state is BreakerState.CLOSED, "the channel is there again")
            assert await store.read(auction.id) is None
            assert follower.resumptions >= 2  # of the channel, and of what is asked
            again = await store.create(auction.terms, auction.id)
            await until(lambda: follower.newest.get(auction.id) == again, "followers hear again")


@pytest_twisted.ensureDeferred
async def test_the_script_is_forgotten():
    with redis_server() as server:
        async with opened(server.url) as store:
            auction = await store.create(open_terms(store))
            flow = Flow(store, auction.id)
            for _ in range(5):
                await flow.accepted()
                server.say("SCRIPT", "FLUSH")
            await flow.accepted()
            await flow.end()
            assert all(told.accepted for told in flow.told)
            await check_truth(flow, store, auction.id)


@pytest_twisted.ensureDeferred
async def test_it_is_a_replica_for_a_while():
    with redis_server() as server:
        async with opened(server.url) as store:
            auction = await store.create(open_terms(store))
            flow = Flow(store, auction.id)
            await flow.accepted()
            server.say("REPLICAOF", HOST, "1")  # of nobody, so that it keeps what it has
            await flow.failed()
            server.say("REPLICAOF", "NO", "ONE")
            await flow.accepted()
            await flow.end()
            assert not flow.ends(LOST)
            await check_truth(flow, store, auction.id)


@pytest_twisted.ensureDeferred
async def test_it_has_no_memory_left():
    with redis_server() as server:
        async with opened(server.url) as store:
            auction = await store.create(open_terms(store))
            flow = Flow(store, auction.id)
            await flow.accepted()
            server.say("CONFIG", "SET", "maxmemory", "1")
            await flow.failed()
            server.say("CONFIG", "SET", "maxmemory", "0")
            await flow.accepted()
            await flow.end()
            assert not flow.ends(LOST)
            await check_truth(flow, store, auction.id)


@pytest_twisted.ensureDeferred
async def test_replies_come_after_five_seconds():
    with redis_server() as server:
        async with proxied(server.port) as proxy, opened(proxy.url) as store:
            auction = await store.create(open_terms(store))
            flow = Flow(store, auction.id)
            await flow.accepted()
            proxy.delay = 5.0
            await flow.failed()
            proxy.delay = 0.0
            await flow.accepted()
            await flow.end()
            assert flow.ends(LOST)
            await check_truth(flow, store, auction.id)


@pytest_twisted.ensureDeferred
async def test_a_reply_is_cut():
    with redis_server() as server:
        async with proxied(server.port) as proxy, opened(proxy.url) as store:
            auction = await store.create(open_terms(store))
            flow = Flow(store, auction.id)
            for _ in range(5):
                await flow.accepted()
                lost = len(flow.ends(LOST))
                proxy.cut_after = 50
                await until(lambda before=lost: len(flow.ends(LOST)) > before, "one is lost")
            await flow.accepted()
            await flow.end()
            await check_truth(flow, store, auction.id)
            led = {entry.bid_id for entry in await store.record(auction.id, 0, 10**6)}
            assert led >= {bid.bid_id for bid in flow.ends(LOST)}  # only their replies were cut


@pytest_twisted.ensureDeferred
async def test_something_else_answers():
    with redis_server() as server:
        async with proxied(server.port) as proxy, opened(proxy.url) as store:
            auction = await store.create(open_terms(store))
            proxy.instead = b"HTTP/1.1 400 Bad Request\r\n\r\n"
            assert await ask(store, Bid(auction.id, 7, 500, 1)) == LOST
            proxy.instead = b""
            await until(lambda: store.state is BreakerState.CLOSED, "it is there again")
            assert (await ask(store, Bid(auction.id, 7, 500, 1))).outcome is Outcome.ACCEPTED


@pytest_twisted.ensureDeferred
async def test_nothing_is_there():
    async with opened("redis://127.0.0.1:1") as store:
        assert await ask(store, Bid(1, 7, 500)) == REFUSED
        for deferred in (store.read(1), store.auctions(0, 10), store.record(1, 0, 10)):
            with pytest.raises(StoreUnavailable) as caught:
                await deferred
            assert 0 < caught.value.retry_after_ms <= 500
