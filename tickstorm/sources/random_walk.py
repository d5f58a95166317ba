"""A random walk of prices: the same seed gives the same ticks, for ever. Pure.

Money is in whole cents, so that no rounding adds up; each tick keeps the limits of `ticks`, with
bid < price < ask.
"""

from collections.abc import Iterator, Sequence
from random import Random

from tickstorm.ticks import Tick

MIN_CENTS, MAX_CENTS = 2, 99_990_000
"""The walk turns back here: the bid is at least 0.01, and the ask at most 1,000,000."""
LOT = 100
MAX_LOTS = 20
"""Volumes and sizes are 1 to this many lots."""


def walk(symbols: Sequence[str], start_cents: int, random: Random) -> Iterator[Tick]:
    """Yield ticks without end and without a time, each of a symbol chosen at random.

    A price moves by up to two steps a tick, up and down alike; a step is the hundredth of a
    per cent of the price, at least a cent, and so is the distance of bid and ask from the price.

    Args:
        symbols: at least one.
        start_cents: where each begins: MIN_CENTS to MAX_CENTS.
        random: what is drawn from; `Random(seed)` for a walk that can be repeated.
    """
    draw = random.random  # randrange and choice take ten times as long
    cents = [start_cents] * len(symbols)
    while True:
        which = int(draw() * len(symbols))
        at = cents[which]
        at += (int(draw() * 5) - 2) * max(1, at // 10_000)
        at = cents[which] = min(max(at, MIN_CENTS), MAX_CENTS)
        step = max(1, at // 10_000)
        yield Tick(
            symbols[which],
            at / 100,
            float(LOT + LOT * int(draw() * MAX_LOTS)),
            bid=(at - step) / 100,
            ask=(at + step) / 100,
            bid_size=LOT + LOT * int(draw() * MAX_LOTS),
            ask_size=LOT + LOT * int(draw() * MAX_LOTS),
        )
