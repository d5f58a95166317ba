"""The Twisted edge of a connection, whatever is spoken on it: the stream, or an auction.

It has the socket, the way out, the door, and the deadlines; what a frame means is for the protocol.
"""

from __future__ import annotations

from math import inf
from typing import Any, Protocol

from twisted.internet.interfaces import IHandshakeListener, IProtocol, ITransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.clock import Clock
from tickstorm.congestion import Congestion
from tickstorm.credentials import User
from tickstorm.entrance import Entrance
from tickstorm.errors import ProtocolError, SlowConsumer
from tickstorm.outlet import Outlet
from tickstorm.overload import Backlog
from tickstorm.register import Register
from tickstorm.transports import (
    PROXIED,
    SocketOptions,
    awaits_proxy,
    certificate_name,
    close_now,
    peer_address,
    set_socket_options,
    share_names,
    tls_parameters,
)

LINGER = 5.0
"""Seconds that a connection has from the end of its conversation to the last of its bytes, before
it is cut."""


class Host(Protocol):
    """What all connections of a factory share.

    Attributes:
        clock: the times.
        socket_options: set on each accepted socket.
        entrance: lets them in.
        register: notes what becomes of them.
        congestion: knows of those that have something queued.
    """

    clock: Clock
    socket_options: SocketOptions
    entrance: Entrance
    register: Register
    congestion: Congestion[Any]

    def opened(self, connection: Any, /) -> None:
        """Know a connection from now on."""

    def closed(self, connection: Any, reason: Failure, /) -> None:
        """Forget a connection."""


class Conversation(Protocol):
    """What is said on a connection."""

    @property
    def deadline(self) -> float:
        """When it is to end, if nothing comes; infinity for never."""

    def lose(self) -> None:
        """End it without a word: there is nobody left to tell."""


@implementer(IProtocol, IHandshakeListener)
class Edge:
    """One connection, without what is spoken on it.

    Args:
        server: what all connections share.
        id: unique while the server runs.

    Attributes:
        address: who it counts as: an IP address, "unix", or "" while a proxy has not said.
        inside: whether the door let it in.
        user: who has logged in.
    """

    __slots__ = (
        "_cut_at",
        "_outlet",
        "_server",
        "_session",
        "_transport",
        "address",
        "id",
        "inside",
        "user",
    )

    _outlet: Outlet
    _session: Conversation
    _transport: Any

    def __init__(self, server: Host, id: int) -> None:
        self._server = server
        self._cut_at = inf
        self.id = id
        self.address = PROXIED
        self.inside = False
        self.user: User | None = None

    # What the transport calls.

    def makeConnection(self, transport: ITransport) -> None:
        """Begin, or turn the client away."""
        self._transport = transport
        share_names(transport)
        set_socket_options(transport, self._server.socket_options)
        self._outlet = Outlet(transport, self)
        self._server.opened(self)
        address = PROXIED if awaits_proxy(transport) else peer_address(transport)
        if not self._enter(address):
            self.abort()
            close_now(transport)

    def connectionMade(self) -> None:
        """Wait: the client speaks first."""

    def handshakeCompleted(self) -> None:
        """Count the TLS handshake."""
        self._server.register.shook_hands(tls_parameters(self._transport))

    def dataReceived(self, data: bytes) -> None:
        """Read what the client sent."""
        if self.inside and self.address == PROXIED:
            self._server.entrance.leave(self)
            if not self._enter(peer_address(self._transport)):
                self.abort()
                return
        self._receive(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything."""
        self._session.lose()
        self._cut_at = inf
        self._let_go()
        self._outlet.lose()
        self._server.entrance.leave(self)
        self._server.closed(self, reason)

    # What the sweep asks and calls.

    @property
    def deadline(self) -> float:
        """When it is to expire; infinity for never, as once it is gone."""
        return min(self._session.deadline, self._cut_at)

    def check_progress(self, now: float) -> None:
        """End a connection that takes nothing."""
        self._outlet.check(now)

    # What the outlet asks and calls.

    def now(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self._server.clock.monotonic()

    def congested(self) -> Backlog:
        """Begin to queue."""
        return self._server.congestion.begin(self)

    def queued(self, backlog: Backlog) -> None:
        """Take note of how much is queued."""
        self._server.congestion.queued(self, backlog)

    def relieved(self) -> None:
        """Stop queueing."""
        self._server.congestion.relieved(self)

    # What others may ask.

    @property
    def certificate_name(self) -> str | None:
        """The common name of the client's certificate, if it showed one."""
        return certificate_name(self._transport)

    @property
    def pending_bytes(self) -> int:
        """What is queued, or with a transport whose socket is full."""
        return self._outlet.pending_bytes

    @property
    def cost(self) -> int:
        """What of the budget of all queues it uses."""
        return self._outlet.cost

    def abort(self) -> None:
        """Close at once."""
        self._transport.abortConnection()

    def give_up(self) -> None:
        """Close one that lingers at once: the reactor lets go of what it has in its next turn."""
        self._outlet.lose()
        self.abort()

    # What is for the protocol.

    def fail(self, error: ProtocolError) -> None:
        """Tell the client of an error; close if the error does."""
        raise NotImplementedError

    def too_slow(self, error: SlowConsumer) -> None:
        """Close on a client that does not read."""
        raise NotImplementedError

    def _enter(self, address: str) -> bool:
        return self._server.entrance.enter(self, address)

    def _receive(self, data: bytes) -> None:
        raise NotImplementedError

    def _let_go(self) -> None:
        raise NotImplementedError
