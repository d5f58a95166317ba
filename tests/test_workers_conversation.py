"""Whole conversations at a worker: a client cannot tell that its feed is in another process."""

import pytest
from conversation import (
    MINUTE,
    PASSWORD,
    SECOND,
    TICK,
    USER,
    Client,
    Server,
    auth,
    epoch_of,
    heartbeat,
    names,
    subscribe,
    unsubscribe,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import AMPLE
from relaying import Parent, Worker
from test_workers_remote import at_rest, nothing_left

from tickstorm.credentials import SharedCredentials
from tickstorm.factory import TickstormFactory
from tickstorm.hub import HubLimits
from tickstorm.ticks import Tick

LIMITS = HubLimits(history=AMPLE._replace(seconds=5.0), max_intervals=1)


MAX_PASTS = 8
"""Subscriptions with a past that are made in one go, each in a turn of its own."""


class Here:
    """A server in one process."""

    def __init__(self):
        self.server = Server(hub_limits=(LIMITS,), batch_window=0)
        self.hub = self.server.hub

    def connect(self):
        return self.server.connect()

    def arrive(self):
        """Nothing is on its way, but what has a turn of its own."""
        self.server.reactor.advance(0)

    def advance(self, seconds):
        self.server.advance(seconds, step=0.125)

    def is_forgotten(self):
        return self.server.left_behind() == {} and len(self.hub.bars) == 2


class There:
    """One whose feed is in another process: what is said is on its way until `arrive`."""

    def __init__(self):
        self.parent = Parent(limits=LIMITS)
        self.hub = self.parent.hub
        self.worker = Worker(self.parent)
        credentials = SharedCredentials(USER, PASSWORD)
        self.factory = TickstormFactory(self.worker.feed, credentials, self.parent.clock)
        self.factory.startFactory()

    def connect(self):
        return Client(self.factory)

    def arrive(self):
        self.worker.pump()
        for _ in range(MAX_PASTS):
            self.parent.reactor.advance(0)
            self.worker.pump()

    def advance(self, seconds):
        while seconds > 0:
            self.parent.reactor.advance(0.125)
            self.arrive()
            seconds -= 0.125

    def is_forgotten(self):
        self.arrive()
        return nothing_left(self.parent, self.worker) and len(self.hub.bars) == 2


@pytest.fixture(params=[Here, There], ids=["here", "there"])
def place(request):
    return request.param()


def say(place, client, *frames):
    """Send, and return what has come once everything has arrived."""
    client.send(*frames)
    place.arrive()
    return client.read()


def test_one_subscription_after_the_other(place):
    client = place.connect()
    assert names(say(place, client, auth(), subscribe(TICK, "A"))) == ["ACK", "ACK"]
    place.hub.publish([Tick("A", 1.0)])
    place.arrive()
    assert names(say(place, client, unsubscribe(), subscribe(SECOND, "B"), heartbeat())) == [
        *([1.0], "ACK", "ACK", "PONG")
    ]
    place.hub.publish([Tick("A", 2.0), Tick("B", 3.0)])
    place.advance(1)
    assert client.names() == [[3.0]]
    client.vanish()
    place.advance(7)
    assert place.is_forgotten()


def test_one_interval_too_many_and_then_another_one(place):
    first, second = place.connect(), place.connect()
    assert names(say(place, first, auth(), subscribe(0, interval_ms=250))) == ["ACK", "ACK"]
    request = subscribe(0, interval_ms=500)
    assert names(say(place, second, auth(), request)) == ["ACK", "INVALID_SUBSCRIPTION"]
    assert names(say(place, second, subscribe(0, interval_ms=250), heartbeat())) == ["ACK", "PONG"]
    say(place, first, unsubscribe())
    assert names(say(place, second, unsubscribe(), request)) == ["ACK", "ACK"]
    place.advance(0.5)
    assert second.names() == [[]]
    assert sorted(place.hub.bars) == [500, 1000, 60_000]


def test_a_resume_and_a_pong(place):
    client = place.connect()
    say(place, client, auth(), subscribe(TICK))
    place.hub.publish([Tick("A", 1.0)])
    place.arrive()
    assert client.names() == [[1.0]]
    client.vanish()
    for price in (2.0, 3.0):
        place.hub.publish([Tick("A", price)])
    client = place.connect()
    resume = subscribe(TICK, resume_epoch=epoch_of(), resume_after_sequence=1)
    _, ack, *batches, pong = say(place, client, auth(), resume, heartbeat())
    assert (ack.metadata["recovered"], ack.metadata["next_sequence"]) == ("true", "2")
    assert names(batches) == [[2.0], [3.0]]
    assert (pong.epoch, pong.next_sequence) == (epoch_of(), 4)


def test_leaving_while_the_place_is_on_its_way():
    place = There()
    client = place.connect()
    client.send(auth(), subscribe(TICK), unsubscribe(), subscribe(MINUTE), unsubscribe())
    client.send(subscribe(TICK))
    assert client.names() == ["ACK"]
    place.hub.publish([Tick("A", 1.0)])
    place.arrive()
    place.hub.publish([Tick("A", 2.0)])
    place.arrive()
    assert client.names() == ["ACK"] * 5 + [[2.0]]
    assert at_rest(place.parent, place.worker)
    client.vanish()
    place.advance(7)
    assert place.is_forgotten()


def test_going_while_the_second_place_is_on_its_way():
    place = There()
    client = place.connect()
    say(place, client, auth(), subscribe(TICK))
    client.send(unsubscribe(), subscribe(SECOND, snapshot=True))
    client.vanish()
    place.advance(7)
    assert place.is_forgotten()


requests = st.one_of(
    st.builds(
        subscribe,
        st.sampled_from([TICK, SECOND]),
        st.sampled_from(["A", "A*", "*"]),
        snapshot=st.booleans(),
        start_time_ms=st.sampled_from([0, 1, 10**12 + 1000]),
    ),
    st.builds(subscribe, st.just(0), interval_ms=st.sampled_from([125, 500])),
    st.builds(
        subscribe,
        st.sampled_from([TICK, SECOND]),
        resume_epoch=st.sampled_from([epoch_of(), epoch_of(SECOND), epoch_of(run="epoch-0")]),
        resume_after_sequence=st.integers(0, 5),
    ),
    st.just(unsubscribe()),
    st.just(heartbeat()),
)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.lists(requests, min_size=1, max_size=4)),
        st.tuples(st.just("publish"), st.sampled_from(["A", "AB", "C"])),
        st.tuples(st.just("pass"), st.sampled_from([0.125, 1.0, 3.0])),
    ),
    max_size=20,
)


def told(place, moves):
    """All that a client got, and whether what is said to be sent was."""
    client, got, size, price = place.connect(), [], 0, 0.0
    client.send(auth())
    for move, what in moves:
        if move == "say":
            client.send(*what)
        elif move == "publish":
            price += 1
            place.hub.publish([Tick(symbol, price) for symbol in what])
        else:
            client.send(heartbeat())
            place.advance(what)
        place.arrive()
        size += len(client.transport.value())
        assert client.connection.bytes_sent == size
        got += client.read()
    client.vanish()
    place.advance(8)
    assert place.is_forgotten()
    return got


@settings(max_examples=120, deadline=None)
@given(moves)
def test_whatever_a_client_says_it_is_told_the_same(moves):
    assert told(There(), moves) == told(Here(), moves)
