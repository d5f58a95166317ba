"""One connection to Redis: commands go out together, replies come in their order.

What is asked for while others have no reply yet goes out with the last of those. So the busier it
is, the more go in one write, and who asks alone does not wait.

The parser is Redis's own, hiredis. It is an extra, so this module is imported only where a store is
made.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import Any

import hiredis
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from tickstorm.auction.redis_replies import ConnectionGone, Refused
from tickstorm.clock import Clock
from tickstorm.transports import SocketOptions, plain_socket, set_socket_options

_pack: Any = hiredis.pack_command  # its annotation has one word only
_MORE = object()

Heard = Callable[[bytes], object]
"""Takes a message of a channel that a connection is subscribed to."""


class RedisConnection(Protocol):
    """A connection that speaks RESP2.

    Args:
        clock: the times.
        heard: takes the messages, if the connection is to be subscribed.

    Attributes:
        lost: has a result once the connection is gone.
    """

    transport: Any

    def __init__(self, clock: Clock, heard: Heard | None = None) -> None:
        self._clock = clock
        self._heard = heard
        self._reader = hiredis.Reader(
            protocolError=ConnectionGone, replyError=Refused, notEnoughData=_MORE
        )
        self._open = True
        self._socket: socket | None = None
        self._asked: deque[tuple[float, Deferred[Any]]] = deque()
        self._held: list[bytes] = []
        self._under_way = 0
        self.lost: Deferred[object] = Deferred()

    @property
    def oldest(self) -> float | None:
        """When that was asked for which has waited longest for its reply."""
        return self._asked[0][0] if self._asked else None

    def ask(self, *command: bytes) -> Deferred[Any]:
        """Send a command, and return its reply.

        The Deferred may fail with Refused or ConnectionGone.

        Raises:
            ConnectionGone: the connection is not open.
        """
        if not self._open:
            raise ConnectionGone("the connection is not open")
        self._held.append(_pack(command))
        if not self._under_way:
            self._write()
        reply: Deferred[Any] = Deferred()
        self._asked.append((self._clock.monotonic(), reply))
        return reply

    def abort(self) -> None:
        """End it now: a reply that comes later belongs to nobody."""
        self.transport.abortConnection()

    def makeConnection(self, transport: Any) -> None:
        """Begin."""
        # What the reactor is to send costs it a turn and two calls of the system more.
        self._socket = plain_socket(transport)
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """Take replies, and messages."""
        reader = self._reader
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _MORE:
                if self._heard is not None and _is_message(reply):
                    self._heard(reply[2])
                else:
                    self._replied(reply)
        except ConnectionGone:  # it is not Redis's protocol
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Have whatever has no reply fail."""
        self._open = False
        self.lost.callback(None)
        asked, self._asked = self._asked, deque()
        for _, reply in asked:
            reply.errback(ConnectionGone(f"the connection was lost: {reason.getErrorMessage()}"))

    def _write(self) -> None:
        # Every command before has its reply, so that the transport has nothing left to send.
        self._under_way = len(self._held)
        commands = b"".join(self._held)
        self._held.clear()
        sent = 0
        if self._socket is not None:
            with suppress(OSError):  # it is full, or the connection is lost
                sent = self._socket.send(commands)
        if sent < len(commands):
            self.transport.write(commands[sent:])

    def _replied(self, reply: Any) -> None:
        if not self._asked:
            raise ConnectionGone("a reply to nothing")
        _, asked = self._asked.popleft()
        if self._under_way:
            self._under_way -= 1
        if self._held and not self._under_way:
            self._write()
        if isinstance(reply, Refused):
            asked.errback(reply)
        else:
            asked.callback(reply)


async def connected(
    clock: Clock, endpoint: IStreamClientEndpoint, heard: Heard | None
) -> RedisConnection:
    """Connect, and return the connection.

    Args:
        clock: the times.
        endpoint: where to.
        heard: for a connection that is to be subscribed: takes the messages.
    """
    connection: RedisConnection = await connectProtocol(endpoint, RedisConnection(clock, heard))
    set_socket_options(connection.transport, SocketOptions(unsent_bytes=0))
    return connection


def _is_message(reply: Any) -> bool:
    return isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message"
