"""One connection to Redis: commands go out together, replies come in their order.

What is asked for while others have no reply yet goes out with the last of those. So the busier it
is, the more go in one write, and who asks alone does not wait.

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
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.python.failure import Failure

from tickstorm.auction.redis_replies import ConnectionGone, Refused
from tickstorm.clock import Clock
from tickstorm.transports import SocketOptions, set_socket_options

_pack: Any = hiredis.pack_command  # its annotation has one word only

Heard = Callable[[bytes], object]
"""Takes a message of a channel that a connection is subscribed to."""


class RedisConnection:
    """An open connection.

    Args:
        protocol: txredisapi's, connected.
        clock: the times.

    Attributes:
        lost: has a result once the connection is gone.
    """

    def __init__(self, protocol: Any, clock: Clock) -> None:
        self._protocol = protocol
        self._clock = clock
        self._asked_at: deque[float] = deque()
        self._held: list[bytes] = []
        self._under_way = 0
        self._write_call: IDelayedCall | None = None
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
        self._asked_at.append(self._clock.monotonic())
        # Not by execute_command(), which costs more than everything else about a batch of one bid.
        self._held.append(_pack(command))
        if not self._under_way and self._write_call is None:
            # Behind this turn of the reactor, which may ask for more.
            self._write_call = self._clock.scheduler.callLater(0, self._write)
        reply: Deferred[Any] = protocol.replyQueue.get()
        return reply.addCallbacks(self._replied, self._failed)

    def abort(self) -> None:
        """End it now: a reply that comes later belongs to nobody."""
        self._protocol.transport.abortConnection()

    def _write(self) -> None:
        self._write_call = None
        self._under_way = len(self._held)
        self._protocol.transport.write(b"".join(self._held))
        self._held.clear()

    def _settle(self) -> None:
        self._asked_at.popleft()
        if self._under_way:
            self._under_way -= 1
        if self._held and not self._under_way and self._write_call is None:
            self._write()

    def _replied(self, reply: Any) -> Any:
        self._settle()
        if isinstance(reply, txredisapi.ResponseError):
            raise Refused(str(reply))
        if isinstance(reply, Exception):
            raise ConnectionGone(str(reply))
        return reply

    def _failed(self, failure: Failure) -> Failure:
        self._settle()
        return failure


async def connected(
    clock: Clock, endpoint: IStreamClientEndpoint, heard: Heard | None
) -> RedisConnection:
    """Connect, and return the connection.

    Args:
        clock: the times.
        endpoint: where to.
        heard: for a connection that is to be subscribed: takes the messages.
    """
    protocol = await connectProtocol(endpoint, _protocol(heard))
    set_socket_options(protocol.transport, SocketOptions(unsent_bytes=0))
    return RedisConnection(protocol, clock)


def _protocol(heard: Heard | None) -> Any:
    if heard is None:
        return txredisapi.RedisProtocol(charset=None, convertNumbers=False)
    protocol = txredisapi.SubscriberProtocol(charset=None, convertNumbers=False)
    protocol.messageReceived = lambda _, __, message: heard(message)
    return protocol
