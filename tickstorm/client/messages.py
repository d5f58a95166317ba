"""The messages as a client has them. The only user of generated code on this side of the wire."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.client.batch import NO_METADATA, Batch, ReceivedTick
from tickstorm.client.events import Gap, GoAway
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    ErrorCode,
    InvalidMessage,
    InvalidPublication,
    MayNotPublish,
    ProtocolError,
    PublicationFailed,
    PublishingTooFast,
)
from tickstorm.frames import FrameType, encode_frame
from tickstorm.messages import Login, parse
from tickstorm.records import filled_tick, record
from tickstorm.sequences import SEQUENCE_MODULUS
from tickstorm.subscriptions import Mode, Subscription
from tickstorm.ticks import Tick

_MODES = {int(mode): mode for mode in Mode if mode}
_CODES = frozenset(int(code) for code in ErrorCode)
_REQUEST = re.compile(r"request ([0-9]{1,20})\b")
_REFUSALS: Mapping[ErrorCode, type[ProtocolError]] = {
    ErrorCode.INVALID_MESSAGE: InvalidPublication,
    ErrorCode.NOT_PERMITTED: MayNotPublish,
    ErrorCode.RATE_LIMITED: PublishingTooFast,
    ErrorCode.INTERNAL_ERROR: PublicationFailed,
}


class Ack(NamedTuple):
    """The contents of an ACK frame: of which request, and what else the server says."""

    acknowledged: int
    success: bool
    message: str
    metadata: Mapping[str, str]


class ErrorReply(NamedTuple):
    """The contents of an ERROR frame, as the error that it stands for."""

    error: ProtocolError
    retryable: bool


class Pong(NamedTuple):
    """The contents of a PONG frame.

    Attributes:
        sequence: that of the heartbeat.
        next_sequence: the number of the batch that comes next, if there is an epoch.
        epoch: empty from a server that does not say, and before a subscription.
    """

    client_timestamp_ms: int
    server_timestamp_ms: int
    sequence: int
    next_sequence: int = 0
    epoch: str = ""


def login_frame(login: Login) -> bytes:
    """Ask to be let in."""
    return encode_frame(
        FrameType.AUTH,
        pb.AuthRequest(
            username=login.username,
            password=login.password,
            client_id=login.client_id,
            version=login.version,
        ).SerializeToString(),
    )


def subscription_frame(subscription: Subscription) -> bytes:
    """Ask for a stream."""
    epoch, sequence = subscription.resume or ("", 0)
    return encode_frame(
        FrameType.SUBSCRIBE,
        pb.SubscribeRequest(
            mode=pb.SubscriptionMode.ValueType(subscription.mode),
            symbols=sorted(subscription.symbols or ()),
            start_time_ms=subscription.start_time_ms,
            metadata=subscription.metadata,
            interval_ms=subscription.interval_ms,
            overload=pb.OverloadPolicy.ValueType(subscription.overload or 0),
            resume_epoch=epoch,
            resume_after_sequence=sequence,
            snapshot=subscription.snapshot,
        ).SerializeToString(),
    )


def unsubscription_frame() -> bytes:
    """Ask for no more of the stream."""
    return encode_frame(FrameType.UNSUBSCRIBE, b"")


def published_tick(tick: Tick) -> bytes:
    """Return a valid tick as a piece of any PUBLISH payload."""
    message = filled_tick(tick)
    if tick.timestamp_ns:
        message.timestamp_ns = tick.timestamp_ns
    return record(message)


def publication_frame(ticks: bytes, request_id: int, after: int) -> bytes:
    """Ask to publish.

    Args:
        ticks: the pieces of `published_tick`, joined.
        request_id: above those before.
        after: the request that it is to follow; 0 for any.
    """
    request = pb.PublishRequest(request_id=request_id, after_request_id=after)
    return encode_frame(FrameType.PUBLISH, ticks + request.SerializeToString())


def heartbeat_frame(wall_ms: int, sequence: int) -> bytes:
    """Show a sign of life."""
    return encode_frame(
        FrameType.HEARTBEAT,
        pb.HeartbeatRequest(timestamp_ms=wall_ms, sequence=sequence).SerializeToString(),
    )


def decode_ack(payload: bytes) -> Ack:
    """Read an ACK payload.

    Raises:
        InvalidMessage: it is no AckResponse.
    """
    response = parse(pb.AckResponse, payload)
    return Ack(response.ack_type, response.success, response.message, dict(response.metadata))


def decode_pong(payload: bytes) -> Pong:
    """Read a PONG payload.

    Raises:
        InvalidMessage: it is no HeartbeatResponse.
    """
    response = parse(pb.HeartbeatResponse, payload)
    return Pong(
        response.client_timestamp_ms,
        response.server_timestamp_ms,
        response.sequence,
        response.next_sequence,
        response.epoch,
    )


def decode_gap(payload: bytes) -> Gap:
    """Read a GAP payload.

    Raises:
        InvalidMessage: it is no GapNotice, or ends before it begins.
    """
    notice = parse(pb.GapNotice, payload)
    gap = Gap(notice.first_sequence, notice.last_sequence, notice.ticks_lost, notice.reason)
    if gap.batches >= SEQUENCE_MODULUS // 2:
        raise InvalidMessage(f"a gap from {gap.first} to {gap.last}")
    return gap


def decode_goaway(payload: bytes) -> GoAway:
    """Read a GOAWAY payload.

    Raises:
        InvalidMessage: it is no GoAway.
    """
    notice = parse(pb.GoAway, payload)
    return GoAway(notice.retry_after_ms, notice.reason)


def decode_error(payload: bytes) -> ErrorReply:
    """Read an ERROR payload. A code that is not known here comes out as a plain ProtocolError.

    Raises:
        InvalidMessage: it is no ErrorResponse.
    """
    response = parse(pb.ErrorResponse, payload)
    message = response.message
    if response.code not in _CODES:
        message = f"error {response.code}: {message}"
        kind = ProtocolError
    else:
        kind = PROTOCOL_ERRORS.get(ErrorCode(response.code), ProtocolError)
    return ErrorReply(kind(message, response.details, response.retry_after_ms), response.retryable)


def decode_batch(payload: bytes, received_ns: int) -> Batch:
    """Read a DATA_BATCH payload.

    Raises:
        InvalidMessage: it is no DataBatch.
    """
    batch = parse(pb.DataBatch, payload)
    return Batch(
        tuple(_ticks(batch.ticks)),
        batch.batch_timestamp_ms,
        batch.batch_sequence,
        batch.is_snapshot,
        batch.publish_time_ns,
        received_ns,
    )


def _ticks(ticks: Iterable[pb.Tick]) -> Iterable[ReceivedTick]:
    for tick in ticks:
        timestamp_ms = tick.timestamp_ms
        metadata = tick.metadata
        yield ReceivedTick(
            tick.symbol,
            timestamp_ms,
            tick.timestamp_ns or timestamp_ms * 1_000_000,
            tick.price,
            tick.volume,
            tick.bid,
            tick.ask,
            tick.bid_size,
            tick.ask_size,
            tick.open,
            tick.high,
            tick.low,
            tick.vwap,
            tick.trade_count,
            _MODES.get(tick.mode),
            dict(metadata) if metadata else NO_METADATA,
        )


def refused_request(error: ProtocolError) -> int | None:
    """Return the number of the request that an ERROR answers; None if it answers none."""
    found = _REQUEST.match(error.details)
    return None if found is None else int(found[1])


def refusal(error: ProtocolError) -> ProtocolError:
    """Return the error of a request as what it means there."""
    kind = _REFUSALS.get(error.code, type(error))
    return kind(error.message, error.details, error.retry_after_ms)
