"""Two stores on one Redis, a hundred auctions, connections that are cut: nothing comes twice."""

from collections import defaultdict
from random import Random

import pytest
import pytest_twisted
from redis_bidding import Follower, open_terms, opened, until
from redis_proxy import proxied
from redis_servers import redis_server
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.rule import Bid, Outcome

pytestmark = pytest.mark.real

AUCTIONS, BIDS, USERS = 100, 1000, 40
CUTS = 25


def drawn(random, auction_id):
    """Bids in random order, many of equal amounts, a tenth of them repeats."""
    bids = [
        Bid(auction_id, random.randrange(USERS), random.randint(1, 2000), number)
        for number in range(1, BIDS * 9 // 10 + 1)
    ]
    bids += random.choices(bids, k=BIDS - len(bids))
    random.shuffle(bids)
    return bids


class Race:
    """Sends bids through several stores until each has its answer.

    Attributes:
        answers: all that were given, by bid.
        lost: how many batches had no answer at first.
    """

    def __init__(self, stores, random):
        self.answers = defaultdict(list)
        self.lost = 0
        self._stores = stores
        self._random = random

    async def bidder(self, store, bids):
        while bids:
            batch, bids = bids[: (size := self._random.randint(1, 40))], bids[size:]
            answers = await self._answers(store, batch)
            for bid, answer in zip(batch, answers, strict=True):
                self.answers[bid].append(answer)

    async def _answers(self, store, batch):
        while True:
            try:
                return await store.bid(batch[0].auction_id, batch)
            except AnswerLost:
                self.lost += 1
            except StoreUnavailable:
                pass
            await deferLater(reactor, 0.02)


async def cut(proxies, random):
    for _ in range(CUTS):
        await deferLater(reactor, 0.05)
        random.choice(proxies).cut()


@pytest_twisted.ensureDeferred
async def test_the_race():
    with redis_server() as server:
        async with (
            proxied(server.port) as one,
            proxied(server.port) as two,
            opened(one.url) as first,
            opened(two.url) as second,
        ):
            await run([first, second], [one, two], Random(11))


async def run(stores, proxies, random):
    followers = [Follower() for _ in stores]
    for store, follower in zip(stores, followers, strict=True):
        store.follow(follower)
    terms = open_terms(stores[0])
    for id in range(1, AUCTIONS + 1):
        await stores[0].create(terms, id)
    race = Race(stores, random)
    bids = {id: drawn(random, id) for id in range(1, AUCTIONS + 1)}
    halves = [
        (stores[half], sent[half::2]) for sent in bids.values() for half in range(len(stores))
    ]
    cutting = Deferred.fromCoroutine(cut(proxies, random))
    await gatherResults([Deferred.fromCoroutine(race.bidder(*each)) for each in halves])
    await cutting
    await until(lambda: all(store.state.value == 0 for store in stores), "the stores are back")
    assert race.lost > 0
    assert sum(map(len, race.answers.values())) == AUCTIONS * BIDS
    for id, sent in bids.items():
        await check(stores, id, sent, race)
        now = await stores[0].read(id)
        for follower in followers:
            # Whoever may have missed something reads again, as `resumed` says.
            assert follower.resumptions or follower.newest[id] == now


async def check(stores, id, bids, race):
    """Each bid has one answer, the record is what was accepted, and the highest has won."""
    accepted = {}
    for bid in set(bids):
        first, *others = race.answers[bid]
        assert all(other == first for other in others)
        if first.outcome is Outcome.ACCEPTED:
            accepted[first.standing.sequence] = (bid.user_id, bid.cents, bid.bid_id)
    entries = await stores[1].record(id, 0, 10_000)
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    assert {entry.sequence: entry[1:4] for entry in entries} == accepted
    now = await stores[0].read(id)
    assert now == await stores[1].read(id)
    assert now.standing.price == max(bid.cents for bid in bids)
    assert now.standing.sequence == len(accepted)
