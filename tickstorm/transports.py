"""What a transport says of its peer, through whatever wraps it: TLS, the PROXY protocol, both."""

import socket
from collections.abc import Iterator
from socket import IPPROTO_TCP, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any, NamedTuple, cast

from cryptography.x509.oid import NameOID
from OpenSSL.SSL import Connection as TLSConnection
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import (
    ISystemHandle,
    ITCPTransport,
    ITransport,
    IUNIXTransport,
)
from twisted.internet.tcp import Server
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from tickstorm.interfaces import IKnowsPeer

PROXIED = ""
"""The address of a peer whose proxy has not said yet who it is."""
UNNAMED = "unix"
"""The address of a peer that has none, as on a Unix socket."""
_NAME = "tickstorm connection"
_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class SocketOptions(NamedTuple):
    """What is set on each accepted TCP socket, beside TCP_NODELAY.

    Attributes:
        keepalive: whether the kernel probes a silent peer.
        receive_buffer_bytes: 0 leaves the kernel's own.
        send_buffer_bytes: likewise. What is under way to a peer is in it too, so that it bounds how
            fast a distant one can be.
        unsent_bytes: how much the kernel takes that it cannot send yet, where it knows of such a
            bound; 0 for all that its buffer has room for.
    """

    keepalive: bool = True
    receive_buffer_bytes: int = 0
    send_buffer_bytes: int = 0
    unsent_bytes: int = 32 * 1024


def _layers(transport: Any) -> Iterator[Any]:
    while isinstance(transport, ProtocolWrapper):
        yield transport
        transport = transport.transport
    yield transport


def innermost(transport: Any) -> Any:
    """Return the transport that all the others are wrapped around."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def plain_socket(transport: Any) -> socket.socket | None:
    """Return the socket of a transport, to be written to directly; None if something wraps it."""
    if isinstance(transport, FileDescriptor) and not getattr(transport, "TLS", False):
        handle: socket.socket = cast(Any, transport).getHandle()
        return handle
    return None


def share_names(transport: ITransport) -> None:
    """Let an accepted socket go by one name with all others.

    Twisted makes two texts for each, for its own log and repr: 160 bytes a connection. Our log
    names a connection by its id and address.
    """
    inner = innermost(transport)
    if isinstance(inner, Server):
        inner.logstr = inner.repstr = _NAME


def set_socket_options(transport: ITransport, options: SocketOptions) -> None:
    """Prepare an accepted connection; what is no TCP socket is left alone."""
    inner = innermost(transport)
    # A Unix socket of Twisted's is an ITCPTransport too, by inheritance.
    if IUNIXTransport.providedBy(inner) or not ITCPTransport.providedBy(inner):
        return
    inner.setTcpNoDelay(True)
    if options.keepalive:
        inner.setTcpKeepAlive(True)
    system = ISystemHandle(inner, None)
    if system is None:  # a stand-in for a socket
        return
    handle: Any = system.getHandle()
    if options.unsent_bytes and _NOTSENT_LOWAT is not None:
        handle.setsockopt(IPPROTO_TCP, _NOTSENT_LOWAT, options.unsent_bytes)
    if options.receive_buffer_bytes:
        handle.setsockopt(SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes)
    if options.send_buffer_bytes:
        handle.setsockopt(SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes)


def close_now(transport: ITransport) -> None:
    """Give the open file of an aborted connection back in this turn of the reactor.

    Aborted alone it is kept until the next one, and in this one a port may accept any number. To
    lose a connection early is what Twisted provides for: the reactor does it itself when a protocol
    raises. Nothing of it is called afterwards. Never from within a wrapper's `dataReceived`.
    """
    inner = innermost(transport)
    if isinstance(inner, FileDescriptor):
        inner.connectionLost(Failure(ConnectionAborted()))


def awaits_proxy(transport: ITransport) -> bool:
    """Whether the peer may be another one once its first bytes have come.

    So it is behind the PROXY protocol's wrapper. That has no public name, and so every wrapper but
    that of TLS counts as one that may learn who the peer is, unless it says that it knows.
    """
    return any(
        isinstance(layer, ProtocolWrapper)
        and not isinstance(layer, TLSMemoryBIOProtocol)
        and not IKnowsPeer.providedBy(layer)
        for layer in _layers(transport)
    )


def peer_address(transport: ITransport) -> str:
    """Return the peer's IP address, or UNNAMED."""
    host: str = getattr(transport.getPeer(), "host", "")  # a PROXY header may leave it empty
    return host or UNNAMED


def _tls(transport: ITransport) -> TLSConnection | None:
    for layer in _layers(transport):
        if isinstance(layer, TLSMemoryBIOProtocol):
            connection: TLSConnection = layer.getHandle()
            return connection
    return None


def certificate_name(transport: ITransport) -> str | None:
    """Return the common name of the client certificate that was verified, if there was one."""
    tls = _tls(transport)
    certificate = tls.get_peer_certificate(as_cryptography=True) if tls is not None else None
    if certificate is None:
        return None
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[-1].value) if names else None


def tls_parameters(transport: ITransport) -> tuple[str, str]:
    """Return the version and the cipher of a TLS connection, "none" without one."""
    tls = _tls(transport)
    if tls is None:
        return "none", "none"
    return tls.get_protocol_version_name(), tls.get_cipher_name() or "none"
