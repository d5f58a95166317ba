"""What a subscriber receives: batches of ticks, as plain immutable values."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from tickstorm.subscriptions import Mode

NO_METADATA: Mapping[str, str] = MappingProxyType({})


class ReceivedTick(NamedTuple):
    """One tick, or in SECOND and MINUTE one bar of a symbol.

    Attributes:
        symbol: 1 to 16 of A-Z, 0-9, dot, underscore, hyphen.
        timestamp_ms: milliseconds since the Unix epoch.
        timestamp_ns: nanoseconds since the Unix epoch; no finer than `timestamp_ms` unless the mode
            is TICK and the server tells it.
        price: the last price.
        volume: of the tick, or of the whole bar.
        bid, ask: 0 when unknown.
        bid_size, ask_size: 0 when unknown.
        open, high, low: of a bar; 0 for a single tick, and from a server of plain version 1.
        vwap: sum(price * volume) / sum(volume) of a bar; 0 without volume.
        trade_count: how many ticks the bar has.
        mode: None when the server does not say, as of a bar with an interval of its own.
        metadata: what the publisher added.
    """

    symbol: str
    timestamp_ms: int
    timestamp_ns: int
    price: float
    volume: float = 0.0
    bid: float = 0.0
    ask: float = 0.0
    bid_size: int = 0
    ask_size: int = 0
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    vwap: float = 0.0
    trade_count: int = 0
    mode: Mode | None = None
    metadata: Mapping[str, str] = NO_METADATA


class Batch(NamedTuple):
    """The ticks that the server sent together.

    Attributes:
        ticks: in the server's order; none in a quiet period.
        timestamp_ms: the end of the period, in milliseconds since the Unix epoch.
        sequence: the stream's number of this batch, 0 to 2^32 - 1.
        is_snapshot: whether these are last values, sent once at the beginning. A snapshot bears
            the number of the batch before the next one, and counts for nothing in the sequence.
        publish_time_ns: when the server began to send it, on the server's clock, in nanoseconds
            since the Unix epoch; 0 from a server that does not say.
        received_ns: when its last bytes arrived, on this machine's clock.
    """

    ticks: tuple[ReceivedTick, ...]
    timestamp_ms: int
    sequence: int
    is_snapshot: bool = False
    publish_time_ns: int = 0
    received_ns: int = 0
