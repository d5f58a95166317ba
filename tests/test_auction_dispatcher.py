"""The dispatcher: what it takes on, in which order, and whom it tells when."""

import pytest
from bidding import SlowStore
from twisted.internet.defer import succeed
from twisted.internet.task import Clock as Scheduler

from tickstorm.auction.book import Book
from tickstorm.auction.dispatcher import ROOM_TO_GO_ON, SHARE, Dispatcher, DispatchLimits
from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.auction.pacing import PaceLimits
from tickstorm.auction.rule import NOWHERE, Answer, Bid, Outcome, Terms
from tickstorm.auction.turns import Turn
from tickstorm.clock import simulated_clock

NO_PACE = PaceLimits(0, 0)


class Bidder:
    """A connection as the dispatcher sees it: it has `held` bids that wait to be read."""

    def __init__(self, place, name, held=0):
        self.place, self.name, self.held = place, name, held
        self.pace_address = "10.0.0.1"
        self.turns = []
        self.broken = False

    def bid(self, *cents, auction=1):
        turn = Turn([Bid(auction, 7, each) for each in cents])
        self.turns.append(turn)
        self.place.dispatcher.take(self, turn)
        return turn

    def tell(self):
        self.place.events.append(f"tell {self.name}")
        if self.broken:
            raise RuntimeError("broken")

    def go_on(self, room):
        self.place.events.append(f"{self.name} goes on with {room}")
        now, self.held = min(self.held, room), max(0, self.held - room)
        if now:
            self.bid(*range(1, now + 1))
        if self.held:
            self.place.dispatcher.wait(self)

    def abort(self):
        self.place.events.append(f"abort {self.name}")

    @property
    def outcomes(self):
        return [[outcome.name for outcome in turn.outcomes()] for turn in self.turns]


class Place:
    """A dispatcher over a store, on simulated time."""

    def __init__(self, *, slow=False, limits=DispatchLimits(), pace=NO_PACE):
        self.scheduler = Scheduler()
        clock = simulated_clock(self.scheduler)
        self.store = MemoryStore(Book(), clock.wall_ms)
        for auction_id in (1, 2):
            self.store.create(Terms(0, 10_000_000), auction_id)
        if slow:
            self.store = SlowStore(self.store)
        self.metrics = AuctionMetrics()
        self.dispatcher = Dispatcher(self.store, clock, self.metrics, limits, pace)
        self.events = []

    def bidder(self, name, held=0):
        return Bidder(self, name, held)

    def turn(self):
        """A turn of the reactor; returns what has happened since the last."""
        self.scheduler.advance(0)
        events, self.events = self.events, []
        return events


def test_nothing_is_told_before_the_turn_is_over():
    place = Place()
    alice, bob = place.bidder("alice"), place.bidder("bob")
    alice.bid(100)
    bob.bid(150, 120)
    alice.bid(150)
    assert place.events == []
    assert alice.outcomes == [[], []]
    assert place.turn() == ["tell alice", "tell bob"]
    assert alice.outcomes == [["ACCEPTED"], ["EQUAL"]]
    assert bob.outcomes == [["ACCEPTED", "TOO_LOW"]]
    assert place.scheduler.getDelayedCalls() == []


def test_what_the_sockets_give_in_one_turn_is_one_batch_of_each_auction():
    place = Place(slow=True)
    alice, bob = place.bidder("alice"), place.bidder("bob")
    alice.bid(1, 2)
    bob.bid(3, auction=2)
    bob.bid(4)
    place.turn()
    assert place.store.sizes == [(1, 3), (2, 1)]


def test_what_comes_meanwhile_is_the_next_batch():
    place = Place(slow=True)
    alice = place.bidder("alice")
    alice.bid(1)
    place.turn()
    alice.bid(2)
    alice.bid(3)
    assert place.turn() == []
    assert place.store.sizes == [(1, 1)]
    place.store.answer()
    assert place.turn() == ["tell alice"]
    assert place.store.sizes == [(1, 2)]
    place.store.answer()
    assert place.turn() == ["tell alice"]
    assert (place.store.sizes, place.dispatcher.in_flight) == ([], 0)


def test_a_long_queue_is_decided_in_batches():
    place = Place(limits=DispatchLimits(5000, 3))
    alice = place.bidder("alice")
    alice.bid(*range(1, 9))
    assert place.turn() == ["tell alice"]
    assert alice.outcomes == [["ACCEPTED"] * 8]
    assert sum(place.metrics.batch_bids.counts) == 3


@pytest.mark.parametrize(
    ("error", "outcome", "kind", "retry_ms"),
    [
        (StoreUnavailable("away"), Outcome.UNAVAILABLE, "StoreUnavailable", 500),
        (StoreUnavailable("away", 80), Outcome.UNAVAILABLE, "StoreUnavailable", 80),
        (AnswerLost("lost"), Outcome.UNDECIDED, "AnswerLost", 500),
        (AnswerLost("lost", 90), Outcome.UNDECIDED, "AnswerLost", 90),
    ],
)
def test_what_the_store_does_not_answer_is_answered(error, outcome, kind, retry_ms):
    place = Place(slow=True)
    turn = place.bidder("alice").bid(5)
    place.turn()
    place.store.fail(error)
    assert place.turn() == ["tell alice"]
    assert turn._answers == [Answer(outcome, 5, NOWHERE, retry_ms)]
    assert place.metrics.store_errors == {kind: 1}
    assert place.dispatcher.in_flight == 0


def test_a_store_that_breaks_leaves_nobody_without_an_answer(failures):
    place = Place(slow=True)
    alice = place.bidder("alice")
    alice.bid(5)
    place.turn()
    place.store.fail(RuntimeError("broken"))
    assert place.turn() == ["tell alice"]
    assert alice.outcomes == [["UNDECIDED"]]
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()


@pytest.mark.parametrize(("answers", "told"), [([Answer(Outcome.EQUAL, 1)], 1), ([], 0), (None, 0)])
def test_a_store_that_answers_too_few_is_broken(failures, answers, told):
    place = Place()
    place.store.bid = lambda _, __: succeed(answers)
    alice = place.bidder("alice")
    alice.bid(5, 6)
    assert place.turn() == ["tell alice"]
    assert alice.outcomes == [["UNDECIDED", "UNDECIDED"]]
    assert [str(failure) for failure in failures] == [f"{told} answers to 2 bids"]
    assert place.dispatcher.in_flight == 0
    failures.clear()


def test_a_store_that_raises_is_broken(failures):
    place = Place()
    place.store.bid = lambda _, bids: bids.missing
    alice = place.bidder("alice")
    alice.bid(5)
    assert place.turn() == ["tell alice"]
    assert alice.outcomes == [["UNDECIDED"]]
    assert len(failures) == 1
    failures.clear()


def test_what_comes_too_fast_is_answered_and_not_asked_for():
    place = Place(slow=True, pace=PaceLimits(2, 0))
    alice = place.bidder("alice")
    alice.bid(1, 2, 3)
    assert alice.outcomes == [["RATE_LIMITED"]]
    alice.bid(4)
    place.turn()
    assert place.store.sizes == [(1, 2)]
    assert place.dispatcher.in_flight == 2
    assert place.metrics.outcomes == {Outcome.RATE_LIMITED: 2}


def test_another_pace_holds_at_once():
    place = Place(slow=True, pace=PaceLimits(1, 0))
    alice = place.bidder("alice")
    alice.bid(1)
    place.dispatcher.change_pace(PaceLimits(1000, 0))
    alice.bid(*range(100))
    assert place.dispatcher.in_flight == 101


# What is taken on.


def full(*bidders, slow=True, limit=1000):
    """A place whose dispatcher has taken on all it does, and in which these wait."""
    place = Place(slow=slow, limits=DispatchLimits(limit, 5000))
    place.bidder("flood").bid(*range(1, limit + 1))
    place.turn()
    waiting = [place.bidder(name, held) for name, held in bidders]
    for bidder in waiting:
        place.dispatcher.wait(bidder)
    place.turn()
    return place, waiting


def test_there_is_as_much_room_as_is_not_in_flight():
    place = Place(slow=True, limits=DispatchLimits(10, 512))
    place.bidder("alice").bid(1, 2, 3)
    assert place.dispatcher.room == 7
    place.turn()
    place.store.answer()
    assert place.dispatcher.room == 10


def test_while_somebody_waits_there_is_no_room_for_others():
    place, (alice,) = full(("alice", 10))
    assert (place.dispatcher.room, alice in place.dispatcher) == (0, True)
    place.store.answer()
    assert place.turn() == ["tell flood", "alice goes on with 64"]
    assert (place.dispatcher.room, alice in place.dispatcher) == (990, False)


def test_those_who_wait_go_on_in_their_order_some_bids_each():
    place, _ = full(("alice", 150), ("bob", 70), ("carol", 5))
    place.store.answer()
    assert place.turn() == [
        "tell flood",
        *(f"{name} goes on with {SHARE}" for name in ("alice", "bob", "carol", "alice", "bob")),
        f"alice goes on with {SHARE}",
    ]
    assert place.dispatcher.in_flight == 150 + 70 + 5


def test_they_go_on_once_it_is_worth_it():
    place = Place(slow=True, limits=DispatchLimits(1000, 100))
    flood = place.bidder("flood")
    flood.bid(*range(1, 1001))
    place.turn()
    place.dispatcher.wait(place.bidder("alice", 10))
    place.store.answer()
    place.turn()
    assert place.dispatcher.in_flight == 900
    assert (place.dispatcher.waiting, place.dispatcher.room) == (1, 0)
    place.store.answer()
    assert place.turn() == [f"alice goes on with {SHARE}"]
    assert ROOM_TO_GO_ON == 200


def test_a_small_limit_has_its_own_measure():
    place, _ = full(("alice", 3), limit=2)
    place.store.answer()
    assert place.turn() == ["tell flood", "alice goes on with 2"]
    place.store.answer()
    assert place.turn() == ["tell alice", "alice goes on with 2"]


def test_who_is_gone_does_not_go_on():
    place, (alice, bob) = full(("alice", 1), ("bob", 1))
    place.dispatcher.forget(alice)
    place.dispatcher.forget(alice)
    place.store.answer()
    assert place.turn() == ["tell flood", f"bob goes on with {SHARE}"]
    assert bob not in place.dispatcher


def test_in_memory_everybody_gets_through():
    place = Place(limits=DispatchLimits(300, 512))
    bidders = [place.bidder(str(number), 1000) for number in range(5)]
    for bidder in bidders:
        place.dispatcher.wait(bidder)
    turns = 0
    while place.dispatcher.waiting or place.dispatcher.in_flight:
        place.turn()
        turns += 1
        assert turns < 1000, "it does not come to an end"
    assert [sum(map(len, bidder.outcomes)) for bidder in bidders] == [1000] * 5


# Who is told.


def test_who_breaks_keeps_nobody_from_being_told(failures):
    place = Place()
    alice, bob = place.bidder("alice"), place.bidder("bob")
    alice.broken = True
    alice.bid(1)
    bob.bid(2)
    assert place.turn() == ["tell alice", "abort alice", "tell bob"]
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()


def test_who_has_something_else_to_say_does_so_in_the_next_turn():
    place = Place()
    alice = place.bidder("alice")
    place.dispatcher.tell_soon(alice)
    place.dispatcher.tell_soon(alice)
    assert place.turn() == ["tell alice"]
    assert place.turn() == []


def test_everything_is_counted():
    place = Place(pace=PaceLimits(3, 0))
    alice = place.bidder("alice")
    alice.bid(1, 2, 2, 9)
    place.turn()
    place.scheduler.advance(1)
    alice.bid(1)
    place.turn()
    assert place.metrics.outcomes == {
        Outcome.ACCEPTED: 2,
        Outcome.EQUAL: 1,
        Outcome.TOO_LOW: 1,
        Outcome.RATE_LIMITED: 1,
    }
    assert sum(place.metrics.decision_seconds.counts) == 5
    assert place.metrics.batch_bids.total == 4
