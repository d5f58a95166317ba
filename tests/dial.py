"""What the tests on real sockets talk with: a server, and a plain blocking client in a thread."""

import socket
import ssl
import struct
from contextlib import asynccontextmanager

from conversation import PASSWORD, USER, names, read
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread

from tickstorm.clock import simulated_clock
from tickstorm.credentials import SharedCredentials
from tickstorm.endpoints import server_endpoint
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.frames import HEADER_BYTES, OVERHEAD_BYTES
from tickstorm.hub import Hub

NOTHING = (0, 0, 0, 0, 0)
"""What a server knows of connections when there are none."""
TIMEOUT = 10.0
"""Seconds after which a test that waits has failed."""


class Authenticator:
    """Lets in who knows the password, and keeps who that was."""

    def __init__(self):
        self.peers = []
        self._credentials = SharedCredentials(USER, PASSWORD)

    def authenticate(self, login, peer):
        self.peers.append(peer)
        return self._credentials.authenticate(login, peer)


class Server:
    """A server on the real reactor's sockets and on simulated time."""

    def __init__(self, *, hub_limits=(), **options):
        self.scheduler = Clock()
        self.clock = simulated_clock(self.scheduler)
        self.hub = Hub("epoch-1", self.clock.wall_ns, *hub_limits)
        self.authenticator = Authenticator()
        self.factory = TickstormFactory(
            FanOut(self.hub, self.clock, 0.0), self.authenticator, self.clock, **options
        )
        self.metrics = self.factory.metrics

    def left_behind(self):
        """How many connections each table still knows."""
        factory = self.factory
        return (
            len(factory.connections),
            len(factory.congested),
            len(factory._wheel),
            factory.door.total,
            len(self.hub.ticks.streams),
        )


class Caller:
    """The far end of a connection."""

    def __init__(self, port, context=None, header=b"", **ways):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT, **ways)
        self.socket.sendall(header)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def frame(self):
        """The bytes of the next frame, or none at the end."""
        header = self._exactly(HEADER_BYTES)
        if not header:
            return b""
        (length,) = struct.unpack_from(">I", header, 4)
        return header + self._exactly(length + OVERHEAD_BYTES - HEADER_BYTES)

    def ask(self, count, *frames):
        """Send, and read so many messages."""
        self.send(*frames)
        return [message for _ in range(count) for message in read(self.frame())]

    def rest(self):
        """The messages up to the end, which must come at the end of a frame."""
        return [message for frame in iter(self.frame, b"") for message in read(frame)]

    def _exactly(self, size):
        data = b""
        while len(data) < size and (more := self.socket.recv(size - len(data))):
            data += more
        assert len(data) in (0, size), "a frame was cut"
        return data


async def dial(port, *arguments, **options):
    """A Caller, or the error that it got."""
    return await deferToThread(Caller, port.getHost().port, *arguments, **options)


async def ask(caller, count, *frames):
    """The names of so many messages, after these frames were sent."""
    return names(await deferToThread(caller.ask, count, *frames))


async def until(holds):
    """Let the reactor turn until something holds."""
    over = reactor.seconds() + TIMEOUT
    while not holds():
        assert reactor.seconds() < over, "it never came to that"
        await deferLater(reactor, 0.001)


@asynccontextmanager
async def listening(description, factory):
    """What a description listens with, until the end of the block."""
    port = await server_endpoint(reactor, description).listen(factory)
    try:
        yield port
    finally:
        stopped = port.stopListening()
        if isinstance(stopped, Deferred):
            await stopped


def client_context(authority=None, identity=None, *, at_most=None, ciphers=None):
    """A client's TLS: whom it trusts (a file), who it is (two files), what it can."""
    context = ssl.create_default_context(cafile=authority)
    if identity is not None:
        context.load_cert_chain(*identity)
    if at_most is not None:
        context.maximum_version = at_most
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context
