"""One login before all others: where the server is, and why it cannot be measured if it cannot."""

from __future__ import annotations

import socket
from typing import NamedTuple

from tickstorm.bench.jobs import Place
from tickstorm.bench.login import Login, Requests
from tickstorm.bench.wire import tls_context
from tickstorm.client.address import TCPAddress, TLSAddress
from tickstorm.errors import TickstormError

TRIAL_SECONDS = 10.0
"""For each step of the login."""
_READ_BYTES = 65536


class NotSubscribed(TickstormError):
    """The server ended the connection where it should have answered."""


class Trial(NamedTuple):
    """What a login showed.

    Attributes:
        place: which of the addresses of the server's name answered.
        local: whether that is this machine.
    """

    place: Place
    local: bool


def try_login(address: TCPAddress | TLSAddress, requests: Requests, source: str) -> Trial:
    """Log in once, from `source` unless it is empty, and leave again.

    Raises:
        OSError: the server cannot be reached.
        ConfigError: the certificates of the address cannot be used.
        TickstormError: it refuses, or is none.
    """
    origin = (source, 0) if source else None
    connection = socket.create_connection((address.host, address.port), TRIAL_SECONDS, origin)
    with connection:
        here, there = connection.getsockname(), connection.getpeername()
        trial = Trial(Place(connection.family, there), here[0] == there[0] or _loopback(there[0]))
        if not isinstance(address, TLSAddress):
            _log_in(connection, requests)
            return trial
        with tls_context(address).wrap_socket(connection, server_hostname=address.host) as tls:
            _log_in(tls, requests)
        return trial


def _log_in(connection: socket.socket, requests: Requests) -> None:
    login = Login(requests)
    connection.sendall(requests.auth)
    while login.subscribed is None:
        data = connection.recv(_READ_BYTES)
        if not data:
            raise NotSubscribed("the server closed the connection before the subscription")
        answer = login.received(data)
        if answer:
            connection.sendall(answer)


def _loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
