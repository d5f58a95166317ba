"""The store in Redis, on a real server: what every store promises."""

import auction_store_suite as suite
import pytest
import pytest_twisted
from redis_servers import redis_server
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tickstorm.auction.redis_opening import redis_store
from tickstorm.auction.redis_url import parse_redis_url
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
    yield suite.Place(stores, lambda at_ms: until(stores[0], at_ms), lambda: settled(stores))
    for store in stores:
        store.stop()


async def until(store, at_ms):
    while store.now_ms() < at_ms:
        await deferLater(reactor, 0.001)


async def settled(stores):
    """What was published was written to the subscribers before the reply that we had."""
    await deferLater(reactor, 0.05)


@pytest.mark.parametrize("case", suite.CASES, ids=lambda case: case.__name__)
@pytest_twisted.ensureDeferred
async def test_what_every_store_promises(case, place):
    await case(place)
