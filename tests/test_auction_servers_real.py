"""Whole servers, which share one Redis, or with memory alone: races, crowds, closes and stops.

With RACE_BIDS=1000000 in the environment the race has so many bids.
"""

import os
import signal
from itertools import count
from random import Random
from time import perf_counter

import pytest
import pytest_twisted
from auction_bidders import Race, answer, call, offer, watching
from auction_servers import now_ms, serving, together, until
from redis_bidding import opened
from redis_servers import redis_server
from twisted.internet import reactor
from twisted.internet.task import LoopingCall, deferLater

from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import bid_frame, read_result

pytestmark = pytest.mark.real

RACE_BIDS = int(os.environ.get("RACE_BIDS", "50000"))
AUCTIONS = range(1, 101)
NO_AMOUNTS = [float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 0.001, -5.0, 2.0**53 + 2]
IN_MEMORY, IN_REDIS = "memory", "redis"
WORKERS = ["0", "2"]
"""In how many processes each server serves, beside the first; as it is in the environment."""


# The race.


def drawn(random, bids):
    """Bids in random order: half of the auctions rise slowly, so that many bids lead there."""
    offers = []
    for bid_id in range(1, bids * 9 // 10 + 1):
        auction_id = random.choice(AUCTIONS)
        risen = bid_id // len(AUCTIONS) if auction_id % 2 else 0
        amount = (risen + random.randint(1, 300)) / 100
        if random.random() < 0.01:
            amount = random.choice(NO_AMOUNTS)
        offers.append(offer(bid_id, auction_id, random.randrange(1000), amount))
    return offers


def dealt(random, offers, hands):
    """The same, with a tenth of repeats, each perhaps at another server, for so many bidders."""
    all_bids = list(enumerate(offers))
    repeats = random.choices(all_bids, k=len(offers) // 9)
    # A repeat is near the first, before or behind it.
    all_bids += [(at + random.gauss(0, 500), each) for at, each in repeats]
    all_bids.sort(key=lambda bid: bid[0])
    shares = [[] for _ in range(hands)]
    for _, each in all_bids:
        random.choice(shares).append(each)
    return shares


@pytest.mark.parametrize(("servers", "kills", "workers"), [(2, 0, "0"), (3, 5, "0"), (2, 5, "2")])
@pytest_twisted.ensureDeferred
async def test_the_race(servers, kills, workers):
    with redis_server() as redis:
        serving_all = serving(servers, redis.url, TICKSTORM_WORKERS=workers)
        async with serving_all as running, opened(redis.url) as store:
            await run_race(running, redis, store, kills)


async def run_race(servers, redis, store, kills):
    random = Random(7)
    for id in AUCTIONS:
        await servers[0].create(id)
    watchers = await together(watching(server, *AUCTIONS) for server in servers)
    race = Race(servers, random)
    shares = dealt(random, drawn(random, RACE_BIDS), 60)
    began = perf_counter()
    for at, window in enumerate((2, 8, 64)):
        race.start(shares[at::3], window)
    cutting = LoopingCall(race.cut)
    cutting.start(0.02)
    for at in range(kills):
        enough = race.sent + RACE_BIDS // (4 * kills) * (at > 0)
        await until(lambda enough=enough: race.sent > enough, "bids are sent")
        redis.say("CLIENT", "KILL", "TYPE", "normal")
    await race.done()
    cutting.stop()
    seconds = perf_counter() - began
    print(f"{len(servers)} servers: {race.sent} bids in {seconds:.1f} s, {race.outcomes}")
    assert race.unheard > 0
    assert len(race.first) == RACE_BIDS * 9 // 10
    await check_watchers(servers, watchers, store, rising=not kills)
    await race.check(store, AUCTIONS)
    for server in servers:
        assert server.complaints() == []


async def check_watchers(servers, watchers, store, rising):
    """All heard of the same leader in the end, and of the one end; who comes later too."""
    auctions = {id: await store.read(id) for id in AUCTIONS}
    for id, auction in auctions.items():
        standing = auction.standing
        for watcher in watchers:
            await until(lambda w=watcher, s=standing: w.leader(id) == s[:3], "the leader is told")  # noqa: B023
            heard = [update.sequence for update in watcher.updates[id]]
            assert heard == sorted(set(heard) if rising else heard)
    await together(servers[0].close(id) for id in AUCTIONS)
    for watcher in watchers:
        await until(lambda w=watcher: len(w.finals) == len(AUCTIONS), "the ends are told")
    late = await together(watching(server, *AUCTIONS) for server in servers)
    for id, auction in auctions.items():
        (final,) = watchers[0].finals[id]
        bid, told = read_result(final[2:])
        assert (told.outcome, told.standing[:3]) == (Outcome.SOLD, auction.standing[:3])
        assert (bid.user_id, bid.cents) == (auction.standing.bidder, auction.standing.price)
        assert [watcher.finals[id] for watcher in (*watchers, *late)] == [[final]] * (
            2 * len(servers)
        )


# A crowd.


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", [IN_MEMORY, IN_REDIS])
@pytest_twisted.ensureDeferred
async def test_a_thousand_come_in_the_same_instant(kind, workers):
    clients, cents = 1000, list(range(1, 1001))
    Random(3).shuffle(cents)
    with redis_server() as redis:
        url = redis.url if kind == IN_REDIS else ""
        async with serving(1, url, TICKSTORM_WORKERS=workers) as (server,):
            await server.create(1)
            began = perf_counter()
            callers = await together(
                call(server, bid_frame(1, number, amount / 100, number))
                for number, amount in enumerate(cents, 1)
            )
            for caller in callers:
                await until(lambda c=caller: c.results or c.is_over, "a RESULT")
            print(f"{kind}: {clients} clients in {perf_counter() - began:.2f} s")
    answers = [list(map(answer, caller.results)) for caller in callers]
    assert [[told.cents for told in each] for each in answers] == [[each] for each in cents]
    led = sorted(
        (told.standing.sequence, told.cents)
        for (told,) in answers
        if told.outcome is Outcome.ACCEPTED
    )
    assert [sequence for sequence, _ in led] == list(range(1, len(led) + 1))
    assert [amount for _, amount in led] == sorted(amount for _, amount in led)
    assert led[-1][1] == clients
    assert {told.outcome for (told,) in answers} <= {Outcome.ACCEPTED, Outcome.TOO_LOW}


# The close.


class Closing:
    """Bids on one auction around the moment at which it closes, each of which would lead.

    Attributes:
        told: of each bid the RESULT, and when it was sent and heard.
    """

    BIDS, HALF = 10_000, 0.3
    """How many, from so many seconds before the close to as many after it."""

    def __init__(self, callers, closes_ms):
        self.told = []
        self._callers = callers
        self._closes_ms = closes_ms
        self._numbers = count(1)
        self._sent_ms = []
        self._heard = [0] * len(callers)
        self._sent = [[] for _ in callers]

    async def run(self):
        """Bid, and come back when all have their RESULTs."""
        begin_ms = self._closes_ms - 1000 * self.HALF
        while (sent := len(self._sent_ms)) < self.BIDS:
            part = (now_ms() - begin_ms) / (2000 * self.HALF)
            self._bid(min(int(part * self.BIDS), self.BIDS) - sent)
            await deferLater(reactor, 0.002)
            self._hear()
        await until(lambda: self._hear() or len(self.told) == self.BIDS, "all have RESULTs")

    def _bid(self, more):
        sent_ms = now_ms()
        for _ in range(more):
            number = next(self._numbers)
            at = number % len(self._callers)
            self._sent_ms.append(sent_ms)
            self._sent[at].append(sent_ms)
            self._callers[at].send(bid_frame(1, at, number / 100, number))

    def _hear(self):
        for at, caller in enumerate(self._callers):
            heard = caller.results[self._heard[at] :]
            sent = self._sent[at][self._heard[at] :]
            self._heard[at] += len(heard)
            self.told += [(frame, ms, now_ms()) for frame, ms in zip(heard, sent, strict=False)]


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", [IN_MEMORY, IN_REDIS])
@pytest_twisted.ensureDeferred
async def test_ten_thousand_bids_around_the_close(kind, workers):
    with redis_server() as redis:
        url = redis.url if kind == IN_REDIS else ""
        how_many = 2 if url else 1
        running = serving(how_many, url, TICKSTORM_WORKERS=workers)
        async with running as servers, opened(redis.url) as store:
            closes_ms = now_ms() + 1500
            await servers[0].create(1, closes_ms=closes_ms)
            watchers = await together(watching(server, 1) for server in servers)
            callers = await together(call(server) for server in servers for _ in range(10))
            closing = Closing(callers, closes_ms)
            await closing.run()
            for watcher in watchers:
                await until(lambda w=watcher: w.finals, "the end is told")
            highest = check_close(closing.told, closes_ms)
            for watcher in watchers:
                (final,) = watcher.finals[1]
                bid, told = read_result(final[2:])
                assert (told.outcome, bid.cents, told.standing) == (
                    Outcome.SOLD,
                    highest.price,
                    highest,
                )
            if url:
                entries = await store.record(1, 0, 10**6)
                assert max(entry.at_ms for entry in entries) < closes_ms
                assert len(entries) == highest.sequence


def check_close(told, closes_ms):
    """None leads that was sent after the close, none is late that was answered before it."""
    highest = None
    for frame, sent_ms, heard_ms in told:
        _, (outcome, cents, standing, _) = read_result(frame[2:])
        assert outcome in (Outcome.ACCEPTED, Outcome.TOO_LOW, Outcome.CLOSED)
        assert sent_ms < closes_ms or outcome is Outcome.CLOSED
        assert heard_ms >= closes_ms or outcome is not Outcome.CLOSED
        if outcome is Outcome.ACCEPTED and (highest is None or cents > highest.price):
            highest = standing
    outcomes = {answer(frame).outcome for frame, _, _ in told}
    assert {Outcome.ACCEPTED, Outcome.CLOSED} <= outcomes
    return highest


@pytest_twisted.ensureDeferred
async def test_all_servers_restart_while_an_auction_closes():
    with redis_server() as redis:
        async with serving(2, redis.url) as servers, opened(redis.url) as store:
            closes_ms = now_ms() + 1500
            await servers[0].create(1, closes_ms=closes_ms, reserve="0.05")
            await together(watching(server, 1) for server in servers)
            race = Race(servers, Random(5))
            race.start([(offer(number, 1, 7, number / 100) for number in range(1, 10**6))], 4)
            await until(lambda: now_ms() > closes_ms - 200, "it is about to close")
            for server in servers:
                server.kill()
            race.going = False
            for server in servers:
                server.start()
            await together(server.well() for server in servers)
            await until(lambda: now_ms() >= closes_ms, "it has closed")
            late = await together(watching(server, 1) for server in servers * 2)
            *_, last = await store.record(1, 0, 10**6)
    (final,) = late[0].finals[1]
    bid, told = read_result(final[2:])
    assert (told.outcome, bid.user_id, bid.cents) == (Outcome.SOLD, 7, last.cents)
    assert (
        told.standing.sequence
        == last.sequence
        >= max(answer(frame).standing.sequence for frame in race.first.values())
    )
    assert last.at_ms < closes_ms
    for watcher in late:
        assert (watcher.finals[1], watcher.updates[1]) == ([final], [])


# The stop.


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", [IN_MEMORY, IN_REDIS])
@pytest_twisted.ensureDeferred
async def test_a_server_that_stops_under_load(kind, workers):
    """What was sent before has its RESULT before the ERROR; what has none had no effect."""
    with redis_server() as redis:
        url = redis.url if kind == IN_REDIS else ""
        running = serving(1, url, TICKSTORM_WORKERS=workers)
        async with running as (server,), opened(redis.url) as store:
            await server.create(1)
            callers = await together(call(server) for _ in range(20))
            numbers = count(1)
            sent = {caller: [] for caller in callers}

            def bid():
                for caller in callers:
                    mine = [next(numbers) for _ in range(5)]
                    sent[caller] += mine
                    caller.send(*(bid_frame(1, 7, number / 100, number) for number in mine))

            bidding = LoopingCall(bid)
            bidding.start(0.01)
            await until(lambda: all(caller.results for caller in callers), "all have RESULTs")
            before = {caller: len(sent[caller]) for caller in callers}
            await deferLater(reactor, 0.02)  # which puts it on its way
            server.terminate()
            await until(lambda: all(caller.is_over for caller in callers), "all are closed")
            bidding.stop()
            assert await server.exit_code() == -signal.SIGTERM
            entries = await store.record(1, 0, 10**6) if url else []
    led = set()
    for caller in callers:
        told = [read_result(frame[2:]) for frame in caller.results]
        assert [bid.bid_id for bid, _ in told] == sent[caller][: len(told)]
        assert caller.errors == [15]
        assert len(told) >= before[caller]
        led |= {bid.bid_id for bid, each in told if each.outcome is Outcome.ACCEPTED}
    assert led
    assert not url or {entry.bid_id for entry in entries} == led


@pytest_twisted.ensureDeferred
async def test_what_is_under_way_as_a_server_stops_is_answered_first():
    with redis_server() as redis:
        async with serving(1, redis.url, TICKSTORM_REDIS_TIMEOUT="60s") as (server,):
            await server.create(1)
            callers = await together(call(server) for _ in range(20))
            redis.stop()
            for at, caller in enumerate(callers):
                caller.send(*(bid_frame(1, at, 1.0, number) for number in range(1, 65)))
            await server.comes_to(lambda bids: bids == 20 * 64, server.in_flight)
            server.terminate()
            await server.comes_to(lambda found: found[0] == "stopping", server.health)
            server.terminate()  # all are to close at once
            await until(lambda: server.has_said("told again to stop"), "all are closing")
            redis.go_on()
            await until(lambda: all(caller.is_over for caller in callers), "all are closed")
            assert await server.exit_code() == -signal.SIGTERM
    assert [(len(caller.results), caller.errors) for caller in callers] == [(64, [15])] * 20
    outcomes = [outcome for caller in callers for outcome in caller.outcomes]
    assert outcomes.count(Outcome.ACCEPTED) == 1
    assert outcomes.count(Outcome.EQUAL) == 20 * 64 - 1
