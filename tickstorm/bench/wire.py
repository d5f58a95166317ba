"""Non-blocking connections by their file descriptors: plain ones, and the same behind TLS."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Protocol

from tickstorm.bench.jobs import Place
from tickstorm.client.address import TLSAddress
from tickstorm.client.trust import tls_context

_BIND_ADDRESS_NO_PORT = 24
"""IP_BIND_ADDRESS_NO_PORT of linux/in.h: `connect` chooses the port, as one that is free for that
server, and `bind` does not keep it from the others."""
_TLS_PIECE_BYTES = 65536


class Wire(Protocol):
    """Opens connections, and reads and writes them. None of it ever waits."""

    def open(self, place: Place, source: str) -> int:
        """Begin to connect, from `source` unless that is empty; returns the file descriptor.

        Raises:
            OSError: it cannot even begin.
        """

    def read(self, connection: int, size: int, /) -> bytes:
        """Return what has arrived, at most about `size` bytes; nothing if the other side ended it.

        Raises:
            BlockingIOError: nothing has arrived.
            OSError: the connection is lost.
        """

    def write(self, connection: int, data: bytes, /) -> int:
        """Send, and return how many bytes were taken.

        Raises:
            BlockingIOError: none can be taken now.
            OSError: the connection is lost.
        """

    def close(self, connection: int, /) -> None:
        """Close it."""


class PlainWire:
    """TCP."""

    def __init__(self) -> None:
        self.read = os.read
        self.write = os.write
        self.close = os.close

    def open(self, place: Place, source: str) -> int:
        """Begin to connect."""
        connection = socket.socket(place.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source:
                connection.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
                connection.bind((source, 0))
            connection.connect(place.address)
        except BlockingIOError:
            pass
        except OSError:
            connection.close()
            raise
        return connection.detach()


class _Link:
    """The TLS of one connection, between two buffers."""

    __slots__ = ("established", "incoming", "outgoing", "tls", "unsent", "waiting")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        self.established = False
        self.waiting = b""
        """What is to be sent once the handshake is done."""
        self.unsent = b""
        """Encrypted, and not taken by the socket yet."""


class TLSWire:
    """TLS over TCP.

    Args:
        context: whom to trust, and what to show.
        host: the name that the server's certificate must bear.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._plain = PlainWire()
        self._context = context
        self._host = host
        self._links: dict[int, _Link] = {}

    def open(self, place: Place, source: str) -> int:
        """Begin to connect."""
        connection = self._plain.open(place, source)
        self._links[connection] = _Link(self._context, self._host)
        return connection

    def read(self, connection: int, size: int, /) -> bytes:
        """Return what has arrived, decrypted."""
        data = os.read(connection, size)
        if not data:
            return b""
        link = self._links[connection]
        link.incoming.write(data)
        pieces, ended = _decrypted(link)
        self._flush(connection, link)
        if ended and pieces:
            _end_reading(connection)
        if not (ended or pieces):
            raise BlockingIOError
        return b"".join(pieces)

    def write(self, connection: int, data: bytes, /) -> int:
        """Send, once the handshake is done; then all of it is taken."""
        link = self._links[connection]
        link.waiting += data
        _shake_hands(link)
        self._flush(connection, link)
        return len(data)

    def close(self, connection: int, /) -> None:
        """Close it, without TLS's own farewell."""
        del self._links[connection]
        os.close(connection)

    def _flush(self, connection: int, link: _Link) -> None:
        link.unsent += link.outgoing.read()
        if not link.unsent:
            return
        try:
            taken = os.write(connection, link.unsent)
        except BlockingIOError:
            return
        link.unsent = link.unsent[taken:]


def _decrypted(link: _Link) -> tuple[list[bytes], bool]:
    """Return what can be read of a connection, and whether the other side said that this is all."""
    pieces: list[bytes] = []
    try:
        _shake_hands(link)
        while link.established:
            piece = link.tls.read(_TLS_PIECE_BYTES)
            if not piece:
                return pieces, True
            pieces.append(piece)
    except ssl.SSLWantReadError:
        pass
    return pieces, False


def _shake_hands(link: _Link) -> None:
    """Go on with the handshake as far as possible, and then with what waited for it."""
    try:
        if not link.established:
            link.tls.do_handshake()
            link.established = True
    except ssl.SSLWantReadError:
        return
    if link.waiting:
        link.tls.write(link.waiting)
        link.waiting = b""


def _end_reading(connection: int) -> None:
    """Let the next read find the end, which nothing else would announce again."""
    end = socket.socket(fileno=connection)
    try:
        end.shutdown(socket.SHUT_RD)
    finally:
        end.detach()


def make_wire(tls: TLSAddress | None) -> Wire:
    """Return the wire for a server behind TLS, or for one that is not.

    Raises:
        ConfigError: the certificates cannot be read.
    """
    if tls is None:
        return PlainWire()
    return TLSWire(tls_context(tls), tls.host)
