"""A bidder as an application asks for it, on Twisted or on asyncio: the same arguments for both.

Only the framework that is asked for is imported.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tickstorm.auction.wire import MAX_VALUE_BYTES
from tickstorm.client.auction.bidder import Bidder, BidderEvent, BidderLimits

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from twisted.internet.interfaces import IStreamClientEndpoint

    from tickstorm.client.address import Place
    from tickstorm.clock import Clock


def _ignore(event: BidderEvent) -> None:
    """Take an event that nobody wants to hear of."""


def twisted_bidder(
    reactor: Any,
    address: Place | IStreamClientEndpoint,
    *,
    username: str = "",
    password: str = "",
    token: str = "",
    on_event: Callable[[BidderEvent], object] = _ignore,
    limits: BidderLimits = BidderLimits(),
    clock: Clock | None = None,
    random: Callable[[], float] = random_module.random,
) -> Bidder:
    """Return a bidder for a Twisted application. It connects when it first has a bid or a watch.

    Args:
        reactor: what connects, and runs its timers.
        address: of the server's `--auction` port, as of `twisted_client`.
        username: as the server knows it; the server's `auction_users` say for whom it may bid.
        password: likewise. Both are left out for a server that asks for no login.
        token: what to log in with instead.
        on_event: called with all that happens to the connections, when it happens. What it raises
            ends the bidder, and comes out of `bid`.
        limits: how much to have under way and how long to wait.
        clock: other times than the reactor's and the system's.
        random: gives a number from 0 up to but not including 1, for waits.

    Raises:
        ConfigError: the address is none.
        ValueError: a limit is out of its range, or the login is none that can be told.
    """
    from tickstorm.client.on_twisted import twisted_framework

    framework = twisted_framework(reactor, address, clock)
    return Bidder(framework, auth_text(username, password, token), on_event, limits, random)


def asyncio_bidder(
    address: Place,
    *,
    username: str = "",
    password: str = "",
    token: str = "",
    on_event: Callable[[BidderEvent], object] = _ignore,
    limits: BidderLimits = BidderLimits(),
    loop: AbstractEventLoop | None = None,
    random: Callable[[], float] = random_module.random,
) -> Bidder:
    """Return a bidder for an asyncio application. It connects when it first has a bid or a watch.

    Args:
        address: of the server's `--auction` port, as of `asyncio_client`.
        username: as the server knows it; the server's `auction_users` say for whom it may bid.
        password: likewise. Both are left out for a server that asks for no login.
        token: what to log in with instead.
        on_event: called with all that happens to the connections, when it happens. What it raises
            ends the bidder, and comes out of `bid`.
        limits: how much to have under way and how long to wait.
        loop: the event loop that it is used on; the running one if None.
        random: gives a number from 0 up to but not including 1, for waits.

    Raises:
        ConfigError: the address is none, or its certificates cannot be read.
        ValueError: a limit is out of its range, or the login is none that can be told.
        RuntimeError: no loop was given, and none is running.
    """
    from tickstorm.client.on_asyncio import asyncio_framework

    framework = asyncio_framework(address, loop)
    return Bidder(framework, auth_text(username, password, token), on_event, limits, random)


def auth_text(username: str, password: str, token: str) -> str | None:
    """Return the text of an AUTH; None if there is no login.

    Raises:
        ValueError: it would not be understood as it is meant, or is too long.
    """
    if not (username or password or token):
        return None
    if token and (username or password):
        raise ValueError("a token and a name are two logins: give one")
    if ":" in (token or username):
        raise ValueError(f"there is a colon in the {'token' if token else 'name'}")
    text = token or f"{username}:{password}"
    if len(text.encode()) > MAX_VALUE_BYTES:
        raise ValueError(f"the login has {len(text.encode())} bytes, over {MAX_VALUE_BYTES}")
    return text
