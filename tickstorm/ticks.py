"""A tick, the limits that it keeps, and the last one of each symbol.

Every tick inside the server is a valid one: `validate` stands at each way in.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from tickstorm.errors import InvalidTick

SYMBOL = re.compile(r"[A-Z0-9._-]{1,16}")
MIN_PRICE, MAX_PRICE = 0.0001, 1_000_000.0
MAX_VOLUME = 1e9
MAX_SIZE = 2**63 - 1
MAX_METADATA_ENTRIES, MAX_METADATA_KEY, MAX_METADATA_VALUE = 20, 64, 256

_NO_METADATA: Mapping[str, str] = MappingProxyType({})


class Tick(NamedTuple):
    """One trade or quote as a source gives it.

    Attributes:
        symbol: 1 to 16 of A-Z, 0-9, dot, underscore, hyphen.
        price: MIN_PRICE to MAX_PRICE.
        volume: 0 to MAX_VOLUME; 0 for a quote.
        timestamp_ns: nanoseconds since the Unix epoch; 0 lets the hub put in its own time.
        bid, ask: 0 when unknown, else within the limits of a price.
        bid_size, ask_size: 0 when unknown.
        metadata: at most 20 entries, keys of 64 and values of 256 characters.
    """

    symbol: str
    price: float
    volume: float = 0.0
    timestamp_ns: int = 0
    bid: float = 0.0
    ask: float = 0.0
    bid_size: int = 0
    ask_size: int = 0
    metadata: Mapping[str, str] = _NO_METADATA


def validate(tick: Tick) -> None:
    """Let a tick in, or say why not.

    Raises:
        InvalidTick: a field is outside its range; NaN and the infinities are outside of every one.
    """
    if not SYMBOL.fullmatch(tick.symbol):
        raise InvalidTick(f"symbol {tick.symbol[:32]!r} is not 1 to 16 of A-Z 0-9 . _ -")
    if not MIN_PRICE <= tick.price <= MAX_PRICE:
        raise InvalidTick(f"price {tick.price} is not {MIN_PRICE} to {MAX_PRICE:.0f}")
    if not 0 <= tick.volume <= MAX_VOLUME:
        raise InvalidTick(f"volume {tick.volume} is not 0 to {MAX_VOLUME:.0f}")
    for side, price in (("bid", tick.bid), ("ask", tick.ask)):
        if price and not MIN_PRICE <= price <= MAX_PRICE:
            raise InvalidTick(f"{side} {price} is neither 0 nor {MIN_PRICE} to {MAX_PRICE:.0f}")
    for side, size in (("bid_size", tick.bid_size), ("ask_size", tick.ask_size)):
        if not 0 <= size <= MAX_SIZE:
            raise InvalidTick(f"{side} {size} is not 0 to 2^63 - 1")
    if not 0 <= tick.timestamp_ns <= MAX_SIZE:
        raise InvalidTick(f"timestamp_ns {tick.timestamp_ns} is not 0 to 2^63 - 1")
    if tick.metadata:
        _validate_metadata(tick.metadata)


def _validate_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > MAX_METADATA_ENTRIES:
        raise InvalidTick(f"{len(metadata)} metadata entries are over {MAX_METADATA_ENTRIES}")
    for key, value in metadata.items():
        if len(key) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE:
            raise InvalidTick(
                f"metadata {key[:32]!r} is over {MAX_METADATA_KEY} characters of key "
                f"or {MAX_METADATA_VALUE} of value"
            )


class LastValues:
    """The last tick of each symbol. Its owner bounds the symbols."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, Tick] = {}

    def __len__(self) -> int:
        return len(self._last)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._last

    def put(self, tick: Tick) -> None:
        """Keep this tick as the last of its symbol."""
        self._last[tick.symbol] = tick

    def of(self, symbols: Iterable[str] | None) -> list[Tick]:
        """Return the last ticks of these symbols, those that have none left out; None means all."""
        if symbols is None:
            return list(self._last.values())
        return [self._last[symbol] for symbol in symbols if symbol in self._last]
