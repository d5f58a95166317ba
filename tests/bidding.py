"""What the tests of the auction's edge talk with: frames to send, answers to read, and servers."""

from conversation import PASSWORD, START, USER, Wire
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure

from tickstorm.auction.book import Book
from tickstorm.auction.factory import AuctionFactory
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.rule import Terms
from tickstorm.auction.wire import (
    FROM_SERVER,
    Decoder,
    FrameType,
    auth_frame,
    bid_frame,
    read_error,
    read_result,
    read_text,
    read_update,
    watch_frame,
)
from tickstorm.clock import Clock
from tickstorm.credentials import SharedCredentials
from tickstorm.errors import ErrorCode

NOW_MS = round(START * 1000)
HOUR = 3_600_000

LOGIN = auth_frame(f"{USER}:{PASSWORD}")


def bid(cents, *, auction=1, user=7, id=0):
    """A BID."""
    return bid_frame(auction, user, cents / 100, id)


def watch(auction=1):
    """A WATCH."""
    return watch_frame(auction)


def read(data):
    """The frames in `data`, which ends with the end of one, each as what it says."""
    decoder = Decoder(FROM_SERVER)
    decoder.feed(bytes(data))
    said = []
    while (frame := decoder.next_frame()) is not None:
        said.append(_READERS[frame.type](frame.value))
    assert decoder.pending_bytes == 0, "a frame was cut"
    return said


def _result(value):
    (_, _, cents, bid_id), answer = read_result(value)
    return (answer.outcome.name, bid_id or cents)


def _error(value):
    return ErrorCode(read_error(value).code).name


def _update(value):
    update = read_update(value)
    return ("UPDATE", update.auction_id, update.cents, update.sequence)


_READERS = {
    FrameType.RESULT: _result,
    FrameType.ERROR: _error,
    FrameType.UPDATE: _update,
    FrameType.AUTH: lambda value: f"AUTH {read_text(value)}",
}


class SlowStore:
    """A store that answers when it is told to, as one over a network does.

    Attributes:
        asked: the batches without an answer: each the auction, the bids, and its Deferred.
    """

    def __init__(self, store):
        self.store = store
        self.asked = []

    def __getattr__(self, name):
        return getattr(self.store, name)

    def bid(self, auction_id, bids):
        answer = Deferred()
        self.asked.append((auction_id, list(bids), answer))
        return answer

    @property
    def sizes(self):
        return [(auction_id, len(bids)) for auction_id, bids, _ in self.asked]

    def answer(self, index=0):
        auction_id, bids, answer = self.asked.pop(index)
        self.store.bid(auction_id, bids).chainDeferred(answer)

    def fail(self, error, index=0):
        self.asked.pop(index)[2].errback(error)


class Bidder:
    """One connection to a server, seen from its far end."""

    def __init__(self, server, address="10.0.0.1"):
        self.server = server
        peer = IPv4Address("TCP", address, 50000)
        self.transport = StringTransport(peerAddress=peer)
        self.connection = server.factory.buildProtocol(peer)
        self.connection.makeConnection(self.transport)
        self.connection.connectionMade()

    def send(self, *frames):
        self.connection.dataReceived(b"".join(frames))

    def read(self):
        data = self.transport.value()
        self.transport.clear()
        return read(data)

    def ask(self, *frames):
        """What is answered within a turn of the reactor."""
        self.send(*frames)
        self.server.turn()
        return self.read()

    @property
    def reads(self):
        """Whether the server reads what comes."""
        return self.transport.producerState == "producing"

    @property
    def closed(self):
        return self.transport.disconnecting

    def vanish(self):
        self.connection.connectionLost(Failure(ConnectionDone()))


class WireBidder(Bidder):
    """A bidder at the end of one of Twisted's own transports, which may be wrapped, as TLS does."""

    def __init__(self, server, room=None, wrapped=False):
        self.server = server
        factory = WrappingFactory(server.factory) if wrapped else server.factory
        protocol = factory.buildProtocol(None)
        self.wire = Wire(protocol, server.reactor, room)
        self.socket, self.transport = self.wire.socket, self.wire.transport
        protocol.makeConnection(self.transport)
        self.connection = protocol.wrappedProtocol if wrapped else protocol

    def send(self, *frames):
        self.socket.inbox += b"".join(frames)
        self.wire.turn()

    def read(self):
        data = bytes(self.socket.taken)
        self.socket.taken.clear()
        return read(data)

    @property
    def reads(self):
        return self.transport in self.server.reactor.readers

    @property
    def closed(self):
        return not self.socket.open


class Server:
    """A server of auctions in memory, on simulated time; auction 1 is open for an hour."""

    def __init__(self, authenticator=None, *, slow=False, with_login=False, **options):
        self.reactor = MemoryReactorClock()
        self.reactor.rightNow = START
        self.clock = Clock(
            self.reactor, self.reactor.seconds, lambda: round(self.reactor.seconds() * 1e9)
        )
        self.store = MemoryStore(Book(), self.clock.wall_ms)
        if slow:
            self.store = SlowStore(self.store)
        self.factory = AuctionFactory(
            self.store,
            authenticator or SharedCredentials(USER, PASSWORD),
            self.clock,
            with_login=with_login,
            **options,
        )
        self.factory.doStart()
        self.open()

    def open(self, id=1, *, hours=1, **terms):
        """Create an auction that is open."""
        self.store.create(Terms(NOW_MS, NOW_MS + hours * HOUR, **terms), id)

    def connect(self, address="10.0.0.1"):
        return Bidder(self, address)

    def turn(self, count=2):
        """Let the reactor turn."""
        for _ in range(count):
            self.reactor.advance(0)

    def advance(self, seconds, step=1.0):
        while seconds > 0:
            self.reactor.advance(min(step, seconds))
            seconds -= step

    def left_behind(self):
        """What the server still knows of connections: nothing, once they are gone."""
        factory = self.factory
        tables = {
            "connections": len(factory.connections),
            "congested": len(factory.congestion.connections),
            "lingering": len(factory.congestion.lingering),
            "wheel": len(factory._wheel),
            "door": factory.door.total,
            "pauses": len(factory.pauses),
            "waiting": factory.dispatcher.waiting,
            "in flight": factory.dispatcher.in_flight,
            "turns": len(factory.dispatcher._batches._turns),
            "watchers": len(factory.watchers),
            "watched": len(factory.watchers._watching._watched),
        }
        return {name: size for name, size in tables.items() if size}
