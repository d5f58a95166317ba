"""The script decides as the rule does: equal runs give equal answers."""

from typing import NamedTuple

import pytest
import pytest_twisted
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_bidding import LONG_MS
from redis_servers import redis_server
from twisted.internet import reactor

from tickstorm.auction.book import Book, BookLimits
from tickstorm.auction.money import MAX_CENTS
from tickstorm.auction.redis_opening import redis_store
from tickstorm.auction.redis_packing import pack_bids, read_answers
from tickstorm.auction.redis_url import parse_redis_url
from tickstorm.auction.rule import Bid, Terms
from tickstorm.clock import system_clock

pytestmark = pytest.mark.real

KEEP = b"300000"
CENTS = st.one_of(st.integers(1, 30), st.integers(MAX_CENTS - 3, MAX_CENTS), st.just(MAX_CENTS))
BIDS = st.tuples(st.integers(0, 2), CENTS, st.integers(0, 6))
BATCHES = st.lists(st.lists(BIDS, min_size=1, max_size=8), min_size=1, max_size=6)


@pytest.fixture(name="store", scope="module")
def open_store():
    with redis_server() as server:
        store = redis_store(reactor, parse_redis_url(server.url), system_clock(reactor))
        pytest_twisted.blockon(store.start())
        yield store
        store.stop()


class Run(NamedTuple):
    """An auction, relative to the present of Redis, and what happens to it."""

    offset_ms: int
    length_ms: int
    start: int
    increment: int
    soft_close_ms: int
    batches: list
    closed_after: int

    def terms(self, now_ms):
        opens_ms = now_ms + self.offset_ms
        closes_ms = opens_ms + self.length_ms
        return Terms(opens_ms, closes_ms, self.start, self.increment, 0, self.soft_close_ms)


RUNS = st.builds(
    Run,
    st.one_of(st.just(-1000), st.integers(-2, 3)),
    st.one_of(st.just(LONG_MS), st.integers(1, 5)),
    st.integers(1, 20),
    st.one_of(st.integers(1, 10), st.just(MAX_CENTS)),
    st.one_of(st.just(0), st.integers(1, 4), st.just(60_000)),
    BATCHES,
    st.integers(0, 8),
)


@settings(max_examples=200)
@given(RUNS)
@pytest_twisted.ensureDeferred
async def test_the_script_is_the_rule(store, run):
    terms = run.terms(store.now_ms())
    auction = await store.create(terms)
    book = Book(BookLimits(entries=1000))
    book.create(terms, 0, auction.id)
    for at, batch in enumerate(run.batches):
        bids = [Bid(auction.id, *each) for each in batch]
        reply = await store._calls.run(auction.id, b"bid", KEEP, pack_bids(bids))
        assert read_answers(reply, bids) == book.bid(auction.id, bids, reply.now_ms)
        if at == run.closed_after:
            reply = await store._calls.run(auction.id, b"close")
            assert reply.auction == book.close(auction.id, reply.now_ms)
    assert await store.read(auction.id) == book.read(auction.id)
    assert await store.record(auction.id, 0, 1000) == book.record(auction.id, 0, 1000)
