"""PUBLISH over the wire: what a publisher is answered, and what the subscribers get."""

import pytest
from conversation import (
    NOW_MS,
    PASSWORD,
    TICK,
    USER,
    Server,
    auth,
    error,
    heartbeat,
    publish,
    subscribe,
    unsubscribe,
)
from twisted.internet.defer import Deferred, succeed

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.credentials import User
from tickstorm.errors import PublishingTooFast
from tickstorm.frames import FrameType, encode_frame
from tickstorm.publications import MAX_UNANSWERED
from tickstorm.publishing import Accepted
from tickstorm.rates import Rate
from tickstorm.session import MAX_HELD_BYTES

EVERYTHING = [f"{USER}:*"]
PUBLISH = pb.MESSAGE_TYPE_PUBLISH


def serving(publishers=EVERYTHING, **options):
    return Server(publishers=publishers, batch_window=0, **options)


def publishing(server, client_id="desk-1"):
    """A publisher that has logged in."""
    client = server.connect()
    client.send(auth(client_id=client_id))
    assert client.names() == ["ACK"]
    return client


def ack(ticks, request_id=0, **metadata):
    """The ACK that a publisher is to read."""
    return pb.AckResponse(
        ack_type=PUBLISH,
        success=True,
        message="published",
        timestamp_ms=NOW_MS,
        metadata={"request_id": str(request_id), "ticks": str(ticks), **metadata},
    )


# What is published.


def test_what_is_published_reaches_the_subscribers_and_then_it_is_said():
    server = serving()
    subscriber, publisher = server.subscribed(TICK), publishing(server)
    publisher.send(publish(1.0, 2.0, request_id=7))
    assert publisher.read() == [ack(2, request_id=7)]
    (batch,) = subscriber.read()
    assert [(tick.symbol, tick.price, tick.volume) for tick in batch.ticks] == [
        ("EURUSD", 1.0, 1.0),
        ("EURUSD", 2.0, 1.0),
    ]
    assert server.metrics.publications == {"accepted": 1}


def test_a_tick_keeps_all_that_it_was_published_with():
    server = serving()
    subscriber, publisher = server.subscribed(TICK), publishing(server)
    fields = {
        "bid": 0.5,
        "ask": 1.5,
        "bid_size": 3,
        "ask_size": 4,
        "timestamp_ns": (NOW_MS - 1000) * 1_000_000 + 5,
        "metadata": {"venue": "X"},
    }
    publisher.send(publish(1.0, **fields))
    (batch,) = subscriber.read()
    (tick,) = batch.ticks
    assert {name: getattr(tick, name) for name in fields} == fields


def test_milliseconds_are_a_time_too_and_none_is_the_servers():
    server = serving()
    subscriber, publisher = server.subscribed(TICK), publishing(server)
    publisher.send(publish(1.0, timestamp_ms=NOW_MS - 5), publish(2.0))
    times = [tick.timestamp_ms for batch in subscriber.read() for tick in batch.ticks]
    assert times == [NOW_MS - 5, NOW_MS]


def test_a_publisher_may_be_a_subscriber_too():
    server = serving()
    client = server.subscribed(TICK)
    client.send(publish(1.0), publish(2.0), heartbeat())
    assert client.names() == [[1.0], "ACK", [2.0], "ACK", "PONG"]


def test_a_publisher_may_subscribe_behind_its_requests():
    server = serving()
    client = server.connect()
    client.send(auth(), publish(1.0), subscribe(TICK), publish(2.0))
    assert client.names() == ["ACK", "ACK", "ACK", [2.0], "ACK"]


# What is refused.


def refused(server, *frames, client_id="desk-1"):
    publisher = publishing(server, client_id)
    publisher.send(*frames)
    (answer,) = publisher.read()
    assert (publisher.closed, server.hub.ticks_published) == (False, 0)
    publisher.send(heartbeat())
    assert publisher.names() == ["PONG"]
    return answer


@pytest.mark.parametrize(
    ("publishers", "message"),
    [
        ([], "this user may not publish"),
        (["bob:*"], "this user may not publish"),
        ([f"{USER}:GBP*"], "tick 0: this user may not publish EURUSD"),
    ],
)
def test_who_may_not_publish(publishers, message):
    answer = refused(serving(publishers), publish(1.0, request_id=9))
    assert answer == error(pb.ERROR_CODE_NOT_PERMITTED, message, details="request 9")


@pytest.mark.parametrize(
    "frame",
    [
        publish(request_id=9),
        publish(*[1.0] * 1001, request_id=9),
        publish(1.0, timestamp_ms=-1, request_id=9),
    ],
)
def test_of_who_may_not_publish_no_tick_is_looked_at(frame):
    server = serving([])
    answer = refused(server, frame)
    message = "this user may not publish"
    assert answer == error(pb.ERROR_CODE_NOT_PERMITTED, message, details="request 9")
    assert server.metrics.publications == {"NOT_PERMITTED": 1}
    assert server.metrics.protocol_errors == {"NOT_PERMITTED": 1}


def test_who_may_not_publish_is_told_of_a_payload_that_is_none_too():
    server = serving([])
    client = publishing(server)
    client.send(encode_frame(FrameType.PUBLISH, b"\xff"))
    assert (client.names(), client.closed) == (["INVALID_MESSAGE"], True)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (publish(request_id=9), "0 ticks are not 1 to 1000"),
        (publish(*[1.0] * 1001, request_id=9), "1001 ticks are not 1 to 1000"),
        (publish(1.0, 0.0, request_id=9), "tick 1: price 0.0 is not 0.0001 to 1000000"),
        (publish(1.0, float("nan"), request_id=9), "tick 1: price nan is not 0.0001 to 1000000"),
        (publish(1.0, 1e6 + 1, request_id=9), "tick 1: price 1000001.0 is not 0.0001 to 1000000"),
        (
            publish(1.0, symbol="eurusd", request_id=9),
            "tick 0: symbol 'eurusd' is not 1 to 16 of A-Z 0-9 . _ -",
        ),
        (
            publish(1.0, bid=-1.0, request_id=9),
            "tick 0: bid -1.0 is neither 0 nor 0.0001 to 1000000",
        ),
        (
            publish(1.0, metadata={"k" * 65: "v"}, request_id=9),
            f"tick 0: metadata {'k' * 32!r} is over 64 characters of key or 256 of value",
        ),
        (
            publish(1.0, timestamp_ms=NOW_MS + 300_001, request_id=9),
            f"tick 0: timestamp {NOW_MS + 300_001} ms is more than 24 h behind or 5 min ahead",
        ),
        (
            publish(1.0, timestamp_ns=(NOW_MS - 86_400_001) * 10**6, request_id=9),
            f"tick 0: timestamp {NOW_MS - 86_400_001} ms is more than 24 h behind or 5 min ahead",
        ),
        (
            publish(1.0, timestamp_ms=-1, request_id=9),
            "tick 0: timestamp -1 ms is more than 24 h behind or 5 min ahead",
        ),
    ],
)
def test_a_request_with_a_bad_tick_is_refused_whole(frame, message):
    server = serving()
    answer = refused(server, frame)
    assert answer == error(pb.ERROR_CODE_INVALID_MESSAGE, message, details="request 9")


def test_ticks_at_the_edges_of_their_time():
    server = serving()
    publisher = publishing(server)
    edges = [NOW_MS + 300_000, NOW_MS - 86_400_000]
    publisher.send(*(publish(1.0, timestamp_ms=edge) for edge in edges))
    assert publisher.names() == ["ACK", "ACK"]


def test_a_rate_is_told_with_the_time_to_wait():
    server = serving(publish_rate=Rate(10, 2))
    publisher = publishing(server)
    publisher.send(publish(1.0, 2.0, request_id=1), publish(3.0, request_id=2))
    assert publisher.read() == [
        ack(2, request_id=1),
        error(
            pb.ERROR_CODE_RATE_LIMITED,
            "more than 10 ticks a second",
            details="request 2",
            retryable=True,
            retry_after_ms=100,
        ),
    ]
    server.reactor.advance(0.125)
    publisher.send(publish(3.0, request_id=2))
    assert publisher.names() == ["ACK"]
    assert server.metrics.publications == {"accepted": 2, "RATE_LIMITED": 1}


def test_behind_what_was_refused_is_refused_what_follows_it():
    server = serving(publish_rate=Rate(10, 2))
    subscriber, publisher = server.subscribed(TICK), publishing(server)
    requests = [publish(float(n), float(n), request_id=n, after=n - 1) for n in (1, 2)]
    publisher.send(*requests, publish(3.0, request_id=3, after=2))
    answers = publisher.read()
    assert answers[0] == ack(2, request_id=1)
    assert answers[2] == error(
        pb.ERROR_CODE_RATE_LIMITED,
        "request 2, which it is to follow, was not carried out last",
        details="request 3",
        retryable=True,
    )
    server.reactor.advance(1)
    publisher.send(requests[1], publish(3.0, request_id=3, after=2))
    server.reactor.advance(1)
    publisher.send(publish(3.0, request_id=3, after=2))
    assert publisher.names() == ["ACK", "RATE_LIMITED", "ACK"]
    assert subscriber.names() == [[1.0, 1.0], [2.0, 2.0], [3.0]]


def test_who_may_publish_is_told_how_often_to_be_heard_and_the_run_of_the_server():
    server = serving()
    client = server.connect()
    client.send(auth())
    (answer,) = client.read()
    assert answer.metadata == {
        "epoch": "epoch-1",
        "heartbeat_interval_ms": "15000",
        "heartbeat_timeout_ms": "20000",
    }


def test_a_payload_that_is_none_ends_the_conversation():
    server = serving()
    publisher = publishing(server)
    publisher.send(encode_frame(FrameType.PUBLISH, b"\xff"))
    assert (publisher.names(), publisher.closed) == (["INVALID_MESSAGE"], True)


def test_before_the_login_nobody_publishes():
    server = serving()
    client = server.connect()
    client.send(publish(1.0))
    assert (client.names(), client.closed) == (["AUTH_REQUIRED"], True)
    assert server.hub.ticks_published == 0


# Once, over any number of connections.


def test_who_asks_again_on_another_connection_is_answered_and_nothing_is_doubled():
    server = serving()
    subscriber, publisher = server.subscribed(TICK), publishing(server)
    publisher.send(publish(1.0, request_id=7))
    publisher.vanish()
    again = publishing(server)
    again.send(publish(1.0, request_id=7), publish(2.0, request_id=8))
    assert again.read() == [ack(1, request_id=7, repeated="true"), ack(1, request_id=8)]
    assert subscriber.names() == [[1.0], [2.0]]
    assert server.metrics.publications == {"accepted": 2, "repeated": 1}


def test_without_a_client_id_a_request_is_known_on_its_own_connection_only():
    server = serving()
    first, second = publishing(server, ""), publishing(server, "")
    for publisher in (first, second, first):
        publisher.send(publish(1.0, request_id=7))
    assert [*first.read(), *second.read()] == [
        ack(1, request_id=7),
        ack(1, request_id=7, repeated="true"),
        ack(1, request_id=7),
    ]


@pytest.mark.parametrize("text", ["{}", "connection {}"])
def test_no_client_id_is_that_of_a_connection_without_one(text):
    server = serving()
    nameless = publishing(server, "")
    nameless.send(publish(1.0, request_id=7))
    named = publishing(server, text.format(nameless.connection.id))
    named.send(publish(1.0, 2.0, request_id=7))
    assert [*nameless.read(), *named.read()] == [ack(1, request_id=7), ack(2, request_id=7)]


# A feed that answers later.


class SlowFeed:
    """A feed that publishes when it is told to."""

    def __init__(self, feed):
        self.feed = feed
        self.waiting = []

    def __getattr__(self, name):
        return getattr(self.feed, name)

    def publish(self, publication):
        self.waiting.append((publication, Deferred()))
        return self.waiting[-1][1]

    def carry_out(self):
        publication, answer = self.waiting.pop(0)
        answer.callback(Accepted(len(publication.ticks)))


def slowly(server):
    feed = server.factory.publications._feed = SlowFeed(server.factory.feed)
    return feed


def test_the_conversation_goes_on_while_a_publication_waits():
    server = serving()
    feed, client = slowly(server), server.connect()
    client.send(auth(), publish(1.0, request_id=1), subscribe(TICK), heartbeat())
    assert client.names() == ["ACK", "ACK", "PONG"]
    feed.carry_out()
    assert client.read() == [ack(1, request_id=1)]


def test_who_asks_for_much_is_not_read_until_some_of_it_is_answered():
    server = serving()
    feed, publisher = slowly(server), publishing(server)
    publisher.send(*[publish(1.0)] * (MAX_UNANSWERED - 1))
    assert publisher.transport.producerState == "producing"
    publisher.send(publish(1.0))
    assert publisher.transport.producerState == "paused"
    feed.carry_out()
    assert publisher.transport.producerState == "producing"
    while feed.waiting:
        feed.carry_out()
    assert publisher.names() == ["ACK"] * MAX_UNANSWERED
    assert len(server.factory.publications) == 0


def state_of(client):
    """What the transport does."""
    return client.transport.producerState


def test_what_one_read_brings_beyond_that_is_held_until_there_is_room():
    server = serving()
    feed, publisher = slowly(server), publishing(server)
    count = 65536 // len(publish(1.0, request_id=1))
    publisher.send(*(publish(1.0, request_id=1 + n % 100) for n in range(count)))
    most = []
    for _ in range(count):
        most.append((len(feed.waiting), len(server.factory.publications)))
        feed.carry_out()
    expected = [min(MAX_UNANSWERED, left) for left in range(count, 0, -1)]
    assert most == [(left, left) for left in expected]
    assert publisher.read() == [ack(1, request_id=1 + n % 100) for n in range(count)]
    assert (state_of(publisher), len(server.factory.publications)) == ("producing", 0)


def test_what_is_held_is_read_in_its_order_and_behind_the_answer_that_makes_room():
    server = serving()
    feed, client = slowly(server), publishing(server)
    requests = [publish(1.0, request_id=n) for n in range(1, MAX_UNANSWERED + 2)]
    client.send(*requests, heartbeat(), subscribe(TICK))
    assert client.names() == []
    client.send(heartbeat(sequence=5))
    assert client.names() == []
    feed.carry_out()
    assert (client.names(), state_of(client)) == (["ACK"], "paused")
    feed.carry_out()
    assert (client.names(), state_of(client)) == (["ACK", "PONG", "ACK", "PONG"], "producing")


class SlowJoins(SlowFeed):
    """A feed whose subscriptions wait, too."""

    def __init__(self, feed):
        super().__init__(feed)
        self.joins = []

    def join(self, subscription, subscriber):
        joined = Deferred()
        self.joins.append((joined, self.feed.join(subscription, subscriber)))
        return joined

    def place(self):
        joined, place = self.joins.pop(0)
        joined.callback(place)


def test_an_answered_subscription_has_nobody_read_on_who_has_asked_for_much():
    server = serving()
    feed = SlowJoins(server.factory.feed)
    server.factory.joins._feed = server.factory.publications._feed = feed
    client = publishing(server)
    before, behind = [publish(1.0)] * (MAX_UNANSWERED - 1), [publish(2.0)] * 30
    client.send(*before, subscribe(TICK), *behind)
    assert (len(feed.joins), len(feed.waiting), state_of(client)) == (1, 15, "paused")
    feed.carry_out()
    assert (len(feed.waiting), state_of(client)) == (14, "paused")
    feed.place()
    assert (len(feed.waiting), state_of(client)) == (MAX_UNANSWERED, "paused")
    while feed.waiting:
        assert len(feed.waiting) <= MAX_UNANSWERED
        feed.carry_out()
    assert (client.names(), state_of(client)) == (["ACK"] * 46, "producing")


def test_a_subscription_that_waits_is_not_read_past_when_there_is_room():
    server = serving()
    feed = SlowJoins(server.factory.feed)
    server.factory.joins._feed = server.factory.publications._feed = feed
    client = publishing(server)
    client.send(*[publish(1.0)] * MAX_UNANSWERED, subscribe(TICK), unsubscribe())
    assert (len(feed.joins), state_of(client)) == (0, "paused")
    feed.carry_out()
    feed.carry_out()
    assert (len(feed.joins), state_of(client)) == (1, "paused")
    feed.place()
    assert (client.names(), state_of(client)) == (["ACK"] * 4, "producing")


def test_answers_that_are_there_already_are_given_one_after_the_other_at_the_limit_too():
    server = serving()
    feed, publisher = slowly(server), publishing(server)
    publisher.send(*[publish(1.0)] * (MAX_UNANSWERED - 1))
    feed.publish = lambda publication: succeed(Accepted(1))
    publisher.send(*(publish(1.0, request_id=n) for n in range(1, 1001)))
    assert publisher.read() == [ack(1, request_id=n) for n in range(1, 1001)]
    assert (state_of(publisher), len(server.factory.pauses)) == ("producing", 0)


def test_who_sends_much_though_it_is_not_read_is_ended():
    server = serving()
    _, publisher = slowly(server), publishing(server)
    publisher.send(*[publish(1.0)] * MAX_UNANSWERED)
    publisher.send(bytes(MAX_HELD_BYTES))
    assert (publisher.names(), publisher.closed) == ([], False)
    publisher.send(b"\0")
    assert (publisher.names(), publisher.closed) == (["INVALID_MESSAGE"], True)


def test_what_breaks_down_behind_an_answer_ends_its_connection(failures):
    server = serving()
    feed, publisher = slowly(server), publishing(server)
    publisher.send(*[publish(1.0)] * MAX_UNANSWERED, heartbeat(), publish(1.0))

    def publish_no_more(publication):
        raise ValueError("broken")

    feed.publish = publish_no_more
    feed.carry_out()
    assert (publisher.names(), publisher.transport.disconnected) == (["ACK", "PONG"], True)
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()


@pytest.mark.parametrize("how", ["vanish", "abort"])
def test_nothing_is_left_of_who_is_gone_before_the_answer(how):
    server = serving()
    feed, publisher = slowly(server), publishing(server)
    publisher.send(*[publish(1.0)] * MAX_UNANSWERED)
    if how == "abort":
        publisher.connection.abort()
    publisher.vanish()
    while feed.waiting:
        feed.carry_out()
    assert (publisher.names(), len(server.factory.publications)) == ([], 0)
    assert server.left_behind() == {}


def test_a_refusal_that_comes_later():
    server = serving()
    feed, publisher = slowly(server), publishing(server)
    publisher.send(publish(1.0, request_id=3))
    feed.waiting[0][1].errback(PublishingTooFast("too fast", retry_after_ms=5))
    assert publisher.read() == [
        error(
            pb.ERROR_CODE_RATE_LIMITED,
            "too fast",
            details="request 3",
            retryable=True,
            retry_after_ms=5,
        )
    ]


def test_a_feed_that_breaks_down_is_an_error_of_the_server(failures):
    server = serving()
    feed, publisher = slowly(server), publishing(server)
    publisher.send(publish(1.0, request_id=3))
    feed.waiting[0][1].errback(ValueError("broken"))
    assert publisher.read() == [
        error(
            pb.ERROR_CODE_INTERNAL_ERROR,
            "it could not be published",
            details="request 3",
            retryable=True,
        )
    ]
    assert not publisher.closed
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()


class Later:
    """An authenticator that lets in when it is told to."""

    def authenticate(self, login, peer):
        self.login, self.answer = login, Deferred()
        return self.answer


def test_who_is_let_in_later_is_the_same_publisher():
    authenticator = Later()
    server = serving(authenticator=authenticator)
    client = server.connect()
    client.send(auth(password=PASSWORD, client_id="desk-1"), publish(1.0, request_id=7))
    authenticator.answer.callback(User(USER))
    assert client.names() == ["ACK", "ACK"]
    assert client.connection.publisher == (USER, "desk-1")
