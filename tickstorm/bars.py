"""Bars: open, high, low, last, volume, vwap and count of what a symbol did in a period.

Bars add up: the bar of a period is the merge, in order, of the bars of its parts. The sliding
window of the `spread` delivery rests on that alone.
"""

from collections import deque
from collections.abc import Collection

from tickstorm.ticks import Tick


class Bar:
    """What one symbol did in one period."""

    __slots__ = ("count", "high", "last", "low", "notional", "open", "volume")

    def __init__(self, tick: Tick) -> None:
        self.open = self.high = self.low = tick.price
        self.last = tick
        self.volume = tick.volume
        self.notional = tick.price * tick.volume
        self.count = 1

    @property
    def vwap(self) -> float:
        """Volume-weighted average price, sum(price * volume) / sum(volume); 0 without volume."""
        if not self.volume:
            return 0.0
        return min(max(self.notional / self.volume, self.low), self.high)  # whatever was rounded

    def add(self, tick: Tick) -> None:
        """Take in the next tick."""
        price = tick.price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.last = tick
        self.volume += tick.volume
        self.notional += price * tick.volume
        self.count += 1

    def then(self, later: "Bar") -> "Bar":
        """Return the bar of this period and the one right after it."""
        merged = Bar.__new__(Bar)
        merged.open = self.open
        merged.high = max(self.high, later.high)
        merged.low = min(self.low, later.low)
        merged.last = later.last
        merged.volume = self.volume + later.volume
        merged.notional = self.notional + later.notional
        merged.count = self.count + later.count
        return merged


class BarTable:
    """The bars of one period after the other."""

    __slots__ = ("_current", "_ended")

    def __init__(self) -> None:
        self._current: dict[str, Bar] = {}
        self._ended: dict[str, Bar] = {}

    def add(self, tick: Tick) -> None:
        """Take a tick into its symbol's bar of the period under way."""
        bar = self._current.get(tick.symbol)
        if bar is None:
            self._current[tick.symbol] = Bar(tick)
        else:
            bar.add(tick)

    def end(self, step: int) -> None:  # noqa: ARG002 - that of a sliding window
        """End the period under way, and begin the next."""
        self._ended, self._current = self._current, {}

    def bars(self, symbols: Collection[str] | None = None) -> dict[str, Bar]:
        """Return the bars of the last ended period, of the symbols that had a tick in it.

        Args:
            symbols: those that are asked for; None asks for all.
        """
        if symbols is None:
            return self._ended
        return {symbol: self._ended[symbol] for symbol in symbols if symbol in self._ended}


class _Window:
    """The last steps of one symbol, as a queue whose merge is always at hand.

    A queue made of two stacks: each keeps the merge of all that it holds, so a step in, a step out
    and the merge cost a bounded number of merges on average, however wide the window is.
    """

    __slots__ = ("_back", "_back_merge", "_front")

    def __init__(self) -> None:
        self._front: list[tuple[int, Bar]] = []
        self._back: deque[tuple[int, Bar]] = deque()
        self._back_merge: Bar | None = None

    def push(self, step: int, bar: Bar, dropped_step: int) -> None:
        """Add the newest step, and drop `dropped_step` and what was before it."""
        self._drop_through(dropped_step)
        self._back.append((step, bar))
        self._back_merge = bar if self._back_merge is None else self._back_merge.then(bar)

    def merge_after(self, step: int) -> Bar | None:
        """Drop `step` and what was before it, and return the merge of the rest."""
        self._drop_through(step)
        if not self._front:
            return self._back_merge
        front = self._front[-1][1]
        return front if self._back_merge is None else front.then(self._back_merge)

    def _drop_through(self, step: int) -> None:
        while self._front and self._front[-1][0] <= step:
            self._front.pop()
        if self._front or not self._back or self._back[0][0] > step:
            return
        while self._back and self._back[0][0] <= step:
            self._back.popleft()
        self._turn_over()

    def _turn_over(self) -> None:
        merge: Bar | None = None
        for step, bar in reversed(self._back):
            merge = bar if merge is None else bar.then(merge)
            self._front.append((step, merge))
        self._back.clear()
        self._back_merge = None


class SlidingBars:
    """The bars of the last `width` steps, after every step.

    Args:
        width: the length of the window in steps, at least 1.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._step = 0
        self._current = BarTable()
        self._windows: dict[str, _Window] = {}

    def add(self, tick: Tick) -> None:
        """Take a tick into the step under way."""
        self._current.add(tick)

    def end(self, step: int) -> None:
        """End the step under way, and begin the next.

        Args:
            step: its number; the steps that were left out since the last are empty.
        """
        self._step = max(self._step + 1, step)
        self._current.end(self._step)
        for symbol, bar in self._current.bars().items():
            window = self._windows.get(symbol)
            if window is None:
                window = self._windows[symbol] = _Window()
            window.push(self._step, bar, self._step - self._width)

    def bars(self, symbols: Collection[str] | None = None) -> dict[str, Bar]:
        """Return the bars of the last `width` ended steps, for the symbols that had a tick.

        Args:
            symbols: those that are asked for, and paid for; None asks for all.
        """
        bars = {}
        for symbol in list(self._windows) if symbols is None else symbols:
            window = self._windows.get(symbol)
            if window is None:
                continue
            bar = window.merge_after(self._step - self._width)
            if bar is None:
                del self._windows[symbol]
            else:
                bars[symbol] = bar
        return bars
