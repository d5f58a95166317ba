"""What workers say to the pool in memory: joins, logins, addresses, readings and listings."""

from collections import Counter
from math import inf

import pytest
from conversation import USER, names, read
from pools import pools, report
from relaying import wants
from test_reading import as_values, counted
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import formatEvent, globalLogPublisher

from tickstorm.credentials import Peer, User
from tickstorm.errors import (
    InternalError,
    InvalidAuth,
    InvalidPublication,
    MayNotPublish,
    NotPermitted,
    NotSubscribed,
    PublicationFailed,
    PublishingTooFast,
)
from tickstorm.heartbeat import SWEEP_INTERVAL
from tickstorm.listing import Listing, Query
from tickstorm.messages import Login
from tickstorm.metrics import Metrics
from tickstorm.publishing import Accepted, Publication, Publisher, read_right
from tickstorm.reading import Reading
from tickstorm.subscriptions import Mode
from tickstorm.ticks import Tick
from tickstorm.workers.handover import PortKind
from tickstorm.workers.hiring import FIRST_WAIT, LONGEST_WAIT
from tickstorm.workers.link import (
    AtAddress,
    AtAddresses,
    Join,
    Leave,
    ListAsked,
    Listed,
    Load,
    LoginAnswered,
    LoginAsked,
    LoginFailed,
    Placed,
    PublishAnswered,
    PublishAsked,
    Report,
    Said,
)


@pytest.fixture(name="pool")
def make_pool():
    """Makes pools, and clears them away."""
    with pools() as make:
        yield make


# What is published.


def test_a_worker_gets_the_streams_that_it_joins_until_it_leaves_them(pool):
    one = pool()
    worker, other = one.begin_all()
    worker.say(Join(9, wants(), 0))
    (placed,) = worker.heard()
    assert (placed.request, placed.next_sequence, placed.first_sequence, placed.frames) == (
        9,
        1,
        1,
        [],
    )
    one.publish(1.5)
    (emission,) = worker.heard()
    assert (emission.number, emission.next_sequence) == (placed.number, 2)
    assert names(read(b"".join(emission.frames))) == [[1.5]]
    worker.say(Leave(placed.number, 1))
    one.publish(2.5)
    assert (worker.heard(), other.heard()) == ([], [])


def test_a_worker_that_is_gone_is_on_no_stream(pool):
    one = pool()
    worker, _ = one.begin_all()
    for mode in (Mode.SECOND, Mode.MINUTE, Mode.TICK):
        worker.say(Join(1, wants(mode), 0))
    assert [len(streams) for streams in one.hub.streams.values()] == [1, 1, 1]
    worker.die()
    assert [len(streams) for streams in one.hub.streams.values()] == [0, 0, 0]


def test_periods_end_while_it_runs(pool):
    one = pool()
    worker, _ = one.begin_all()
    worker.say(Join(1, wants(Mode.SECOND), 0))
    one.publish(1.5)
    worker.heard()
    one.reactor.advance(1)
    (emission,) = worker.heard()
    assert names(read(b"".join(emission.frames))) == [[1.5]]


# Publications.


def asked_to_publish(pool, *ticks, user=USER, request_id=7, **settings):
    """A pool, and what its first worker is told that asks to publish."""
    one = pool(publishers=(read_right(f"{USER}:EUR*"),), **settings)
    worker, other = one.begin_all()
    other.say(Join(1, wants(Mode.TICK), 0))
    other.heard()
    worker.say(PublishAsked(3, Publication(Publisher(user, "desk"), request_id, ticks)))
    return one, worker.heard(), other.heard()


def test_what_one_worker_publishes_reaches_the_others_before_it_is_answered(pool):
    one, answers, (emission,) = asked_to_publish(pool, Tick("EURUSD", 1.5), Tick("EURGBP", 2.5))
    assert answers == [PublishAnswered(3, Accepted(2))]
    assert names(read(b"".join(emission.frames))) == [[1.5, 2.5]]
    assert one.hub.ticks_published == 2


def test_a_request_that_another_worker_had_before_is_not_carried_out_again(pool):
    one, _, _ = asked_to_publish(pool, Tick("EURUSD", 1.5))
    publication = Publication(Publisher(USER, "desk"), 7, [Tick("EURUSD", 1.5)])
    one.at(2).say(PublishAsked(1, publication))
    assert one.at(2).heard() == [PublishAnswered(1, Accepted(1, repeated=True))]
    assert one.hub.ticks_published == 1


@pytest.mark.parametrize(
    ("tick", "user", "kind", "message"),
    [
        (Tick("EURUSD", 1.5), "bob", MayNotPublish, "this user may not publish"),
        (Tick("GBPUSD", 1.5), USER, MayNotPublish, "tick 0: this user may not publish GBPUSD"),
        (
            Tick("EURUSD", 0.0),
            USER,
            InvalidPublication,
            "tick 0: price 0.0 is not 0.0001 to 1000000",
        ),
    ],
)
def test_a_worker_is_told_why_not(pool, tick, user, kind, message):
    one, answers, emissions = asked_to_publish(pool, tick, user=user)
    ((request, error),) = answers
    assert (request, type(error), error.message) == (3, kind, message)
    assert (emissions, one.hub.ticks_published) == ([], 0)


def test_the_rate_is_that_of_the_whole_instance(pool):
    ticks = [Tick("EURUSD", 1.5)] * 1000
    one, _, _ = asked_to_publish(pool, *ticks, publish_rate=1000)
    publication = Publication(Publisher(USER, "other"), 1, [Tick("EURUSD", 1.5)])
    one.at(2).say(PublishAsked(1, publication))
    ((_, error),) = one.at(2).heard(PublishAnswered)
    assert (type(error), error.retry_after_ms) == (PublishingTooFast, 1)


def test_a_hub_that_breaks_down_is_an_error_of_the_server(pool, failures):
    one = pool(publishers=(read_right(f"{USER}:*"),))
    one.hub.on_ticks_pending = raising(ValueError("broken"))
    worker, _ = one.begin_all()
    worker.say(Join(1, wants(Mode.TICK), 0))
    worker.heard()
    publication = Publication(Publisher(USER, "desk"), 1, [Tick("EURUSD", 1.5)])
    worker.say(PublishAsked(1, publication))
    ((_, error),) = worker.heard(PublishAnswered)
    assert (type(error), error.message) == (PublicationFailed, "it could not be published")
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()


# Logins.


class Says:
    """An authenticator that says what comes of a call, and keeps what it was asked."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.asked = []

    def authenticate(self, login, peer):
        self.asked.append((login, peer))
        return self.outcome()


def raising(error):
    def outcome():
        raise error

    return outcome


LOGIN, PEER = Login("bob", "his"), Peer("10.0.0.7", "bob.example")


def answers(pool, outcome):
    """What a worker is told that asks who somebody is."""
    one = pool(authenticator=Says(outcome))
    worker, other = one.begin_all()
    worker.say(LoginAsked(3, LOGIN, PEER))
    assert other.heard() == []
    return worker.heard()


@pytest.mark.parametrize("outcome", [lambda: User("bob"), lambda: succeed(User("bob"))])
def test_a_worker_that_asks_is_told_who_it_is(pool, outcome):
    assert answers(pool, outcome) == [LoginAnswered(3, User("bob"))]


def test_the_authenticator_knows_who_asks_and_from_where(pool):
    says = Says(lambda: User("bob"))
    one = pool(authenticator=says)
    one.at(1).begin().say(LoginAsked(3, LOGIN, PEER))
    assert says.asked == [(LOGIN, PEER)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidAuth("no"), InvalidAuth("no")),
        (NotPermitted("not today"), NotPermitted("not today")),
        (UnauthorizedLogin("secret"), InvalidAuth("the name or the password is wrong")),
    ],
)
@pytest.mark.parametrize("how", [raising, lambda error: lambda: fail(error)])
def test_a_worker_that_asks_is_told_why_not(pool, error, told, how):
    ((request, answer),) = answers(pool, how(error))
    assert (request, type(answer), vars(answer)) == (3, type(told), vars(told))


@pytest.mark.parametrize("error", [OSError("at 10.9.8.7"), NotSubscribed("of no use here")])
def test_what_could_not_be_checked_is_an_internal_error(pool, error, failures):
    ((_, answer),) = answers(pool, raising(error))
    assert (type(answer), answer.message) == (InternalError, "the login could not be checked")
    assert failures == [error]
    failures.clear()


def test_an_answer_that_comes_later(pool):
    answer = Deferred()
    one = pool(authenticator=Says(lambda: answer))
    worker = one.at(1).begin()
    worker.say(LoginAsked(3, LOGIN, PEER), Load(0, 0))
    assert worker.heard() == []
    answer.callback(User("bob"))
    assert worker.heard() == [LoginAnswered(3, User("bob"))]


def test_one_for_a_worker_that_is_gone_reaches_nobody(pool):
    answer = Deferred()
    one = pool(authenticator=Says(lambda: answer))
    one.at(1).begin().say(LoginAsked(3, LOGIN, PEER))
    one.at(1).die()
    one.reactor.advance(FIRST_WAIT)
    one.at(1).begin()
    answer.callback(User("bob"))
    assert one.at(1).heard() == []


def test_without_an_authenticator_nobody_is_asked(pool):
    one = pool()
    worker = one.at(1).begin()
    worker.say(LoginAsked(3, LOGIN, PEER))
    assert worker.heard() == []


# What one worker says is for the others too.


def test_a_failed_login_is_told_to_all_others(pool):
    one = pool(30, 30, 30)
    first, second, third = one.begin_all()
    second.say(LoginFailed("10.0.0.7"))
    assert [worker.heard() for worker in (first, second, third)] == [
        [LoginFailed("10.0.0.7")],
        [],
        [LoginFailed("10.0.0.7")],
    ]


def test_who_comes_and_goes_is_told_to_all_others(pool):
    one = pool()
    first, second = one.begin_all()
    first.say(AtAddress("10.0.0.7", 1), AtAddress("10.0.0.7", -1))
    assert second.heard() == [AtAddress("10.0.0.7", 1), AtAddress("10.0.0.7", -1)]
    assert first.heard() == []


def test_with_a_worker_its_connections_are_gone_and_the_next_knows_the_others(pool):
    one = pool(30, 30, 30)
    first, second, third = one.begin_all()
    for worker, key, times in ((first, "a", 3), (second, "a", 2), (third, "a", 1), (third, "b", 4)):
        worker.say(*[AtAddress(key, 1)] * times)
    for worker in (second, third):
        worker.heard()
    first.die()
    assert [worker.heard() for worker in (second, third)] == [[AtAddresses({"a": -3})]] * 2
    one.reactor.advance(FIRST_WAIT)
    assert one.at(1).spec.elsewhere == {PortKind.SUBSCRIBERS: {"a": 3, "b": 4}}


def test_addresses_that_are_gone_are_forgotten(pool):
    one = pool()
    first, second = one.begin_all()
    second.say(AtAddress("10.0.0.7", 1), AtAddress("10.0.0.7", -1))
    first.die()
    one.reactor.advance(FIRST_WAIT)
    assert one.at(1).spec.elsewhere == {}


def test_what_a_worker_says_is_logged_as_its_own(pool):
    events = []
    one = pool()
    globalLogPublisher.addObserver(events.append)
    one.at(2).begin().say(Said("warn", "tickstorm.here", "slow, 3", {"connection": 3}))
    globalLogPublisher.removeObserver(events.append)
    said = events[-1]
    assert (said["log_namespace"], said["worker"], said["connection"], formatEvent(said)) == (
        "tickstorm.here",
        2,
        3,
        "slow, 3",
    )


def test_one_s_message_that_fails_takes_nobody_along(pool, failures):
    one = pool()
    worker, _ = one.begin_all()
    worker.say(Leave(99, 1), Join(1, wants(), 0))
    assert [type(message) for message in worker.heard()] == [Placed]
    assert [type(failure) for failure in failures] == [KeyError]
    failures.clear()


# The whole instance.


def test_its_numbers_are_the_sum_of_its_workers(pool):
    one = pool()
    first, second = one.begin_all()
    first.say(report(1, loop_lag_s=0.5, last_sweep_s=90.0))
    second.say(report(10, last_sweep_s=95.0))
    whole = one.pool.read()
    assert whole._replace(metrics=None) == Reading(11, 22, 33, {"SECOND": 11}, None, 0.5, 0.0)
    assert as_values(whole.metrics) == as_values(counted(11))


def test_the_last_of_a_worker_s_reports_counts(pool):
    one = pool(100)
    worker = one.at(1).begin()
    worker.say(report(5), report(7))
    assert one.pool.read().connections == 7


def test_what_happened_at_a_worker_that_is_gone_has_happened(pool):
    one = pool()
    first, second = one.begin_all()
    first.say(report(1))
    second.say(report(10))
    for number in (1, 2, 3):
        one.at(1).die()
        whole = one.pool.read()
        assert (whole.connections, whole.subscribers) == (10, Counter(SECOND=10))
        assert as_values(whole.metrics) == as_values(counted(10 + number))
        one.reactor.advance(LONGEST_WAIT)
        second.say(report(10))
        one.at(1).begin().say(report(1))
    assert as_values(one.pool.read().metrics) == as_values(counted(14))


def test_what_the_parent_itself_does_is_in_it(pool, failures):
    one = pool(100)
    worker = one.at(1).begin()
    worker.say(Report(Reading(0, 0, 0, {}, Metrics(), last_sweep_s=inf), 0.0, 0))

    def fail(end):
        raise ValueError("no")

    one.hub.bars[1000].close = fail
    one.reactor.advance(1)
    whole = one.pool.read()
    assert (whole.metrics.failures, whole.last_sweep_s) == ({"SECOND": 1}, one.reactor.seconds())
    one.reactor.advance(SWEEP_INTERVAL + 0.75)
    assert one.pool.read().loop_lag_s == 0.75
    failures.clear()


def test_its_connections_are_those_of_all_workers(pool):
    one = pool(30, 30, 30)
    first, second, gone = one.begin_all()
    found = []
    one.pool.list(Query(limit=2)).addCallback(found.append)
    for worker, id in ((first, 7), (second, 3)):
        assert worker.heard() == [ListAsked(1, Query(limit=2))]
        worker.say(Listed(1, Listing(1, [{"id": id}])))
    assert found == []
    gone.die()
    assert found == [Listing(2, [{"id": 3}, {"id": 7}], missing=1)]
