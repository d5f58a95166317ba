"""How a store is let in: passwords, users with few rights, databases, TLS that is verified."""

from urllib.parse import quote

import pytest
import pytest_twisted
from certificates import authority
from redis_bidding import REFUSED, Follower, ask, open_terms, opened, until
from redis_servers import HOST, free_port, redis_server
from twisted.internet import reactor

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.redis_opening import redis_store
from tickstorm.auction.redis_url import parse_redis_url
from tickstorm.auction.rule import Bid, Outcome
from tickstorm.clock import system_clock
from tickstorm.errors import ConfigError

pytestmark = pytest.mark.real

RIGHTS = (
    "resetchannels",
    "~auction:*",
    "&bid_updates*",
    "-@all",
    *("+evalsha", "+eval", "+script|load", "+time", "+role", "+ping", "+select"),
    *("+hmget", "+hset", "+del", "+pexpireat", "+xadd", "+xrange", "+publish", "+subscribe"),
    *("+zadd", "+zrange", "+zrangebyscore"),
)
"""All that a store needs."""


async def works(url):
    """Whether an auction can be held there, and is heard of."""
    async with opened(url) as store:
        if store.state is not BreakerState.CLOSED:
            assert await ask(store, Bid(1, 7, 500)) == REFUSED
            return False
        follower = Follower()
        store.follow(follower)
        auction = await store.create(open_terms(store))
        assert (await ask(store, Bid(auction.id, 7, 500, 1))).outcome is Outcome.ACCEPTED
        now = await store.read(auction.id)
        await until(lambda: follower.newest.get(auction.id) == now, "it is heard of")
        assert len(await store.record(auction.id, 0, 10)) == 1
        assert await store.close(auction.id) == await store.settle(auction.id)
        assert [each.id for each in await store.auctions(0, 10)] == [auction.id]
        return True


@pytest_twisted.ensureDeferred
async def test_a_password():
    with redis_server("--requirepass", "p@ss w/rd") as server:
        where = f"{HOST}:{server.port}"
        assert await works(f"redis://:{quote('p@ss w/rd', safe='')}@{where}")
        assert not await works(f"redis://:wrong@{where}")
        assert not await works(f"redis://{where}")


@pytest_twisted.ensureDeferred
async def test_a_user_with_few_rights():
    with redis_server() as server:
        assert server.say("ACL", "SETUSER", "bids", "on", ">secret", *RIGHTS) == b"+OK\r\n"
        assert await works(f"redis://bids:secret@{HOST}:{server.port}")
        server.say("ACL", "SETUSER", "bids", "-role")
        assert not await works(f"redis://bids:secret@{HOST}:{server.port}")


@pytest_twisted.ensureDeferred
async def test_a_database():
    with redis_server() as server:
        assert await works(f"{server.url}/3")
        assert server.say("DBSIZE") == b":0\r\n"
        async with opened(server.url) as store, opened(f"{server.url}/3") as other:
            followers = [Follower(), Follower()]
            store.follow(followers[0])
            other.follow(followers[1])
            await store.create(open_terms(store), 5)
            await other.create(open_terms(other), 6)
            await until(lambda: all(each.newest for each in followers), "both hear")
            assert [list(each.newest) for each in followers] == [[5], [6]]
        assert not await works(f"{server.url}/99")


@pytest.fixture(name="papers")
def make_papers(tmp_path):
    ca = authority()
    ca.save(tmp_path, "ca")
    ca.issue("server").save(tmp_path, "server")
    ca.issue("client").save(tmp_path, "client")
    authority("Other CA").save(tmp_path, "other")
    return tmp_path


def tls_server(papers, clients):
    port = free_port()
    options = (
        *("--tls-port", str(port), "--tls-cert-file", f"{papers}/server.crt"),
        *("--tls-key-file", f"{papers}/server.key", "--tls-ca-cert-file", f"{papers}/ca.crt"),
        *("--tls-auth-clients", clients, "--bind", HOST, "127.0.0.2"),
    )
    return port, redis_server(*options)


@pytest_twisted.ensureDeferred
async def test_tls_is_verified(papers):
    port, running = tls_server(papers, "no")
    with running:
        assert await works(f"rediss://{HOST}:{port}?ca={papers}/ca.crt")
        assert not await works(f"rediss://{HOST}:{port}?ca={papers}/other.crt")
        assert not await works(f"rediss://{HOST}:{port}")
        # Its certificate is for localhost and 127.0.0.1.
        assert not await works(f"rediss://127.0.0.2:{port}?ca={papers}/ca.crt")
        assert not await works(f"redis://{HOST}:{port}")


@pytest_twisted.ensureDeferred
async def test_tls_with_a_certificate_of_this_side(papers):
    port, running = tls_server(papers, "yes")
    own = f"cert={papers}/client.crt&key={papers}/client.key"
    with running:
        assert await works(f"rediss://{HOST}:{port}?ca={papers}/ca.crt&{own}")
        assert not await works(f"rediss://{HOST}:{port}?ca={papers}/ca.crt")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("ca=/nowhere.pem", "'/nowhere.pem' cannot be read"),
        ("ca={}/ca.key", "is not PEM certificates"),
        ("cert={}/client.crt", "is not a PEM certificate with its key"),
        ("cert={}/client.crt&key=/nowhere", "'/nowhere' cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used(papers, query, words):
    url = parse_redis_url(f"rediss://a?{query.format(papers)}")
    with pytest.raises(ConfigError, match=words):
        redis_store(reactor, url, system_clock(reactor))
