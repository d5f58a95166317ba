"""Ticks and bars on their way out: each serialised once, joined to the batches of any stream.

Every frame that this module makes keeps the limits of the protocol, so records that would make one
too long are split into several.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.bars import Bar
from tickstorm.frames import FrameType, encode_frame
from tickstorm.subscriptions import Mode
from tickstorm.ticks import MAX_TICKS_PER_BATCH, NO_METADATA, Tick

SCHEMA_VERSION = 1
MAX_TRAILER_BYTES = 64
"""More than the fields of a DataBatch beside its ticks can take: 11 + 6 + 2 + 6 + 9, rounded up."""


class BatchTrailer(NamedTuple):
    """What a DataBatch has beside its ticks."""

    timestamp_ms: int
    sequence: int
    publish_time_ns: int
    is_snapshot: bool


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
