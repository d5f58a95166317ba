"""The messages, but for subscriptions and batches: payloads to checked values, values to frames.

Every request that leaves this module keeps the limits of the protocol, and so does every frame that
it makes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import (
    InvalidAuth,
    InvalidMessage,
    InvalidPublication,
    InvalidTick,
    ProtocolError,
)
from tickstorm.frames import FrameType, encode_frame
from tickstorm.ticks import MAX_TICKS_PER_BATCH, NO_METADATA, Tick

MAX_ERROR_MESSAGE, MAX_ERROR_DETAILS = 512, 1024
MAX_PASSWORD, MAX_CLIENT_ID, MAX_VERSION = 128, 64, 32
MAX_CLOCK_BEHIND_MS, MAX_CLOCK_AHEAD_MS = 24 * 3600 * 1000, 5 * 60 * 1000
_USERNAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?")
_Message = TypeVar("_Message", bound=Message)


class Login(NamedTuple):
    """The contents of an AUTH frame, within the limits."""

    username: str
    password: str
    client_id: str = ""
    version: str = ""

    def __repr__(self) -> str:
        return f"Login(username={self.username!r}, password=<hidden>)"


class PublishRequest(NamedTuple):
    """The contents of a PUBLISH frame, within the limits.

    Attributes:
        request_id: rises with each request of a client_id; 0 is not remembered.
        ticks: 1 to MAX_TICKS_PER_BATCH.
        after: the request that it directly follows; 0 stands for any.
    """

    request_id: int
    ticks: Sequence[Tick]
    after: int = 0


class Gap(NamedTuple):
    """The contents of a GAP frame: batches that a connection does not get.

    Attributes:
        first_sequence: the number of the first.
        last_sequence: that of the last.
        ticks_lost: how many ticks were in them, and in no batch that comes.
        reason: "conflated" or "dropped".
    """

    first_sequence: int
    last_sequence: int
    ticks_lost: int
    reason: str


class Heartbeat(NamedTuple):
    """The contents of a HEARTBEAT frame."""

    timestamp_ms: int
    sequence: int


def parse(kind: type[_Message], payload: bytes) -> _Message:
    """Read a payload as a message of this kind.

    Raises:
        InvalidMessage: it is none.
    """
    message = kind()
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise InvalidMessage(f"the payload is no {kind.DESCRIPTOR.name}", str(error)) from error
    return message


def decode_login(payload: bytes) -> Login:
    """Read an AUTH payload.

    Raises:
        InvalidMessage: it is no AuthRequest.
        InvalidAuth: a field is over its limit.
    """
    request = parse(pb.AuthRequest, payload)
    if not _USERNAME.fullmatch(request.username):
        raise InvalidAuth("a username is 1 to 64 of A-Z a-z 0-9 _ -")
    if len(request.password) > MAX_PASSWORD:
        raise InvalidAuth(f"a password has at most {MAX_PASSWORD} characters")
    if len(request.client_id) > MAX_CLIENT_ID:
        raise InvalidAuth(f"a client_id has at most {MAX_CLIENT_ID} characters")
    if request.version and (
        len(request.version) > MAX_VERSION or not _VERSION.fullmatch(request.version)
    ):
        raise InvalidAuth(f"a version is N.N or N.N.N in at most {MAX_VERSION} characters")
    return Login(request.username, request.password, request.client_id, request.version)


def check_unsubscription(payload: bytes) -> None:
    """Read an UNSUBSCRIBE payload, in which there is nothing.

    Raises:
        InvalidMessage: it is no UnsubscribeRequest.
    """
    if payload:
        parse(pb.UnsubscribeRequest, payload)


def decode_publication(payload: bytes, wall_ms: int) -> PublishRequest:
    """Read a PUBLISH payload.

    Raises:
        InvalidMessage: it is no PublishRequest.
        InvalidPublication: it has no tick or too many, or the time of one is too far from
            `wall_ms`; the message begins with the index of the first such. Whatever else a tick has
            is for the hub to judge.
    """
    request = parse(pb.PublishRequest, payload)
    try:
        ticks = _read_ticks(request.ticks, wall_ms)
    except InvalidTick as error:
        raise InvalidPublication(str(error), request_details(request.request_id)) from None
    return PublishRequest(request.request_id, ticks, request.after_request_id)


def decode_request_id(payload: bytes) -> int:
    """Read of a PUBLISH payload only which request it is: that takes little beside its ticks.

    Raises:
        InvalidMessage: it is no PublishRequest.
    """
    return parse(pb.PublishRequest, payload).request_id


def request_details(request_id: int) -> str:
    """Return how the details of an ERROR name the request that it answers."""
    return f"request {request_id}"


def _read_ticks(ticks: Sequence[pb.Tick], wall_ms: int) -> list[Tick]:
    if not 1 <= len(ticks) <= MAX_TICKS_PER_BATCH:
        raise InvalidTick(f"{len(ticks)} ticks are not 1 to {MAX_TICKS_PER_BATCH}")
    read = []
    for index, tick in enumerate(ticks):
        try:
            read.append(_read_tick(tick, wall_ms))
        except InvalidTick as error:
            raise InvalidTick(f"tick {index}: {error}") from None
    return read


def _read_tick(tick: pb.Tick, wall_ms: int) -> Tick:
    timestamp_ns = tick.timestamp_ns or tick.timestamp_ms * 1_000_000
    if timestamp_ns and not _is_near(timestamp_ns // 1_000_000, wall_ms):
        raise InvalidTick(
            f"timestamp {timestamp_ns // 1_000_000} ms is more than 24 h behind or 5 min ahead"
        )
    return Tick(
        tick.symbol,
        tick.price,
        tick.volume,
        timestamp_ns,
        tick.bid,
        tick.ask,
        tick.bid_size,
        tick.ask_size,
        dict(tick.metadata) or NO_METADATA,
    )


def _is_near(timestamp_ms: int, wall_ms: int) -> bool:
    return -MAX_CLOCK_BEHIND_MS <= timestamp_ms - wall_ms <= MAX_CLOCK_AHEAD_MS


def decode_heartbeat(payload: bytes, wall_ms: int) -> Heartbeat:
    """Read a HEARTBEAT payload, an empty one too.

    Raises:
        InvalidMessage: it is no HeartbeatRequest, or its time is too far from `wall_ms`.
    """
    if not payload:
        return Heartbeat(0, 0)
    request = parse(pb.HeartbeatRequest, payload)
    timestamp_ms = request.timestamp_ms
    if timestamp_ms and not _is_near(timestamp_ms, wall_ms):
        raise InvalidMessage(
            "the timestamp is more than 24 h behind or 5 min ahead",
            f"it is {timestamp_ms}, the server's clock is at {wall_ms}",
        )
    return Heartbeat(timestamp_ms, request.sequence)


def pong_frame(
    heartbeat: Heartbeat, wall_ms: int, epoch: str = "", next_sequence: int = 0
) -> bytes:
    """Answer a heartbeat.

    Args:
        heartbeat: what is answered.
        wall_ms: milliseconds since the Unix epoch.
        epoch: of the client's stream, if it has one.
        next_sequence: of the batch that it gets next.
    """
    return encode_frame(
        FrameType.PONG,
        pb.HeartbeatResponse(
            client_timestamp_ms=heartbeat.timestamp_ms,
            server_timestamp_ms=wall_ms,
            sequence=heartbeat.sequence,
            next_sequence=next_sequence,
            epoch=epoch,
        ).SerializeToString(),
    )


def ack_frame(
    acknowledged: FrameType, message: str, wall_ms: int, metadata: Mapping[str, str] = NO_METADATA
) -> bytes:
    """Say that a request was carried out."""
    ack = pb.AckResponse(
        ack_type=pb.MessageType.ValueType(acknowledged),
        success=True,
        message=message,
        timestamp_ms=wall_ms,
    )
    entries = ack.metadata
    for key, value in metadata.items():  # one by one: a whole mapping takes twice as long
        entries[key] = value
    return encode_frame(FrameType.ACK, ack.SerializeToString())


def error_frame(error: ProtocolError, wall_ms: int) -> bytes:
    """Say what went wrong."""
    return encode_frame(
        FrameType.ERROR,
        pb.ErrorResponse(
            code=pb.ErrorCode.ValueType(error.code),
            message=error.message[:MAX_ERROR_MESSAGE],
            details=error.details[:MAX_ERROR_DETAILS],
            timestamp_ms=wall_ms,
            retryable=error.retryable,
            retry_after_ms=error.retry_after_ms,
        ).SerializeToString(),
    )


def goaway_frame(retry_after_ms: int, reason: str) -> bytes:
    """Say that the connection will be closed, and after how long to come back."""
    return encode_frame(
        FrameType.GOAWAY,
        pb.GoAway(
            retry_after_ms=retry_after_ms, reason=reason[:MAX_ERROR_MESSAGE]
        ).SerializeToString(),
    )


def gap_frame(gap: Gap) -> bytes:
    """Tell of batches that do not come."""
    return encode_frame(FrameType.GAP, pb.GapNotice(**gap._asdict()).SerializeToString())
