"""Bytes to the frames that are in them, and where and why there is one no more. Pure.

A frame whose payload is no message is told, and the next is read. Where there is no frame the place
of the next cannot be known, so there it ends.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple, cast

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.checksum import crc32c
from tickstorm.errors import ChecksumFailed, ProtocolError
from tickstorm.frames import HEADER_BYTES, MAX_PAYLOAD_BYTES, Frame, FrameDecoder, FrameType

HIDDEN = "<hidden>"

_SECRETS = frozenset({"password", "token"})
_CRC_BYTES = 4
_MESSAGES: Mapping[FrameType, type[Message]] = {
    FrameType.AUTH: pb.AuthRequest,
    FrameType.SUBSCRIBE: pb.SubscribeRequest,
    FrameType.HEARTBEAT: pb.HeartbeatRequest,
    FrameType.PUBLISH: pb.PublishRequest,
    FrameType.DATA_BATCH: pb.DataBatch,
    FrameType.ERROR: pb.ErrorResponse,
    FrameType.ACK: pb.AckResponse,
    FrameType.PONG: pb.HeartbeatResponse,
    FrameType.UNSUBSCRIBE: pb.UnsubscribeRequest,
    FrameType.GAP: pb.GapNotice,
    FrameType.GOAWAY: pb.GoAway,
}


class Finding(NamedTuple):
    """A frame, or the place where there is none.

    Attributes:
        offset: of its first byte.
        type: the name of its type; None where no header can be read.
        payload_bytes: as its header says; None where no header can be read.
        crc: "right" or "wrong"; None where there is none to judge.
        fields: of its message, JSON values by name. Enums are names without their prefix.
        unknown_fields: the numbers of fields that this version does not know.
        problem: what is wrong with it; empty if nothing is.
    """

    offset: int
    type: str | None = None
    payload_bytes: int | None = None
    crc: str | None = None
    fields: Mapping[str, Any] = {}
    unknown_fields: tuple[int, ...] = ()
    problem: str = ""


def dissect(
    data: bytes, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES, secrets: bool = False
) -> Iterator[Finding]:
    """Yield the frames of some bytes that begin with one, in order.

    Args:
        data: what one side of a connection sent.
        max_payload_bytes: a header that announces more than this is no frame.
        secrets: whether passwords and tokens are shown.
    """
    decoder = FrameDecoder(max_payload_bytes)
    decoder.feed(data)
    offset = 0
    while offset < len(data):
        try:
            frame = decoder.next_frame()
        except ProtocolError as error:
            yield _broken(data, offset, error)
            return
        if frame is None:
            yield _cut(data, offset)
            return
        yield _whole(frame, offset, secrets)
        offset = len(data) - decoder.pending_bytes


def _whole(frame: Frame, offset: int, secrets: bool) -> Finding:
    finding = Finding(offset, frame.type.name, len(frame.payload), "right")
    message = _MESSAGES[frame.type]()
    try:
        message.ParseFromString(frame.payload)
    except DecodeError:
        return finding._replace(problem=f"the payload is no {message.DESCRIPTOR.name}")
    if not frame.payload:
        return finding
    unknown = sorted({field.field_number for field in _unknown(message)})
    return finding._replace(
        fields=_fields(message, secrets, zeros=True), unknown_fields=tuple(unknown)
    )


def _unknown(message: Message) -> Iterable[Any]:
    fields: Any = UnknownFieldSet(message)  # its stubs do not know that it is iterable
    return cast(Iterable[Any], fields)


def _broken(data: bytes, offset: int, error: ProtocolError) -> Finding:
    if not isinstance(error, ChecksumFailed):
        return Finding(offset, problem=error.message)
    finding = _headed(data, offset)
    crc_at = offset + HEADER_BYTES + (finding.payload_bytes or 0)
    found = int.from_bytes(data[crc_at : crc_at + _CRC_BYTES], "big")
    right = crc32c(data[offset:crc_at])
    return finding._replace(
        crc="wrong", problem=f"the checksum is {found:08X}, that of these bytes {right:08X}"
    )


def _cut(data: bytes, offset: int) -> Finding:
    there = len(data) - offset
    if there < HEADER_BYTES:
        return Finding(
            offset, problem=f"ends after {there} of the {HEADER_BYTES} bytes of a header"
        )
    finding = _headed(data, offset)
    size = HEADER_BYTES + (finding.payload_bytes or 0) + _CRC_BYTES
    return finding._replace(problem=f"ends after {there} of the {size} bytes of this frame")


def _headed(data: bytes, offset: int) -> Finding:
    length = int.from_bytes(data[offset + 4 : offset + HEADER_BYTES], "big")
    return Finding(offset, FrameType(data[offset + 3]).name, length)


def _fields(message: Message, secrets: bool, *, zeros: bool) -> dict[str, Any]:
    values = {}
    for field in message.DESCRIPTOR.fields:
        raw = getattr(message, field.name)
        if raw or (zeros and isinstance(raw, int | float)):
            value = _value(field, raw, secrets)
            hidden = field.name in _SECRETS and not secrets
            values[field.name] = HIDDEN if hidden else value
    return values


def _value(field: Any, value: Any, secrets: bool) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return [_single(field, item, secrets) for item in value]
    return _single(field, value, secrets)


def _single(field: Any, value: Any, secrets: bool) -> Any:
    if isinstance(value, Message):
        return _fields(value, secrets, zeros=False)
    if field.enum_type is not None:
        return _enum_name(field.enum_type, value)
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # JSON has no such number
    return value


def _enum_name(kind: EnumDescriptor, number: int) -> str | int:
    known = kind.values_by_number
    if number not in known:
        return number
    prefix = known[0].name.removesuffix("UNSPECIFIED")
    name: str = known[number].name
    return name.removeprefix(prefix)
