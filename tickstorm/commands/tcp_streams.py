"""Packets to what each side of each TCP connection sent, in order. Pure.

A byte that was sent twice counts once. A hole ends a stream: what is behind it is not shown.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from ipaddress import ip_address
from struct import Struct
from typing import NamedTuple

from tickstorm.commands.captures import Packet

_NULL, _ETHERNET, _LOOP, _LINUX, _LINUX_2 = 0, 1, 108, 113, 276
_RAW = frozenset({12, 14, 101, 228, 229})
_IP_TYPES, _VLAN_TYPES = frozenset({0x0800, 0x86DD}), frozenset({0x8100, 0x88A8})
_TCP = 6
_SYN = 0x02
_FRAGMENT = 0x3FFF
_MODULUS = 2**32

_IPV4 = Struct(">BxH2xHxB2x4s4s")
_IPV6 = Struct(">4xHBx16s16s")
_TCP_HEADER = Struct(">HHI4xBB")


class Direction(NamedTuple):
    """From one address and port to another."""

    source: str
    destination: str


class TCPStream(NamedTuple):
    """What one side of a connection sent.

    Attributes:
        data: from the first byte that was captured to the last, or to the first hole.
        held_bytes: how many were captured behind a hole; 0 without one.
    """

    direction: Direction
    data: bytes
    held_bytes: int


class _Segment(NamedTuple):
    direction: Direction
    sequence: int
    begins: bool
    data: bytes


class _Assembly:
    """Puts the segments of one direction in order."""

    def __init__(self, next_sequence: int) -> None:
        self.data = bytearray()
        self._first = next_sequence
        self._held: list[tuple[int, bytes]] = []

    def add(self, sequence: int, data: bytes) -> None:
        reached = len(self.data)
        ahead = (sequence - self._first - reached + _MODULUS // 2) % _MODULUS - _MODULUS // 2
        heappush(self._held, (reached + ahead, data))
        while self._held and self._held[0][0] <= len(self.data):
            at, piece = heappop(self._held)
            self.data += piece[len(self.data) - at :]

    def stream(self, direction: Direction) -> TCPStream:
        return TCPStream(direction, bytes(self.data), sum(len(data) for _, data in self._held))


def tcp_streams(packets: Iterable[Packet]) -> list[TCPStream]:
    """Return the streams that have any bytes, in the order in which they began."""
    streams: list[tuple[Direction, _Assembly]] = []
    open: dict[Direction, _Assembly] = {}
    for segment in _segments(packets):
        assembly = open.get(segment.direction)
        first = (segment.sequence + segment.begins) % _MODULUS
        if assembly is None or (segment.begins and assembly.data):
            assembly = open[segment.direction] = _Assembly(first)
            streams.append((segment.direction, assembly))
        if segment.data:
            assembly.add(first, segment.data)
    made = [assembly.stream(direction) for direction, assembly in streams]
    return [stream for stream in made if stream.data or stream.held_bytes]


def _segments(packets: Iterable[Packet]) -> Iterator[_Segment]:
    for packet in packets:
        at = _ip_offset(packet)
        if at is None or len(packet.data) < at + _IPV4.size:
            continue
        version = packet.data[at] >> 4
        segment = None
        if version == 4:
            segment = _from_ipv4(packet.data[at:])
        elif version == 6:
            segment = _from_ipv6(packet.data[at:])
        if segment is not None:
            yield segment


def _ip_offset(packet: Packet) -> int | None:
    link_type, data = packet
    if link_type in _RAW:
        return 0
    if link_type in (_NULL, _LOOP):
        return 4
    if link_type == _LINUX:
        return 16 if _number(data, 14) in _IP_TYPES else None
    if link_type == _LINUX_2:
        return 20 if _number(data, 0) in _IP_TYPES else None
    if link_type != _ETHERNET:
        return None
    at = 12
    while _number(data, at) in _VLAN_TYPES:
        at += 4
    return at + 2 if _number(data, at) in _IP_TYPES else None


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _from_ipv4(packet: bytes) -> _Segment | None:
    first, length, fragment, protocol, source, destination = _IPV4.unpack_from(packet)
    if protocol != _TCP or fragment & _FRAGMENT:
        return None
    # A length of 0 is that of a packet which the network card was still to cut.
    return _from_tcp(packet[(first & 15) * 4 : length or None], source, destination)


def _from_ipv6(packet: bytes) -> _Segment | None:
    if len(packet) < _IPV6.size:
        return None
    length, protocol, source, destination = _IPV6.unpack_from(packet)
    if protocol != _TCP:
        return None
    end = _IPV6.size + length if length else None
    return _from_tcp(packet[_IPV6.size : end], source, destination)


def _from_tcp(segment: bytes, source: bytes, destination: bytes) -> _Segment | None:
    if len(segment) < _TCP_HEADER.size:
        return None
    source_port, destination_port, sequence, offset, flags = _TCP_HEADER.unpack_from(segment)
    direction = Direction(_named(source, source_port), _named(destination, destination_port))
    return _Segment(direction, sequence, bool(flags & _SYN), segment[(offset >> 4) * 4 :])


def _named(address: bytes, port: int) -> str:
    ip = ip_address(address)
    return f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}"
