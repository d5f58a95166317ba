"""Cadences: when what was published goes out. Bars close at a period's end, ticks at a flush.

A cadence serialises each bar or tick once, then joins for each stream what its symbols want.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Generic, NamedTuple

from tickstorm.bars import Bar, BarTable, SlidingBars
from tickstorm.epochs import Epochs
from tickstorm.records import bar_record, tick_record
from tickstorm.stream import S, Stream, StreamKey, StreamTable, Surroundings
from tickstorm.subscriptions import Mode, mode_of
from tickstorm.symbols import KnownSymbols
from tickstorm.ticks import Tick

WallClock = Callable[[], int]
"""Nanoseconds since the Unix epoch."""


class Emission(NamedTuple, Generic[S]):
    """The frames that a stream's subscribers are to get now."""

    stream: Stream[S]
    frames: list[bytes]


@lru_cache
def slots_of(period_ms: int, slots: int) -> int:
    """Return into how many slots of whole milliseconds a period is cut, at least 1.

    Args:
        period_ms: its length; 0 for TICK, which has none.
        slots: of a second or a minute. Those of a shorter period are no shorter than a second's.
    """
    most = min(slots, period_ms * slots // 1000)
    return next((number for number in range(most, 1, -1) if period_ms % number == 0), 1)


def slot_of(slot: int, period_ms: int, slots: int) -> int:
    """Return the slot of a period that a slot of a second or a minute stands for."""
    return slot * slots_of(period_ms, slots) // slots


class BarCadence(Generic[S]):
    """The streams of one period: a batch a period for each, an empty one in a quiet period.

    With one slot, every period ends at a multiple of itself on the wall clock. With more, each
    slot's period ends at its own moment, its bars are those of the time up to then, and the slots
    of one round share their batch's number. When the wall clock is set back, a slot's moment may
    come again early, and two of its bars then share ticks.

    Args:
        period_ms: milliseconds.
        slots: the moments of a period at which there is something to send; they divide it.
        wall_ns: the clock that places the first round.
        around: what all streams have in common.
        first_sequence: of the first round's batches.
    """

    def __init__(
        self,
        period_ms: int,
        slots: int,
        wall_ns: WallClock,
        around: Surroundings,
        first_sequence: int = 1,
    ) -> None:
        self.period_ms = period_ms
        self.slots = slots
        self.slot_ms = period_ms // slots
        self.streams: StreamTable[S] = StreamTable(around, lambda key: (key.slot,))
        self._mode = mode_of(period_ms)
        self._known = around.known
        self._epochs = Epochs(around.epoch, slots)
        self._wall_ns = wall_ns
        self._bars = BarTable() if slots == 1 else SlidingBars(slots)
        self._period, self._slot = divmod(wall_ns() // (self.slot_ms * 1_000_000), slots)
        self._round = 0
        self._round_sequence = first_sequence
        self._round_batches = 1

    @property
    def next_sequence(self) -> int:
        """A number beyond every one that its streams have had."""
        return self._round_sequence + self._round_batches

    def add(self, tick: Tick) -> None:
        """Take a tick into its symbol's bar."""
        self._bars.add(tick)

    def open(self, symbols: frozenset[str] | None, slot: int) -> Stream[S]:
        """Return the stream of these symbols that is sent in this slot."""
        key = StreamKey(symbols, slot, self.period_ms)
        return self.streams.get(key) or self._begin(key)

    def slot_named(self, epoch: str) -> int | None:
        """Return the slot of which an epoch is, of whatever stream; None if it is of no such."""
        return self._epochs.slot_named(epoch)

    def close(self, end: int) -> Iterator[Emission[S]]:
        """End a slot's period, and encode its streams, each when its turn comes.

        Args:
            end: the moment, counted in slots since the Unix epoch.
        """
        self._enter(end)
        streams = tuple(self.streams.marked(self._slot))
        self._bars.end(end)
        records = _Records(self._bars.bars(self._wanted_by(streams)), self._mode)
        for stream in streams:
            stream.catch_up(self._round)
            frames = stream.batches(records.of(stream), end * self.slot_ms, self._wall_ns())
            self._round_batches = max(self._round_batches, len(frames))
            yield Emission(stream, frames)

    def _begin(self, key: StreamKey) -> Stream[S]:
        sent = key.slot <= self._slot
        first = self._round_sequence + sent * self._round_batches
        now_ms = self._wall_ns() // 1_000_000
        stream = self.streams.open(key, first, self._epochs.of(key), now_ms)
        stream.next_round = self._round + sent
        return stream

    def _wanted_by(self, streams: Iterable[Stream[S]]) -> Collection[str] | None:
        wanted: set[str] = set()
        beginnings = False
        for stream in streams:
            if stream.patterns is None:
                return None
            wanted.update(stream.patterns)
            beginnings |= stream.has_beginnings
        return frozenset(self._known.meant_by(wanted)) if beginnings else wanted

    def _enter(self, end: int) -> None:
        period, slot = divmod(end, self.slots)
        passed, self._period = period - self._period, period
        if passed > 0 or slot <= self._slot:
            # With one slot, what a stall left out is in the next batch. With more, it is lost to
            # those whose slots were passed over, and each round of that is a hole.
            rounds = max(1, passed) if self.slots > 1 else 1
            self._round += rounds
            self._round_sequence += self._round_batches + rounds - 1
            self._round_batches = 1
        self._slot = slot


class TickCadence(Generic[S]):
    """The streams of TICK: what was published since the last flush, each tick as it came.

    Args:
        wall_ns: the clock that a batch's time is taken from.
        around: what all streams have in common.
    """

    def __init__(self, wall_ns: WallClock, around: Surroundings) -> None:
        self.streams: StreamTable[S] = StreamTable(around, _marks)
        self._epochs = Epochs(around.epoch)
        self._wall_ns = wall_ns
        self._pending: list[tuple[str, bytes]] = []
        self._next_sequence = 1
        self._unheard = 0

    @property
    def pending(self) -> int:
        """How many ticks the next flush has."""
        return len(self._pending)

    def add(self, tick: Tick) -> None:
        """Keep a tick for the next flush, if anybody wants it."""
        if self._is_wanted(tick.symbol):
            self._pending.append((tick.symbol, tick_record(tick)))
        else:
            self._unheard = 1

    def open(self, symbols: frozenset[str] | None) -> Stream[S]:
        """Return the stream of these symbols."""
        key = StreamKey(symbols)
        return self.streams.get(key) or self._begin(key)

    def flush(self) -> Iterator[Emission[S]]:
        """Encode what is pending for each stream that wants any of it, each when its turn comes."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        first = self._next_sequence
        self._next_sequence = first + 1
        for stream, records in self._shares(pending).items():
            now_ns = self._wall_ns()
            frames = stream.batches(records, now_ns // 1_000_000, now_ns)
            self._next_sequence = max(self._next_sequence, first + len(frames))
            yield Emission(stream, frames)

    def _begin(self, key: StreamKey) -> Stream[S]:
        # Who comes back must see that there was something meanwhile.
        self._next_sequence += self._unheard
        self._unheard = 0
        now_ms = self._wall_ns() // 1_000_000
        return self.streams.open(key, self._next_sequence, self._epochs.of(key), now_ms)

    def _shares(self, pending: list[tuple[str, bytes]]) -> dict[Stream[S], list[bytes]]:
        shares: dict[Stream[S], list[bytes]] = {}
        for symbol, record in pending:
            for stream in self._wanting(symbol):
                shares.setdefault(stream, []).append(record)
        return shares

    def _is_wanted(self, symbol: str) -> bool:
        marked = self.streams.marked
        if marked(None) or marked(symbol):
            return True
        return bool(marked(_BEGINNING)) and any(map(marked, _beginnings(symbol)))

    def _wanting(self, symbol: str) -> list[Stream[S]]:
        wanting = [*self.streams.marked(None), *self.streams.marked(symbol)]
        return wanting + self._begun(symbol) if self.streams.marked(_BEGINNING) else wanting

    def _begun(self, symbol: str) -> list[Stream[S]]:
        """Return the streams that want what begins as this symbol does."""
        return [stream for mark in _beginnings(symbol) for stream in self.streams.marked(mark)]


_BEGINNING = "*"
"""The mark of a stream that wants symbols by how they begin; as a pattern, it is none of a set."""


def _marks(key: StreamKey) -> Iterable[str | None]:
    if key.symbols is None:
        return (None,)
    if any(pattern.endswith("*") for pattern in key.symbols):
        return (_BEGINNING, *key.symbols)
    return key.symbols


@lru_cache(10_000)
def _beginnings(symbol: str) -> tuple[str, ...]:
    return tuple(f"{symbol[:length]}*" for length in range(1, len(symbol) + 1))


class _Records:
    # The bars of a period, each serialised once. What a stream costs is what it gets, and not what
    # is known of the symbols that its beginnings mean.

    __slots__ = ("_by_symbol", "_symbols")

    def __init__(self, bars: Mapping[str, Bar], mode: Mode) -> None:
        self._by_symbol = {symbol: bar_record(bar, mode) for symbol, bar in bars.items()}
        self._symbols: KnownSymbols | None = None

    def of(self, stream: Stream[S]) -> Sequence[bytes]:
        by_symbol = self._by_symbol
        if stream.patterns is None:
            return tuple(by_symbol.values())
        wanted = self._meant_by(stream) if stream.has_beginnings else stream.patterns
        return [by_symbol[symbol] for symbol in wanted if symbol in by_symbol]

    def _meant_by(self, stream: Stream[S]) -> Iterable[str]:
        if self._symbols is None:
            self._symbols = KnownSymbols(self._by_symbol)
        return stream.symbols_among(self._symbols) or ()
