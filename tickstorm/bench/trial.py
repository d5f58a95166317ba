"""One login before all others: where the server is, and why it cannot be measured if it cannot."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from tickstorm.bench.clock_offset import Exchange, clock_ahead_ns
from tickstorm.bench.cutting import MAX_PAYLOAD_BYTES
from tickstorm.bench.jobs import Place
from tickstorm.bench.login import Login, Requests
from tickstorm.client.address import TCPAddress, TLSAddress
from tickstorm.client.messages import decode_pong, heartbeat_frame
from tickstorm.client.trust import tls_context
from tickstorm.errors import ConfigError, ProtocolError, TickstormError
from tickstorm.frames import FrameDecoder, FrameType

TRIAL_SECONDS = 10.0
"""For each step of the login."""
CLOCK_SECONDS = 1.0
"""For each answer to a heartbeat: what comes later says nothing of a clock."""
HEARTBEATS = 3
_READ_BYTES = 65536
_WRONG_SOURCE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, socket.EAI_ADDRFAMILY}


class NotSubscribed(TickstormError):
    """The server ended the connection where it should have answered."""


class Trial(NamedTuple):
    """What a login showed.

    Attributes:
        place: which of the addresses of the server's name answered.
        local: whether that is this machine.
        ahead_ns: how far the server's clock is ahead of the one here; 0 if it may be the same.
    """

    place: Place
    local: bool
    ahead_ns: int


def try_login(address: TCPAddress | TLSAddress, requests: Requests, source: str) -> Trial:
    """Log in once, from `source` unless it is empty, and leave again.

    Raises:
        OSError: the server cannot be reached.
        ConfigError: the certificates of the address, or `source`, cannot be used.
        TickstormError: it refuses, or is none.
    """
    with visiting(address, source) as (connection, trial):
        return trial._replace(ahead_ns=_clock_ahead_ns(connection, _log_in(connection, requests)))


@contextmanager
def visiting(
    address: TCPAddress | TLSAddress, source: str
) -> Iterator[tuple[socket.socket, Trial]]:
    """Have a connection as long as the block lasts, and what it shows without a word.

    Raises:
        OSError: the server cannot be reached.
        ConfigError: the certificates of the address, or `source`, cannot be used.
    """
    with _connect(address, source) as plain:
        here, there = plain.getsockname(), plain.getpeername()
        local = here[0] == there[0] or _loopback(there[0])
        trial = Trial(Place(plain.family, there), local, 0)
        if not isinstance(address, TLSAddress):
            yield plain, trial
            return
        with tls_context(address).wrap_socket(plain, server_hostname=address.host) as connection:
            yield connection, trial


def _connect(address: TCPAddress | TLSAddress, source: str) -> socket.socket:
    origin = (source, 0) if source else None
    try:
        return socket.create_connection((address.host, address.port), TRIAL_SECONDS, origin)
    except OSError as error:
        if not source or error.errno not in _WRONG_SOURCE:
            raise
        raise ConfigError(f"--source-address {source}: {error.strerror or error}") from error


def _log_in(connection: socket.socket, requests: Requests) -> bytes:
    """Return what came behind the last answer."""
    login = Login(requests)
    connection.sendall(requests.auth)
    while login.subscribed is None:
        data = connection.recv(_READ_BYTES)
        if not data:
            raise NotSubscribed("the server closed the connection before the subscription")
        answer = login.received(data)
        if answer:
            connection.sendall(answer)
    return login.rest


def _clock_ahead_ns(connection: socket.socket, rest: bytes) -> int:
    exchanges: list[Exchange] = []
    # A server that does not answer heartbeats can be measured all the same; what it did answer
    # stays in the list.
    with suppress(OSError, ProtocolError):
        connection.settimeout(CLOCK_SECONDS)
        exchanges.extend(_exchanges(connection, rest))
    return clock_ahead_ns(exchanges)


def _exchanges(connection: socket.socket, rest: bytes) -> Iterator[Exchange]:
    """Send heartbeats, one after the other, and yield each with its answer."""
    decoder = FrameDecoder(MAX_PAYLOAD_BYTES)
    decoder.feed(rest)
    for _ in range(HEARTBEATS):
        sent_ns = time.time_ns()
        # Without the time here: a server may refuse one that is far from its own.
        connection.sendall(heartbeat_frame(0, sequence=sent_ns))
        while (frame := decoder.next_frame()) is None or frame.type is not FrameType.PONG:
            if frame is None:
                data = connection.recv(_READ_BYTES)
                if not data:
                    return
                decoder.feed(data)
        yield Exchange(sent_ns, time.time_ns(), decode_pong(frame.payload).server_timestamp_ms)


def _loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"
