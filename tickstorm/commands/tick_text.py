"""A tick as a line of columns, or as a JSON object. Pure."""

from math import isfinite
from typing import Any

from tickstorm.client.batch import Batch, ReceivedTick
from tickstorm.commands.board import Quote, latency_ms
from tickstorm.commands.text import (
    NONE,
    milliseconds,
    money,
    number,
    printable,
    signed,
    wall_time,
)


def tick_line(tick: ReceivedTick, batch: Batch, quote: Quote) -> str:
    """Return a tick as time, symbol, last, change, percent, volume, bid, ask, latency in ms.

    The columns keep their places as long as their values are not unusually long, and there are
    always nine, whatever is unknown.

    Args:
        tick: one of the batch's.
        batch: where it came from.
        quote: what is known of its symbol, this tick included.
    """
    digits = quote.places
    return (
        f"{wall_time(tick.timestamp_ns)} {printable(tick.symbol) or NONE:<8}"
        f" {tick.price:>11.{digits}f} {signed(quote.change, digits):>10}"
        f" {signed(quote.change_percent, 2) + '%':>8} {number(tick.volume):>9}"
        f" {money(tick.bid, digits):>11} {money(tick.ask, digits):>11}"
        f" {milliseconds(latency_ms(batch)):>6}"
    )


def tick_json(tick: ReceivedTick, batch: Batch) -> dict[str, Any]:
    """Return a tick and what its batch says of it as an object for JSON.

    What only a bar has is left out of a single tick. What is unknown is null, as are numbers that
    JSON has not.
    """
    fields: dict[str, Any] = tick._asdict()
    if not tick.trade_count:
        for name in ("open", "high", "low", "vwap", "trade_count"):
            del fields[name]
    for name in ("bid", "ask", "bid_size", "ask_size"):
        fields[name] = fields[name] or None
    fields["mode"] = tick.mode.name if tick.mode is not None else None
    fields["metadata"] = dict(tick.metadata)
    fields |= {
        "batch_sequence": batch.sequence,
        "batch_timestamp_ms": batch.timestamp_ms,
        "is_snapshot": batch.is_snapshot,
        "publish_time_ns": batch.publish_time_ns or None,
        "received_ns": batch.received_ns,
        "latency_ms": latency_ms(batch),
    }
    return {name: _finite(value) for name, value in fields.items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value
