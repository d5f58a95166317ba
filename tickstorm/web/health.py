"""Health: whether the server is alive, ready and well, judged from a few readings.

Pure: the readings come in, the verdict and its reasons go out. What makes one server degraded is a
reason to send new clients elsewhere; what all servers share is none, as it is no better there.
"""

from collections.abc import Iterator, Sequence
from enum import Enum, unique
from math import inf
from typing import NamedTuple


@unique
class Status(Enum):
    """How the server is, in one word."""

    OK = "ok"
    DEGRADED = "degraded"
    STOPPING = "stopping"


class HealthLimits(NamedTuple):
    """How old a sign of life may be, in seconds.

    Attributes:
        sweep_timeout: since the last sweep; beyond it the server does not count as alive.
        feed_timeout: since the last tick; 0 for a feed that may fall silent.
    """

    sweep_timeout: float = 10.0
    feed_timeout: float = 30.0


class Verdict(NamedTuple):
    """What was found.

    Attributes:
        live: whether restarting the process would not help.
        status: OK, or why it is not.
        reasons: one sentence for each thing that is wrong here.
        shared: likewise for what is wrong with what all servers have together.
    """

    live: bool
    status: Status
    reasons: tuple[str, ...]
    shared: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether new clients should be sent here."""
        return not self.reasons


class Health:
    """The server's judgement of itself.

    Args:
        started_at: when the server began, in seconds of its monotonic clock.
        limits: how old a sign of life may be.

    Attributes:
        accepting: whether its ports listen; kept by their owner.
        stopping: whether it is being stopped; likewise.
        limits: as given; others may take their place.
    """

    def __init__(self, started_at: float, limits: HealthLimits = HealthLimits()) -> None:
        self.started_at = started_at
        self.accepting = False
        self.stopping = False
        self.limits = limits

    def judge(
        self,
        sweep_age: float,
        feed_age: float,
        workers_down: Sequence[int] = (),
        shared: Sequence[str] = (),
    ) -> Verdict:
        """Say how the server is.

        Args:
            sweep_age: seconds since the last sweep, or since the start.
            feed_age: seconds since the last tick; infinity before the first.
            workers_down: the numbers of the workers that do not serve.
            shared: what is wrong with what all servers have together.
        """
        # Nothing sweeps any more while the last clients are seen off: that is no reason to kill it.
        live = self.stopping or sweep_age <= self.limits.sweep_timeout
        reasons = tuple(self._reasons(sweep_age, feed_age, workers_down))
        if self.stopping:
            return Verdict(live, Status.STOPPING, reasons)
        status = Status.DEGRADED if reasons or shared else Status.OK
        return Verdict(live, status, reasons, tuple(shared))

    def _reasons(
        self, sweep_age: float, feed_age: float, workers_down: Sequence[int]
    ) -> Iterator[str]:
        if self.stopping:
            yield "the server is stopping"
            return
        if not self.accepting:
            yield "no connections are accepted"
        for number in workers_down:
            yield f"worker {number} is down"
        if sweep_age > self.limits.sweep_timeout:
            yield _too_old("sweep", sweep_age, self.limits.sweep_timeout)
        if not self.limits.feed_timeout:
            return
        if feed_age == inf:
            yield "there was no tick yet"
        elif feed_age > self.limits.feed_timeout:
            yield _too_old("tick", feed_age, self.limits.feed_timeout)


def _too_old(what: str, age: float, limit: float) -> str:
    return f"the last {what} is {age:.1f} s old, over {limit:g} s"
