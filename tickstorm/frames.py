"""The frame: magic, version, type, length, payload, CRC32C; bytes to frames and back, without I/O.

The decoder is incremental and linear: however the bytes are cut, each is copied a bounded number of
times, and no more than one frame is ever held back. A header is judged as soon as it is whole, so
that a frame too long is refused before its payload arrives.
"""

from collections.abc import Mapping
from enum import IntEnum, unique
from struct import Struct
from typing import Any, NamedTuple

from tickstorm.checksum import crc32c
from tickstorm.errors import ChecksumFailed, InvalidMessage, MessageTooLarge, UnsupportedVersion

MAGIC = 0xF57D
VERSION = 1
MAX_PAYLOAD_BYTES = 65536
"""The payload that a side accepts unless it was set otherwise."""
MIN_PAYLOAD_BYTES = 32_768
"""What it may be limited to at least: room for any one tick, with all its metadata."""

_HEADER = Struct(">HBBI")
_CRC = Struct(">I")
HEADER_BYTES = _HEADER.size
OVERHEAD_BYTES = HEADER_BYTES + _CRC.size
"""What a frame has beside its payload."""


@unique
class FrameType(IntEnum):
    """The type byte of a frame."""

    AUTH = 1
    SUBSCRIBE = 2
    HEARTBEAT = 3
    DATA_BATCH = 4
    ERROR = 5
    ACK = 6
    PONG = 7
    PUBLISH = 8
    UNSUBSCRIBE = 9
    GAP = 10
    GOAWAY = 11


class Frame(NamedTuple):
    """One frame whose checksum was right."""

    type: FrameType
    payload: bytes


TYPES: Mapping[int, Any] = {int(type): type for type in FrameType}
"""What a type byte of the protocol means."""


def encode_frame(type: int, payload: bytes) -> bytes:
    """Return the frame's bytes: OVERHEAD_BYTES more than the payload has."""
    body = _HEADER.pack(MAGIC, VERSION, type, len(payload)) + payload
    return body + _CRC.pack(crc32c(body))


def sole_payload(type: FrameType, data: bytes) -> bytes | None:
    """Return the payload of `data` if that is one frame of this type, whole and right; else None.

    For what is short and comes alone as a rule: it is encoded once more, and compared.
    """
    payload = data[HEADER_BYTES : -_CRC.size]
    return payload if encode_frame(type, payload) == data else None


class FrameDecoder:
    """Cuts what arrives into frames.

    Feed it bytes as they come, then take frames until there is none. After an error it gives
    nothing more: the place in the stream is lost.

    Args:
        max_payload_bytes: a header that announces more than this is refused.
        types: the types that are known, by their byte.
    """

    __slots__ = ("_at", "_buffer", "_max_payload_bytes", "_types")

    def __init__(
        self, max_payload_bytes: int = MAX_PAYLOAD_BYTES, types: Mapping[int, Any] = TYPES
    ) -> None:
        self._buffer: bytes | bytearray = b""
        self._at = 0
        self._max_payload_bytes = max_payload_bytes
        self._types = types

    @property
    def pending_bytes(self) -> int:
        """How many bytes are held that no frame has been made of yet."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Add what arrived."""
        if self._at == len(self._buffer):
            self._buffer, self._at = data, 0
            return
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(memoryview(self._buffer)[self._at :])
        elif self._at:
            del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """Return the next whole frame, or None until more is fed.

        Raises:
            InvalidMessage: the magic is wrong, or the type unknown.
            UnsupportedVersion: the version byte is not VERSION.
            MessageTooLarge: the length is over the limit.
            ChecksumFailed: the CRC32C does not match.
        """
        buffer, at = self._buffer, self._at
        payload_at = at + HEADER_BYTES
        if len(buffer) < payload_at:
            return None
        magic, version, type_byte, length = _HEADER.unpack_from(buffer, at)
        type = self._judge(magic, version, type_byte, length)
        crc_at = payload_at + length
        end = crc_at + _CRC.size
        if len(buffer) < end:
            return None
        if _CRC.unpack_from(buffer, crc_at)[0] != crc32c(bytes(buffer[at:crc_at])):
            raise ChecksumFailed("the frame's checksum is not that of its bytes")
        payload = bytes(buffer[payload_at:crc_at])
        if end == len(buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        return Frame(type, payload)

    def _judge(self, magic: int, version: int, type_byte: int, length: int) -> FrameType:
        if magic != MAGIC:
            raise InvalidMessage(f"a frame begins with {MAGIC:04X}, not {magic:04X}")
        if version != VERSION:
            raise UnsupportedVersion(f"version {VERSION} is spoken here, not {version}")
        type: FrameType | None = self._types.get(type_byte)
        if type is None:
            raise InvalidMessage(f"unknown frame type 0x{type_byte:02X}")
        if length > self._max_payload_bytes:
            raise MessageTooLarge(
                f"a payload of {length} bytes is over the limit of {self._max_payload_bytes}"
            )
        return type
