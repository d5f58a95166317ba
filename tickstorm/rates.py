"""How much of something each of many may have in a time. Pure.

The rule is that of a token bucket, kept as its mirror image, the leaky bucket as a meter: what was
taken and has not flowed back yet (ITU-T I.371, annex A: the generic cell rate algorithm).
"""

from collections.abc import Hashable
from typing import NamedTuple


class Rate(NamedTuple):
    """What a bucket holds and gets.

    Attributes:
        per_second: what flows in, above 0.
        burst: what it holds: so much may be taken at once.
    """

    per_second: float
    burst: float


class _Taken(NamedTuple):
    amount: float
    at: float


class TokenBuckets:
    """One bucket for each who takes; a full one is not kept, so an idle one costs nothing.

    Args:
        rate: of each bucket.
        prune_at: beyond this many, those that have become full are looked for and forgotten.
    """

    def __init__(self, rate: Rate, prune_at: int = 1024) -> None:
        self._rate = rate
        self._taken: dict[Hashable, _Taken] = {}
        self._least_prune_at = self._prune_at = prune_at

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, who: Hashable, amount: float, now: float) -> float:
        """Take so much at once, or nothing.

        Args:
            who: whose bucket it is taken from.
            amount: more than the burst is never there.
            now: seconds of any monotonic clock.

        Returns:
            0.0 if it was taken, else after how many seconds it will be there if nobody else takes
            of it.
        """
        taken = self._missing(self._taken.get(who), now) + amount
        if taken > self._rate.burst:
            return (taken - self._rate.burst) / self._rate.per_second
        self._taken[who] = _Taken(taken, now)
        if len(self._taken) > self._prune_at:
            self._prune(now)
        return 0.0

    def _missing(self, taken: _Taken | None, now: float) -> float:
        if taken is None:
            return 0.0
        return max(0.0, taken.amount - (now - taken.at) * self._rate.per_second)

    def _prune(self, now: float) -> None:
        self._taken = {
            who: taken for who, taken in self._taken.items() if self._missing(taken, now) > 0
        }
        self._prune_at = max(self._least_prune_at, 2 * len(self._taken))
