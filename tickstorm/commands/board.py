"""What a watcher knows: the last of each symbol, and how the stream does. Pure.

What it holds is bounded, however long it runs.
"""

from collections import deque
from math import ceil

from tickstorm.client.batch import Batch, ReceivedTick
from tickstorm.client.events import (
    Authenticated,
    Disconnected,
    Event,
    Gap,
    Restarted,
    Subscribed,
)
from tickstorm.commands.event_text import event_line
from tickstorm.commands.text import places
from tickstorm.subscriptions import Mode

MAX_SYMBOLS = 10_000
"""Unless it is told otherwise."""
LATENCIES = 1_000
"""How many batches the percentiles are of: the last ones."""


def latency_ms(batch: Batch) -> float | None:
    """Return the milliseconds from a batch's publishing to its receipt, by the two clocks."""
    if not batch.publish_time_ns:
        return None
    return (batch.received_ns - batch.publish_time_ns) / 1e6


def stream_name(mode: Mode, interval: float | None) -> str:
    """Return the word for a stream: the length of its bars, if that is one of its own."""
    if interval is None:
        return mode.name
    return f"{interval * 1000:.0f}ms" if interval < 1 else f"{interval:g}s"


class Quote:
    """What is known of one symbol.

    Attributes:
        first: the first price that was seen; last: the newest.
        places: the most decimal places that a price of it had.
        bid, ask: 0 when unknown.
        volume, ticks: of all that came since the first, snapshots left out.
        received_ns: when the newest came, on this machine's clock; None after only a snapshot.
        latency_ms: of the newest; None when unknown.
    """

    __slots__ = (
        "ask",
        "bid",
        "first",
        "last",
        "latency_ms",
        "places",
        "received_ns",
        "symbol",
        "ticks",
        "volume",
    )

    def __init__(self, tick: ReceivedTick) -> None:
        self.symbol = tick.symbol
        self.first = self.last = tick.price
        self.places = places(tick.price)
        self.bid = self.ask = self.volume = 0.0
        self.ticks = 0
        self.received_ns: int | None = None
        self.latency_ms: float | None = None

    @property
    def change(self) -> float:
        """How much the price rose since the first."""
        return self.last - self.first

    @property
    def change_percent(self) -> float:
        """The same in percent of the first price."""
        return self.change / self.first * 100 if self.first else 0.0

    def take(self, tick: ReceivedTick, batch: Batch) -> None:
        """Take the next tick in."""
        self.last, self.bid, self.ask = tick.price, tick.bid, tick.ask
        self.places = max(self.places, *map(places, (tick.price, tick.bid, tick.ask)))
        if batch.is_snapshot:
            return
        self.volume += tick.volume
        self.ticks += tick.trade_count or 1
        self.received_ns = batch.received_ns
        self.latency_ms = latency_ms(batch)


class Board:
    """Takes batches and events in.

    Args:
        server: where it is, for people.
        stream: what is subscribed to, in a word.
        max_symbols: ticks of further symbols are counted and not kept.

    Attributes:
        quotes: by symbol.
        state: what the connection does, in a word or two.
        epoch: of the stream; empty before the server has said.
        sequence: of the last batch; None before the first.
        batches: how many came; ticks: with how many ticks; missing: how many did not come.
        notice: the last thing that went wrong, but for what ended it all, or that it was made good;
            empty before the first.
        noticed_ns: when that was.
    """

    def __init__(self, server: str, stream: str, max_symbols: int = MAX_SYMBOLS) -> None:
        self._max_symbols = max_symbols
        self.server = server
        self.stream = stream
        self.quotes: dict[str, Quote] = {}
        self.state = "connecting"
        self.epoch = ""
        self.sequence: int | None = None
        self.batches = self.ticks = self.missing = 0
        self.notice = ""
        self.noticed_ns = 0
        self._latencies: deque[float] = deque(maxlen=LATENCIES)

    def take(self, batch: Batch) -> None:
        """Take a batch in."""
        for tick in batch.ticks:
            self._take(tick, batch)
        if batch.is_snapshot:
            return
        self.batches += 1
        self.ticks += len(batch.ticks)
        self.sequence = batch.sequence
        latency = latency_ms(batch)
        if latency is not None:
            self._latencies.append(latency)

    def note(self, event: Event, now_ns: int) -> None:
        """Take an event in, at a time of this machine's clock."""
        if isinstance(event, Authenticated):
            self.state = "logged in"
        elif isinstance(event, Subscribed):
            self.state, self.epoch = "streaming", event.epoch
            if event.recovered and self.notice:
                self.notice, self.noticed_ns = "resumed: nothing was missed", now_ns
        elif isinstance(event, Disconnected):
            self.state = "ended" if event.retry_in is None else "disconnected"
        elif isinstance(event, Gap):
            self.missing += event.batches
        final = isinstance(event, Disconnected) and event.retry_in is None
        if isinstance(event, Gap | Restarted | Disconnected) and not final:
            self.notice, self.noticed_ns = event_line(event), now_ns

    def latency(self, part: float) -> float | None:
        """Return a percentile of the last latencies by nearest rank, in milliseconds.

        Args:
            part: above 0, at most 1; 0.5 is the median.
        """
        if not self._latencies:
            return None
        ordered = sorted(self._latencies)
        return ordered[ceil(part * len(ordered)) - 1]

    def _take(self, tick: ReceivedTick, batch: Batch) -> None:
        quote = self.quotes.get(tick.symbol)
        if quote is None:
            if len(self.quotes) >= self._max_symbols:
                return
            quote = self.quotes[tick.symbol] = Quote(tick)
        quote.take(tick, batch)
