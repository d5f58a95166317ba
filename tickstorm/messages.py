"""The messages: payloads to checked values, and values to frames. The only user of generated code.

Every request that leaves this module keeps the limits of the protocol; every frame that it makes
keeps them too, so a batch that would be too long comes out as several.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum, unique
from functools import lru_cache
from typing import NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.bars import Bar
from tickstorm.errors import (
    InvalidAuth,
    InvalidMessage,
    InvalidPublication,
    InvalidSubscription,
    InvalidTick,
    ProtocolError,
)
from tickstorm.frames import FrameType, encode_frame
from tickstorm.symbols import PATTERN, without_doubles
from tickstorm.ticks import (
    MAX_METADATA_ENTRIES,
    MAX_METADATA_KEY,
    MAX_METADATA_VALUE,
    NO_METADATA,
    Tick,
)

MAX_SYMBOLS = 100
MAX_TICKS_PER_BATCH = 1000
MAX_ERROR_MESSAGE, MAX_ERROR_DETAILS = 512, 1024
MAX_PASSWORD, MAX_CLIENT_ID, MAX_VERSION = 128, 64, 32
MAX_CLOCK_BEHIND_MS, MAX_CLOCK_AHEAD_MS = 24 * 3600 * 1000, 5 * 60 * 1000
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 10, 3_600_000
MAX_EPOCH = 64
MAX_SHARED_SUBSCRIPTIONS, MAX_SHARED_PAYLOAD_BYTES = 1024, 256
"""How many subscriptions are kept to be shared, and how long their payloads may be."""
SCHEMA_VERSION = 1

_USERNAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?")
MAX_TRAILER_BYTES = 64
"""More than the fields of a DataBatch beside its ticks can take: 11 + 6 + 2 + 6 + 9, rounded up."""

_Message = TypeVar("_Message", bound=Message)


@unique
class Mode(IntEnum):
    """What a subscription gets, numbered as in protos/tickstorm.proto."""

    INTERVAL = 0
    """Bars of an interval that the subscription names."""
    SECOND = 1
    MINUTE = 2
    TICK = 3


PERIOD_MS = {Mode.SECOND: 1_000, Mode.MINUTE: 60_000, Mode.TICK: 0}
"""How long the bars of a mode are; 0 where there are none."""
_MODES = {0: Mode.TICK, 1_000: Mode.SECOND, 60_000: Mode.MINUTE}


def mode_of(period_ms: int) -> Mode:
    """Return the mode of bars of this length; 0 is TICK."""
    return _MODES.get(period_ms, Mode.INTERVAL)


@unique
class Overload(IntEnum):
    """What becomes of a slow subscriber, numbered as OverloadPolicy in protos/tickstorm.proto."""

    CONFLATE = 1
    DROP_OLDEST = 2
    DISCONNECT = 3


class Position(NamedTuple):
    """Behind which batch to go on.

    Attributes:
        epoch: names the run of sequence numbers, as the ACK of a SUBSCRIBE does.
        sequence: of the last batch that was received.
    """

    epoch: str
    sequence: int


class Login(NamedTuple):
    """The contents of an AUTH frame, within the limits."""

    username: str
    password: str
    client_id: str = ""
    version: str = ""

    def __repr__(self) -> str:
        return f"Login(username={self.username!r}, password=<hidden>)"


class Subscription(NamedTuple):
    """The contents of a SUBSCRIBE frame, within the limits.

    Attributes:
        mode: how often the ticks come; INTERVAL leaves it to `interval_ms`.
        symbols: names, and beginnings with an asterisk behind them; None means all.
        snapshot: whether to get the last value of each symbol first.
        start_time_ms: to begin with what is kept since then, if above 0.
        metadata: for the server's listing.
        interval_ms: of the bars, 10 to 3,600,000; 0 stands for that of the mode.
        overload: what to do if the subscriber does not keep up; None stands for DISCONNECT.
        resume: to go on behind this batch.
    """

    mode: Mode
    symbols: frozenset[str] | None = None
    snapshot: bool = False
    start_time_ms: int = 0
    metadata: Mapping[str, str] = NO_METADATA
    interval_ms: int = 0
    overload: Overload | None = None
    resume: Position | None = None

    @property
    def period_ms(self) -> int:
        """How long its bars are; 0 in TICK."""
        return self.interval_ms or PERIOD_MS[self.mode]

    @property
    def policy(self) -> Overload:
        """What to do if the subscriber does not keep up."""
        return self.overload or Overload.DISCONNECT

    @property
    def has_past(self) -> bool:
        """Whether it asks for more than what comes from now on."""
        return self.snapshot or self.start_time_ms > 0 or self.resume is not None

    @property
    def is_extended(self) -> bool:
        """Whether it asks for what came after version 1: who does is told of gaps and drains."""
        return (
            self.mode in (Mode.TICK, Mode.INTERVAL)
            or self.snapshot
            or self.overload is not None
            or self.resume is not None
        )


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


class BatchTrailer(NamedTuple):
    """What a DataBatch has beside its ticks."""

    timestamp_ms: int
    sequence: int
    publish_time_ns: int
    is_snapshot: bool


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


def decode_subscription(payload: bytes) -> Subscription:
    """Read a SUBSCRIBE payload; equal short ones give one and the same value.

    Raises:
        InvalidMessage: it is no SubscribeRequest.
        InvalidSubscription: the mode is unknown, or a field is over its limit.
    """
    if len(payload) <= MAX_SHARED_PAYLOAD_BYTES:
        return _shared_subscription(payload)
    return _read_subscription(payload)


def _read_subscription(payload: bytes) -> Subscription:
    request = parse(pb.SubscribeRequest, payload)
    _check_metadata(request)
    mode, interval_ms = _read_period(request.mode, request.interval_ms)
    return Subscription(
        mode,
        _read_symbols(request.symbols),
        request.snapshot,
        request.start_time_ms,
        dict(request.metadata) or NO_METADATA,
        interval_ms,
        _read_overload(request.overload),
        _read_position(request),
    )


def _read_period(mode: int, interval_ms: int) -> tuple[Mode, int]:
    if mode not in tuple(Mode) or not (mode or interval_ms):
        raise InvalidSubscription(f"mode {mode} is not SECOND, MINUTE or TICK")
    if not interval_ms:
        return Mode(mode), 0
    if mode == Mode.TICK:
        raise InvalidSubscription("TICK has no interval_ms")
    if not MIN_INTERVAL_MS <= interval_ms <= MAX_INTERVAL_MS:
        raise InvalidSubscription(
            f"interval_ms {interval_ms} is not {MIN_INTERVAL_MS} to {MAX_INTERVAL_MS}"
        )
    named = mode_of(interval_ms)
    return named, interval_ms if named is Mode.INTERVAL else 0


def _read_symbols(patterns: Sequence[str]) -> frozenset[str] | None:
    if len(patterns) > MAX_SYMBOLS:
        raise InvalidSubscription(f"{len(patterns)} symbols are over {MAX_SYMBOLS}")
    for pattern in patterns:
        if not PATTERN.fullmatch(pattern):
            raise InvalidSubscription(
                f"symbol {pattern[:32]!r} is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)"
            )
    return without_doubles(patterns) or None


def _read_overload(policy: int) -> Overload | None:
    if policy not in (0, *Overload):
        raise InvalidSubscription(f"overload {policy} is not CONFLATE, DROP_OLDEST or DISCONNECT")
    return Overload(policy) if policy else None


def _read_position(request: pb.SubscribeRequest) -> Position | None:
    if len(request.resume_epoch) > MAX_EPOCH:
        raise InvalidSubscription(f"a resume_epoch has at most {MAX_EPOCH} characters")
    if not request.resume_epoch:
        return None
    return Position(request.resume_epoch, request.resume_after_sequence)


def _check_metadata(request: pb.SubscribeRequest) -> None:
    if len(request.metadata) > MAX_METADATA_ENTRIES or any(
        len(key) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE
        for key, value in request.metadata.items()
    ):
        raise InvalidSubscription(
            f"metadata has at most {MAX_METADATA_ENTRIES} entries of {MAX_METADATA_KEY} "
            f"and {MAX_METADATA_VALUE} characters"
        )


# Most clients ask for the same few things, and keep what they asked for as long as they stay.
_shared_subscription = lru_cache(MAX_SHARED_SUBSCRIPTIONS)(_read_subscription)


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
    return encode_frame(
        FrameType.ACK,
        pb.AckResponse(
            ack_type=pb.MessageType.ValueType(acknowledged),
            success=True,
            message=message,
            timestamp_ms=wall_ms,
            metadata=metadata,
        ).SerializeToString(),
    )


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


def record(tick: pb.Tick) -> bytes:
    """Serialise a tick as it stands in a DataBatch or a PublishRequest: field 1, length, body.

    Protobuf lets records be joined, so each tick is serialised once, whoever gets it.
    """
    body = tick.SerializeToString()
    size = len(body)
    if size < 0x80:
        return b"\x0a%c%b" % (size, body)
    if size < 0x4000:
        return b"\x0a%c%c%b" % (size & 0x7F | 0x80, size >> 7, body)
    return b"\x0a%c%c%c%b" % (size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14, body)


def filled_tick(tick: Tick) -> pb.Tick:
    """Return a tick without its time and mode."""
    # Field by field, and those that are known only: that is twice as fast as all at once.
    symbol, price, volume, _, bid, ask, bid_size, ask_size, metadata = tick
    message = pb.Tick()
    message.symbol = symbol
    message.price = price
    if volume:
        message.volume = volume
    if bid:
        message.bid = bid
    if ask:
        message.ask = ask
    if bid_size:
        message.bid_size = bid_size
    if ask_size:
        message.ask_size = ask_size
    if metadata is not NO_METADATA:
        message.metadata.update(metadata)
    return message


def _entries(metadata: Mapping[str, str]) -> Mapping[str, str] | None:
    return None if metadata is NO_METADATA else metadata


def tick_record(tick: Tick, mode: Mode = Mode.TICK) -> bytes:
    """Serialise one tick as a piece of any DataBatch."""
    message = filled_tick(tick)
    message.timestamp_ms = tick.timestamp_ns // 1_000_000
    message.mode = pb.SubscriptionMode.ValueType(mode)
    if mode is Mode.TICK:
        message.timestamp_ns = tick.timestamp_ns
    return record(message)


def bar_record(bar: Bar, mode: Mode) -> bytes:
    """Serialise one bar as a piece of any DataBatch: price is its last."""
    last = bar.last
    return record(
        pb.Tick(
            symbol=last.symbol,
            timestamp_ms=last.timestamp_ns // 1_000_000,
            price=last.price,
            volume=bar.volume,
            bid=last.bid,
            ask=last.ask,
            bid_size=last.bid_size,
            ask_size=last.ask_size,
            mode=pb.SubscriptionMode.ValueType(mode),
            metadata=_entries(last.metadata),
            open=bar.open,
            high=bar.high,
            low=bar.low,
            vwap=bar.vwap,
            trade_count=bar.count,
        )
    )


def batch_frame(
    records: Iterable[bytes],
    *,
    timestamp_ms: int,
    sequence: int,
    publish_time_ns: int,
    is_snapshot: bool = False,
) -> bytes:
    """Make one DATA_BATCH frame of at most MAX_TICKS_PER_BATCH records, joined as they are."""
    trailer = pb.DataBatch(
        batch_timestamp_ms=timestamp_ms,
        batch_sequence=sequence,
        is_snapshot=is_snapshot,
        schema_version=SCHEMA_VERSION,
        publish_time_ns=publish_time_ns,
    )
    payload = b"".join((*records, trailer.SerializeToString()))
    return encode_frame(FrameType.DATA_BATCH, payload)


def read_trailer(data: bytes) -> BatchTrailer:
    """Read what a DataBatch of ours has behind its records."""
    trailer = pb.DataBatch.FromString(data)
    return BatchTrailer(
        trailer.batch_timestamp_ms,
        trailer.batch_sequence,
        trailer.publish_time_ns,
        trailer.is_snapshot,
    )


def split_records(records: Sequence[bytes], max_payload_bytes: int) -> Iterator[Sequence[bytes]]:
    """Cut records into runs that each fit into one batch; no records are one empty run."""
    room = max_payload_bytes - MAX_TRAILER_BYTES
    if len(records) <= MAX_TICKS_PER_BATCH and sum(map(len, records)) <= room:
        yield records
        return
    start = size = 0
    for at, record in enumerate(records):
        if (size and size + len(record) > room) or at - start == MAX_TICKS_PER_BATCH:
            yield records[start:at]
            start, size = at, 0
        size += len(record)
    yield records[start:]
