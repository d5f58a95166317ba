"""The hot path: whose turn it is, what is counted, and what a batch costs."""

import sys
from collections import Counter
from contextlib import contextmanager
from itertools import chain
from math import ceil
from statistics import mean

import pytest
from conversation import MINUTE, SECOND, TICK, Server, WireClient, auth, subscribe
from hypothesis import given
from hypothesis import strategies as st
from outlets import Direct, frame
from twisted.internet.task import Clock as Scheduler

from tickstorm.broadcast import TIMED_RUN, Broadcast
from tickstorm.clock import Clock
from tickstorm.frames import MAX_PAYLOAD_BYTES
from tickstorm.metrics import Metrics
from tickstorm.past import Copies
from tickstorm.records import batch_frame
from tickstorm.stream import Stream, StreamKey, Surroundings


class Subscriber:
    """Notes in `order` that it got a frame."""

    def __init__(self, name, order, then=lambda: None):
        self.name, self.order, self.then = name, order, then
        self.frames = []
        self.own_bytes = 0

    def deliver(self, data):
        self.order.append(self.name)
        self.frames.append(data)
        self.then()

    def replay(self, frames):
        self.frames += frames


class Reading:
    """A clock that counts how often it is read, and is a millisecond later each time."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return self.times / 1000


class Hall:
    """A stream with so many subscribers, named by their place, and its broadcasts."""

    def __init__(self, count, raising=()):
        self.order = []
        self.read = Reading()
        self.metrics = Metrics()
        self.broadcast = Broadcast(Clock(Scheduler(), self.read, lambda: 0), self.metrics)
        self.stream = Stream(StreamKey(None), 0, Surroundings(MAX_PAYLOAD_BYTES))
        self.subscribers = [
            Subscriber(name, self.order, fail if name in raising else lambda: None)
            for name in range(count)
        ]
        self.stream.subscribers.update(dict.fromkeys(self.subscribers))

    def send(self, *frames, began=None):
        """The order in which the subscribers got these frames."""
        self.order.clear()
        self.stream.next_sequence += 1
        self.broadcast.send(self.stream, frames or (b"frame",), began)
        return list(self.order)


def fail():
    raise ValueError("no")


# Whose turn it is.


def test_each_broadcast_begins_further_on_in_the_same_order():
    hall = Hall(5)
    assert [hall.send() for _ in range(6)] == [
        [3, 4, 0, 1, 2],
        [1, 2, 3, 4, 0],
        [4, 0, 1, 2, 3],
        [2, 3, 4, 0, 1],
        [0, 1, 2, 3, 4],
        [3, 4, 0, 1, 2],
    ]


@pytest.mark.parametrize("count", [2, 3, 7, 10, 64, 100, 233, 256])
def test_nobody_is_always_last(count):
    hall = Hall(count)
    places = [[] for _ in range(count)]
    for _ in range(8 * count):
        for place, name in enumerate(hall.send()):
            places[name].append(place)
    middle = (count - 1) / 2
    assert max(abs(mean(each) - middle) for each in places) < 0.08 * count
    assert {min(each) for each in places} == {0}
    assert {max(each) for each in places} == {count - 1}
    last = Counter(each.count(count - 1) for each in places)
    assert min(last) >= 6
    assert max(last) <= 11


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_everybody_gets_every_frame_once_however_many_come_and_go(counts):
    hall = Hall(0)
    for count in counts:
        hall.stream.subscribers = dict.fromkeys(Subscriber(n, hall.order) for n in range(count))
        assert sorted(hall.send()) == list(range(count))


def test_the_turns_of_a_stream_are_its_own():
    halls = [Hall(20) for _ in range(3)]
    for hall in halls:
        hall.broadcast = halls[0].broadcast
    firsts = [[hall.send()[0] for hall in halls] for _ in range(200)]
    assert all(len(set(each)) == 1 for each in firsts)


def test_frames_come_in_their_order_and_a_run_gets_all_of_them_before_the_next():
    hall = Hall(2 * TIMED_RUN)
    order = hall.send(b"one", b"two")
    runs = [order[at : at + TIMED_RUN] for at in range(0, len(order), TIMED_RUN)]
    assert (runs[0], runs[2]) == (runs[1], runs[3])
    assert sorted(runs[0] + runs[2]) == list(range(2 * TIMED_RUN))
    assert all(each.frames == [b"one", b"two"] for each in hall.subscribers)


def test_who_comes_during_a_broadcast_gets_the_next():
    hall = Hall(3)
    late = Subscriber("late", hall.order)
    for each in hall.subscribers:
        each.then = lambda: hall.stream.subscribers.setdefault(late)
    assert "late" not in hall.send()
    assert "late" in hall.send()


# One that raises.


@pytest.mark.parametrize("count", [1, 5, TIMED_RUN, 2 * TIMED_RUN + 1])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_one_that_raises_keeps_nobody_from_theirs(count, every, failures):
    raising = set(range(0, count, every))
    hall = Hall(count, raising)
    frames = (b"one", b"two", b"three")
    assert sorted(hall.send(*frames)) == sorted([*range(count)] * 3)
    assert all(each.frames == list(frames) for each in hall.subscribers)
    assert hall.metrics.failures == {"deliver": 3 * len(raising)}
    assert [str(failure) for failure in failures] == ["no"] * 3 * len(raising)
    failures.clear()


# What is counted.


@pytest.mark.parametrize("count", [0, 1, 5, TIMED_RUN + 1])
def test_what_is_sent_is_counted(count):
    hall = Hall(count)
    hall.send(b"12345", b"123")
    assert (hall.metrics.messages_sent, hall.metrics.bytes_sent) == (2 * count, 8 * count)
    assert sum(hall.metrics.publish_latency_ms.counts) == 2 * count
    hall.send(b"1")
    assert (hall.metrics.messages_sent, hall.metrics.bytes_sent) == (3 * count, 9 * count)


@pytest.mark.parametrize("count", [0, 1, TIMED_RUN, TIMED_RUN + 1, 3 * TIMED_RUN])
@pytest.mark.parametrize("frames", [1, 3])
def test_the_clock_is_read_once_a_run_and_at_the_beginning(count, frames):
    runs = ceil(count / TIMED_RUN)
    hall = Hall(count)
    hall.send(*[b"frame"] * frames)
    assert hall.read.times == 1 + runs
    hall.send(*[b"frame"] * frames, began=0.0)
    assert hall.read.times == 1 + runs + runs


def test_the_latency_of_a_run_is_that_of_each_in_it_since_the_beginning():
    hall = Hall(TIMED_RUN + 3)
    hall.send(b"one", b"two")  # read at 1 ms, 2 ms and 3 ms
    latency = hall.metrics.publish_latency_ms
    times = {bound: n for bound, n in zip(latency.bounds, latency.counts, strict=False) if n}
    assert times == {1.0: 2 * TIMED_RUN, 2.5: 2 * 3}
    assert latency.total == pytest.approx(2 * TIMED_RUN + 2 * 2 * 3)


def test_a_beginning_elsewhere_counts():
    hall = Hall(1)
    hall.send(began=-0.249)  # and it is 1 ms now
    assert hall.metrics.publish_latency_ms.total == pytest.approx(250.0)


def test_what_one_alone_is_sent_of_the_past_is_counted_too():
    hall = Hall(2)
    hall.broadcast.send_past(hall.subscribers[1], Copies([b"123", b"45"]).past())
    assert [each.frames for each in hall.subscribers] == [[], [b"123", b"45"]]
    assert hall.stream.bytes_sent == 0
    assert (hall.metrics.messages_sent, hall.metrics.bytes_sent) == (2, 5)
    assert sum(hall.metrics.publish_latency_ms.counts) == 0


# What a batch costs.


@contextmanager
def calls_of(*functions):
    """How often functions of Python's are called meanwhile."""
    calls = Counter()
    by_code = {function.__code__: function for function in functions}

    def note(frame, event, _):
        if event == "call" and frame.f_code in by_code:
            calls[by_code[frame.f_code]] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def test_a_batch_is_one_call_of_each_socket():
    server = Server(batch_window=0)
    clients = [WireClient(server) for _ in range(TIMED_RUN + 6)]
    for client in clients:
        client.send(auth(), subscribe(TICK))
        client.read()
    for price in range(1, 11):
        before = [client.socket.sends for client in clients]
        server.publish(float(price))
        assert [client.socket.sends for client in clients] == [sends + 1 for sends in before]
    assert {tuple(map(tuple, client.names())) for client in clients} == {
        tuple((float(price),) for price in range(1, 11))
    }
    assert server.factory.congested == set()
    assert server.reactor.writers == set()


class Sink:
    """A socket's buffer that keeps nothing."""

    def __iadd__(self, data):
        return self


def test_nothing_is_kept_for_those_who_keep_up():
    hall = Hall(0)
    for _ in range(500):
        direct = Direct()
        direct.socket.taken = Sink()
        hall.stream.join(direct.outlet)
    data = frame(1, 1000)
    hall.send(data)
    before = sys.getallocatedblocks()
    for _ in range(20):
        hall.send(data)
    assert sys.getallocatedblocks() - before < 100  # of 10,000 frames sent
    assert {outlet.pending_bytes for outlet in hall.stream.subscribers} == {0}


def test_the_same_bytes_are_handed_to_all():
    hall = Hall(2 * TIMED_RUN)
    frames = (b"one", b"two")
    hall.send(*frames)
    handed = chain.from_iterable(each.frames for each in hall.subscribers)
    assert {id(each) for each in handed} == set(map(id, frames))


def test_a_period_is_encoded_once_a_stream_however_many_listen():
    server = Server()
    wanted = [(SECOND,), (SECOND, "EURUSD"), (SECOND, "A", "B"), (MINUTE,), (TICK,), (TICK, "A")]
    clients = [server.subscribed(*request) for request in wanted for _ in range(30)]
    server.publish(1.0)
    server.publish(2.0, symbol="A")
    with calls_of(batch_frame) as calls:
        server.advance(1)
    assert calls == {batch_frame: 3 + 2}  # nothing of the minute, which is not over
    assert sum(len(client.read()) for client in clients) == 30 * 5


def test_an_encoding_is_seen():
    stream = Stream(StreamKey(None), 1, Surroundings(MAX_PAYLOAD_BYTES))
    with calls_of(batch_frame) as calls:
        for _ in range(3):
            stream.batches([], 0, 0)
    assert calls == {batch_frame: 3}
