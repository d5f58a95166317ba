"""One connection to Redis: commands go out at once, replies come in their order.

The protocol and its parser are txredisapi's and hiredis's; the connection is ours, as theirs knows
neither the names in certificates nor a deadline. Importing this module installs the reactor
(`import txredisapi` does), so it is imported only where a store is made.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import txredisapi
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from tickstorm.auction.redis_replies import ConnectionGone, Refused
from tickstorm.transports import SocketOptions, set_socket_options

_pack: Any = hiredis.pack_command  # its annotation has one word only

Heard = Callable[[bytes], object]
"""Takes a message of a channel that a connection is subscribed to."""


class RedisConnection:
    """An open connection.

    What is asked for in one turn of the reactor goes out in one write: the transport collects it.

    Args:
        protocol: txredisapi's, connected.
        monotonic: seconds that never go back.

    Attributes:
        lost: has a result once the connection is gone.
    """

    def __init__(self, protocol: Any, monotonic: Callable[[], float]) -> None:
        self._protocol = protocol
        self._monotonic = monotonic
        self._asked_at: deque[float] = deque()
        self.lost: Deferred[object] = protocol.whenDisconnected()

    @property
    def oldest(self) -> float | None:
        """When that was asked for which has waited longest for its reply."""
        return self._asked_at[0] if self._asked_at else None

    def ask(self, *command: bytes) -> Deferred[Any]:
        """Send a command, and return its reply.

        The Deferred may fail with Refused or ConnectionGone.
        """
        protocol = self._protocol
        if not protocol.connected:
            raise ConnectionGone("the connection is not open")
        self._asked_at.append(self._monotonic())
        # Not by execute_command(), which costs more than everything else about a batch of one bid.
        protocol.transport.write(_pack(command))
        reply: Deferred[Any] = protocol.replyQueue.get()
        return reply.addCallbacks(self._replied, self._failed)

    def abort(self) -> None:
        """End it now: a reply that comes later belongs to nobody."""
        self._protocol.transport.abortConnection()

    def _replied(self, reply: Any) -> Any:
        self._asked_at.popleft()
        if isinstance(reply, txredisapi.ResponseError):
            raise Refused(str(reply))
        if isinstance(reply, Exception):
            raise ConnectionGone(str(reply))
        return reply

    def _failed(self, failure: Failure) -> Failure:
        self._asked_at.popleft()
        return failure


async def connected(
    monotonic: Callable[[], float], endpoint: IStreamClientEndpoint, heard: Heard | None
) -> RedisConnection:
    """Connect, and return the connection.

    Args:
        monotonic: seconds that never go back.
        endpoint: where to.
        heard: for a connection that is to be subscribed: takes the messages.
    """
    protocol = await connectProtocol(endpoint, _protocol(heard))
    set_socket_options(protocol.transport, SocketOptions(unsent_bytes=0))
    return RedisConnection(protocol, monotonic)


def _protocol(heard: Heard | None) -> Any:
    if heard is None:
        return txredisapi.RedisProtocol(charset=None, convertNumbers=False)
    protocol = txredisapi.SubscriberProtocol(charset=None, convertNumbers=False)
    protocol.messageReceived = lambda _, __, message: heard(message)
    return protocol
