"""The bidder on both frameworks, against a real server of auctions on loopback."""

import asyncio
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
import pytest_twisted
from cutting import CuttingProxy
from test_client_publishing_real import in_asyncio
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import serverFromString

from tickstorm.auction.book import Book, BookLimits
from tickstorm.auction.factory import AuctionFactory
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.rule import Outcome, Terms
from tickstorm.client.address import endpoint_string
from tickstorm.client.auction import (
    BackoffLimits,
    BidderLimits,
    Entered,
    asyncio_bidder,
    twisted_bidder,
)
from tickstorm.clock import system_clock
from tickstorm.credentials import SharedCredentials
from tickstorm.errors import InvalidAuth

LONGEST = 20
"""Seconds after which a test that hangs is ended."""
HOUR_MS = 3_600_000
QUICK = BidderLimits(backoff=BackoffLimits(first=0.01, longest=0.05))

pytestmark = pytest.mark.real


@asynccontextmanager
async def serving():
    """A server in this process: its port, and its store, with auction 1 open."""
    clock = system_clock(reactor)
    store = MemoryStore(Book(BookLimits(entries=10_000)), clock.wall_ms)
    now_ms = round(time.time() * 1000)
    store.create(Terms(now_ms - 1, now_ms + HOUR_MS), 1)
    factory = AuctionFactory(
        store,
        SharedCredentials("ann", "secret"),
        clock,
        permits={"ann": None},
    )
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
    try:
        yield port.getHost().port, store
    finally:
        await port.stopListening()
        await factory.drain(1)


def on_twisted(use, place, **options):
    options = {"username": "ann", "password": "secret", "limits": QUICK, **options}
    return Deferred.fromCoroutine(
        use(twisted_bidder(reactor, endpoint_string(place), **options), on_deferreds)
    ).addTimeout(LONGEST, reactor)


def on_asyncio(use, place, **options):
    options = {"username": "ann", "password": "secret", "limits": QUICK, **options}

    async def run():
        return await use(asyncio_bidder(place, **options), asyncio.gather)

    return in_asyncio(run)


def on_deferreds(*coroutines):
    return gatherResults([Deferred.fromCoroutine(each) for each in coroutines])


@pytest.fixture(params=[on_twisted, on_asyncio], name="framework")
def choose_framework(request):
    return request.param


@pytest_twisted.ensureDeferred
async def test_bids_and_a_watch(framework):
    async def use(bidder, gather):
        async with bidder:
            results = await gather(*(bidder.bid(1, 7, Decimal(n)) for n in (5, 4, 6)))
            watch = bidder.watch(1)
            return [each.outcome for each in results], await watch.__anext__()

    events = []
    async with serving() as (port, _):
        outcomes, leader = await framework(use, f"127.0.0.1:{port}", on_event=events.append)
    assert outcomes == [Outcome.ACCEPTED, Outcome.TOO_LOW, Outcome.ACCEPTED]
    assert (leader.bidder, leader.price, leader.sequence) == (7, Decimal("6.00"), 2)
    assert events == [Entered("ann")]


@pytest_twisted.ensureDeferred
async def test_a_watch_to_the_end(framework):
    async def use(bidder, gather):
        async with bidder:
            told = []
            async for leader in bidder.watch(1):
                told.append((leader.sequence, leader.outcome))
                if leader.sequence == 0:
                    await bidder.bid(1, 7, Decimal(5))
                elif leader.outcome is None:
                    reactor.callFromThread(stores[0].close, 1)
            return told

    async with serving() as (port, store):
        stores = [store]
        told = await framework(use, f"127.0.0.1:{port}")
    assert told == [(0, None), (1, None), (1, Outcome.SOLD)]


@pytest_twisted.ensureDeferred
async def test_a_wrong_password(framework):
    async def use(bidder, gather):
        try:
            await bidder.bid(1, 7, Decimal(5))
        except InvalidAuth as error:
            return error.message
        finally:
            await bidder.close()

    async with serving() as (port, _):
        message = await framework(use, f"127.0.0.1:{port}", password="wrong")
    assert message.endswith("; the bid had no effect")


@pytest.mark.parametrize("seed", range(2))
@pytest_twisted.ensureDeferred
async def test_a_thousand_bids_over_connections_that_are_cut(seed):
    async def race(port):  # on asyncio, as the proxy is
        async with CuttingProxy(port, cuts=12, size=26_000, seed=seed) as proxy:
            place = f"127.0.0.1:{proxy.port}"
            options = {"username": "ann", "password": "secret", "limits": QUICK}
            async with asyncio_bidder(place, **options) as bidder:
                bids = (bidder.bid(1, 7, Decimal(n)) for n in range(1, 1001))
                return await asyncio.gather(*bids), proxy.cuts

    async with serving() as (port, store):
        results, cuts = await in_asyncio(race, port)
        record = store.record(1, 0, 10_000).result
    assert cuts == 12
    led = [result.bid_id for result in results if result.outcome is Outcome.ACCEPTED]
    assert sorted(led) == sorted(entry.bid_id for entry in record)
    assert [entry.sequence for entry in record] == list(range(1, len(record) + 1))
    assert record[-1].cents == 100_000
