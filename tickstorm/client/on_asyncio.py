"""The client in an asyncio application: futures and timers are txaio's on one event loop."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

from txaio import aio

from tickstorm.client.address import Place, TLSAddress, UnixAddress, parse_address
from tickstorm.client.interfaces import Futures, Receiver, Timer
from tickstorm.client.trust import tls_context


class AsyncioLink(asyncio.Protocol):
    """An open connection.

    Args:
        receiver: hears of it.
    """

    _transport: asyncio.Transport

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the link over."""
        self._transport = cast(asyncio.Transport, transport)
        self._receiver.connected(self)

    def data_received(self, data: bytes) -> None:
        """Hand on what arrived."""
        self._receiver.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the end."""
        self._receiver.lost(exc or ConnectionError("the connection was closed"))

    def write(self, data: bytes) -> None:
        """Send."""
        self._transport.write(data)

    def pause(self) -> None:
        """Read no more."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def close(self) -> None:
        """Send what is left, then end it."""
        self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()


class AsyncioFramework:
    """Connects on an event loop.

    Args:
        loop: the event loop.
        place: where the server is.

    Raises:
        ConfigError: the place is none, or its certificates cannot be read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, place: Place) -> None:
        self._api = aio.with_config(loop=loop)
        self.futures: Futures = self._api
        self._loop = loop
        self._address = address = parse_address(place)
        self._tls = tls_context(address) if isinstance(address, TLSAddress) else None

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._loop.time()

    def wall_ns(self) -> int:
        """Return the nanoseconds since the Unix epoch."""
        return time.time_ns()

    def call_later(self, delay: float, call: Callable[[], object]) -> Timer:
        """Call after `delay` seconds."""
        timer: Timer = self._api.call_later(delay, call)
        return timer

    def dial(self, receiver: Receiver) -> Any:
        """Begin to connect."""
        return self._api.as_future(self._connect, receiver)

    async def _connect(self, receiver: Receiver) -> None:
        def link() -> AsyncioLink:
            return AsyncioLink(receiver)

        address = self._address
        if isinstance(address, UnixAddress):
            await self._loop.create_unix_connection(link, address.path)
        else:
            await self._loop.create_connection(link, address.host, address.port, ssl=self._tls)


def asyncio_framework(place: Place, loop: asyncio.AbstractEventLoop | None) -> AsyncioFramework:
    """Return what connects to a place; None stands for the loop that is running.

    Raises:
        ConfigError: the place is none, or its certificates cannot be read.
        RuntimeError: no loop was given, and none is running.
    """
    return AsyncioFramework(asyncio.get_running_loop() if loop is None else loop, place)
