"""Giving a subscription up, and taking another on the same connection."""

import pytest
from conversation import (
    MINUTE,
    NOW_MS,
    SECOND,
    TICK,
    Server,
    WireClient,
    auth,
    epoch_of,
    error,
    heartbeat,
    names,
    publish,
    subscribe,
    unsubscribe,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from listening import AMPLE, KEEPS
from test_joining_later import later_server

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import SlowConsumer
from tickstorm.frames import FrameType, encode_frame
from tickstorm.hub import HubLimits
from tickstorm.listing import Query, listing

UNSUBSCRIBED = pb.AckResponse(
    ack_type=pb.MESSAGE_TYPE_UNSUBSCRIBE, success=True, message="unsubscribed", timestamp_ms=NOW_MS
)


def test_it_is_acknowledged_and_nothing_comes_behind_that():
    server = Server(batch_window=0)
    client, other = server.subscribed(TICK), server.subscribed(TICK)
    server.publish(1.0)
    client.send(unsubscribe())
    server.publish(2.0)
    batch, ack = client.read()
    assert (names([batch]), ack) == ([[1.0]], UNSUBSCRIBED)
    assert other.names() == [[1.0], [2.0]]
    assert client.connection.subscription is None
    (row, _) = listing(server.factory, Query()).rows
    assert (row["mode"], row["symbols"]) == (None, None)


def test_ticks_that_are_being_collected_do_not_come_any_more():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(1.0)
    client.send(unsubscribe())
    server.advance(1)
    assert client.names() == ["ACK"]
    assert server.left_behind() == {"connections": 1, "wheel": 1, "door": 1}


@pytest.mark.parametrize("in_one_segment", [True, False])
def test_another_mode_may_follow(in_one_segment):
    server = Server(batch_window=0)
    client = server.subscribed(TICK, "EURUSD")
    requests = unsubscribe(), subscribe(SECOND, "GBPUSD", snapshot=True), heartbeat()
    for segment in [b"".join(requests)] if in_one_segment else requests:
        client.send(segment)
    assert client.names() == ["ACK"]
    server.reactor.advance(0)
    answers = client.read()
    assert names(answers) == ["ACK", [], "PONG"]
    assert answers[0].ack_type == pb.MESSAGE_TYPE_SUBSCRIBE
    server.publish(1.0)
    server.publish(2.0, symbol="GBPUSD")
    server.advance(1)
    assert client.names() == [[2.0]]
    assert [len(table) for table in server.hub.streams.values()] == [1, 0, 0]


@pytest.mark.parametrize(("another_was_lost", "recovered"), [(False, "false"), (True, "true")])
def test_nothing_is_kept_for_who_gave_it_up(another_was_lost, recovered):
    server = Server(hub_limits=KEEPS, batch_window=0)
    client = server.subscribed(TICK)
    if another_was_lost:
        server.subscribed(TICK).vanish()
    server.publish(1.0)
    client.send(unsubscribe())
    server.publish(2.0)
    client.send(subscribe(TICK, resume_epoch=epoch_of(), resume_after_sequence=1))
    server.reactor.advance(0)
    server.publish(3.0)
    messages = client.read()
    assert names(messages) == [[1.0], "ACK", "ACK", [2.0], [3.0]]
    assert (messages[2].metadata["recovered"], messages[3].is_snapshot) == (
        recovered,
        not another_was_lost,
    )


def test_a_past_that_is_asked_for_anew_comes_in_another_turn_of_the_reactor():
    server = Server(batch_window=0)
    server.publish(1.0)
    client = server.connect()
    client.send(auth(), *[subscribe(TICK, snapshot=True), unsubscribe()] * 100)
    answers = client.names()
    assert answers == ["ACK", "ACK", [1.0], "ACK"]
    server.reactor.advance(0)
    assert client.names() == ["ACK", [1.0], "ACK"] * 99


def test_a_connection_that_is_lost_while_its_next_past_is_due_leaves_nothing():
    server = Server(batch_window=0)
    client = server.subscribed(TICK)
    client.send(unsubscribe(), subscribe(TICK, snapshot=True))
    client.vanish()
    server.reactor.advance(0)
    assert server.left_behind() == {}


def test_without_a_subscription_it_is_refused_and_the_connection_stays():
    server = Server()
    client = server.connect()
    client.send(auth(), unsubscribe(), subscribe(SECOND), unsubscribe(), unsubscribe(), heartbeat())
    answers = client.read()
    assert names(answers) == ["ACK", "NOT_SUBSCRIBED", "ACK", "ACK", "NOT_SUBSCRIBED", "PONG"]
    assert answers[1] == error(pb.ERROR_CODE_NOT_SUBSCRIBED, "there is no subscription")
    assert not client.closed


@pytest.mark.parametrize(
    ("payload", "answers", "closed"),
    [
        (b"\x08\x01", ["ACK", "PONG"], False),  # a field that nobody knows yet
        (b"\x08\xff", ["INVALID_MESSAGE"], True),
    ],
)
def test_its_payload_is_a_message_without_fields(payload, answers, closed):
    server = Server()
    client = server.subscribed(TICK)
    client.send(encode_frame(FrameType.UNSUBSCRIBE, payload), heartbeat())
    assert (client.names(), client.closed) == (answers, closed)
    assert len(server.hub.ticks.streams) == 0


def test_before_the_login_it_ends_the_connection():
    client = Server().connect()
    client.send(unsubscribe(), auth())
    assert (client.names(), client.closed) == (["AUTH_REQUIRED"], True)


def test_who_has_no_subscription_is_to_send_heartbeats_all_the_same():
    server = Server()
    client = server.subscribed(SECOND)
    client.send(unsubscribe())
    server.advance(19)
    client.send(heartbeat())
    server.advance(19)
    assert client.names() == ["ACK", "PONG"]
    server.advance(2)
    assert (client.names(), client.closed) == (["HEARTBEAT_TIMEOUT"], True)


def test_a_publisher_that_has_left_goes_on_to_publish():
    server = Server(batch_window=0, publishers=("alice:*",))
    client = server.subscribed(TICK)
    client.send(publish(1.0), unsubscribe(), publish(2.0), subscribe(TICK), publish(3.0))
    assert client.names() == [[1.0], "ACK", "ACK", "ACK", "ACK", [3.0], "ACK"]


# While it waits for its place.


def test_while_its_place_is_not_there_it_waits():
    server, feed = later_server()
    client = server.connect()
    client.send(auth(), subscribe(TICK), unsubscribe(), subscribe(SECOND))
    assert client.names() == ["ACK"]
    feed.place()
    assert client.names() == ["ACK", "ACK"]
    server.publish(1.0)
    assert [len(table) for table in server.hub.streams.values()] == [0, 0, 0]
    feed.place()
    server.publish(2.0)
    server.advance(1)
    assert client.names() == ["ACK", [2.0]]
    client.vanish()
    assert server.left_behind() == {}


def test_one_that_goes_while_its_second_place_is_not_there_leaves_nothing():
    server, feed = later_server()
    client = server.connect()
    client.send(auth(), subscribe(TICK))
    feed.place()
    client.send(unsubscribe(), subscribe(MINUTE))
    client.vanish()
    assert (feed.cancelled, server.left_behind()) == (1, {})


# What is queued.


def test_what_is_queued_is_dropped_but_for_the_frame_that_was_begun():
    server = Server(batch_window=0)
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.read()
    client.socket.room = 10
    for price in (1.0, 2.0, 3.0):
        server.publish(price)
    client.send(unsubscribe(), subscribe(TICK))
    server.publish(4.0)
    client.wire.drain()
    assert names(client.read()) == [[1.0], "ACK", "ACK", [4.0]]


# What was sent.


class AnyOrder(RuleBasedStateMachine):
    """Whatever is asked for and given up: what is said to be sent was, and nothing is left."""

    def __init__(self):
        super().__init__()
        limits = HubLimits(history=AMPLE._replace(seconds=3.0), max_intervals=2)
        self.server = Server(hub_limits=(limits,))
        self.client = self.server.connect()
        self.client.send(auth())
        self.seen = 0
        self.subscribed = False
        self.position = {}

    @rule(
        request=st.sampled_from([(TICK,), (TICK, "A*"), (SECOND,), (0, "A"), (0, "B*", "A")]),
        snapshot=st.booleans(),
    )
    def subscribe(self, request, snapshot):
        fields = {} if request[0] else {"interval_ms": 500}
        epoch, after = self.position.get(request, ("", 0))
        self.client.send(
            subscribe(
                *request,
                snapshot=snapshot,
                resume_epoch=epoch,
                resume_after_sequence=after,
                **fields,
            )
        )
        self.server.reactor.advance(0)
        if not self.subscribed:
            self.request = request
        self.subscribed = True

    @rule()
    def unsubscribe(self):
        self.client.send(unsubscribe())
        self.subscribed = False

    @rule(symbol=st.sampled_from(["A", "B", "BB"]), window=st.sampled_from([0, 0.005, 1.2]))
    def publish(self, symbol, window):
        self.server.publish(1.0, symbol=symbol)
        self.client.send(heartbeat())
        self.server.advance(window, step=0.25)

    @invariant()
    def it_was_sent(self):
        self.seen += len(self.client.transport.value())
        assert self.client.connection.bytes_sent == self.seen
        in_stream = False
        for message in self.client.read():
            if isinstance(message, pb.AckResponse):
                in_stream = message.ack_type == pb.MESSAGE_TYPE_SUBSCRIBE
                if in_stream:
                    epoch, following = message.metadata["epoch"], message.metadata["next_sequence"]
                    self.position[self.request] = epoch, (int(following) - 1) % 2**32
            elif isinstance(message, pb.DataBatch):
                assert self.subscribed or in_stream
                epoch, last = self.position[self.request]
                if not message.is_snapshot:
                    assert message.batch_sequence == last + 1
                    self.position[self.request] = epoch, message.batch_sequence

    @precondition(lambda self: self.subscribed)
    @invariant()
    def it_is_on_one_stream(self):
        streams = [s for table in self.server.hub.streams.values() for s in table]
        assert sum(len(stream.subscribers) for stream in streams) == 1

    def teardown(self):
        self.client.vanish()
        self.server.advance(6, step=0.25)
        assert (self.server.left_behind(), len(self.server.hub.bars)) == ({}, 2)


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_what_was_queued_and_dropped_at_the_end_is_not_counted_twice():
    server = Server(batch_window=0)
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.socket.room = 10
    for price in (1.0, 2.0, 3.0):
        server.publish(price)
    client.connection.fail(SlowConsumer("it is"))
    client.wire.drain()
    assert client.connection.bytes_sent == len(client.socket.taken)
