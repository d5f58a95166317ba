"""What a person at the terminal is told by a server without a login: how to see it work."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tickstorm.addresses import address_text
from tickstorm.agreement import check_users
from tickstorm.declarations import Origin
from tickstorm.descriptions import parse_description
from tickstorm.errors import ConfigError
from tickstorm.settings import Settings

ONE_TIME_USER = "guest"
ONE_TIME_LOGIN = Origin("the one-time login", "")
PLAIN_KINDS = ("tcp", "tcp6", "unix")
"""Ports that a client reaches without knowing more than their address."""


def with_one_time_login(settings: Settings) -> Settings:
    """Return settings with a new password, for one run on this machine alone.

    Raises:
        ConfigError: a port can be reached from other machines, or somebody else is to publish
            or bid.
    """
    if settings.exposed_ports:
        raise ConfigError(
            f"port {settings.exposed_ports[0]!r} can be reached from other machines: set "
            "STREAM_USER and STREAM_PASS or give --auth, or keep to interface=127.0.0.1"
        )
    return one_time(settings, ONE_TIME_USER, secrets.token_hex(8))


def one_time(settings: Settings, username: str, password: str) -> Settings:
    """Return settings with a login that was set nowhere.

    Raises:
        ConfigError: somebody else is to publish or bid.
    """
    origins = {**settings.origins, "username": ONE_TIME_LOGIN, "password": ONE_TIME_LOGIN}
    settings = replace(settings, username=username, password=password, origins=origins)
    check_users(settings)
    return settings


def welcome(settings: Settings, ports: Sequence[Any], pages: Sequence[Any], command: str) -> str:
    """Return lines that say where the server listens, the login, and what to type.

    Args:
        settings: with the one-time login.
        ports: the addresses (IPv4Address, UNIXAddress, …) of the subscribers' ports.
        pages: those of the operators' page.
        command: how `tickstorm` is to be called.
    """
    login = f"--user {settings.username} --password {settings.password}"
    lines = [
        f"Tickstorm listens on {', '.join(map(address_text, ports))}",
        f"One-time login: user {settings.username}, password {settings.password}",
    ]
    plain = [
        address_text(port)
        for description, port in zip(settings.port, ports, strict=True)
        if parse_description(description).kind in PLAIN_KINDS
    ]
    if plain:
        lines += ["Watch it from another terminal:", f"  {command} watch {plain[0]} {login}"]
    lines += [f"Health and metrics: {_page_text(page)}" for page in pages]
    return "\n".join(lines)


def _page_text(page: Any) -> str:
    text = address_text(page)
    return text if text.startswith("unix:") else f"http://{text}/"
