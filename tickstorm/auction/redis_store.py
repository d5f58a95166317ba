"""The store in Redis, which many servers share: each step of an auction is one run of a script."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import AnswerLost, IAuctionStore, IFollower, StoreUnavailable
from tickstorm.auction.life import (
    Auction,
    AuctionExists,
    Entry,
    NoSuchAuction,
    created,
    validate,
)
from tickstorm.auction.redis_calls import Calls
from tickstorm.auction.redis_following import Following
from tickstorm.auction.redis_link import Link
from tickstorm.auction.redis_packing import (
    IDS,
    Reply,
    keys_of,
    pack_bids,
    pack_terms,
    read_answers,
    read_record,
)
from tickstorm.auction.redis_places import Places
from tickstorm.auction.redis_time import RedisClock
from tickstorm.auction.rule import Answer, Bid, Terms

PAGE = 100
"""So much is read at once of what may be long, as bids wait meanwhile."""


@implementer(IAuctionStore)
class RedisStore:
    """Asks Redis. It is to be started; until then, and when Redis is away, it refuses.

    Args:
        places: where the auctions are.
        calls: asks there.
        hears: the link to where changes are told.
        following: is told them.
        clock: the time there.
        keep_ms: see RedisLimits.
    """

    def __init__(
        self,
        places: Places,
        calls: Calls,
        hears: Link,
        following: Following,
        *,
        clock: RedisClock,
        keep_ms: int,
    ) -> None:
        self._places = places
        self._calls = calls
        self._hears = hears
        self._following = following
        self._clock = clock
        self._keep = b"%d" % keep_ms

    @property
    def state(self) -> BreakerState:
        """How the store does: CLOSED is well, anything else degraded."""
        return max(self._places.state, self._hears.state, key=lambda state: state.value)

    def start(self) -> Deferred[None]:
        """Connect; the Deferred has its result after the first try, whatever came of it."""
        tries = gatherResults([self._hears.start(), self._places.start()])
        return tries.addCallback(lambda _: None)

    def stop(self) -> None:
        """Disconnect for good: what was not answered is lost."""
        self._hears.stop()
        self._places.stop()

    def bid(self, auction_id: int, bids: Sequence[Bid]) -> Deferred[Sequence[Answer]]:
        """Decide bids."""
        asked = self._calls.run(auction_id, b"bid", self._keep, pack_bids(bids))
        return asked.addCallback(read_answers, bids)

    def read(self, auction_id: int) -> Deferred[Auction | None]:
        """Return an auction as it stands, or None."""
        asked = self._calls.run(auction_id, b"read").addCallback(lambda reply: reply.auction)
        return asked.addErrback(_without_effect)

    def create(self, terms: Terms, auction_id: int = 0) -> Deferred[Auction]:
        """Create an auction."""
        return Deferred.fromCoroutine(self._create(terms, auction_id))

    def close(self, auction_id: int) -> Deferred[Auction]:
        """Close an auction."""
        return self._calls.run(auction_id, b"close").addCallback(_existing, auction_id)

    def settle(self, auction_id: int) -> Deferred[Auction]:
        """Write the end of a closed auction to its record, once."""
        return self._calls.run(auction_id, b"settle").addCallback(_existing, auction_id)

    def auctions(self, after: int, limit: int) -> Deferred[Sequence[Auction]]:
        """Return some of the auctions."""
        return Deferred.fromCoroutine(self._auctions(after, limit)).addErrback(_without_effect)

    def record(self, auction_id: int, after: int, limit: int) -> Deferred[Sequence[Entry]]:
        """Return some of an auction's leading bids."""
        asked = Deferred.fromCoroutine(self._record(auction_id, after, limit))
        return asked.addErrback(_without_effect)

    def now_ms(self) -> int:
        """Return the time; of several servers it is that of the one that was heard last."""
        return self._clock.now_ms()

    def follow(self, follower: IFollower) -> None:
        """Tell somebody of all auctions from now on."""
        self._following.add(follower)

    async def _create(self, terms: Terms, auction_id: int) -> Auction:
        validate(terms)
        if auction_id:
            return await self._create_as(created(auction_id, terms))
        while True:  # until nobody else is quicker
            reply = await self._put(b"add", created(await self._next_id(), terms))
            if reply.auction is not None:
                return reply.auction

    async def _create_as(self, auction: Auction) -> Auction:
        there = _existing(await self._put(b"create", auction), auction.id)
        if there.terms != auction.terms:
            raise AuctionExists(f"there is an auction {auction.id}, with other terms")
        return there

    async def _put(self, operation: bytes, auction: Auction) -> Reply:
        reply = await self._calls.run(auction.id, operation, *pack_terms(auction.terms))
        # After the auction, so that no list is of what there is not. A lost answer is made good by
        # whoever comes to this id once more.
        id = b"%d" % auction.id
        await self._calls.ask(IDS, b"ZADD", IDS, id, id)
        return reply

    async def _next_id(self) -> int:
        highest = await self._calls.ask(IDS, b"ZRANGE", IDS, b"-1", b"-1")
        return int(highest[0]) + 1 if highest else 1

    async def _auctions(self, after: int, limit: int) -> list[Auction]:
        found: list[Auction] = []
        while len(found) < limit:
            ids = await self._ids(after, min(limit - len(found), PAGE))
            if not ids:
                break
            read = await gatherResults([self.read(id) for id in ids], consumeErrors=True)
            found += [auction for auction in read if auction is not None]
            after = ids[-1]
        return found

    async def _ids(self, after: int, limit: int) -> list[int]:
        above = b"(%d" % after
        least = (b"ZRANGEBYSCORE", IDS, above, b"+inf", b"LIMIT", b"0", b"%d" % limit)
        return [int(id) for id in await self._calls.ask(IDS, *least)]

    async def _record(self, auction_id: int, after: int, limit: int) -> list[Entry]:
        _existing(await self._calls.run(auction_id, b"read"), auction_id)
        found: list[Entry] = []
        while len(found) < limit:
            page = await self._page(auction_id, after, min(limit - len(found), PAGE))
            if not page:
                break
            found += page
            after = page[-1].sequence
        return found[:limit]

    async def _page(self, auction_id: int, after: int, limit: int) -> list[Entry]:
        key = keys_of(auction_id).record
        # The id of an entry is the sequence of its last bid, so none of these is all before.
        begin = b"%d-0" % (after + 1)
        read = await self._calls.ask(key, b"XRANGE", key, begin, b"+", b"COUNT", b"%d" % limit)
        return [entry for entry in read_record(read) if entry.sequence > after]


def _existing(reply: Reply, auction_id: int) -> Auction:
    if reply.auction is None:
        raise NoSuchAuction(f"there is no auction {auction_id}")
    return reply.auction


def _without_effect(failure: Failure) -> Any:
    """Say of what changes nothing that it may be asked for again."""
    error = failure.value
    if isinstance(error, FirstError):  # of several that were asked for together
        error = error.subFailure.value
    if isinstance(error, AnswerLost):
        raise StoreUnavailable(str(error), error.retry_after_ms) from None
    return failure
