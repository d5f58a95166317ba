"""What the tests of the edge talk with: frames to send, answers to read, and servers in memory."""

from errno import EPIPE, EWOULDBLOCK
from types import SimpleNamespace

from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.clock import Clock
from tickstorm.credentials import SharedCredentials
from tickstorm.epochs import Epochs
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.frames import FrameDecoder, FrameType, encode_frame
from tickstorm.hub import Hub
from tickstorm.publishing import RATE, Intake, read_right, rights_by_user
from tickstorm.stream import StreamKey
from tickstorm.subscriptions import PERIOD_MS, Mode
from tickstorm.ticks import Tick

USER, PASSWORD = "alice", "correct-horse"
START = 1_000_000_000.0
"""The seconds at which a simulated server starts: a whole minute would hide what is unaligned."""

NOW_MS = round(START * 1000)
"""The same on the wire."""

SECOND, MINUTE, TICK = (
    pb.SUBSCRIPTION_MODE_SECOND,
    pb.SUBSCRIPTION_MODE_MINUTE,
    pb.SUBSCRIPTION_MODE_TICK,
)

_MESSAGES = {
    FrameType.ACK: pb.AckResponse,
    FrameType.DATA_BATCH: pb.DataBatch,
    FrameType.ERROR: pb.ErrorResponse,
    FrameType.GOAWAY: pb.GoAway,
    FrameType.PONG: pb.HeartbeatResponse,
}


# What a client sends.


def auth(username=USER, password=PASSWORD, **fields):
    request = pb.AuthRequest(username=username, password=password, **fields)
    return encode_frame(FrameType.AUTH, request.SerializeToString())


def subscribe(mode=TICK, *symbols, **fields):
    request = pb.SubscribeRequest(mode=mode, symbols=symbols, **fields)
    return encode_frame(FrameType.SUBSCRIBE, request.SerializeToString())


def unsubscribe():
    return encode_frame(FrameType.UNSUBSCRIBE, b"")


def publish(*prices, symbol="EURUSD", request_id=0, after=0, **fields):
    ticks = [pb.Tick(symbol=symbol, price=price, volume=1.0, **fields) for price in prices]
    request = pb.PublishRequest(ticks=ticks, request_id=request_id, after_request_id=after)
    return encode_frame(FrameType.PUBLISH, request.SerializeToString())


def heartbeat(sequence=0, timestamp_ms=0):
    request = pb.HeartbeatRequest(sequence=sequence, timestamp_ms=timestamp_ms)
    return encode_frame(FrameType.HEARTBEAT, request.SerializeToString())


def epoch_of(mode=TICK, *symbols, slot=None, interval_ms=0, run="epoch-1"):
    """The epoch of a stream; it has a slot where the hub spreads its mode."""
    period_ms = interval_ms or PERIOD_MS[Mode(mode)]
    key = StreamKey(frozenset(symbols) or None, slot or 0, period_ms)
    return Epochs(run, 1 if slot is None else 1000).of(key)


# What a client reads.


def read(data):
    """The messages in `data`, which ends with the end of a frame."""
    decoder = FrameDecoder(max_payload_bytes=2**20)
    decoder.feed(bytes(data))
    messages = []
    while (frame := decoder.next_frame()) is not None:
        messages.append(_MESSAGES[frame.type].FromString(frame.payload))
    assert decoder.pending_bytes == 0, "a frame was cut"
    return messages


def names(messages):
    """What the messages are, for short: ACK, PONG, the code of an ERROR, a batch's prices."""
    return [_name(message) for message in messages]


def _name(message):
    if isinstance(message, pb.ErrorResponse):
        return pb.ErrorCode.Name(message.code).removeprefix("ERROR_CODE_")
    if isinstance(message, pb.DataBatch):
        return [tick.price for tick in message.ticks]
    return {pb.AckResponse: "ACK", pb.GoAway: "GOAWAY", pb.HeartbeatResponse: "PONG"}[type(message)]


def error(code, message, timestamp_ms=NOW_MS, **fields):
    """The ERROR that a client is to read."""
    return pb.ErrorResponse(code=code, message=message, timestamp_ms=timestamp_ms, **fields)


# A server in memory.


class Client:
    """One connection to a server, seen from its far end."""

    def __init__(self, factory, address="10.0.0.1", transport=None):
        peer = IPv4Address("TCP", address, 50000)
        self.transport = transport or StringTransport(peerAddress=peer)
        self.connection = factory.buildProtocol(peer)
        self.connection.makeConnection(self.transport)
        self.connection.connectionMade()

    def send(self, *frames):
        self.connection.dataReceived(b"".join(frames))

    def read(self):
        """The messages that came since the last call."""
        data = self.transport.value()
        self.transport.clear()
        return read(data)

    def names(self):
        return names(self.read())

    @property
    def closed(self):
        """Whether the server has closed."""
        return self.transport.disconnecting

    @property
    def cut(self):
        """Whether the server has closed without waiting for what is written to be read."""
        return self.transport.disconnected

    def vanish(self, reason=ConnectionDone):
        self.connection.connectionLost(Failure(reason()))


class Server:
    """A server on simulated time, with its hub and metrics at hand."""

    def __init__(
        self,
        authenticator=None,
        *,
        slots=1,
        start=START,
        hub_limits=(),
        batch_window=0.005,
        publishers=(),
        publish_rate=RATE,
        epoch="epoch-1",
        **options,
    ):
        self.reactor = MemoryReactorClock()
        self.reactor.rightNow = start
        self.wall_offset_ns = 0
        self.clock = Clock(self.reactor, self.reactor.seconds, self._wall_ns)
        self.hub = Hub(epoch, self.clock.wall_ns, *hub_limits, slots=slots)
        rights = rights_by_user(map(read_right, publishers))
        self.intake = Intake(self.hub.publish, rights, publish_rate)
        self.factory = TickstormFactory(
            FanOut(self.hub, self.clock, batch_window, intake=self.intake),
            authenticator or SharedCredentials(USER, PASSWORD),
            self.clock,
            publish_rights=rights,
            **options,
        )
        self.metrics = self.factory.metrics
        self.factory.doStart()

    def _wall_ns(self):
        return round(self.reactor.seconds() * 1e9) + self.wall_offset_ns

    def set_wall_clock(self, seconds):
        """Set the wall clock forward, or back; nothing else notices."""
        self.wall_offset_ns += round(seconds * 1e9)

    def advance(self, seconds, step=1.0):
        """Let time pass, as a reactor that is not blocked sees it."""
        while seconds > 0:
            self.reactor.advance(min(step, seconds))
            seconds -= step

    def connect(self, address="10.0.0.1", transport=None):
        return Client(self.factory, address, transport)

    def subscribed(self, *request, address="10.0.0.1", **fields):
        """A client that streams and has read its ACKs."""
        client = self.connect(address)
        client.send(auth(), subscribe(*request, **fields))
        assert client.names()[:2] == ["ACK", "ACK"]
        return client

    def publish(self, *prices, symbol="EURUSD"):
        self.hub.publish([Tick(symbol, price, 1.0) for price in prices])

    def left_behind(self):
        """What the server still knows of connections: nothing, once they are gone."""
        factory = self.factory
        streams = [cadence.streams for cadence in (*self.hub.bars.values(), self.hub.ticks)]
        tables = {
            "connections": len(factory.connections),
            "congested": len(factory.congested),
            "wheel": len(factory._wheel),
            "door": factory.door.total,
            "pauses": len(factory.pauses),
            "streams": sum(map(len, streams)),
        }
        return {name: size for name, size in tables.items() if size}


# A real transport over a socket that does as it is told.


class ScriptedSocket:
    """A socket whose buffer has `room` for so many more bytes, None for any number."""

    def __init__(self, room=None):
        self.room = room
        self.taken = bytearray()
        self.sends = 0
        self.inbox = b""
        self.broken = False
        self.open = True
        self.options = {}

    def send(self, data):
        self.sends += 1
        if self.broken:
            raise OSError(EPIPE, "broken pipe")
        size = len(data) if self.room is None else min(self.room, len(data))
        if not size:
            raise OSError(EWOULDBLOCK, "would block")
        if self.room is not None:
            self.room -= size
        self.taken += data[:size]
        return size

    def recv(self, size):
        if size and not self.inbox:
            raise OSError(EWOULDBLOCK, "would block")
        data, self.inbox = self.inbox[:size], self.inbox[size:]
        return data

    def setsockopt(self, level, option, value):
        self.options[level, option] = value

    def setblocking(self, blocking):
        assert not blocking

    def fileno(self):
        return 99

    def shutdown(self, how):
        pass

    def close(self):
        self.open = False


class Wire:
    """One of Twisted's own TCP transports over a ScriptedSocket, turned by hand."""

    def __init__(self, protocol, reactor=None, room=None, address="10.0.0.1"):
        self.reactor = reactor if reactor is not None else MemoryReactorClock()
        self.socket = ScriptedSocket(room)
        port = SimpleNamespace(_realPortNumber=8080)
        self.transport = tcp.Server(self.socket, protocol, (address, 50000), port, 1, self.reactor)
        self.lost = 0

    def turn(self):
        """One round of a reactor: write if it wants to write, then read if there is anything."""
        self._do(self.transport in self.reactor.writers, "doWrite")
        self._do(self.transport in self.reactor.readers and self.socket.inbox, "doRead")

    @property
    def buffered(self):
        """What the transport keeps for the socket."""
        waiting = self.transport.dataBuffer[self.transport.offset :]
        return waiting + b"".join(self.transport._tempDataBuffer)

    def take(self, room):
        """Make room in the socket's buffer, and let the transport use it."""
        self.socket.room = room
        self.turn()

    def drain(self):
        """Let the socket take everything, as often as the transport wants."""
        self.socket.room = None
        while self.transport in self.reactor.writers:
            self.turn()

    def read(self):
        data = bytes(self.socket.taken)
        self.socket.taken.clear()
        return read(data)

    def cut(self):
        """Lose the connection, if it is there, as a reactor notices it."""
        if self.socket.open:
            self._lose(ConnectionLost())

    def _do(self, ready, call):
        reason = getattr(self.transport, call)() if ready else None
        if reason:
            self._lose(reason)

    def _lose(self, reason):
        self.reactor.removeReader(self.transport)
        self.reactor.removeWriter(self.transport)
        self.lost += 1
        self.transport.connectionLost(Failure(reason))


class WireClient(Client):
    """A client at the end of a Wire, whose server's side may be wrapped, as TLS does it."""

    def __init__(self, server, room=None, address="10.0.0.1", wrapped=False):
        factory = WrappingFactory(server.factory) if wrapped else server.factory
        protocol = factory.buildProtocol(None)
        self.wire = Wire(protocol, server.reactor, room, address)
        self.socket, self.transport = self.wire.socket, self.wire.transport
        protocol.makeConnection(self.transport)
        self.connection = protocol.wrappedProtocol if wrapped else protocol

    def send(self, *frames):
        self.socket.inbox += b"".join(frames)
        self.wire.turn()

    def read(self):
        return self.wire.read()

    @property
    def closed(self):
        return not self.socket.open
