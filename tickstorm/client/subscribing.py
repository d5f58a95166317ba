"""A client as an application asks for it, on Twisted or on asyncio: the same arguments for both.

Only the framework that is asked for is imported.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tickstorm.client.client import Client, ClientLimits
from tickstorm.client.events import Event, ignore
from tickstorm.client.request import make_request
from tickstorm.subscriptions import Mode, Overload, Position

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from twisted.internet.interfaces import IStreamClientEndpoint

    from tickstorm.client.address import Place
    from tickstorm.clock import Clock


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
    on_event: Callable[[Event], object] = ignore,
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
    from tickstorm.client.on_twisted import twisted_framework

    framework = twisted_framework(reactor, address, clock)
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
    on_event: Callable[[Event], object] = ignore,
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
    from tickstorm.client.on_asyncio import asyncio_framework

    framework = asyncio_framework(address, loop)
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
