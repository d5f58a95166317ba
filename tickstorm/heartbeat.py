"""The reaping of the silent: one sweep a second over those whose deadline is near.

Deadlines move at every heartbeat, and nothing is done then: a connection lies in the bucket of the
deadline that it had when it was last looked at. When that second comes it is looked at again, and
reaped or put where its deadline is now. So a sweep costs what is due, not what is connected.
"""

from collections.abc import Callable
from math import floor, inf
from typing import Protocol

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tickstorm.clock import Clock
from tickstorm.metrics import Metrics

SWEEP_INTERVAL = 1.0
"""Seconds between sweeps, and the width of a bucket."""


class Mortal(Protocol):
    """Something with a deadline that may have moved when it comes."""

    @property
    def deadline(self) -> float:
        """When it is to expire, on the monotonic clock; infinity once it is gone."""

    def expire(self, now: float) -> None:
        """Do what the deadline asks for: it has passed. Who is to be looked at again is added."""


class DeadlineWheel:
    """Who is to be looked at when, in lists: a set takes 50 to 100 bytes for each of many.

    Who is gone is not searched for. It is dropped when its bucket is due, or as soon as half of all
    are gone.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, list[Mortal]] = {}
        self._size = 0
        self._gone = 0

    def __len__(self) -> int:
        return self._size

    def add(self, mortal: Mortal) -> None:
        """Look at it when its deadline has come, unless it is gone.

        Add it once more if the deadline was moved to an earlier time: it is looked at twice then.
        """
        deadline = mortal.deadline
        if deadline < inf:
            self._put(mortal, deadline)
            self._size += 1

    def note_gone(self) -> None:
        """Take note that the deadline of one has become infinite."""
        self._gone += 1
        if self._gone * 2 >= self._size:
            self._drop_gone()

    def take_due(self, now: float) -> list[Mortal]:
        """Take out those whose deadline has come, and put off the others of their buckets."""
        due, gone = [], 0
        for mortal in self._take_reached(now):
            deadline = mortal.deadline  # read once: it is most of what a sweep costs
            if deadline <= now:
                due.append(mortal)
            elif deadline < inf:
                self._put(mortal, deadline)
            else:
                gone += 1
        self._size -= len(due) + gone
        self._gone = max(0, self._gone - gone)
        return due

    def _take_reached(self, now: float) -> list[Mortal]:
        reached = [bucket for bucket in self._buckets if bucket * SWEEP_INTERVAL <= now]
        return [mortal for bucket in reached for mortal in self._buckets.pop(bucket)]

    def _put(self, mortal: Mortal, deadline: float) -> None:
        self._buckets.setdefault(floor(deadline / SWEEP_INTERVAL), []).append(mortal)

    def _drop_gone(self) -> None:
        living = {bucket: _living(mortals) for bucket, mortals in self._buckets.items()}
        self._buckets = {bucket: mortals for bucket, mortals in living.items() if mortals}
        self._size = sum(map(len, self._buckets.values()))
        self._gone = 0


def _living(mortals: list[Mortal]) -> list[Mortal]:
    return [mortal for mortal in mortals if mortal.deadline < inf]


class Sweeper:
    """Runs the sweeps, and goes on when one fails.

    Args:
        clock: the times.
        wheel: who may be due.
        metrics: counts what failed.
        also: called with the monotonic time at the end of each sweep.

    Attributes:
        lag: by how many seconds the last sweep was late.
        last_at: when that was, on the monotonic clock; 0 before the first.
    """

    _log = Logger()

    def __init__(
        self, clock: Clock, wheel: DeadlineWheel, metrics: Metrics, also: Callable[[float], object]
    ) -> None:
        self._clock = clock
        self._wheel = wheel
        self._metrics = metrics
        self._also = also
        self._loop = LoopingCall(self._guarded)
        self._loop.clock = clock.scheduler
        self._expected_at = 0.0
        self.lag = 0.0
        self.last_at = 0.0

    def start(self) -> None:
        """Begin, with the first sweep in a second."""
        self._expected_at = self._clock.monotonic() + SWEEP_INTERVAL
        self._loop.start(SWEEP_INTERVAL, now=False)

    def stop(self) -> None:
        """Sweep no more."""
        if self._loop.running:
            self._loop.stop()

    def _guarded(self) -> None:
        now = self._clock.monotonic()
        self.lag = max(0.0, now - self._expected_at)
        self.last_at = now
        self._expected_at = now + SWEEP_INTERVAL
        try:
            self.sweep(now)
        except Exception:
            self._count_failure()

    def sweep(self, now: float) -> None:
        """Expire everyone who is due, and still is when the turn comes."""
        for mortal in self._wheel.take_due(now):
            if mortal.deadline <= now:
                self._expire(mortal, now)
        self._also(now)

    def _expire(self, mortal: Mortal, now: float) -> None:
        try:
            mortal.expire(now)
        except Exception:
            self._count_failure()
            self._wheel.add(mortal)

    def _count_failure(self) -> None:
        self._metrics.failures["sweep"] += 1
        self._log.failure("a sweep failed")
