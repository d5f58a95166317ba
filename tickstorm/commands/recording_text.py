"""Received ticks as the rows of a recording that `replay:` reads. Pure.

Times never go back there, and every tick is within the limits of the protocol; what was received
and is not so is put right or left out, and counted.
"""

from collections.abc import Iterator

from tickstorm.client.batch import Batch, ReceivedTick
from tickstorm.commands.text import number, wall_time
from tickstorm.errors import InvalidTick
from tickstorm.ticks import Tick, validate

HEADER = "time,symbol,price,volume,bid,ask\n"


class Rows:
    """Makes rows of batches.

    Attributes:
        written: how many rows were made.
        moved: how many of them had a time before that of the row above, and bear that one.
        refused: how many ticks were outside the limits, and have no row.
    """

    def __init__(self) -> None:
        self.written = self.moved = self.refused = 0
        self._last_ns = 0

    def of(self, batch: Batch, most: int | None = None) -> Iterator[str]:
        """Yield the rows of a batch, in the order of their times.

        Args:
            batch: what was received. A snapshot has none: its ticks were published before.
            most: how many rows at most; None for all.
        """
        if batch.is_snapshot:
            return
        for tick in sorted(batch.ticks, key=lambda tick: tick.timestamp_ns):
            if most is not None and most <= 0:
                return
            row = self._row(tick, tick.timestamp_ns or batch.received_ns)
            if row is None:
                self.refused += 1
            else:
                self.written += 1
                most = None if most is None else most - 1
                yield row

    def _row(self, tick: ReceivedTick, time_ns: int) -> str | None:
        try:
            validate(Tick(tick.symbol, tick.price, tick.volume, time_ns, tick.bid, tick.ask))
        except InvalidTick:
            return None
        if time_ns < self._last_ns:
            self.moved += 1
        self._last_ns = max(self._last_ns, time_ns)
        bid, ask = (number(price) if price else "" for price in (tick.bid, tick.ask))
        return (
            f"{wall_time(self._last_ns, 9)},{tick.symbol},"
            f"{number(tick.price)},{number(tick.volume)},{bid},{ask}\n"
        )
