"""Bids that flow into a store in Redis while something happens to it, and what they were told."""

from contextlib import asynccontextmanager
from itertools import count
from typing import NamedTuple

from redis_servers import TIMEOUT
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from tickstorm.auction.interfaces import AnswerLost, IFollower, StoreUnavailable
from tickstorm.auction.redis_limits import RedisLimits
from tickstorm.auction.redis_opening import redis_store
from tickstorm.auction.redis_url import parse_redis_url
from tickstorm.auction.rule import Bid, Outcome, Terms
from tickstorm.clock import system_clock

LOST, REFUSED = "lost", "refused"
IMPATIENT = RedisLimits(timeout=0.5)
LONG_MS = 3_600_000


async def until(holds, what):
    """Wait until something holds, and return it."""
    clock = system_clock(reactor)
    end = clock.monotonic() + TIMEOUT
    while not (found := holds()):
        assert clock.monotonic() < end, f"not within {TIMEOUT} s: {what}"
        await deferLater(reactor, 0.005)
    return found


@asynccontextmanager
async def opened(url, limits=IMPATIENT):
    """A store that was started."""
    store = redis_store(reactor, parse_redis_url(url), system_clock(reactor), limits)
    await store.start()
    try:
        yield store
    finally:
        store.stop()


def open_terms(store, **changes):
    now_ms = store.now_ms()
    return Terms(now_ms - 60_000, now_ms + LONG_MS)._replace(**changes)


async def ask(store, bid):
    """The answer to a bid, or LOST or REFUSED."""
    try:
        (answer,) = await store.bid(bid.auction_id, [bid])
    except AnswerLost:
        return LOST
    except StoreUnavailable:
        return REFUSED
    return answer


@implementer(IFollower)
class Follower:
    """Keeps the newest of each auction, and how often something may have been missed."""

    def __init__(self):
        self.newest = {}
        self.resumptions = 0

    def moved(self, auction):
        self.newest[auction.id] = auction

    def resumed(self):
        self.resumptions += 1


class Told(NamedTuple):
    """A bid and its end: an Answer, LOST or REFUSED."""

    bid: Bid
    end: object

    @property
    def accepted(self):
        return getattr(self.end, "outcome", None) is Outcome.ACCEPTED


class Flow:
    """Bids on an auction one after the other, each higher than all before.

    Attributes:
        told: what became of each.
    """

    def __init__(self, store, auction_id, user_id=7):
        self.store = store
        self.told = []
        self._auction_id = auction_id
        self._user_id = user_id
        self._going = True
        self._numbers = count(1)
        self._running = Deferred.fromCoroutine(self._run())

    async def _run(self):
        while self._going:
            number = next(self._numbers)
            bid = Bid(self._auction_id, self._user_id, number, number)
            self.told.append(Told(bid, await ask(self.store, bid)))
            await deferLater(reactor, 0.002)

    async def end(self):
        """Bid no more, and come back when the last bid has its answer."""
        self._going = False
        self._running.addTimeout(TIMEOUT, reactor)
        await self._running

    async def accepted(self, more=20):
        """Come back when so many more were accepted."""
        before = self._count()
        await until(lambda: self._count() >= before + more, "bids are accepted")

    async def failed(self, more=3):
        """Come back when so many more had no answer."""
        before = len(self.told) - self._answered()
        await until(
            lambda: len(self.told) - self._answered() >= before + more, "bids have no answer"
        )

    def ends(self, end):
        return [told.bid for told in self.told if told.end == end]

    def _count(self):
        return sum(told.accepted for told in self.told)

    def _answered(self):
        return sum(told.end not in (LOST, REFUSED) for told in self.told)


async def check_truth(flow, store, auction_id):
    """No bid was accepted that did not lead; none led that was refused; a lost one tells."""
    entries = await store.record(auction_id, 0, 1_000_000)
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    led = {entry.bid_id for entry in entries}
    assert led >= {told.bid.bid_id for told in flow.told if told.accepted}
    assert not led & {bid.bid_id for bid in flow.ends(REFUSED)}
    for bid in flow.ends(LOST):
        answer = await ask(store, bid)
        assert (answer.outcome is Outcome.ACCEPTED) == (bid.bid_id in led)
    now = await store.read(auction_id)
    assert now.standing.price == entries[-1].cents
