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

    bucket: int
    """Kept by the wheel."""

    @property
    def deadline(self) -> float:
        """When it is to expire, on the monotonic clock; infinity once it is gone."""

    def expire(self, now: float) -> None:
        """Do what the deadline asks for: it has passed."""


class DeadlineWheel:
    """Who is to be looked at when."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[Mortal]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, mortal: Mortal) -> None:
        """Put it where its deadline is."""
        mortal.bucket = floor(mortal.deadline / SWEEP_INTERVAL)
        self._buckets.setdefault(mortal.bucket, set()).add(mortal)

    def discard(self, mortal: Mortal) -> None:
        """Take it out."""
        bucket = self._buckets.get(mortal.bucket)
        if bucket is not None:
            bucket.discard(mortal)
            if not bucket:
                del self._buckets[mortal.bucket]

    def take_due(self, now: float) -> list[Mortal]:
        """Take out those whose bucket has been reached."""
        reached = [bucket for bucket in self._buckets if bucket * SWEEP_INTERVAL <= now]
        return [mortal for bucket in reached for mortal in self._buckets.pop(bucket)]


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
        """Look at everyone who is due."""
        for mortal in self._wheel.take_due(now):
            if mortal.deadline <= now:
                self._expire(mortal, now)
            if mortal.deadline < inf:
                self._wheel.add(mortal)
        self._also(now)

    def _expire(self, mortal: Mortal, now: float) -> None:
        try:
            mortal.expire(now)
        except Exception:
            self._count_failure()

    def _count_failure(self) -> None:
        self._metrics.failures["sweep"] += 1
        self._log.failure("a sweep failed")
