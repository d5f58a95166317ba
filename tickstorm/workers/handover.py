"""How accepted connections get from the parent to a worker: their descriptors over a socket.

A packet has up to MAX_BATCH connections of one port. The descriptors are the kernel's to keep while
they are on the way, and are closed with the socket if nobody takes them.
"""

import socket
from collections.abc import Sequence
from enum import IntEnum, unique
from struct import Struct
from typing import NamedTuple

MAX_BATCH = 64
"""Connections in a packet; the kernel takes up to 253 (SCM_MAX_FD)."""

_HEAD = Struct(">HHHQ")


@unique
class PortKind(IntEnum):
    """Whom a port is for."""

    SUBSCRIBERS = 0
    BIDDERS = 1


class Handed(NamedTuple):
    """Connections that were handed over.

    Attributes:
        port: which port they came to, counted from 0.
        family: that of their sockets, such as `socket.AF_INET`.
        first_id: the id of the first; the others follow it.
        descriptors: of their sockets, which now are the reader's to close.
        dropped: how many more were sent, and are lost: the reader may open no more files.
    """

    port: int
    family: int
    first_id: int
    descriptors: Sequence[int]
    dropped: int = 0


def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a way for connections; neither of them blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


def hand_over(to: socket.socket, handed: Handed) -> bool:
    """Send connections; whether they were taken. The caller's descriptors stay open.

    Raises:
        OSError: the other end is gone, or too many descriptors are on their way to others.
    """
    head = _HEAD.pack(len(handed.descriptors), handed.port, handed.family, handed.first_id)
    try:
        socket.send_fds(to, [head], list(handed.descriptors))
    except BlockingIOError:
        return False
    return True


def take_over(end: socket.socket) -> Handed | None:
    """Return the next packet of connections, None if there is none now.

    Raises:
        EOFError: the other end is gone.
    """
    try:
        head, descriptors, _, _ = socket.recv_fds(end, _HEAD.size, MAX_BATCH)
    except BlockingIOError:
        return None
    if not head:
        raise EOFError("nobody hands over connections any more")
    count, port, family, first_id = _HEAD.unpack(head)
    return Handed(port, family, first_id, descriptors, dropped=count - len(descriptors))
