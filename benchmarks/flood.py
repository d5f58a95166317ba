"""The flood: 1,000-tick batches, one after the other, as fast as they are taken."""

import json
from typing import NamedTuple

from tickstorm.ticks import Tick

TICKS_PER_BATCH = 1000


class Flood(NamedTuple):
    """What one flood was.

    Attributes:
        batches: sent to each subscriber.
        began: time.time() before the first.
        ended: when the last was with the kernel for everybody.
    """

    batches: int
    began: float
    ended: float


def flood_ticks() -> list[Tick]:
    """Return the ticks of a batch: quotes of 1,000 symbols, which fit into one frame."""
    return [Tick(f"S{n}", 100.25, 10.0, 0, 100.24, 100.26) for n in range(TICKS_PER_BATCH)]


def to_line(flood: Flood) -> str:
    """Return a flood as a line of text."""
    return json.dumps(flood._asdict())


def from_line(line: str) -> Flood:
    """Read what `to_line` made.

    Raises:
        ValueError: it is not that.
    """
    return Flood(**json.loads(line))
