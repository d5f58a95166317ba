"""Joins: how a connection comes to be on a stream, and what it leaves behind."""

import pytest
from listening import wants
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from tickstorm.errors import InternalError, InvalidSubscription
from tickstorm.feed import Joined
from tickstorm.hub import Backfill
from tickstorm.joins import Joins
from tickstorm.metrics import Metrics
from tickstorm.pauses import Pauses
from tickstorm.subscriptions import Mode, Position

PLAIN, WITH_PAST = wants(Mode.TICK), wants(Mode.TICK, snapshot=True)
RESUMED = wants(Mode.TICK, resume=Position("e", 7))
PAST = [b"snapshot"]


class Stream:
    """A stream on which each had 100 bytes."""

    def sent_to(self, outlet):
        return 100


STREAM = Stream()


class Feed:
    """A feed that answers as it is told to."""

    def __init__(self):
        self.metrics = Metrics()
        self.recovered = None
        self.answer = lambda joined: joined
        self.seen = []

    def join(self, subscription, outlet):
        self.seen.append(("join", subscription))
        return self.answer(Joined(subscription, STREAM, Backfill(1, PAST, self.recovered)))

    def leave(self, stream, outlet, kept=True):
        assert stream is STREAM
        self.seen.append(("leave", kept))

    def send_past(self, outlet, frames):
        self.seen.append(("past", frames))


class Outlet:
    """A way out on which nothing is queued."""

    def __init__(self):
        self.own_bytes = 0
        self.dropped = 0

    def drop_stream(self):
        self.dropped += 1


class Subscriber:
    """A connection."""

    id = 7

    def __init__(self):
        self.outlet = Outlet()
        self.stream = self.subscription = None
        self.resubscribes = self.is_over = False
        self.asked = []

    def take_place(self, joined):
        self.stream, self.subscription = joined.stream, joined.subscription
        self.asked.append("placed")

    def fail(self, error):
        self.asked.append((type(error), error.message))

    def pause_reading(self):
        self.asked.append("pause")

    def resume_reading(self):
        self.asked.append("resume")


class Table:
    """A feed, what has connections join it, and one of them."""

    def __init__(self):
        self.feed, self.pauses, self.clock = Feed(), Pauses(), Clock()
        self.joins = Joins(self.feed, self.pauses, self.clock)
        self.subscriber = Subscriber()

    def ask(self, subscription=PLAIN):
        self.joins.ask(self.subscriber, subscription)
        return self

    def ask_slowly(self):
        """Ask a feed that takes time; what it is to answer with, and the answer."""
        answers = []
        self.feed.answer = lambda joined: answers.append((Deferred(), joined)) or answers[0][0]
        self.ask()
        return answers[0]


@pytest.fixture(name="table")
def make_table():
    return Table()


def test_a_place_comes_before_its_past(table):
    table.ask(WITH_PAST)
    assert table.feed.seen == [("join", WITH_PAST), ("past", PAST)]
    assert (table.subscriber.asked, table.subscriber.stream) == (["placed"], STREAM)


@pytest.mark.parametrize(
    ("subscription", "recovered", "counted"),
    [
        (PLAIN, None, {}),
        (RESUMED, True, {"recovered": 1}),
        (RESUMED, False, {"snapshot": 1}),
    ],
)
def test_what_became_of_who_resumes_is_counted(table, subscription, recovered, counted):
    table.feed.recovered = recovered
    table.ask(subscription)
    assert table.feed.metrics.resumes == counted


def test_one_that_cannot_be_served_is_told(table):
    def refuse(_):
        raise InvalidSubscription("no")

    table.feed.answer = refuse
    assert table.ask().subscriber.asked == [(InvalidSubscription, "no")]


def test_a_place_that_takes_time_is_waited_for(table):
    answer, joined = table.ask_slowly()
    assert table.subscriber.asked == ["pause"]
    answer.callback(joined)
    assert table.subscriber.asked == ["pause", "placed", "resume"]
    assert table.feed.seen == [("join", PLAIN), ("past", PAST)]


def test_a_place_that_is_there_at_once_is_not(table):
    table.feed.answer = succeed
    assert table.ask().subscriber.asked == ["placed"]


def test_a_place_that_comes_too_late_is_given_back(table):
    answer, joined = table.ask_slowly()
    table.subscriber.is_over = True
    answer.callback(joined)
    assert (table.subscriber.asked, table.subscriber.stream) == (["pause"], None)
    assert table.feed.seen == [("join", PLAIN), ("leave", True)]


@pytest.mark.parametrize(
    ("reason", "told", "logged"),
    [
        (InvalidSubscription("no"), (InvalidSubscription, "no"), 0),
        (OSError("at 10.9.8.7"), (InternalError, "the subscription could not be served"), 1),
    ],
)
def test_a_place_that_is_not_to_be_had(table, reason, told, logged, failures):
    answer, _ = table.ask_slowly()
    answer.errback(reason)
    assert table.subscriber.asked == ["pause", told, "resume"]
    assert failures == [reason] * logged
    failures.clear()


def test_of_one_that_fails_too_late_nothing_is_said(table):
    answer, _ = table.ask_slowly()
    table.subscriber.is_over = True
    answer.errback(OSError("of no matter"))
    assert table.subscriber.asked == ["pause"]


def test_who_has_a_place_may_give_it_up(table):
    table.ask().joins.give_up(table.subscriber)
    subscriber = table.subscriber
    assert (subscriber.stream, subscriber.subscription, subscriber.resubscribes) == (
        None,
        None,
        True,
    )
    assert (subscriber.outlet.own_bytes, subscriber.outlet.dropped) == (100, 1)
    assert table.feed.seen[-1] == ("leave", False)


def test_who_is_lost_may_come_back_and_leaves_once(table):
    table.ask()
    for _ in range(2):
        table.joins.leave(table.subscriber)
    assert table.feed.seen[2:] == [("leave", True)]
    assert (table.subscriber.outlet.own_bytes, table.subscriber.stream) == (100, None)


def test_who_subscribes_anew_gets_a_past_in_another_turn(table):
    table.subscriber.resubscribes = True
    table.ask(WITH_PAST)
    assert (table.feed.seen, table.subscriber.asked) == ([], ["pause"])
    table.clock.advance(0)
    assert table.subscriber.asked == ["pause", "placed", "resume"]


def test_and_what_has_none_at_once(table):
    table.subscriber.resubscribes = True
    assert table.ask(PLAIN).subscriber.asked == ["placed"]


def test_who_goes_before_that_turn_asks_for_nothing(table):
    table.subscriber.resubscribes = True
    table.ask(WITH_PAST)
    table.subscriber.is_over = True
    table.pauses.forget(table.subscriber)
    table.clock.advance(0)
    assert (table.feed.seen, len(table.pauses), table.clock.getDelayedCalls()) == ([], 0, [])


def test_who_was_ended_while_it_was_given_a_place_gives_it_back(table):
    def ending(joined):
        table.subscriber.is_over = True
        return joined

    table.feed.answer = ending
    table.ask()
    assert table.feed.seen == [("join", PLAIN), ("leave", True)]
    assert table.subscriber.asked == []


def test_who_was_ended_by_the_answer_gets_nothing_of_the_past(table):
    def placed(joined):
        table.subscriber.is_over = True

    table.subscriber.take_place = placed
    table.ask(WITH_PAST)
    assert table.feed.seen == [("join", WITH_PAST)]
