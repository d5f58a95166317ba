"""The hub: every tick comes in here, and every stream begins here.

What is published is checked whole before any of it counts: a call is carried out or has no effect.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, NamedTuple

from tickstorm.cadence import BarCadence, TickCadence, WallClock, slot_of, slots_of
from tickstorm.epochs import MAX_RUN
from tickstorm.errors import InvalidTick, TooManyIntervals
from tickstorm.frames import MAX_PAYLOAD_BYTES, MIN_PAYLOAD_BYTES
from tickstorm.history import NO_HISTORY, History, HistoryLimits
from tickstorm.past import NO_PAST, Copies, Past
from tickstorm.records import batch_frame, split_records, tick_record
from tickstorm.sequences import later
from tickstorm.stream import S, Stream, StreamTable, Surroundings
from tickstorm.subscriptions import PERIOD_MS, Mode, Position, Subscription
from tickstorm.symbols import KnownSymbols
from tickstorm.ticks import MAX_TICKS_PER_BATCH, NO_METADATA, LastValues, Tick, validate


class HubLimits(NamedTuple):
    """What a hub holds at most.

    Attributes:
        max_symbols: a tick of one more symbol is refused.
        max_payload_bytes: of a DATA_BATCH; at least MIN_PAYLOAD_BYTES.
        max_intervals: of subscribers, beside SECOND and MINUTE: each tick goes into a bar of each.
            One that is only kept, as nobody listens to it any more, makes room for another.
        history: what is kept of what was sent.
    """

    max_symbols: int = 10_000
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    max_intervals: int = 32
    history: HistoryLimits = NO_HISTORY


class Backfill(NamedTuple):
    """What a subscriber gets before its stream's next batch.

    Attributes:
        next_sequence: the number of the first batch that it gets: one of the past, or the stream's.
        past: what it gets, in order.
        recovered: whether nothing is missing of what it asked for; None if it did not ask.
    """

    next_sequence: int
    past: Past = NO_PAST
    recovered: bool | None = None


class Hub(Generic[S]):
    """Takes ticks in, keeps the last of each symbol, and feeds the streams.

    Args:
        epoch: names this run of sequence numbers; a new one at every start. That of each stream
            begins with it.
        wall_ns: nanoseconds since the Unix epoch.
        limits: what it holds at most.
        slots: how many moments of a period SECOND and MINUTE are sent at, a divisor of 1,000; 1
            is aligned.

    Raises:
        ValueError: the limits or the slots are out of range, or the epoch is over MAX_RUN
            characters.
    """

    def __init__(
        self, epoch: str, wall_ns: WallClock, limits: HubLimits = HubLimits(), slots: int = 1
    ) -> None:
        if limits.max_payload_bytes < MIN_PAYLOAD_BYTES:
            raise ValueError(f"max_payload_bytes is below {MIN_PAYLOAD_BYTES}")
        if slots < 1 or 1000 % slots:
            raise ValueError(f"{slots} slots do not divide a second into whole milliseconds")
        if len(epoch) > MAX_RUN:
            raise ValueError(f"the epoch is over {MAX_RUN} characters")
        self.epoch = epoch
        self.slots = slots
        self.ticks_published = 0
        self.last_publish_ns = 0
        """When something was published last; 0 before the first time."""
        self.on_ticks_pending: Callable[[], None] | None = None
        """Called at the end of each `publish` that leaves something for the next flush of TICK."""
        self._wall_ns = wall_ns
        self._limits = limits
        self._last = LastValues()
        self._known = KnownSymbols()
        self.history = History(limits.history)
        self._around = Surroundings(limits.max_payload_bytes, epoch, self._known, self.history)
        self._unused_sequence = 1
        self.bars: dict[int, BarCadence[S]] = {}
        """By their period in ms: SECOND, MINUTE, and those that subscribers have of their own."""
        for mode in (Mode.SECOND, Mode.MINUTE):
            self._begin(PERIOD_MS[mode])
        self.ticks: TickCadence[S] = TickCadence(wall_ns, self._around)
        self._records = {period_ms: _Records(mode) for mode, period_ms in PERIOD_MS.items()}
        self._records_of_intervals = _Records(Mode.INTERVAL)

    @property
    def symbols(self) -> int:
        """How many symbols have had a tick."""
        return len(self._last)

    @property
    def streams(self) -> Mapping[int, StreamTable[S]]:
        """The streams that somebody listens to, or did lately, by their period in ms; 0 is TICK."""
        return {
            **{period_ms: cadence.streams for period_ms, cadence in self.bars.items()},
            PERIOD_MS[Mode.TICK]: self.ticks.streams,
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
            if kept.symbol not in self._last:
                self._known.add(kept.symbol)
            self._last.put(kept)
            for cadence in self.bars.values():
                cadence.add(kept)
            self.ticks.add(kept)
        self.ticks_published += len(ticks)
        self.last_publish_ns = now_ns
        if self.ticks.pending:
            self._tell_pending()
        return len(ticks)

    def open(self, subscription: Subscription, slot: int = 0) -> Stream[S]:
        """Return the stream that serves a subscription; add the subscriber to it right away.

        Args:
            subscription: who resumes gets the slot that it had, if there is such a one.
            slot: of the hub's slots.

        Raises:
            TooManyIntervals: it wants an interval of its own, and there are too many.
        """
        period_ms = subscription.period_ms
        if not period_ms:
            return self.ticks.open(subscription.symbols)
        cadence = self.bars.get(period_ms) or self._begin(period_ms)
        had = cadence.slot_named(subscription.resume.epoch) if subscription.resume else None
        own = had if had is not None else slot_of(slot, period_ms, self.slots)
        return cadence.open(subscription.symbols, own)

    def leave(self, stream: Stream[S], subscriber: S, kept: bool = True) -> None:
        """Take a subscriber off its stream; what it misses is kept if it may come back."""
        period_ms = stream.key.period_ms
        cadence = self.bars.get(period_ms) if period_ms else self.ticks
        if cadence is None:
            return
        cadence.streams.leave(stream, subscriber, self._wall_ns() // 1_000_000, kept)
        self._end_if_unused(period_ms)

    def expire(self) -> None:
        """Let go of what is kept of the past for longer than it is to be."""
        now_ms = self._wall_ns() // 1_000_000
        self.history.expire(now_ms)
        for period_ms, streams in self.streams.items():
            streams.expire(now_ms)
            self._end_if_unused(period_ms)

    def backfill(self, subscription: Subscription, stream: Stream[S]) -> Backfill:
        """Return what a subscriber is to get before its stream's next batch.

        Who resumes gets what it has missed, or else a snapshot. Who names a time gets what is kept
        since then, and behind that the snapshot that it may have asked for. In TICK, flush first,
        or the next batch repeats what is pending.
        """
        if subscription.resume is not None:
            missed = _missed(subscription.resume, stream)
            if missed is not None:
                return Backfill(later(subscription.resume.sequence), missed, recovered=True)
            return Backfill(stream.next_sequence, self._values(subscription, stream).past(), False)
        if subscription.start_time_ms > 0:
            return self._since(subscription, stream)
        if subscription.snapshot:
            return Backfill(stream.next_sequence, self._values(subscription, stream).past())
        return Backfill(stream.next_sequence)

    def snapshot(self, subscription: Subscription, stream: Stream[S]) -> list[bytes]:
        """Return the last value of each symbol of a subscription as frames.

        Their sequence is that of the batch before the stream's next one: together they are all
        that was published.
        """
        kept = self._records.get(subscription.period_ms, self._records_of_intervals)
        records = kept.of(self._last.of(stream.symbols))
        now_ns = self._wall_ns()
        return [
            batch_frame(
                run,
                timestamp_ms=now_ns // 1_000_000,
                sequence=later(stream.next_sequence, -1),
                publish_time_ns=now_ns,
                is_snapshot=True,
            )
            for run in split_records(records, self._limits.max_payload_bytes)
        ]

    def _since(self, subscription: Subscription, stream: Stream[S]) -> Backfill:
        values = self._values(subscription, stream) if subscription.snapshot else Copies()
        if stream.ring is None:
            return Backfill(stream.next_sequence, values.past(), False)
        replay = stream.ring.since(subscription.start_time_ms, stream.next_sequence)
        return Backfill(replay.next_sequence, Past([replay.kept, values]), replay.complete)

    def _values(self, subscription: Subscription, stream: Stream[S]) -> Copies:
        return Copies(self.snapshot(subscription, stream))

    def _tell_pending(self) -> None:
        if self.on_ticks_pending is not None:
            self.on_ticks_pending()
        elif self.ticks.pending >= MAX_TICKS_PER_BATCH:
            for _ in self.ticks.flush():  # numbered and kept, though nobody sends them
                pass

    def _begin(self, period_ms: int) -> BarCadence[S]:
        if period_ms not in _NAMED:
            self._make_room()
        cadence: BarCadence[S] = BarCadence(
            period_ms,
            slots_of(period_ms, self.slots),
            self._wall_ns,
            self._around,
            self._unused_sequence,
        )
        self.bars[period_ms] = cadence
        return cadence

    def _make_room(self) -> None:
        own = [period_ms for period_ms in self.bars if period_ms not in _NAMED]
        if len(own) < self._limits.max_intervals:
            return
        for period_ms in own:
            streams = self.bars[period_ms].streams
            if not any(stream.subscribers for stream in streams):
                streams.end_idle()
                self._end_if_unused(period_ms)
                return
        raise TooManyIntervals(f"there are {len(own)} intervals beside SECOND and MINUTE already")

    def _end_if_unused(self, period_ms: int) -> None:
        cadence = self.bars.get(period_ms)
        if cadence is None or period_ms in _NAMED or cadence.streams:
            return
        del self.bars[period_ms]
        # The next one of this period must not use a number twice, and need not know which was the
        # last: all that begin from now on are beyond it.
        self._unused_sequence = max(self._unused_sequence, cadence.next_sequence + 1)

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


_NAMED = frozenset((PERIOD_MS[Mode.SECOND], PERIOD_MS[Mode.MINUTE]))


def _missed(position: Position, stream: Stream[S]) -> Past | None:
    if position.epoch != stream.epoch:
        return None
    if stream.ring is None:
        return NO_PAST if later(position.sequence) == stream.next_sequence else None
    replay = stream.ring.after(position.sequence, stream.next_sequence)
    return None if replay is None else Past([replay.kept])


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
