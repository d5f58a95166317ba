"""The hub: every tick comes in here, and every stream begins here.

What is published is checked whole before any of it counts: a call is carried out or has no effect.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NamedTuple

from tickstorm.cadence import BarCadence, TickCadence, WallClock
from tickstorm.errors import InvalidTick
from tickstorm.frames import MAX_PAYLOAD_BYTES
from tickstorm.messages import Mode, Subscription, batch_frame, split_records, tick_record
from tickstorm.stream import SEQUENCE_MODULUS, S, Stream, StreamTable
from tickstorm.ticks import NO_METADATA, LastValues, Tick, validate

MIN_PAYLOAD_BYTES = 32_768
"""Room for any one tick, with all the metadata that it may have."""


class HubLimits(NamedTuple):
    """What a hub holds at most.

    Attributes:
        max_symbols: a tick of one more symbol is refused.
        max_payload_bytes: of a DATA_BATCH; at least MIN_PAYLOAD_BYTES.
    """

    max_symbols: int = 10_000
    max_payload_bytes: int = MAX_PAYLOAD_BYTES


class Hub(Generic[S]):
    """Takes ticks in, keeps the last of each symbol, and feeds the streams.

    Args:
        epoch: names this run of sequence numbers; a new one at every start.
        wall_ns: nanoseconds since the Unix epoch.
        limits: what it holds at most.
        slots: how many moments of a period SECOND and MINUTE are sent at, a divisor of 1,000; 1
            is aligned.

    Raises:
        ValueError: the limits or the slots are out of range.
    """

    def __init__(
        self, epoch: str, wall_ns: WallClock, limits: HubLimits = HubLimits(), slots: int = 1
    ) -> None:
        if limits.max_payload_bytes < MIN_PAYLOAD_BYTES:
            raise ValueError(f"max_payload_bytes is below {MIN_PAYLOAD_BYTES}")
        if slots < 1 or 1000 % slots:
            raise ValueError(f"{slots} slots do not divide a second into whole milliseconds")
        self.epoch = epoch
        self.slots = slots
        self.ticks_published = 0
        self.last_publish_ns = 0
        """When something was published last; 0 before the first time."""
        self.on_ticks_pending: Callable[[], None] | None = None
        """Called at the end of each `publish` that leaves something for the next flush of TICK."""
        self.bars: dict[Mode, BarCadence[S]] = {
            mode: BarCadence(mode, slots, wall_ns, limits.max_payload_bytes)
            for mode in (Mode.SECOND, Mode.MINUTE)
        }
        self.ticks: TickCadence[S] = TickCadence(wall_ns, limits.max_payload_bytes)
        self._wall_ns = wall_ns
        self._limits = limits
        self._last = LastValues()
        self._records = {mode: _Records(mode) for mode in Mode}

    @property
    def symbols(self) -> int:
        """How many symbols have had a tick."""
        return len(self._last)

    @property
    def streams(self) -> Mapping[Mode, StreamTable[S]]:
        """The streams that somebody listens to."""
        return {
            **{mode: cadence.streams for mode, cadence in self.bars.items()},
            Mode.TICK: self.ticks.streams,
        }

    def publish(self, ticks: Iterable[Tick]) -> int:
        """Take ticks in, in order, and return how many they were.

        A tick without a time gets the hub's. What is published at one moment belongs to the period
        that is under way then, whatever time it carries.

        Raises:
            InvalidTick: one of them is out of its limits, or of a symbol too many; the message
                begins with its index. None of them was taken.
        """
        ticks = list(ticks)
        if not ticks:
            return 0
        self._validate(ticks)
        now_ns = self._wall_ns()
        for tick in ticks:
            kept = _kept(tick, now_ns)
            self._last.put(kept)
            for cadence in self.bars.values():
                cadence.add(kept)
            self.ticks.add(kept)
        self.ticks_published += len(ticks)
        self.last_publish_ns = now_ns
        if self.ticks.pending and self.on_ticks_pending is not None:
            self.on_ticks_pending()
        return len(ticks)

    def open(self, subscription: Subscription, slot: int = 0) -> Stream[S]:
        """Return the stream that serves a subscription; add the subscriber to it right away."""
        if subscription.mode is Mode.TICK:
            return self.ticks.open(subscription.symbols)
        return self.bars[subscription.mode].open(subscription.symbols, slot)

    def leave(self, mode: Mode, stream: Stream[S], subscriber: S) -> None:
        """Take a subscriber off its stream."""
        cadence = self.ticks if mode is Mode.TICK else self.bars[mode]
        cadence.streams.leave(stream, subscriber)

    def snapshot(self, subscription: Subscription, stream: Stream[S]) -> list[bytes]:
        """Return the last value of each symbol of a subscription as frames.

        Their sequence is that of the batch before the stream's next one: together they are all
        that was published. In TICK, flush first, or the next batch repeats what is pending.
        """
        records = self._records[subscription.mode].of(self._last.of(stream.symbols))
        now_ns = self._wall_ns()
        return [
            batch_frame(
                run,
                timestamp_ms=now_ns // 1_000_000,
                sequence=(stream.next_sequence - 1) % SEQUENCE_MODULUS,
                publish_time_ns=now_ns,
                is_snapshot=True,
            )
            for run in split_records(records, self._limits.max_payload_bytes)
        ]

    def _validate(self, ticks: list[Tick]) -> None:
        room = self._limits.max_symbols - len(self._last)
        new: set[str] = set()
        for index, tick in enumerate(ticks):
            try:
                validate(tick)
            except InvalidTick as error:
                raise InvalidTick(f"tick {index}: {error}") from None
            if tick.symbol not in self._last:
                new.add(tick.symbol)
                if len(new) > room:
                    raise InvalidTick(
                        f"tick {index}: {tick.symbol} is one more than "
                        f"{self._limits.max_symbols} symbols"
                    )


class _Records:
    # What snapshots are made of: each symbol's last value is encoded when one asks for it first,
    # and kept until one asks for another. To publish costs nothing here, whoever asks how often.

    __slots__ = ("_encoded", "_mode")

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._encoded: dict[str, tuple[Tick, bytes]] = {}

    def of(self, ticks: Iterable[Tick]) -> list[bytes]:
        return [self._of(tick) for tick in ticks]

    def _of(self, tick: Tick) -> bytes:
        kept = self._encoded.get(tick.symbol)
        if kept is None or kept[0] is not tick:
            kept = self._encoded[tick.symbol] = tick, tick_record(tick, self._mode)
        return kept[1]


def _kept(tick: Tick, now_ns: int) -> Tick:
    """Return a tick that has a time, and that nobody else can change."""
    if not tick.timestamp_ns:
        tick = tick._replace(timestamp_ns=now_ns)
    if tick.metadata is not NO_METADATA:
        tick = tick._replace(metadata=dict(tick.metadata))
    return tick
