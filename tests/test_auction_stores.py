"""The store that settings ask for."""

import pytest
from twisted.internet import reactor
from zope.interface.verify import verifyObject

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import IAuctionStore
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.redis_calls import CallOptions
from tickstorm.auction.redis_link import LinkLimits
from tickstorm.auction.redis_packing import channel_of
from tickstorm.auction.redis_store import RedisStore
from tickstorm.auction.stores import make_store
from tickstorm.clock import system_clock
from tickstorm.config import load
from tickstorm.errors import ConfigError
from tickstorm.settings import Settings


def store_of(**settings):
    return make_store(Settings(**settings), reactor, system_clock(reactor))


def test_it_is_in_memory_unless_redis_is_named():
    store = store_of()
    assert verifyObject(IAuctionStore, store)
    assert (type(store), store.state) == (MemoryStore, BreakerState.CLOSED)


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1", "redis+sentinel://127.0.0.1/main", "redis+cluster://127.0.0.1"]
)
def test_redis_is_away_until_it_is_found(url):
    store = store_of(redis=url)
    assert verifyObject(IAuctionStore, store)
    assert type(store) is RedisStore
    assert store.state is not BreakerState.CLOSED


def test_what_is_set_for_redis_reaches_the_store():
    store = store_of(
        redis="redis://127.0.0.1/3",
        redis_timeout=0.25,
        redis_replicas=2,
        redis_record=1000,
        auction_bid_memory=60.0,
    )
    options = CallOptions(patience_ms=250, record=1000, replicas=2, channel=channel_of(3))
    assert (store._calls._options, store._keep) == (options, b"60000")
    assert store._hears._limits == LinkLimits(0.25, 0.25)


def test_a_url_that_cannot_be_used_is_named_without_its_password():
    environ = {"TICKSTORM_REDIS": "redis://:hunter2@host:99999", "TICKSTORM_AUCTION": "tcp:1"}
    settings = load(file=None, environ=environ, options={})
    with pytest.raises(ConfigError) as error:
        make_store(settings, reactor, system_clock(reactor))
    assert str(error.value) == (
        "TICKSTORM_REDIS in the environment: the URL of Redis: 'host:99999' is not HOST or "
        "HOST:PORT"
    )


def test_what_is_no_url_of_redis_is_not_shown():
    environ = {"TICKSTORM_REDIS": "http://:hunter2@host", "TICKSTORM_AUCTION": "tcp:1"}
    with pytest.raises(ConfigError) as error:
        load(file=None, environ=environ, options={})
    assert "hunter2" not in str(error.value)
    assert "redis+sentinel://HOST,HOST/MASTER" in str(error.value)


def test_redis_without_auctions_is_a_mistake():
    with pytest.raises(ConfigError, match="needs auction, which is"):
        load(file=None, environ={"TICKSTORM_REDIS": "redis://host"}, options={})
