"""A worker's store: what every store promises, over links in memory, and what is lost with one."""

import auction_store_suite as suite
import pytest
from test_auction_memory_store import START_MS
from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.task import Clock

from tickstorm.auction.book import Book, BookLimits
from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.life import NoSuchAuction
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.rule import Bid, Outcome, Terms
from tickstorm.clock import simulated_clock
from tickstorm.workers.auctioneer import Auctioneer
from tickstorm.workers.bids import AuctionAsked, BidsAsked
from tickstorm.workers.link import LinkDecoder, control
from tickstorm.workers.remote_store import RemoteStore

TURNS = 1_000
"""Of the reactor, after which nothing comes any more."""


def over_a_link(message):
    """A message as it arrives at the other end."""
    (arrived,) = LinkDecoder().receive(control(message))
    return arrived


class Workers:
    """Stores of workers, and their parent."""

    def __init__(self, count=2, parents_store=lambda store: store):
        self.scheduler = Clock()
        self.scheduler.advance(START_MS / 1000)
        self.clock = simulated_clock(self.scheduler)
        self.book = MemoryStore(Book(BookLimits(entries=100_000)), self.clock.wall_ms)
        self.auctioneer = Auctioneer(parents_store(self.book), self.scheduler, self._tell)
        self.asked = [[] for _ in range(count)]
        self.stores = [
            RemoteStore(lambda message, number=number: self._take(number, message), self.clock)
            for number in range(count)
        ]
        self.links = [True] * count
        self.told = []

    @property
    def store(self):
        return self.stores[0]

    def _take(self, number, message):
        self.asked[number].append(message)
        if self.links[number]:
            self.auctioneer.take(
                over_a_link(message), lambda answer: self.stores[number].take(over_a_link(answer))
            )

    def _tell(self, moved):
        self.told.append(moved)
        for store in self.stores:
            store.take(over_a_link(moved))

    def turn(self, count=3):
        for _ in range(count):
            self.scheduler.advance(0)

    def until(self, now_ms):
        while (left_ms := now_ms - self.clock.wall_ms()) > 0:
            self.scheduler.advance(left_ms / 1000)
        return succeed(None)

    def settled(self):
        self.turn()
        return succeed(None)

    def result(self, coroutine):
        """What a coroutine comes to."""
        ended = []
        Deferred.fromCoroutine(coroutine).addBoth(ended.append)
        for _ in range(TURNS):
            if ended:
                break
            self.turn(1)
        (end,) = ended
        if hasattr(end, "raiseException"):
            end.raiseException()
        return end


def came_to(*deferreds):
    """What each has come to by now: a value, the type of an error, or None."""
    found = [[] for _ in deferreds]
    for each, deferred in zip(found, deferreds, strict=True):
        deferred.addBoth(each.append)
    return [getattr(each[0], "type", each[0]) if each else None for each in found]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("case", suite.CASES, ids=lambda case: case.__name__)
def test_what_every_store_promises(case, count):
    workers = Workers(count)
    workers.result(case(suite.Place(workers.stores, workers.until, workers.settled)))


# One message a turn.


def opened(workers, *ids):
    now_ms = workers.clock.wall_ms()
    for id in ids:
        workers.book.create(Terms(now_ms, now_ms + 1000), id)
    workers.turn()


def test_what_is_bid_in_a_turn_is_one_message():
    workers = Workers()
    opened(workers, 1, 2)
    asked = [workers.store.bid(id, [Bid(id, 7, 100)]) for id in (1, 2, 3)]
    assert workers.asked[0] == []
    workers.turn()
    assert [type(message) for message in workers.asked[0]] == [BidsAsked]
    assert [[answer.outcome.name for answer in answers] for answers in came_to(*asked)] == [
        ["ACCEPTED"],
        ["ACCEPTED"],
        ["UNKNOWN_AUCTION"],
    ]


def test_what_was_bid_before_a_question_is_decided_before_it():
    workers = Workers()
    opened(workers, 1)
    bids, auction = workers.store.bid(1, [Bid(1, 7, 100)]), workers.store.read(1)
    assert [type(message) for message in workers.asked[0]] == [BidsAsked, AuctionAsked]
    assert came_to(auction)[0].standing.price == 100
    workers.turn()
    assert len(workers.asked[0]) == 2
    assert came_to(bids)[0][0].outcome is Outcome.ACCEPTED


def test_all_that_moves_in_a_turn_is_told_once():
    workers = Workers()
    opened(workers, 1, 2)
    workers.told.clear()
    gathered = gatherResults(
        [store.bid(id, [Bid(id, 7, 100)]) for id, store in enumerate(workers.stores, 1)]
    )
    followers = [suite.Follower() for _ in workers.stores]
    for store, follower in zip(workers.stores, followers, strict=True):
        store.follow(follower)
    workers.turn()
    assert gathered.called
    assert len(workers.told) == 1
    for follower in followers:
        assert [auction.standing[:3] for auction in follower.told] == [(100, 7, 1)] * 2


def test_a_follower_that_fails_keeps_nobody_from_the_news(failures):
    class Failing(suite.Follower):
        def moved(self, auction):
            raise RuntimeError("broken")

    workers, other = Workers(), suite.Follower()
    workers.store.follow(Failing())
    workers.store.follow(other)
    opened(workers, 1)
    assert [auction.id for auction in other.told] == [1]
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()


# The time.


def test_the_time_is_never_before_what_the_parent_has_said():
    workers = Workers()
    workers.scheduler.advance(10)
    opened(workers, 1)
    later_ms = workers.store.now_ms()
    workers.scheduler.rightNow -= 5
    assert [store.now_ms() for store in workers.stores] == [later_ms] * 2
    closed = came_to(workers.store.close(1))[0]
    assert closed.standing.closes_ms == later_ms
    workers.scheduler.rightNow += 6
    assert workers.store.now_ms() == later_ms + 1000


# The link is lost.


def test_with_the_link_all_that_has_no_answer_fails():
    workers = Workers()
    opened(workers, 1)
    workers.links[0] = False
    sent, settled, read = (
        workers.store.bid(1, [Bid(1, 7, 100)]),
        workers.store.settle(1),
        workers.store.read(1),
    )
    unsent = workers.store.bid(1, [Bid(1, 7, 200)])
    workers.store.stop()
    assert came_to(sent, settled, read, unsent) == [
        AnswerLost,
        AnswerLost,
        StoreUnavailable,
        StoreUnavailable,
    ]
    later = (workers.store.bid(1, [Bid(1, 7, 300)]), workers.store.read(1), workers.store.close(1))
    assert came_to(*later) == [StoreUnavailable] * 3
    assert workers.store.state is not BreakerState.CLOSED
    workers.turn()
    assert len(workers.asked[0]) == 3
    workers.store.stop()


def test_a_bid_whose_answer_was_lost_is_found_by_another_worker():
    workers = Workers()
    opened(workers, 1)
    one, other = workers.stores
    workers.links[0] = False
    lost = one.bid(1, [Bid(1, 7, 100, 5)])
    workers.turn()
    workers.auctioneer.take(workers.asked[0][-1], lambda _: None)
    one.stop()
    again = other.bid(1, [Bid(1, 7, 100, 5)])
    more = other.bid(1, [Bid(1, 8, 100, 5)])
    workers.turn()
    found, ((second,),) = came_to(lost, again), came_to(more)
    assert found[0] is AnswerLost
    ((first,),) = found[1:]
    assert (first.outcome, first.standing.sequence) == (Outcome.ACCEPTED, 1)
    assert second.outcome is Outcome.EQUAL


# The store fails.


class Broken:
    """A store that fails as it is told to."""

    def __init__(self, store, error):
        self._store, self._error = store, error

    def __getattr__(self, name):
        return getattr(self._store, name)

    def bid(self, auction_id, bids):
        if auction_id == 1:
            raise self._error
        return self._store.bid(auction_id, bids)

    def read(self, auction_id):
        return fail(self._error)

    close = read


def test_a_store_that_fails_leaves_only_its_own_bids_without_an_answer(failures):
    broken = RuntimeError("broken")
    workers = Workers(parents_store=lambda store: Broken(store, broken))
    opened(workers, 1, 2)
    asked = [workers.store.bid(id, [Bid(id, 7, 100)]) for id in (1, 2)]
    workers.turn()
    lost, ((answer,)) = came_to(*asked)
    assert (lost, answer.outcome) == (AnswerLost, Outcome.ACCEPTED)
    assert came_to(workers.store.close(1), workers.store.read(1)) == [AnswerLost, StoreUnavailable]
    assert failures == [broken] * 3
    failures.clear()


def test_what_the_store_says_is_said_to_the_worker():
    workers = Workers()
    assert came_to(workers.store.close(7), workers.store.settle(7)) == [NoSuchAuction] * 2


def test_a_worker_calls_what_it_may_and_no_more(failures):
    workers, answers = Workers(), []
    for call in ("follow", "stop", "__init__"):
        workers.auctioneer.take(AuctionAsked(1, call, ()), answers.append)
    assert [type(answer.answer) for answer in answers] == [AnswerLost] * 3
    assert [type(failure) for failure in failures] == [ValueError] * 3
    failures.clear()
