"""Cadences: when what was published goes out. Bars close at a period's end, ticks at a flush.

A cadence serialises each bar or tick once, then joins for each stream what its symbols want.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple

from tickstorm.bars import BarTable, SlidingBars
from tickstorm.messages import Mode, bar_record, tick_record
from tickstorm.stream import S, Stream, StreamKey, StreamTable
from tickstorm.ticks import Tick

INTERVAL_MS = {Mode.SECOND: 1_000, Mode.MINUTE: 60_000}

WallClock = Callable[[], int]
"""Nanoseconds since the Unix epoch."""


class Emission(NamedTuple, Generic[S]):
    """The frames that a stream's subscribers are to get now."""

    stream: Stream[S]
    frames: list[bytes]


class BarCadence(Generic[S]):
    """The streams of SECOND or MINUTE: a batch a period for each, an empty one in a quiet period.

    With one slot, every period ends at a whole second or minute of the wall clock. With more, each
    slot's period ends at its own moment, its bars are those of the time up to then, and the slots
    of one round share their batch's number. When the wall clock is set back, a slot's moment may
    come again early, and two of its bars then share ticks.

    Args:
        mode: SECOND or MINUTE.
        slots: the moments of a period at which there is something to send; they divide it.
        wall_ns: the clock that places the first round.
        max_payload_bytes: no frame's payload is longer.
    """

    def __init__(self, mode: Mode, slots: int, wall_ns: WallClock, max_payload_bytes: int) -> None:
        self.mode = mode
        self.slots = slots
        self.slot_ms = INTERVAL_MS[mode] // slots
        self.streams: StreamTable[S] = StreamTable(max_payload_bytes, lambda key: (key.slot,))
        self._wall_ns = wall_ns
        self._bars = BarTable() if slots == 1 else SlidingBars(slots)
        self._period, self._slot = divmod(wall_ns() // (self.slot_ms * 1_000_000), slots)
        self._round = 0
        self._round_sequence = 1
        self._round_batches = 1

    def add(self, tick: Tick) -> None:
        """Take a tick into its symbol's bar."""
        self._bars.add(tick)

    def open(self, symbols: frozenset[str] | None, slot: int) -> Stream[S]:
        """Return the stream of these symbols that is sent in this slot."""
        sent = slot <= self._slot
        stream = self.streams.open(
            StreamKey(symbols, slot), self._round_sequence + sent * self._round_batches
        )
        if not stream.subscribers:
            stream.next_round = self._round + sent
        return stream

    def close(self, end: int) -> Iterator[Emission[S]]:
        """End a slot's period, and encode its streams, each when its turn comes.

        Args:
            end: the moment, counted in slots since the Unix epoch.
        """
        self._enter(end)
        streams = tuple(self.streams.marked(self._slot))
        self._bars.end(end)
        bars = self._bars.bars(_wanted_by(streams))
        records = {symbol: bar_record(bar, self.mode) for symbol, bar in bars.items()}
        for stream in streams:
            stream.catch_up(self._round)
            wanted = _wanted(records, stream.symbols)
            frames = stream.batches(wanted, end * self.slot_ms, self._wall_ns())
            self._round_batches = max(self._round_batches, len(frames))
            yield Emission(stream, frames)

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
        max_payload_bytes: no frame's payload is longer.
    """

    def __init__(self, wall_ns: WallClock, max_payload_bytes: int) -> None:
        self.streams: StreamTable[S] = StreamTable(
            max_payload_bytes, lambda key: (None,) if key.symbols is None else key.symbols
        )
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
        if self.streams.marked(None) or self.streams.marked(tick.symbol):
            self._pending.append((tick.symbol, tick_record(tick)))
        else:
            self._unheard = 1

    def open(self, symbols: frozenset[str] | None) -> Stream[S]:
        """Return the stream of these symbols."""
        key = StreamKey(symbols)
        if key not in self.streams:  # who comes back must see that there was something meanwhile
            self._next_sequence += self._unheard
            self._unheard = 0
        return self.streams.open(key, self._next_sequence)

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

    def _shares(self, pending: list[tuple[str, bytes]]) -> dict[Stream[S], list[bytes]]:
        shares: dict[Stream[S], list[bytes]] = {}
        for symbol, record in pending:
            for stream in self._wanting(symbol):
                shares.setdefault(stream, []).append(record)
        return shares

    def _wanting(self, symbol: str) -> list[Stream[S]]:
        return [*self.streams.marked(None), *self.streams.marked(symbol)]


def _wanted_by(streams: Iterable[Stream[S]]) -> set[str] | None:
    wanted: set[str] = set()
    for stream in streams:
        if stream.symbols is None:
            return None
        wanted.update(stream.symbols)
    return wanted


def _wanted(records: dict[str, bytes], symbols: Sequence[str] | None) -> Sequence[bytes]:
    if symbols is None:
        return tuple(records.values())
    return [records[symbol] for symbol in symbols if symbol in records]
