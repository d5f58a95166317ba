"""What a client subscribes to: a SUBSCRIBE payload to a checked value.

A subscription that leaves this module keeps the limits of the protocol.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum, unique
from functools import lru_cache
from typing import NamedTuple

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import InvalidSubscription
from tickstorm.messages import parse
from tickstorm.symbols import PATTERN, without_doubles
from tickstorm.ticks import (
    MAX_METADATA_ENTRIES,
    MAX_METADATA_KEY,
    MAX_METADATA_VALUE,
    NO_METADATA,
)

MAX_SYMBOLS = 100
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 10, 3_600_000
MAX_EPOCH = 64
MAX_SHARED_SUBSCRIPTIONS, MAX_SHARED_PAYLOAD_BYTES = 1024, 256
"""How many subscriptions are kept to be shared, and how long their payloads may be."""


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
