"""Redis goes away and comes back while bids flow through whole servers: all told, nothing false."""

from itertools import count
from random import Random
from time import perf_counter

import pytest
import pytest_twisted
from auction_bidders import Race, answer, call, offer, watching
from auction_servers import serving, together, until
from redis_bidding import opened
from redis_proxy import proxied
from redis_servers import HOST, fleet, redis_server
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import bid_frame

pytestmark = pytest.mark.real

AUCTIONS = range(1, 6)
BIDDERS = 10


class Flow:
    """Bids that flow to servers until they are to end, each higher than the one before."""

    def __init__(self, servers):
        self.race = Race(servers, Random(2))
        self._numbers = count(1)
        self._going = True

    def _offers(self):
        while self._going:
            number = next(self._numbers)
            yield offer(number, AUCTIONS[number % len(AUCTIONS)], 7, number / 100)

    def start(self):
        self.race.start([self._offers() for _ in range(BIDDERS)], window=4, rest=0.005)

    async def end(self):
        """Bid no more, and come back when each bid is decided."""
        self._going = False
        await self.race.done()


async def begun(servers):
    """Auctions, watchers at all servers, and bids that flow."""
    for id in AUCTIONS:
        await servers[0].create(id)
    watchers = await together(watching(server, *AUCTIONS) for server in servers)
    flow = Flow(servers)
    flow.start()
    await flow.race.accepted()
    return flow, watchers


async def ill(servers):
    """Come back when the servers say that the store is away; they are ready all the same."""
    for server in servers:
        await server.comes_to(
            lambda found: found[:2] == ("degraded", 200) and found[2] > 0, server.health
        )


async def ended(flow, watchers, store):
    """Everything is told, and true, and all watchers know of it."""
    await flow.end()
    await flow.race.check(store, AUCTIONS)
    for id in AUCTIONS:
        standing = (await store.read(id)).standing
        for watcher in watchers:
            await until(lambda w=watcher, s=standing: w.leader(id) == s[:3], "the leader is told")  # noqa: B023
    print(f"{flow.race.outcomes}, slowest {flow.race.slowest:.2f} s")


async def suffered(servers, flow, begin, seconds, end):
    """Redis is away for at least so long, which all notice, and is back."""
    begin()
    began = perf_counter()
    await flow.race.fails()
    await ill(servers)
    await deferLater(reactor, max(0.0, seconds - (perf_counter() - began)))
    end()
    back = perf_counter()
    await flow.race.accepted(1)
    print(f"bids are accepted {perf_counter() - back:.2f} s after it is back")
    await flow.race.accepted()
    await together(server.well() for server in servers)


@pytest_twisted.ensureDeferred
async def test_redis_is_stopped():
    with redis_server() as redis:
        async with serving(2, redis.url) as servers, opened(redis.url) as store:
            flow, watchers = await begun(servers)
            await suffered(servers, flow, redis.stop, 3.0, redis.go_on)
            assert flow.race.outcomes[Outcome.UNDECIDED] > 0
            assert flow.race.outcomes[Outcome.UNAVAILABLE] > 0
            await until(lambda: store.state.value == 0, "the store of the test is back")
            await ended(flow, watchers, store)


@pytest_twisted.ensureDeferred
async def test_replies_come_after_five_seconds():
    with redis_server() as redis:
        async with (
            proxied(redis.port) as proxy,
            serving(2, proxy.url) as servers,
            opened(redis.url) as store,
        ):
            flow, watchers = await begun(servers)
            begin, end = (lambda: setattr(proxy, "delay", 5.0)), lambda: setattr(proxy, "delay", 0)
            await suffered(servers, flow, begin, 2.0, end)
            assert flow.race.outcomes[Outcome.UNDECIDED] > 0
            await ended(flow, watchers, store)


@pytest_twisted.ensureDeferred
async def test_the_script_is_forgotten():
    with redis_server() as redis:
        async with serving(2, redis.url) as servers, opened(redis.url) as store:
            flow, watchers = await begun(servers)
            for _ in range(5):
                redis.say("SCRIPT", "FLUSH")
                await flow.race.accepted(50)
            await ended(flow, watchers, store)
            assert flow.race.failed == 0


@pytest_twisted.ensureDeferred
async def test_redis_is_killed_and_comes_back_empty():
    with redis_server() as redis:
        async with serving(2, redis.url) as servers:
            flow, watchers = await begun(servers)
            redis.kill()
            await flow.race.fails()
            await ill(servers)
            flow.race.outcomes.clear()
            redis.start()
            await together(server.well() for server in servers)
            await until(
                lambda: flow.race.outcomes[Outcome.UNKNOWN_AUCTION] > 100, "bids are answered"
            )
            await flow.end()
            assert flow.race.outcomes[Outcome.ACCEPTED] == 0
            for watcher in watchers:
                await until(lambda w=watcher: len(w.errors) == len(AUCTIONS), "it is not there")
                assert not watcher.is_over
            await check_new_auctions(servers, watchers, redis)


async def check_new_auctions(servers, watchers, redis):
    """Auctions of the same ids are new ones."""
    for id in AUCTIONS:
        await servers[1].create(id)
    again = [len(watcher.updates[1]) for watcher in watchers]
    for watcher in watchers:
        watcher.watch(*AUCTIONS)
    for watcher, known in zip(watchers, again, strict=True):
        await until(lambda w=watcher, k=known: len(w.updates[1]) > k, "there is nobody yet")
        assert watcher.leader(1)[2] == 0
    caller = await call(servers[0], bid_frame(1, 9, 0.01, 1))
    await until(lambda: caller.results, "a RESULT")
    told = answer(caller.results[0])
    assert (told.outcome, told.standing.sequence) == (Outcome.ACCEPTED, 1)
    for watcher in watchers:
        await until(lambda w=watcher: w.leader(1) == (1, 9, 1), "the leader is told")
    async with opened(redis.url) as store:
        assert [entry[:4] for entry in await store.record(1, 0, 100)] == [(1, 9, 1, 1)]


@pytest_twisted.ensureDeferred
async def test_sentinel_takes_another_master():
    # The one behind the replica stays with it, so that the next master has one at once.
    with fleet() as fleet_, redis_server("--replicaof", HOST, str(fleet_.replica.port)) as behind:
        fleet_.replicated(behind)
        environ = {"TICKSTORM_REDIS_REPLICAS": "1"}
        async with serving(2, fleet_.url, **environ) as servers, opened(fleet_.url) as store:
            flow, watchers = await begun(servers)
            nothing = lambda: None  # noqa: E731
            await suffered(servers, flow, fleet_.master.kill, 0.0, nothing)
            await until(lambda: store.state.value == 0, "the store of the test is back")
            await ended(flow, watchers, store)


@pytest_twisted.ensureDeferred
async def test_a_flood_meets_a_redis_that_is_stopped():
    connections, bids = 20, 1000  # which is more than may be under way
    with redis_server() as redis:
        async with serving(1, redis.url) as (server,):
            await server.create(1)
            callers = await together(call(server) for _ in range(connections))
            redis.stop()
            for user, caller in enumerate(callers):
                caller.send(*(bid_frame(1, user, 1.0, number) for number in range(1, bids + 1)))
            for caller in callers:
                await until(lambda c=caller: len(c.results) == bids, "all have RESULTs")
            redis.go_on()
            await server.well()
            late = await call(server, bid_frame(1, 99, 2.0, 1))
            await until(lambda: late.results, "a RESULT")
    outcomes = {outcome for caller in callers for outcome in caller.outcomes}
    assert outcomes == {Outcome.UNDECIDED, Outcome.UNAVAILABLE}
    assert late.outcomes == [Outcome.ACCEPTED]
