"""Payloads and frames byte by byte: written by hand, and read as generated code does."""

import struct

import crcmod.predefined

from tickstorm.frames import FrameDecoder

NOW_MS = 1_700_000_000_000
crc32c = crcmod.predefined.mkPredefinedCrcFun("crc-32c")

UNDECODABLE = {
    "a truncated varint": b"\x08\xff",
    "a truncated string": b"\x0a\x05ab",
    "a tag without a value": b"\x0a",
    "field number 0": b"\x00\x01",
    "a wire type that is none": b"\x0f",
    "an end without a group": b"\x0c",
    "a varint of 11 bytes": b"\x08" + b"\xff" * 10 + b"\x01",
}
"""What is no message of any kind."""


def opened(frame, kind):
    """What a frame carries, as generated code reads it."""
    decoder = FrameDecoder()
    decoder.feed(frame)
    type, payload = decoder.next_frame()
    assert decoder.pending_bytes == 0
    return type, kind.FromString(payload)


def raw(type, payload):
    """A frame by hand."""
    body = struct.pack(">HBBI", 0xF57D, 1, type, len(payload)) + payload
    return body + struct.pack(">I", crc32c(body))


def field(number, wire_type, *contents):
    """One protobuf field by hand; numbers and lengths below 128."""
    data = b"".join(contents)
    return bytes([number << 3 | wire_type]) + (bytes([len(data)]) if wire_type == 2 else b"") + data


def varint(value):
    """A whole number as protobuf writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def double(value):
    """A number as protobuf writes it."""
    return struct.pack("<d", value)
