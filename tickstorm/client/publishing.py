"""A publisher as an application asks for it, on Twisted or on asyncio: the same arguments for both.

Only the framework that is asked for is imported.
"""

from __future__ import annotations

import random as random_module
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tickstorm.client.events import PublisherEvent, ignore
from tickstorm.client.publisher import Publisher, PublisherLimits
from tickstorm.client.request import make_login
from tickstorm.messages import MAX_CLIENT_ID, Login

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from twisted.internet.interfaces import IStreamClientEndpoint

    from tickstorm.client.address import Place
    from tickstorm.clock import Clock


def twisted_publisher(
    reactor: Any,
    address: Place | IStreamClientEndpoint,
    *,
    username: str,
    password: str,
    client_id: str = "",
    on_event: Callable[[PublisherEvent], object] = ignore,
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
    from tickstorm.client.on_twisted import twisted_framework

    framework = twisted_framework(reactor, address, clock)
    login = _login(username, password, client_id)
    return Publisher(framework, login, on_event, limits, random)


def asyncio_publisher(
    address: Place,
    *,
    username: str,
    password: str,
    client_id: str = "",
    on_event: Callable[[PublisherEvent], object] = ignore,
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
    from tickstorm.client.on_asyncio import asyncio_framework

    framework = asyncio_framework(address, loop)
    login = _login(username, password, client_id)
    return Publisher(framework, login, on_event, limits, random)


def _login(username: str, password: str, client_id: str) -> Login:
    if len(client_id) > MAX_CLIENT_ID:
        raise ValueError(f"the client_id has {len(client_id)} characters, over {MAX_CLIENT_ID}")
    return make_login(username, password, client_id or f"publisher-{secrets.token_hex(8)}")
