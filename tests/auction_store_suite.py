"""What every store of auctions promises, as cases that are run over each of them.

A case is a coroutine that takes a Place. A store's own test module makes the place, and runs
`CASES`: its time may be simulated or real, so the cases only wait with `until`.
"""

from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import NamedTuple

from twisted.internet.defer import gatherResults
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tickstorm.auction.interfaces import IAuctionStore, IFollower
from tickstorm.auction.life import (
    Auction,
    AuctionExists,
    Entry,
    InvalidAuction,
    NoSuchAuction,
    Phase,
)
from tickstorm.auction.money import MAX_CENTS
from tickstorm.auction.rule import NOWHERE, Answer, Bid, Outcome, Standing, Terms, at_first

LONG = 3_600_000
SOON = 60
"""Milliseconds that a case may wait for: long enough for a few round trips before."""


CASES = []


def case(function):
    """Have a case run over each store."""
    CASES.append(function)
    return function


class Place(NamedTuple):
    """Where a case is run.

    Attributes:
        stores: one or more on the same data, as several servers have them.
        until: comes back when the stores' clock is at this time, or a little later.
        settled: comes back when followers have heard of all that was.
    """

    stores: list[IAuctionStore]
    until: Callable[[int], Awaitable[None]]
    settled: Callable[[], Awaitable[None]]

    @property
    def store(self):
        return self.stores[0]

    def terms(self, **changes):
        """The terms of an auction that is open for long."""
        now_ms = self.store.now_ms()
        return Terms(now_ms - 1000, now_ms + LONG)._replace(**changes)


@implementer(IFollower)
class Follower:
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def moved(self, auction):
        self.told.append(auction)

    def resumed(self):
        raise AssertionError("nothing was interrupted")

    def of(self, id):
        return [auction for auction in self.told if auction.id == id]


async def bid(store, id, user_id, cents, bid_id=0):
    (answer,) = await store.bid(id, [Bid(id, user_id, cents, bid_id)])
    return answer


async def opened(place, **changes):
    return await place.store.create(place.terms(**changes))


async def failure(deferred):
    try:
        await deferred
    except Exception as error:  # its type is what is asked for
        return type(error)
    return None


async def outcomes(store, id, *bids):
    answers = await store.bid(id, [Bid(id, *bid) for bid in bids])
    return [answer.outcome.name for answer in answers]


# Bids.


@case
async def a_store_has_the_interface(place):
    for store in place.stores:
        assert verifyObject(IAuctionStore, store)


@case
async def a_first_bid_leads(place):
    auction = await opened(place, start=500, increment=50)
    answer = await bid(place.store, auction.id, 7, 500)
    standing = Standing(500, 7, 1, 550, auction.terms.closes_ms)
    assert answer == Answer(Outcome.ACCEPTED, 500, standing)
    assert await place.store.read(auction.id) == auction._replace(standing=standing)


@case
async def each_bid_is_decided_before_the_next(place):
    auction = await opened(place, start=500, increment=50)
    bids = [(7, 499), (7, 500), (8, 500), (8, 549), (9, 550), (7, 600), (7, 600), (8, 1)]
    answers = await place.store.bid(auction.id, [Bid(auction.id, *each) for each in bids])
    standings = [
        at_first(auction.terms),
        Standing(500, 7, 1, 550, auction.terms.closes_ms),
        Standing(550, 9, 2, 600, auction.terms.closes_ms),
        Standing(600, 7, 3, 650, auction.terms.closes_ms),
    ]
    assert list(answers) == [
        Answer(Outcome.TOO_LOW, 499, standings[0]),
        Answer(Outcome.ACCEPTED, 500, standings[1]),
        Answer(Outcome.EQUAL, 500, standings[1]),
        Answer(Outcome.TOO_LOW, 549, standings[1]),
        Answer(Outcome.ACCEPTED, 550, standings[2]),
        Answer(Outcome.ACCEPTED, 600, standings[3]),
        Answer(Outcome.EQUAL, 600, standings[3]),
        Answer(Outcome.TOO_LOW, 1, standings[3]),
    ]


@case
async def an_auction_that_there_is_not(place):
    for id in (0, 99_999_998, 2**32 - 1):
        answers = await place.store.bid(id, [Bid(id, 7, 500, 1), Bid(id, 7, 600)])
        assert list(answers) == [
            Answer(Outcome.UNKNOWN_AUCTION, 500, NOWHERE),
            Answer(Outcome.UNKNOWN_AUCTION, 600, NOWHERE),
        ]
        assert await place.store.read(id) is None


@case
async def the_largest_numbers_are_exact(place):
    auction = await opened(place)
    user_id, bid_id = 2**32 - 1, 2**64 - 1
    almost = await bid(place.store, auction.id, user_id, MAX_CENTS - 1, bid_id - 1)
    answer = await bid(place.store, auction.id, user_id, MAX_CENTS, bid_id)
    assert (almost.outcome, answer.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
    assert answer.standing[:3] == (MAX_CENTS, user_id, 2)
    assert await bid(place.store, auction.id, user_id, MAX_CENTS, bid_id) == answer
    assert await bid(place.store, auction.id, user_id, 1, bid_id - 1) == almost
    assert (await bid(place.store, auction.id, 7, MAX_CENTS)).outcome is Outcome.EQUAL
    entries = await place.store.record(auction.id, 0, 10)
    assert [entry[:4] for entry in entries] == [
        (1, user_id, MAX_CENTS - 1, bid_id - 1),
        (2, user_id, MAX_CENTS, bid_id),
    ]


@case
async def many_bids_at_once(place):
    auction = await opened(place)
    bids = [Bid(auction.id, 7, cents, cents) for cents in range(1, 2001)]
    answers = await place.store.bid(auction.id, bids)
    assert [answer.standing.sequence for answer in answers] == list(range(1, 2001))


# Time.


@case
async def an_auction_that_is_not_open_yet(place):
    opens_ms = place.store.now_ms() + SOON
    auction = await opened(place, opens_ms=opens_ms)
    answer = await bid(place.store, auction.id, 7, 500)
    assert answer[:3] == (Outcome.NOT_OPEN, 500, at_first(auction.terms))
    assert 0 < answer.retry_after_ms <= SOON
    await place.until(opens_ms)
    assert (await bid(place.store, auction.id, 7, 500)).outcome is Outcome.ACCEPTED


@case
async def an_auction_that_has_closed(place):
    closes_ms = place.store.now_ms() + SOON
    auction = await opened(place, closes_ms=closes_ms)
    led = await bid(place.store, auction.id, 7, 500)
    await place.until(closes_ms)
    assert place.store.now_ms() >= closes_ms
    assert await bid(place.store, auction.id, 8, 900) == Answer(Outcome.CLOSED, 900, led.standing)
    now = await place.store.read(auction.id)
    assert (now.phase(place.store.now_ms()), now.final) == (Phase.CLOSED, Outcome.SOLD)


@case
async def ten_thousand_bids_around_the_closing_instant(place):
    closes_ms = place.store.now_ms() + SOON
    auction = await opened(place, closes_ms=closes_ms)
    asked = []
    cents = iter(range(1, 10_001))
    for at_ms in range(closes_ms - 50, closes_ms + 50):
        await place.until(at_ms)
        bids = [Bid(auction.id, 7, next(cents)) for _ in range(100)]
        asked.append(place.store.bid(auction.id, bids))
    told = [answer for answers in await gatherResults(asked) for answer in answers]
    accepted = [answer.cents for answer in told if answer.outcome is Outcome.ACCEPTED]
    assert [answer.outcome for answer in told[len(accepted) :]] == [Outcome.CLOSED] * (
        10_000 - len(accepted)
    )
    assert accepted == list(range(1, len(accepted) + 1))
    now = await place.store.read(auction.id)
    assert 0 < len(accepted) < 10_000
    assert now.standing[:3] == (accepted[-1], 7, len(accepted))
    entries = await place.store.record(auction.id, 0, 20_000)
    assert all(entry.at_ms < closes_ms for entry in entries)


@case
async def a_late_bid_extends(place):
    closes_ms = place.store.now_ms() + SOON
    auction = await opened(place, closes_ms=closes_ms, soft_close_ms=5000)
    answer = await bid(place.store, auction.id, 7, 500)
    extended_ms = answer.standing.closes_ms
    assert closes_ms + 4000 < extended_ms <= place.store.now_ms() + 5000
    await place.until(closes_ms)
    low = await bid(place.store, auction.id, 8, 500)
    assert low == Answer(Outcome.EQUAL, 500, answer.standing)  # and this one extends nothing
    assert (await bid(place.store, auction.id, 8, 600)).standing.closes_ms > extended_ms


# Bids that are remembered.


@case
async def the_same_bid_again_has_no_second_effect(place):
    auction = await opened(place)
    first = await bid(place.store, auction.id, 7, 500, 1)
    await bid(place.store, auction.id, 8, 600, 1)
    for store in place.stores:
        assert await bid(store, auction.id, 7, 500, 1) == first
        assert await bid(store, auction.id, 7, 900, 1) == first
    assert (await place.store.read(auction.id)).standing.sequence == 2


@case
async def the_same_bid_twice_in_one_batch(place):
    auction = await opened(place)
    bids = [(7, 500, 1), (7, 500, 1), (7, 600, 1), (7, 600, 2), (7, 500, 1), (7, 600, 2)]
    answers = await place.store.bid(auction.id, [Bid(auction.id, *each) for each in bids])
    first, second = answers[0], answers[3]
    assert list(answers) == [first, first, first, second, first, second]
    assert (first.standing.sequence, second.standing.sequence) == (1, 2)


@case
async def a_bid_is_known_by_its_auction_and_user_too(place):
    auction, other = await opened(place), await opened(place)
    assert await outcomes(place.store, auction.id, (7, 500, 1), (8, 600, 1)) == ["ACCEPTED"] * 2
    assert await outcomes(place.store, other.id, (7, 500, 1)) == ["ACCEPTED"]


@case
async def a_bid_without_an_id_is_a_bid_each_time(place):
    auction = await opened(place)
    assert await outcomes(place.store, auction.id, (7, 500), (7, 500), (7, 600)) == [
        "ACCEPTED",
        "EQUAL",
        "ACCEPTED",
    ]


@case
async def a_refusal_is_remembered_too(place):
    opens_ms = place.store.now_ms() + SOON
    auction = await opened(place, opens_ms=opens_ms, start=500)
    early = await bid(place.store, auction.id, 7, 500, 1)
    await place.until(opens_ms)
    low = await bid(place.store, auction.id, 7, 400, 2)
    assert (early.outcome, low.outcome) == (Outcome.NOT_OPEN, Outcome.TOO_LOW)
    assert await bid(place.store, auction.id, 7, 500, 1) == early
    assert await bid(place.store, auction.id, 7, 900, 2) == low
    led = await bid(place.store, auction.id, 7, 900, 3)
    await place.store.close(auction.id)
    late = await bid(place.store, auction.id, 8, 999, 1)
    assert late.outcome is Outcome.CLOSED
    assert await bid(place.store, auction.id, 7, 900, 3) == led


# Auctions.


@case
async def an_auction_is_created(place):
    terms = place.terms(start=500, increment=50, reserve=10_000, soft_close_ms=5000)
    auction = await place.store.create(terms, 4711)
    assert auction == Auction(4711, terms, at_first(terms))
    for store in place.stores:
        assert await store.read(4711) == auction


@case
async def auctions_get_ids_that_are_free(place):
    await place.store.create(place.terms(), 100)
    ids = [(await store.create(place.terms())).id for store in place.stores * 3]
    assert len({100, *ids}) == len(ids) + 1
    assert sorted(ids) == ids


@case
async def auctions_of_the_same_terms_are_not_one(place):
    terms = place.terms()
    asked = [store.create(terms) for store in place.stores for _ in range(10)]
    assert len({auction.id for auction in await gatherResults(asked)}) == len(asked)


@case
async def to_create_the_same_again_changes_nothing(place):
    terms = place.terms()
    await place.store.create(terms, 5)
    led = await bid(place.store, 5, 7, 500)
    assert await place.store.create(terms, 5) == Auction(5, terms, led.standing)
    other = terms._replace(increment=2)
    assert await failure(place.store.create(other, 5)) is AuctionExists
    assert await place.store.read(5) == Auction(5, terms, led.standing)


@case
async def an_auction_that_cannot_be(place):
    assert await failure(place.store.create(place.terms(increment=0))) is InvalidAuction
    assert await failure(place.store.create(place.terms(), 100_000_000)) is InvalidAuction
    assert await place.store.auctions(0, 10) == []


@case
async def auctions_are_listed_by_their_id(place):
    assert await place.store.auctions(0, 10) == []
    created = [await place.store.create(place.terms(), id) for id in (30, 10, 20)]
    by_id = sorted(created)
    assert await place.store.auctions(0, 10) == by_id
    assert await place.store.auctions(0, 2) == by_id[:2]
    assert await place.store.auctions(10, 2) == by_id[1:]
    assert await place.store.auctions(30, 2) == []


@case
async def an_auction_is_closed_for_good(place):
    auction = await opened(place, soft_close_ms=5000)
    led = await bid(place.store, auction.id, 7, 500)
    ended = await place.store.close(auction.id)
    assert ended.standing == led.standing._replace(closes_ms=ended.standing.closes_ms)
    assert ended.standing.closes_ms <= place.store.now_ms()
    for store in place.stores:
        assert await bid(store, auction.id, 8, 900) == Answer(Outcome.CLOSED, 900, ended.standing)
        assert await store.close(auction.id) == ended
    assert ended.final is Outcome.SOLD


@case
async def a_reserve_that_is_not_met(place):
    auction = await opened(place, reserve=501)
    await bid(place.store, auction.id, 7, 500)
    assert (await place.store.close(auction.id)).final is Outcome.UNSOLD


@case
async def to_close_what_there_is_not(place):
    assert await failure(place.store.close(4711)) is NoSuchAuction


@case
async def to_settle_changes_no_standing(place):
    auction = await opened(place)
    led = await bid(place.store, auction.id, 7, 500)
    open_still = await place.store.settle(auction.id)
    assert open_still == auction._replace(standing=led.standing)
    ended = await place.store.close(auction.id)
    for store in place.stores * 2:
        assert await store.settle(auction.id) == ended
    assert [entry.sequence for entry in await place.store.record(auction.id, 0, 10)] == [1]
    assert await failure(place.store.settle(4711)) is NoSuchAuction


# The record.


@case
async def leading_bids_are_recorded(place):
    auction = await opened(place)
    began_ms = place.store.now_ms()
    await place.store.bid(
        auction.id, [Bid(auction.id, *each) for each in ((7, 500, 9), (8, 500), (8, 600))]
    )
    await bid(place.store, auction.id, 9, 700, 1)
    entries = list(await place.store.record(auction.id, 0, 10))
    assert entries == [
        Entry(1, 7, 500, 9, entries[0].at_ms),
        Entry(2, 8, 600, 0, entries[0].at_ms),
        Entry(3, 9, 700, 1, entries[2].at_ms),
    ]
    times = [began_ms, *(entry.at_ms for entry in entries), place.store.now_ms()]
    assert times == sorted(times)
    assert list(await place.store.record(auction.id, 1, 1)) == entries[1:2]
    assert list(await place.store.record(auction.id, 3, 10)) == []
    assert await failure(place.store.record(4711, 0, 10)) is NoSuchAuction


# Following.


@case
async def followers_hear_of_every_change_on_every_store(place):
    followers = [Follower() for _ in place.stores]
    for store, follower in zip(place.stores, followers, strict=True):
        store.follow(follower)
    auction = await opened(place)
    states = [auction]
    for cents in (500, 400, 600, 600):
        await bid(place.store, auction.id, 7, cents)
        states.append(await place.store.read(auction.id))
    states.append(await place.store.close(auction.id))
    await place.settled()
    expected = [state for at, state in enumerate(states) if state not in states[:at]]
    for follower in followers:
        told = follower.of(auction.id)
        assert told[-1] == states[-1]
        assert [state for state in expected if state in told] == told
    assert [state.standing.sequence for state in expected] == [0, 1, 2, 2]


@case
async def followers_hear_only_the_end_of_a_batch(place):
    auction = await opened(place)
    await place.settled()  # that it was created may be told a little later
    follower = Follower()
    place.store.follow(follower)
    await place.store.bid(auction.id, [Bid(auction.id, 7, cents) for cents in range(1, 101)])
    await place.settled()
    told = follower.of(auction.id)
    assert told == [await place.store.read(auction.id)]


# All together.


@case
async def a_race(place):
    random = Random(5)
    auctions = [await opened(place, increment=random.choice([1, 1, 5])) for _ in range(10)]
    asked = []
    for _ in range(300):
        auction = random.choice(auctions)
        bids = [
            Bid(auction.id, random.randrange(20), random.randint(1, 5000), random.randrange(60))
            for _ in range(random.randint(1, 20))
        ]
        asked.append((bids, random.choice(place.stores).bid(auction.id, bids)))
    told = [
        (each, answer)
        for bids, deferred in asked
        for each, answer in zip(bids, await deferred, strict=True)
    ]
    for auction in auctions:
        now = await place.store.read(auction.id)
        mine = [(each, answer) for each, answer in told if each.auction_id == auction.id]
        _check_race(now, mine, list(await place.store.record(auction.id, 0, 10_000)))


def _check_race(auction, told, entries):
    first = {}
    for each, answer in told:
        if each.bid_id:
            assert first.setdefault((each.user_id, each.bid_id), answer) == answer
    accepted = {
        (answer.standing.sequence, answer.standing.bidder, answer.cents)
        for _, answer in told
        if answer.outcome is Outcome.ACCEPTED
    }
    assert {entry[:3] for entry in entries} <= accepted
    assert sorted(sequence for sequence, _, _ in accepted) == list(range(1, len(accepted) + 1))
    prices = [cents for _, _, cents in sorted(accepted)]
    steps = [after - before for before, after in pairwise(prices)]
    assert all(step >= auction.terms.increment for step in steps)
    highest = max(answer.cents for _, answer in told)
    assert highest - auction.terms.increment < auction.standing.price <= highest
    assert auction.standing[:3] == (prices[-1], max(accepted)[1], len(accepted))
    assert [entry.sequence for entry in entries] == list(
        range(len(accepted) - len(entries) + 1, len(accepted) + 1)
    )
