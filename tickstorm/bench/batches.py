"""What the load generator needs to know of a DATA_BATCH payload: four numbers. Pure.

The fields are those of protos/tickstorm.proto. The ticks themselves are counted and not read, which
takes a fifth of a microsecond each instead of several.
"""

from struct import Struct
from typing import NamedTuple

from tickstorm.errors import InvalidMessage

_FIXED64 = Struct("<Q")
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""Wire types, as in protobuf.dev/programming-guides/encoding."""
_TICK_TAG = 1 << 3 | _BYTES
_TIMESTAMP_MS, _SEQUENCE, _PUBLISH_TIME_NS = 2, 3, 6
_MAX_VARINT_BITS = 63


class BatchFacts(NamedTuple):
    """Of one batch: how many ticks it has, and the numbers beside them; 0 is not set."""

    ticks: int
    timestamp_ms: int
    sequence: int
    publish_time_ns: int


def read_batch(payload: bytes) -> BatchFacts:
    """Read a DATA_BATCH payload.

    Raises:
        InvalidMessage: it is no protobuf message.
    """
    try:
        return _read(payload)
    except (IndexError, ValueError) as error:
        raise InvalidMessage("the payload is no DataBatch", str(error)) from None


def _read(payload: bytes) -> BatchFacts:
    at, ticks, size = 0, 0, len(payload)
    numbers = {_TIMESTAMP_MS: 0, _SEQUENCE: 0, _PUBLISH_TIME_NS: 0}
    while at < size:
        if payload[at] == _TICK_TAG:
            length = payload[at + 1]
            at += 2
            if length > 127:
                length, at = _varint(payload, at - 1)
            at += length
            ticks += 1
        else:
            at = _field(payload, at, numbers)
    if at > size:
        raise ValueError("it is cut off")
    return BatchFacts(ticks, numbers[_TIMESTAMP_MS], numbers[_SEQUENCE], numbers[_PUBLISH_TIME_NS])


def _field(payload: bytes, at: int, numbers: dict[int, int]) -> int:
    """Read one field, keep its number if it is wanted, and return where the next one begins."""
    tag, at = _varint(payload, at)
    field, kind = tag >> 3, tag & 7
    if kind == _VARINT:
        value, at = _varint(payload, at)
    elif kind == _BYTES:
        length, at = _varint(payload, at)
        return at + length
    elif kind == _EIGHT_BYTES and at + 8 <= len(payload):
        value = _FIXED64.unpack_from(payload, at)[0]
        at += 8
    elif kind == _FOUR_BYTES:
        return at + 4
    else:
        raise ValueError(f"field {field} has wire type {kind}, or is cut off")
    if field in numbers:
        numbers[field] = value
    return at


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_VARINT_BITS + 1, 7):
        byte = payload[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number has no end")
