"""The silence of a worker, and what to make of it: pure.

Who works does not hang, however long it says nothing. But that has a bound: an endless loop is work
too.
"""

from collections.abc import Callable
from enum import Enum, auto

SILENCE = 8.0
"""Seconds without a report after which a worker that does nothing hangs."""
IDLE = 4.0
"""Seconds without any CPU time after which a silent worker is one that does nothing.

Even where hundreds want the same processor each gets some within them.
"""
BUSY = 60.0
"""Seconds without a report after which a worker hangs, whatever it does."""


class Verdict(Enum):
    """What to make of a worker."""

    WELL = auto()
    BUSY = auto()
    HANGS = auto()


class Silence:
    """How long a worker has said nothing, from its last report (or its birth) on.

    Only the seconds count that it is told of: what its parent has slept through is no silence.

    Attributes:
        verdict: the last one.
    """

    def __init__(self) -> None:
        self.verdict = Verdict.WELL
        self._seconds = 0.0
        self._worked_at = 0.0
        self._cpu_seconds: float | None = None

    def last(self, seconds: float, cpu_seconds: Callable[[], float | None]) -> Verdict:
        """Let it last so many seconds more, and return what to make of it.

        Args:
            seconds: few, compared with IDLE.
            cpu_seconds: returns how much CPU time the worker has had so far; None if that cannot be
                known, and then it does nothing. It is called only when it matters.
        """
        self._seconds += seconds
        if self._seconds >= SILENCE - IDLE:
            self._look(cpu_seconds())
        self.verdict = self._judge()
        return self.verdict

    def _look(self, cpu_seconds: float | None) -> None:
        if cpu_seconds is not None and cpu_seconds != self._cpu_seconds:
            self._cpu_seconds = cpu_seconds
            self._worked_at = self._seconds

    def _judge(self) -> Verdict:
        if self._seconds <= SILENCE:
            return Verdict.WELL
        if self._seconds > BUSY or self._seconds - self._worked_at >= IDLE:
            return Verdict.HANGS
        return Verdict.BUSY
