"""Outlets in memory: on one of Twisted's own transports, and on one that wraps another."""

from collections import Counter

from conversation import Wire
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport

from tickstorm.backlogs import Backlogs
from tickstorm.outlet import Outlet
from tickstorm.overload import BacklogLimits
from tickstorm.subscriptions import Overload

LIMITS = BacklogLimits(max_frames=8, max_bytes=4000, write_deadline=5.0)


def plain_backlog(limits, now=0.0):
    """A backlog of who does not choose, within a budget of its own."""
    return Backlogs(limits, losses=Counter()).new(Overload.DISCONNECT, None, now)


class Owner:
    """A connection as an outlet sees it, which closes on a slow consumer as a real one does."""

    def __init__(self, limits=LIMITS, policy=Overload.DISCONNECT):
        self.time = 100.0
        self.policy = policy
        self.backlogs = Backlogs(limits, losses=Counter())
        self.events = []
        self.outlet = None

    def now(self):
        return self.time

    def congested(self):
        self.events.append("congested")
        return self.backlogs.new(self.policy, "a stream", self.time)

    def queued(self, backlog):
        self.fill = backlog.fill

    def relieved(self):
        self.events.append("relieved")

    def too_slow(self, error):
        self.events.append(error.message)
        self.outlet.close(b"<slow>")


class Peer(Protocol):
    """What Twisted calls at the transport's upper end: it notes what came and the end."""

    def __init__(self):
        self.received = b""
        self.lost = []

    def dataReceived(self, data):
        self.received += data

    def connectionLost(self, reason):
        self.lost.append(reason.type.__name__)


class Direct:
    """An outlet on one of Twisted's own transports over a scripted socket."""

    def __init__(self, room=None, limits=LIMITS, policy=Overload.DISCONNECT):
        self.peer = Peer()
        self.wire = Wire(self.peer, room=room)
        self.socket, self.transport = self.wire.socket, self.wire.transport
        self.owner = Owner(limits, policy)
        self.outlet = self.owner.outlet = Outlet(self.transport, self.owner)

    @property
    def taken(self):
        return bytes(self.socket.taken)

    @property
    def buffered(self):
        """What the transport keeps for the socket."""
        return self.wire.buffered

    @property
    def producer(self):
        """What the transport asks for more, and whether it does so by itself."""
        return self.transport.producer, self.transport.streamingProducer

    def drain(self):
        """Let the socket take everything, as often as the transport wants."""
        self.wire.drain()


class Wrapped:
    """An outlet on a transport that only has `write`, as TLS and the PROXY protocol do."""

    def __init__(self, limits=LIMITS):
        self.transport = StringTransport()
        self.owner = Owner(limits)
        self.outlet = self.owner.outlet = Outlet(self.transport, self.owner)

    @property
    def taken(self):
        return self.transport.value()


def frame(number, size=100):
    return (b"<%d>" % number).ljust(size, b".")
