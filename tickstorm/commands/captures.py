"""Capture files, pcap and pcapng, to their packets. Pure."""

from struct import Struct, error
from typing import NamedTuple

from tickstorm.errors import TickstormError

_PCAP_ORDERS = {
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xa1\xb2\x3c\x4d": ">",
    b"\xd4\xc3\xb2\xa1": "<",
    b"\x4d\x3c\xb2\xa1": "<",
}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_PCAPNG_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_PCAP_HEADER_BYTES = 24
_LINK_TYPE_MASK = 0xFFFF
_SECTION, _INTERFACE, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 3, 6
_MIN_BLOCK_BYTES = 12


class CaptureError(TickstormError):
    """A capture that cannot be read."""


class Packet(NamedTuple):
    """One packet as it was captured, from its link header on."""

    link_type: int
    data: bytes


class Capture(NamedTuple):
    """The packets of a capture, in the order of the file.

    Attributes:
        problem: why there may have been more; empty if the file ends where it should.
    """

    packets: list[Packet]
    problem: str


def is_capture(data: bytes) -> bool:
    """Whether these bytes begin like a capture file; no frame does."""
    return data[:4] in _PCAP_ORDERS or data[:4] == _PCAPNG


def read_capture(data: bytes) -> Capture:
    """Return the packets of a capture file.

    Raises:
        CaptureError: its header is not that of a capture.
    """
    packets: list[Packet] = []
    try:
        if data[:4] == _PCAPNG:
            _read_pcapng(data, packets)
        else:
            _read_pcap(data, packets)
    except error:
        return Capture(packets, f"the file ends within the packet after number {len(packets)}")
    return Capture(packets, "")


def _read_pcap(data: bytes, packets: list[Packet]) -> None:
    order = _PCAP_ORDERS.get(data[:4])
    if order is None or len(data) < _PCAP_HEADER_BYTES:
        raise CaptureError("the header is not that of a capture file")
    link_type = Struct(order + "I").unpack_from(data, 20)[0] & _LINK_TYPE_MASK
    record = Struct(order + "8xI4x")
    at = _PCAP_HEADER_BYTES
    while at < len(data):
        (size,) = record.unpack_from(data, at)
        at += record.size
        packets.append(Packet(link_type, _take(data, at, size)))
        at += size


def _read_pcapng(data: bytes, packets: list[Packet]) -> None:
    order = ""
    link_types: list[int] = []
    at = 0
    while at < len(data):
        if data[at : at + 4] == _PCAPNG:
            order = _PCAPNG_ORDERS.get(data[at + 8 : at + 12], "")
            link_types = []
        if not order:
            raise CaptureError("the header is not that of a capture file")
        kind, size = Struct(order + "II").unpack_from(data, at)
        if size < _MIN_BLOCK_BYTES:
            raise CaptureError(f"the block at byte {at} has an impossible length")
        body = _take(data, at, size)[8:-4]
        if kind == _INTERFACE:
            link_types.append(Struct(order + "H").unpack_from(body)[0])
        elif kind == _PACKET:
            interface, captured = Struct(order + "I8xI4x").unpack_from(body)
            packets.append(Packet(_at(link_types, interface), body[20 : 20 + captured]))
        elif kind == _SIMPLE_PACKET:
            packets.append(Packet(_at(link_types, 0), body[4:]))
        at += size


def _at(link_types: list[int], interface: int) -> int:
    if interface >= len(link_types):
        raise CaptureError(f"a packet of interface {interface}, which is not described")
    return link_types[interface]


def _take(data: bytes, at: int, size: int) -> bytes:
    taken: bytes = Struct(f"{size}s").unpack_from(data, at)[0]
    return taken
