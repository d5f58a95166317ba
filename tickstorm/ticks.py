"""A tick, the limits that it keeps, and the last one of each symbol.

Every tick inside the server is a valid one: `validate` stands at each way in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, NoReturn

from tickstorm.errors import InvalidTick

SYMBOL = re.compile(r"[A-Z0-9._-]{1,16}")
MIN_PRICE, MAX_PRICE = 0.0001, 1_000_000.0
MAX_VOLUME = 1e9
MAX_WHOLE = 2**63 - 1
MAX_METADATA_ENTRIES, MAX_METADATA_KEY, MAX_METADATA_VALUE = 20, 64, 256
MAX_TICKS_PER_BATCH = 1000

_SURROGATE = re.compile("[\ud800-\udfff]")


class _Nothing(Mapping[str, str]):
    """No entries: one value, that stays the same one in another process."""

    __slots__ = ()

    def __getitem__(self, key: str) -> NoReturn:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"

    def __hash__(self) -> int:
        return 0

    def __reduce__(self) -> str:
        return "NO_METADATA"


NO_METADATA: Mapping[str, str] = _Nothing()


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
    metadata: Mapping[str, str] = NO_METADATA


def validate(tick: object) -> None:
    """Let a tick in, or say why not.

    Raises:
        InvalidTick: a field is outside its range; NaN and the infinities are outside of every one.
    """
    if not isinstance(tick, Tick):
        raise InvalidTick(f"{_shown(tick)} is no Tick")
    symbol, price, volume, timestamp_ns, bid, ask, bid_size, ask_size, metadata = tick
    if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol):
        raise InvalidTick(f"symbol {_shown(symbol)} is not 1 to 16 of A-Z 0-9 . _ -")
    if not isinstance(price, float | int) or not MIN_PRICE <= price <= MAX_PRICE:
        raise InvalidTick(f"price {_shown(price)} is not {MIN_PRICE} to {MAX_PRICE:.0f}")
    if not isinstance(volume, float | int) or not 0 <= volume <= MAX_VOLUME:
        raise InvalidTick(f"volume {_shown(volume)} is not 0 to {MAX_VOLUME:.0f}")
    _validate_quote("bid", bid)
    _validate_quote("ask", ask)
    _validate_whole("bid_size", bid_size)
    _validate_whole("ask_size", ask_size)
    _validate_whole("timestamp_ns", timestamp_ns)
    if metadata is not NO_METADATA:
        _validate_metadata(metadata)


def _validate_quote(side: str, price: object) -> None:
    if price == 0 and isinstance(price, float | int):
        return
    if not isinstance(price, float | int) or not MIN_PRICE <= price <= MAX_PRICE:
        raise InvalidTick(f"{side} {_shown(price)} is neither 0 nor {MIN_PRICE} to {MAX_PRICE:.0f}")


def _validate_whole(name: str, number: object) -> None:
    if not isinstance(number, int) or not 0 <= number <= MAX_WHOLE:
        raise InvalidTick(f"{name} {_shown(number)} is not 0 to 2^63 - 1")


def _validate_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping):
        raise InvalidTick(f"metadata {_shown(metadata)} is no mapping")
    if len(metadata) > MAX_METADATA_ENTRIES:
        raise InvalidTick(f"{len(metadata)} metadata entries are over {MAX_METADATA_ENTRIES}")
    for key, value in metadata.items():
        if not _is_text(key) or not _is_text(value):
            raise InvalidTick(f"metadata {_shown(key)} is not text, or its value is not")
        if len(key) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE:
            raise InvalidTick(
                f"metadata {_shown(key)} is over {MAX_METADATA_KEY} characters of key "
                f"or {MAX_METADATA_VALUE} of value"
            )


def _is_text(value: object) -> bool:
    """Whether the wire can carry it: a lone surrogate it cannot."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value[:32])
    if isinstance(value, int) and abs(value) > 10 * MAX_WHOLE:
        return "of more than 19 digits"  # Python refuses to write out the very long ones
    return repr(value)[:32]


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
