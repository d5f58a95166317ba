"""What a process that serves says of itself; what several say adds up."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import inf
from typing import NamedTuple

from tickstorm.metrics import Metrics


class Reading(NamedTuple):
    """One process's numbers at one moment.

    Attributes:
        connections: the open ones.
        congested: those of them that have something queued.
        queued_bytes: what waits for them, and for those that linger after their end.
        subscribers: connections that listen to a stream, by the name of its mode.
        metrics: everything that is counted.
        loop_lag_s: how late the last sweep began.
        last_sweep_s: when that was, on the monotonic clock; 0 before the first.
        warned: connections that are about to lose something, or to be ended.
    """

    connections: int
    congested: int
    queued_bytes: int
    subscribers: Mapping[str, int]
    metrics: Metrics
    loop_lag_s: float = 0.0
    last_sweep_s: float = 0.0
    warned: int = 0

    def retired(self) -> "Reading":
        """Return what stays of it once its process is gone: what has happened."""
        return Reading(0, 0, 0, {}, self.metrics, last_sweep_s=inf)


NOTHING = Reading(0, 0, 0, {}, Metrics(), last_sweep_s=inf)
"""What no process at all says."""


def together(readings: Iterable[Reading]) -> Reading:
    """Return the sum; of the sweeps, the one that is worst off."""
    readings = tuple(readings) or (NOTHING,)
    subscribers: Counter[str] = Counter()
    metrics = Metrics()
    for reading in readings:
        subscribers.update(reading.subscribers)
        metrics.add(reading.metrics)
    return Reading(
        sum(reading.connections for reading in readings),
        sum(reading.congested for reading in readings),
        sum(reading.queued_bytes for reading in readings),
        subscribers,
        metrics,
        max(reading.loop_lag_s for reading in readings),
        min(reading.last_sweep_s for reading in readings),
        sum(reading.warned for reading in readings),
    )
