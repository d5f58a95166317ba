"""A feed that answers a join later, as a worker's does: what happens to the client meanwhile."""

import gc
from weakref import ref

import pytest
from conversation import (
    NOW_MS,
    SECOND,
    TICK,
    USER,
    Server,
    auth,
    error,
    heartbeat,
    names,
    subscribe,
    unsubscribe,
)
from test_logins import Slow
from twisted.internet.defer import Deferred, succeed

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.credentials import User
from tickstorm.session import MAX_HELD_BYTES
from tickstorm.subscriptions import Mode

UNSERVED = error(
    pb.ERROR_CODE_INTERNAL_ERROR, "the subscription could not be served", retryable=True
)
TOO_LATE = error(
    pb.ERROR_CODE_INTERNAL_ERROR,
    "the subscription could not be served in time",
    NOW_MS + 20_000,
    retryable=True,
)
NO_FEED = OSError("the parent is at 10.9.8.7")


class Later:
    """A feed that puts a subscriber on its stream when it is told to, and is another one else."""

    def __init__(self, feed):
        self._feed = feed
        self.asked = []
        self.cancelled = 0
        self.on_cancel = lambda: None

    def __getattr__(self, name):
        return getattr(self._feed, name)

    def join(self, subscription, subscriber):
        answer = Deferred(self._cancel)
        self.asked.append((subscription, subscriber, answer))
        return answer

    def _cancel(self, answer):
        self.cancelled += 1
        self.on_cancel()

    def place(self):
        """Answer the last one."""
        subscription, subscriber, answer = self.asked[-1]
        answer.callback(self._feed.join(subscription, subscriber))

    def fail(self, reason):
        self.asked[-1][-1].errback(reason)


def later_server(**options):
    """A server without a batch window, and its feed."""
    server = Server(batch_window=0, **options)
    feed = server.factory.joins._feed = Later(server.factory.feed)
    return server, feed


def waiting(*pipelined, request=subscribe(TICK)):
    """A server, its feed, and a client that waits for its place."""
    server, feed = later_server()
    client = server.connect()
    client.send(auth(), request, *pipelined)
    assert client.names() == ["ACK"]
    return server, client, feed


# What waits.


def test_nothing_is_read_until_it_has_its_place():
    server, client, feed = waiting()
    assert (client.transport.producerState, client.connection.subscription) == ("paused", None)
    server.publish(1.0)
    assert client.read() == []
    feed.place()
    assert client.transport.producerState == "producing"
    server.publish(2.0)
    assert client.names() == ["ACK", [2.0]]
    assert client.connection.subscription.mode is Mode.TICK


def test_the_ack_is_that_of_a_place_at_once():
    told = []
    for feed_is_slow in (False, True):
        server, feed = later_server() if feed_is_slow else (Server(batch_window=0), None)
        early = server.connect()
        client = server.connect()
        for each in (early, client):
            each.send(auth(), subscribe(SECOND, "B", "A"))
            if feed is not None:
                feed.place()
        told.append(client.read())
    assert told[0] == told[1]
    assert told[0][1].metadata["symbols"] == "A,B"


def test_the_snapshot_comes_behind_the_ack_and_before_any_batch():
    server, client, feed = waiting(request=subscribe(TICK, snapshot=True))
    server.publish(1.0)
    feed.place()
    server.publish(2.0)
    ack, snapshot, batch = client.read()
    assert names([ack, snapshot, batch]) == ["ACK", [1.0], [2.0]]
    assert (snapshot.is_snapshot, batch.is_snapshot) == (True, False)
    assert ack.metadata["next_sequence"] == str(batch.batch_sequence)


@pytest.mark.parametrize("pipelined", [True, False])
def test_frames_behind_it_are_read_after_it(pipelined):
    behind = (heartbeat(3), heartbeat(4)[:9])
    _server, client, feed = waiting(*behind if pipelined else ())
    if not pipelined:
        for data in behind:
            client.send(data)
    assert client.read() == []
    feed.place()
    assert client.names() == ["ACK", "PONG"]
    client.send(heartbeat(4)[9:])
    assert [pong.sequence for pong in client.read()] == [4]
    assert not client.closed


def test_another_subscription_behind_it_is_refused_by_what_it_has_then():
    _server, client, feed = waiting(subscribe(TICK), subscribe(SECOND), heartbeat())
    feed.place()
    assert client.names() == ["ACK", "ALREADY_SUBSCRIBED", "INVALID_SUBSCRIPTION", "PONG"]
    assert len(feed.asked) == 1


def test_a_bad_frame_behind_it_ends_it_after_the_ack():
    server, client, feed = waiting(auth(), heartbeat())
    feed.place()
    assert (client.names(), client.closed) == (["ACK", "ALREADY_AUTHENTICATED"], True)
    client.vanish()
    assert server.left_behind() == {}


def test_a_place_that_is_there_at_once_after_all():
    server, feed = later_server()
    now = feed._feed.join
    feed.join = lambda *asked: succeed(now(*asked))
    client = server.connect()
    client.send(auth(), subscribe(TICK, snapshot=True), heartbeat())
    assert client.names() == ["ACK", "ACK", [], "PONG"]
    assert client.transport.producerState == "producing"


def test_places_that_are_there_at_once_are_given_one_after_the_other():
    server, feed = later_server()
    now = feed._feed.join
    feed.join = lambda *asked: succeed(now(*asked))
    client = server.connect()
    client.send(auth(), *[subscribe(TICK), unsubscribe()] * 500)
    assert client.names() == ["ACK"] * 1001
    assert (client.transport.producerState, client.closed) == ("producing", False)


def test_after_a_login_that_took_time_too():
    slow = Slow()
    server, feed = later_server(authenticator=slow)
    client = server.connect()
    client.send(auth(), subscribe(TICK), heartbeat())
    assert feed.asked == []
    slow.answer.callback(User(USER))
    assert client.names() == ["ACK"]
    assert client.transport.producerState == "paused"
    feed.place()
    assert client.names() == ["ACK", "PONG"]
    assert client.transport.producerState == "producing"


def test_others_are_served_meanwhile():
    server, client, feed = waiting()
    other = server.connect()
    other.send(auth(), subscribe(TICK))
    feed.place()
    server.publish(1.0)
    assert (client.read(), other.names()) == ([], ["ACK", "ACK", [1.0]])


def test_nothing_of_it_is_kept_once_it_is_answered():
    _, client, feed = waiting()
    answer = ref(feed.asked[-1][-1])
    feed.place()
    feed.asked.clear()
    gc.collect()
    assert answer() is None
    assert client.names() == ["ACK"]


# It is given up.


def given_up(feed):
    return (feed.cancelled, len(feed.asked)) == (1, 1)


def test_a_client_that_goes():
    server, client, feed = waiting(heartbeat())
    client.vanish()
    assert given_up(feed)
    assert (client.read(), server.left_behind()) == ([], {})
    assert server.metrics.protocol_errors == {}


def test_a_place_that_is_given_at_the_last_moment_after_all_is_given_back():
    server, client, feed = waiting()
    feed.on_cancel = feed.place
    client.vanish()
    assert server.left_behind() == {}


def test_a_client_that_falls_silent():
    server, client, feed = waiting()
    server.advance(19)
    assert (client.read(), feed.cancelled) == ([], 0)
    server.advance(1)
    assert (client.read(), client.closed) == ([TOO_LATE], True)
    assert given_up(feed)
    client.vanish()
    assert (feed.cancelled, server.left_behind()) == (1, {})


def test_what_it_says_meanwhile_is_not_read_and_no_sign_of_life():
    server, client, _feed = waiting()
    for _ in range(20):
        server.advance(1)
        client.send(heartbeat())
    assert client.read() == [TOO_LATE]


def test_one_that_has_its_place_in_time_is_as_alive_as_its_last_frame():
    server, client, feed = waiting(heartbeat())
    server.advance(15)
    feed.place()
    assert client.names() == ["ACK", "PONG"]
    server.advance(19)
    assert client.names() == []
    server.advance(1)
    assert client.names() == ["HEARTBEAT_TIMEOUT"]


def test_a_place_that_comes_too_late_is_nobody_s():
    server, feed = later_server()
    answer = Deferred()  # without a canceller, as of a feed that cannot stop
    feed.join = lambda subscription, subscriber: answer
    client = server.connect()
    client.send(auth(), subscribe(TICK))
    client.read()
    server.advance(20)
    assert client.read() == [TOO_LATE]
    answer.callback("too late")
    client.vanish()
    assert (client.read(), client.connection.subscription) == ([], None)
    assert server.left_behind() == {}


@pytest.mark.parametrize("end", ["vanish", "timeout"])
def test_whatever_a_cancelled_one_fails_with_counts_no_more(end):
    server, feed = later_server()
    answer = Deferred(lambda answer: answer.errback(NO_FEED))
    feed.join = lambda subscription, subscriber: answer
    client = server.connect()
    client.send(auth(), subscribe(TICK))
    client.read()
    if end == "timeout":
        server.advance(20)
        assert client.read() == [TOO_LATE]
    client.vanish()
    assert (client.read(), server.left_behind()) == ([], {})


def test_what_is_sent_behind_it_is_bounded():
    _server, client, feed = waiting()
    client.send(bytes(MAX_HELD_BYTES))
    assert not client.closed
    client.send(b"\0")
    assert (client.names(), client.closed) == (["INVALID_MESSAGE"], True)
    assert given_up(feed)


# It fails.


def test_a_failure_is_an_internal_error(failures):
    server, client, feed = waiting(heartbeat())
    feed.fail(NO_FEED)
    assert (client.read(), client.closed) == ([UNSERVED], True)
    assert failures == [NO_FEED]
    assert server.metrics.protocol_errors == {"INTERNAL_ERROR": 1}
    assert server.metrics.logins == {"accepted": 1}
    assert feed.cancelled == 0
    client.vanish()
    assert server.left_behind() == {}
    failures.clear()


def test_what_is_no_place_breaks_the_connection_alone(failures):
    server, client, feed = waiting()
    other = server.connect()
    feed.asked[0][-1].callback(None)
    assert client.cut
    assert [type(failure) for failure in failures] == [AttributeError]
    client.vanish()
    other.send(auth(), subscribe(TICK))
    feed.place()
    assert other.names() == ["ACK", "ACK"]
    failures.clear()


# The server stops.


def test_a_drain_meanwhile():
    server, client, feed = waiting(heartbeat())
    over = []
    server.factory.drain(1.0).addCallback(over.append)
    assert (client.names(), client.closed) == (["SHUTTING_DOWN"], True)
    assert given_up(feed)
    assert over == []
    client.vanish()
    assert (over, server.left_behind()) == ([None], {})


def test_who_does_not_go_then_is_cut():
    server, client, _feed = waiting()
    server.factory.drain(1.0)
    server.advance(1)
    assert client.cut
