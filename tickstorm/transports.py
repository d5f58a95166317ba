"""What a transport says of its peer, through whatever wraps it: TLS, the PROXY protocol, both."""

from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any, NamedTuple

from OpenSSL.SSL import Connection as TLSConnection
from twisted.internet.interfaces import ITCPTransport, ITransport
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol

PROXIED = ""
"""The address of a peer whose proxy has not said yet who it is."""
UNNAMED = "unix"
"""The address of a peer that has none, as on a Unix socket."""


class SocketOptions(NamedTuple):
    """What is set on each accepted TCP socket, beside TCP_NODELAY.

    Attributes:
        keepalive: whether the kernel probes a silent peer.
        receive_buffer_bytes: 0 leaves the kernel's own.
        send_buffer_bytes: likewise.
    """

    keepalive: bool = True
    receive_buffer_bytes: int = 0
    send_buffer_bytes: int = 0


def _innermost(transport: Any) -> Any:
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def set_socket_options(transport: ITransport, options: SocketOptions) -> None:
    """Prepare an accepted connection; what is no TCP socket is left alone."""
    inner = _innermost(transport)
    if not ITCPTransport.providedBy(inner):
        return
    inner.setTcpNoDelay(True)
    if options.keepalive:
        inner.setTcpKeepAlive(True)
    socket: Any = _innermost(transport).getHandle()
    if options.receive_buffer_bytes:
        socket.setsockopt(SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes)
    if options.send_buffer_bytes:
        socket.setsockopt(SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes)


def awaits_proxy(transport: Any) -> bool:
    """Whether the peer is known only once a PROXY header has come."""
    while isinstance(transport, ProtocolWrapper):
        if isinstance(transport, HAProxyProtocolWrapper):
            return True
        transport = transport.transport
    return False


def peer_address(transport: ITransport) -> str:
    """Return the peer's IP address, or UNNAMED."""
    host: str = getattr(transport.getPeer(), "host", UNNAMED)
    return host


def _tls(transport: ITransport) -> TLSConnection | None:
    if isinstance(transport, TLSMemoryBIOProtocol):
        connection: TLSConnection = transport.getHandle()
        return connection
    return None


def certificate_name(transport: ITransport) -> str | None:
    """Return the common name of the client certificate that was verified, if there was one."""
    tls = _tls(transport)
    certificate = tls.get_peer_certificate() if tls is not None else None
    return certificate.get_subject().CN if certificate is not None else None


def tls_parameters(transport: ITransport) -> tuple[str, str]:
    """Return the version and the cipher of a TLS connection, "none" without one."""
    tls = _tls(transport)
    if tls is None:
        return "none", "none"
    return tls.get_protocol_version_name(), tls.get_cipher_name() or "none"
