"""How a server of Redis is reached, and how a connection to it begins: TLS, login, database."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from OpenSSL import crypto
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)

from tickstorm.auction.redis_link import Connection, entered
from tickstorm.auction.redis_replies import Address, Refused
from tickstorm.auction.redis_url import Login, RedisURL, TLSFiles
from tickstorm.errors import ConfigError

Heard = Callable[[bytes], object]
Connect = Callable[[IStreamClientEndpoint, Heard | None], Coroutine[Any, Any, Connection]]
"""Connects, with what takes the messages if the connection is to be subscribed."""
Endpoints = Callable[[Address], IStreamClientEndpoint]

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def endpoints(reactor: Any, tls: TLSFiles | None) -> Endpoints:
    """Return what makes the endpoint for an address, as one URL has it.

    Args:
        reactor: connects.
        tls: None for none; the name or IP address is verified.

    Raises:
        ConfigError: a file cannot be used.
    """
    if tls is None:
        return lambda address: HostnameEndpoint(reactor, address.host, address.port)
    roots, own = _roots(tls), _own(tls)

    def endpoint(address: Address) -> IStreamClientEndpoint:
        options = optionsForClientTLS(address.host, roots, own)
        return wrapClientTLS(options, HostnameEndpoint(reactor, address.host, address.port))

    return endpoint


class Door:
    """Connects to servers of one URL.

    Args:
        url: who this is.
        endpoints: for an address.
        connect: see there.
    """

    def __init__(self, url: RedisURL, endpoints: Endpoints, connect: Connect) -> None:
        self._login = url.login
        self._database = url.database
        self._endpoints = endpoints
        self._connect = connect

    async def knock(self, address: Address, heard: Heard | None = None) -> Connection:
        """Return a connection on which nothing was said."""
        return await self._connect(self._endpoints(address), heard)

    async def enter(self, address: Address, heard: Heard | None = None) -> Connection:
        """Return a connection that is logged in, and at its database."""
        connection = await self.knock(address, heard)
        return await entered(connection, self._introduce(connection))

    async def enter_master(self, address: Address, script: bytes) -> Connection:
        """Likewise, to a master that knows the script.

        The Deferred may fail with Refused: it is a replica.
        """
        connection = await self.enter(address)
        return await entered(connection, _prepare(connection, script))

    async def _introduce(self, connection: Connection) -> None:
        if self._login.password:
            await connection.ask(b"AUTH", *_words(self._login))
        if self._database:
            await connection.ask(b"SELECT", b"%d" % self._database)


async def _prepare(connection: Connection, script: bytes) -> None:
    role = await connection.ask(b"ROLE")
    if role[0] != b"master":
        raise Refused("READONLY this is a replica")
    await connection.ask(b"SCRIPT", b"LOAD", script)


def _words(login: Login) -> list[bytes]:
    words = [login.user, login.password] if login.user else [login.password]
    return [word.encode() for word in words]


def _roots(tls: TLSFiles) -> Any:
    if not tls.ca:
        return None  # the system's own
    blocks = _read(tls.ca).split(_CERTIFICATE)[1:]
    if not blocks:
        raise ConfigError(f"{tls.ca!r} is not PEM certificates")
    try:
        return trustRootFromCertificates(
            [Certificate.loadPEM((_CERTIFICATE + block).encode()) for block in blocks]
        )
    except crypto.Error as error:
        raise ConfigError(f"{tls.ca!r} is not PEM certificates") from error


def _own(tls: TLSFiles) -> PrivateCertificate | None:
    if not tls.cert:
        return None
    pem = _read(tls.cert) + _read(tls.key or tls.cert)
    try:
        own: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    except crypto.Error as error:
        raise ConfigError(f"{tls.cert!r} is not a PEM certificate with its key") from error
    return own


def _read(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path!r} cannot be read: {error}") from error
