"""A hub's relay and workers' feeds in memory: what is said is on its way until it is taken."""

from collections import deque
from contextlib import suppress

from conversation import START
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from tickstorm.clock import simulated_clock
from tickstorm.fanout import FanOut
from tickstorm.frames import MAX_PAYLOAD_BYTES
from tickstorm.hub import Hub, HubLimits
from tickstorm.subscriptions import Mode, Subscription
from tickstorm.ticks import Tick
from tickstorm.workers.link import Join, Leave, LinkDecoder, control
from tickstorm.workers.relay import Placements, Relay
from tickstorm.workers.remote import RemoteFeed


def wants(mode=Mode.TICK, *symbols, snapshot=False):
    return Subscription(mode, frozenset(symbols) or None, snapshot, metadata={})


class Way:
    """From the parent to a worker: frames are on it until the worker takes them."""

    def __init__(self):
        self.frames = deque()

    def deliver(self, frame):
        self.frames.append(frame)


class Subscriber:
    """A client of a worker: what it was told at its join, and every frame since."""

    def __init__(self, subscription):
        self.subscription = subscription
        self.joined = None
        self.next_sequence = None
        self.frames = []

    def deliver(self, frame):
        self.frames.append(frame)

    def place(self, joined):
        assert self.frames == [], "a batch came before its place"
        assert joined.subscription == self.subscription
        self.joined = joined
        self.next_sequence = joined.stream.next_sequence


class Worker:
    """A worker's feed, and both ways between it and the parent."""

    def __init__(self, parent, slots=(0,)):
        self.parent = parent
        self.way = Way()
        self.placements = Placements(self.way)
        self.said = deque()
        self.feed = RemoteFeed(
            "epoch-1",
            slots,
            slots_of_period=parent.hub.slots,
            send=self._say,
            clock=parent.clock,
            max_payload_bytes=MAX_PAYLOAD_BYTES,
        )
        self._to_parent = LinkDecoder()
        self._from_parent = LinkDecoder()

    def _say(self, message):
        self.said.append(control(message))

    # Its clients.

    def join(self, subscription):
        """A subscriber, and what its join waits for: None if it has its place already."""
        subscriber = Subscriber(subscription)
        joined = self.feed.join(subscription, subscriber)
        if isinstance(joined, Deferred):
            joined.addCallback(subscriber.place)
            return subscriber, joined
        subscriber.place(joined)
        return subscriber, None

    def leave(self, subscriber):
        self.feed.leave(subscriber.joined.stream, subscriber)

    # What passes.

    def speak(self):
        """Let the parent take one message, and return it."""
        (message,) = self._to_parent.receive(self.said.popleft())
        if isinstance(message, Join):
            self.parent.relay.join(self.parent.fanout, message, self.placements)
        else:
            assert isinstance(message, Leave)
            self.parent.relay.leave(self.parent.fanout, message, self.placements)
        return message

    def speak_in_vain(self):
        """Let the parent take one message, and fail at that."""
        hub = self.parent.hub
        hub.snapshot = lambda *_: 1 / 0
        with suppress(ZeroDivisionError):
            self.speak()
        del hub.snapshot

    def hear(self):
        """Let the worker take one frame, and return what it was."""
        (message,) = self._from_parent.receive(self.way.frames.popleft())
        if hasattr(message, "request"):
            self.feed.placed(message)
        else:
            self.feed.emitted(message)
        return message

    def pump(self):
        """Let everything arrive."""
        while self.said or self.way.frames:
            while self.said:
                self.speak()
            while self.way.frames:
                self.hear()


class Parent:
    """A hub on simulated time, and what it sent of each stream."""

    def __init__(self, slots=1, batch_window=0.0, limits=HubLimits()):
        self.reactor = MemoryReactorClock()
        self.reactor.rightNow = START
        self.clock = simulated_clock(self.reactor)
        self.hub = Hub("epoch-1", self.clock.wall_ns, limits, slots)
        self.relay = Relay(self.clock)
        self.fanout = FanOut(self.hub, self.clock, batch_window, send=self._send)
        self.fanout.start()
        self.sent = {}

    def _send(self, stream, frames):
        self.sent.setdefault(stream.key, []).extend(frames)
        self.relay.send(stream, frames)

    def publish(self, *prices, symbol="EURUSD"):
        self.hub.publish([Tick(symbol, price, 1.0) for price in prices])

    def streams_of(self, worker):
        """The keys of the streams that a worker is on."""
        return {
            stream.key
            for streams in self.fanout.streams.values()
            for stream in streams
            if worker.way in stream.subscribers
        }


def streams_in(feed):
    """The keys of the streams that somebody listens to at a worker."""
    return {stream.key for streams in feed.streams.values() for stream in streams}
