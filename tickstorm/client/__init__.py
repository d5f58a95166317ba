"""The client: watches a Tickstorm server from a Twisted or an asyncio application, or feeds it.

    client = asyncio_client("localhost:8080", username="demo", password="secret")
    async for batch in client:
        print(batch.ticks)

It logs in, subscribes, sends heartbeats, checks every checksum and every sequence number, and when
a connection is lost it goes on behind the last batch on the next one. `twisted_client` is the same
on a reactor, where the loop runs in a coroutine (`Deferred.fromCoroutine`). Importing this imports
neither framework.

    async with asyncio_publisher("localhost:8080", username="desk", password="secret") as publisher:
        await publisher.publish([Tick("ACME", 101.25, 5.0)])

`asyncio_publisher` and `twisted_publisher` are for who has ticks to give.
"""

from __future__ import annotations

import random as random_module
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tickstorm.client.backoff import BackoffLimits
from tickstorm.client.batch import Batch, ReceivedTick
from tickstorm.client.client import Client, ClientLimits
from tickstorm.client.dialogue import SessionLimits
from tickstorm.client.events import (
    Admitted,
    Authenticated,
    Disconnected,
    Event,
    Gap,
    Garbled,
    GoAway,
    Held,
    PublisherEvent,
    Repeated,
    Restarted,
    ServerError,
    Silent,
    Subscribed,
)
from tickstorm.client.publication import Published
from tickstorm.client.publisher import Publisher, PublisherLimits
from tickstorm.client.request import make_request
from tickstorm.client.window import Totals
from tickstorm.messages import MAX_CLIENT_ID
from tickstorm.subscriptions import Mode, Overload, Position
from tickstorm.ticks import Tick

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from twisted.internet.interfaces import IStreamClientEndpoint

    from tickstorm.client.address import Place
    from tickstorm.clock import Clock

__all__ = [
    "Admitted",
    "Authenticated",
    "BackoffLimits",
    "Batch",
    "Client",
    "ClientLimits",
    "Disconnected",
    "Event",
    "Gap",
    "Garbled",
    "GoAway",
    "Held",
    "Mode",
    "Overload",
    "Position",
    "Published",
    "Publisher",
    "PublisherEvent",
    "PublisherLimits",
    "ReceivedTick",
    "Repeated",
    "Restarted",
    "ServerError",
    "SessionLimits",
    "Silent",
    "Subscribed",
    "Tick",
    "Totals",
    "asyncio_client",
    "asyncio_publisher",
    "twisted_client",
    "twisted_publisher",
]


def _ignore(event: Event | PublisherEvent) -> None:
    """Take an event that nobody wants to hear of."""


def twisted_client(
    reactor: Any,
    address: Place | IStreamClientEndpoint,
    *,
    username: str,
    password: str,
    mode: Mode = Mode.SECOND,
    symbols: Iterable[str] | None = None,
    interval: float | None = None,
    snapshot: bool = False,
    overload: Overload | None = None,
    start_time_ms: int = 0,
    resume: bool = True,
    resume_from: Position | None = None,
    client_id: str = "",
    on_event: Callable[[Event], object] = _ignore,
    limits: ClientLimits = ClientLimits(),
    clock: Clock | None = None,
    random: Callable[[], float] = random_module.random,
) -> Client:
    """Return a client for a Twisted application. It connects when it is first asked for a batch.

    Args:
        reactor: what connects, and runs its timers.
        address: an endpoint string ("tcp:HOST:PORT", "tls:HOST:PORT:trustRoots=DIRECTORY",
            "unix:PATH", or any that Twisted knows), "HOST:PORT", (host, port), or an endpoint.
        username: as the server knows it.
        password: likewise.
        mode: how often the ticks come, and whether as bars.
        symbols: names, and beginnings with an asterisk behind them ("EUR*"), at most 100; None asks
            for all.
        interval: seconds that each bar is of, 0.01 to 3600 in whole milliseconds, instead of those
            of the mode.
        snapshot: whether to get the last value of each symbol first; on each connection that does
            not resume.
        overload: what the server does when this side does not keep up; None leaves it to the
            server.
        start_time_ms: to begin with what the server has kept since then, in milliseconds since the
            Unix epoch; 0 begins with the next batch.
        resume: whether a connection goes on where the one before ended.
        resume_from: to begin behind this batch: a `position` of another client's with the same
            mode, symbols and interval.
        client_id: told to the server, at most 64 characters.
        on_event: called with all that happens beside the batches, when it happens. What it raises
            ends the client, and comes out of the iteration.
        limits: how much to take and how long to wait.
        clock: other times than the reactor's and the system's.
        random: gives a number from 0 up to but not including 1, for waits and heartbeats.

    Raises:
        ConfigError: the address is none.
        TypeError: `symbols` is one string, or another argument is not what it has to be.
        ValueError: an argument is outside its limits, or two exclude each other.
    """
    from tickstorm.client.on_twisted import TwistedFramework, as_endpoint
    from tickstorm.clock import system_clock

    framework = TwistedFramework(
        as_endpoint(reactor, address), system_clock(reactor) if clock is None else clock
    )
    request = make_request(
        username,
        password,
        mode,
        symbols,
        interval=interval,
        snapshot=snapshot,
        overload=overload,
        start_time_ms=start_time_ms,
        resume=resume,
        resume_from=resume_from,
        client_id=client_id,
    )
    return Client(framework, request, on_event, limits, random)


def asyncio_client(
    address: Place,
    *,
    username: str,
    password: str,
    mode: Mode = Mode.SECOND,
    symbols: Iterable[str] | None = None,
    interval: float | None = None,
    snapshot: bool = False,
    overload: Overload | None = None,
    start_time_ms: int = 0,
    resume: bool = True,
    resume_from: Position | None = None,
    client_id: str = "",
    on_event: Callable[[Event], object] = _ignore,
    limits: ClientLimits = ClientLimits(),
    loop: AbstractEventLoop | None = None,
    random: Callable[[], float] = random_module.random,
) -> Client:
    """Return a client for an asyncio application. It connects when it is first asked for a batch.

    Args:
        address: "tcp:HOST:PORT", "tls:HOST:PORT" (with trustRoots=, certificate= and privateKey=,
            each after a colon), "unix:PATH", "HOST:PORT", or (host, port).
        username: as the server knows it.
        password: likewise.
        mode: how often the ticks come, and whether as bars.
        symbols: names, and beginnings with an asterisk behind them ("EUR*"), at most 100; None asks
            for all.
        interval: seconds that each bar is of, 0.01 to 3600 in whole milliseconds, instead of those
            of the mode.
        snapshot: whether to get the last value of each symbol first; on each connection that does
            not resume.
        overload: what the server does when this side does not keep up; None leaves it to the
            server.
        start_time_ms: to begin with what the server has kept since then, in milliseconds since the
            Unix epoch; 0 begins with the next batch.
        resume: whether a connection goes on where the one before ended.
        resume_from: to begin behind this batch: a `position` of another client's with the same
            mode, symbols and interval.
        client_id: told to the server, at most 64 characters.
        on_event: called with all that happens beside the batches, when it happens. What it raises
            ends the client, and comes out of the iteration.
        limits: how much to take and how long to wait.
        loop: the event loop that it is used on; the running one if None.
        random: gives a number from 0 up to but not including 1, for waits and heartbeats.

    Raises:
        ConfigError: the address is none, or its certificates cannot be read.
        TypeError: `symbols` is one string, or another argument is not what it has to be.
        ValueError: an argument is outside its limits, or two exclude each other.
        RuntimeError: no loop was given, and none is running.
    """
    from asyncio import get_running_loop

    from tickstorm.client.on_asyncio import AsyncioFramework

    framework = AsyncioFramework(get_running_loop() if loop is None else loop, address)
    request = make_request(
        username,
        password,
        mode,
        symbols,
        interval=interval,
        snapshot=snapshot,
        overload=overload,
        start_time_ms=start_time_ms,
        resume=resume,
        resume_from=resume_from,
        client_id=client_id,
    )
    return Client(framework, request, on_event, limits, random)


def twisted_publisher(
    reactor: Any,
    address: Place | IStreamClientEndpoint,
    *,
    username: str,
    password: str,
    client_id: str = "",
    on_event: Callable[[PublisherEvent], object] = _ignore,
    limits: PublisherLimits = PublisherLimits(),
    clock: Clock | None = None,
    random: Callable[[], float] = random_module.random,
) -> Publisher:
    """Return a publisher for a Twisted application. It connects when it first has a tick.

    Args:
        reactor: what connects, and runs its timers.
        address: as of `twisted_client`.
        username: as the server knows it; the server's `publishers` say what it may publish.
        password: likewise.
        client_id: tells this publisher from the others of the user: no two may have the same at a
            time. At most 64 characters; drawn at random unless given.
        on_event: called with all that happens to the connections, when it happens. What it raises
            ends the publisher, and comes out of `publish`.
        limits: how much to have under way and how long to wait.
        clock: other times than the reactor's and the system's.
        random: gives a number from 0 up to but not including 1, for waits and heartbeats.

    Raises:
        ConfigError: the address is none.
        ValueError: a limit is out of its range, or the client_id too long.
    """
    from tickstorm.client.on_twisted import TwistedFramework, as_endpoint
    from tickstorm.clock import system_clock

    return Publisher(
        TwistedFramework(
            as_endpoint(reactor, address), system_clock(reactor) if clock is None else clock
        ),
        username,
        password,
        client_id=_publisher_id(client_id),
        on_event=on_event,
        limits=limits,
        random=random,
    )


def asyncio_publisher(
    address: Place,
    *,
    username: str,
    password: str,
    client_id: str = "",
    on_event: Callable[[PublisherEvent], object] = _ignore,
    limits: PublisherLimits = PublisherLimits(),
    loop: AbstractEventLoop | None = None,
    random: Callable[[], float] = random_module.random,
) -> Publisher:
    """Return a publisher for an asyncio application. It connects when it first has a tick.

    Args:
        address: as of `asyncio_client`.
        username: as the server knows it; the server's `publishers` say what it may publish.
        password: likewise.
        client_id: tells this publisher from the others of the user: no two may have the same at a
            time. At most 64 characters; drawn at random unless given.
        on_event: called with all that happens to the connections, when it happens. What it raises
            ends the publisher, and comes out of `publish`.
        limits: how much to have under way and how long to wait.
        loop: the event loop that it is used on; the running one if None.
        random: gives a number from 0 up to but not including 1, for waits and heartbeats.

    Raises:
        ConfigError: the address is none, or its certificates cannot be read.
        ValueError: a limit is out of its range, or the client_id too long.
        RuntimeError: no loop was given, and none is running.
    """
    from asyncio import get_running_loop

    from tickstorm.client.on_asyncio import AsyncioFramework

    return Publisher(
        AsyncioFramework(get_running_loop() if loop is None else loop, address),
        username,
        password,
        client_id=_publisher_id(client_id),
        on_event=on_event,
        limits=limits,
        random=random,
    )


def _publisher_id(client_id: str) -> str:
    if len(client_id) > MAX_CLIENT_ID:
        raise ValueError(f"the client_id has {len(client_id)} characters, over {MAX_CLIENT_ID}")
    return client_id or f"publisher-{secrets.token_hex(8)}"
