"""A client on Twisted in memory: its clock, its endpoint, and the other end of each connection."""

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.client import ClientLimits, twisted_client
from tickstorm.clock import simulated_clock
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.messages import ack_frame
from tickstorm.records import batch_frame

LOGIN_ACK = ack_frame(FrameType.AUTH, "authenticated", 5)


def subscription_ack(next_sequence, **metadata):
    terms = {"epoch": "e", "next_sequence": str(next_sequence), **metadata}
    return ack_frame(FrameType.SUBSCRIBE, "subscribed", 5, terms)


def batch(sequence):
    return batch_frame([], timestamp_ms=1, sequence=sequence, publish_time_ns=2)


class ScriptedServer:
    """The other end of one connection."""

    def __init__(self, protocol):
        self.protocol = protocol
        self.transport = StringTransport()
        self._decoder = FrameDecoder()
        protocol.makeConnection(self.transport)

    def heard(self):
        self._decoder.feed(self.transport.value())
        self.transport.clear()
        return list(iter(self._decoder.next_frame, None))

    def heard_types(self):
        return [frame.type for frame in self.heard()]

    def say(self, *frames):
        self.protocol.dataReceived(b"".join(frames))

    def lose(self):
        self.protocol.connectionLost(Failure(ConnectionDone("bye")))

    @property
    def reading_paused(self):
        return self.transport.producerState == "paused"

    def stream_from(self, next_sequence, *frames):
        self.say(LOGIN_ACK)
        self.say(subscription_ack(next_sequence), *frames)


@implementer(IStreamClientEndpoint)
class ScriptedEndpoint:
    """Dials as the test says."""

    def __init__(self):
        self.dialed = []
        self.cancelled = 0

    def connect(self, factory):
        def cancel(_):
            self.cancelled += 1

        dialing = Deferred(cancel)
        self.dialed.append((factory, dialing))
        return dialing

    def accept(self):
        factory, dialing = self.dialed.pop()
        protocol = factory.buildProtocol(None)
        server = ScriptedServer(protocol)
        if not dialing.called:
            dialing.callback(protocol)
        return server

    def refuse(self):
        self.dialed.pop()[1].errback(DNSLookupError("no"))


class Desk:
    """A client, its clock and its endpoint, and what came of it."""

    def __init__(self, on_event=None, limits=ClientLimits(), random=lambda: 0.5, **request):
        self.clock = Clock()
        self.endpoint = ScriptedEndpoint()
        self.events = []
        self.batches = []
        self.client = twisted_client(
            self.clock,
            self.endpoint,
            username="ann",
            password="secret",
            on_event=on_event or self.events.append,
            limits=limits,
            clock=simulated_clock(self.clock),
            random=random,
            **request,
        )

    def consume(self):
        async def collect():
            async for batch in self.client:
                self.batches.append(batch.sequence)

        return Deferred.fromCoroutine(collect())

    def take(self):
        return Deferred.fromCoroutine(self.client.__anext__())

    def connect(self, *frames, next_sequence=1):
        server = self.endpoint.accept()
        server.stream_from(next_sequence, *frames)
        return server


def result(deferred):
    results = []
    deferred.addBoth(results.append)
    assert results, "no result yet"
    return results[0].value if isinstance(results[0], Failure) else results[0]
