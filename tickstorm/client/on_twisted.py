"""The client in a Twisted application.

Futures are txaio's, and so Deferreds. Timers are the given reactor's own: txaio knows one reactor a
process, which `with_config(loop=...)` compares with and does not replace.
"""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from txaio import tx

from tickstorm.client.address import Place, endpoint_string
from tickstorm.client.interfaces import Futures, Receiver, Timer
from tickstorm.clock import Clock, system_clock
from tickstorm.errors import ConfigError
from tickstorm.transports import SocketOptions, set_socket_options


class TwistedLink(Protocol):
    """An open connection.

    Args:
        receiver: hears of it.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    @property
    def _transport(self) -> Any:
        return self.transport

    def connectionMade(self) -> None:
        """Hand the link over."""
        set_socket_options(cast(ITransport, self.transport), SocketOptions())
        self._receiver.connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Hand on what arrived."""
        self._receiver.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the end."""
        error = reason.value
        self._receiver.lost(error if isinstance(error, Exception) else ConnectionError(str(error)))

    def write(self, data: bytes) -> None:
        """Send."""
        self._transport.write(data)

    def pause(self) -> None:
        """Read no more."""
        self._transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        self._transport.resumeProducing()

    def close(self) -> None:
        """Send what is left, then end it."""
        self._transport.loseConnection()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abortConnection()


class TwistedFramework:
    """Connects through an endpoint.

    Args:
        endpoint: where the server is.
        clock: the times, and what runs calls later.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, clock: Clock) -> None:
        self._api = tx.with_config()
        self.futures: Futures = self._api
        self._endpoint = endpoint
        self._clock = clock

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._clock.monotonic()

    def wall_ns(self) -> int:
        """Return the nanoseconds since the Unix epoch."""
        return self._clock.wall_ns()

    def call_later(self, delay: float, call: Callable[[], object]) -> Timer:
        """Call after `delay` seconds."""
        return self._clock.scheduler.callLater(delay, call)

    def dial(self, receiver: Receiver) -> Any:
        """Begin to connect."""
        return self._api.as_future(connectProtocol, self._endpoint, TwistedLink(receiver))


def twisted_framework(
    reactor: Any, place: Place | IStreamClientEndpoint, clock: Clock | None
) -> TwistedFramework:
    """Return what connects to a place; None stands for the reactor's and the system's times.

    Raises:
        ConfigError: the place is none.
    """
    endpoint = as_endpoint(reactor, place)
    return TwistedFramework(endpoint, system_clock(reactor) if clock is None else clock)


def as_endpoint(reactor: Any, place: Place | IStreamClientEndpoint) -> IStreamClientEndpoint:
    """Return the endpoint for a place, or the one that was given.

    Raises:
        ConfigError: Twisted makes none of it; the message has its reason.
    """
    if IStreamClientEndpoint.providedBy(place):
        return place
    string = endpoint_string(place)
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, string)
    except Exception as error:
        raise ConfigError(f"address {string!r}: {error}") from error
    return endpoint
