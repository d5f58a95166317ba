"""Time as the server has it: monotonic for deadlines, the wall clock for periods and the wire.

Both, and the scheduler, are passed in, so that a test owns time.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Clock(NamedTuple):
    """The times that the edge works with.

    Attributes:
        scheduler: runs calls later.
        monotonic: seconds that never go back, from any zero.
        wall_ns: nanoseconds since the Unix epoch.
    """

    scheduler: IReactorTime
    monotonic: Callable[[], float]
    wall_ns: Callable[[], int]

    def wall_ms(self) -> int:
        """Return the milliseconds since the Unix epoch."""
        return self.wall_ns() // 1_000_000


def system_clock(reactor: IReactorTime) -> Clock:
    """Return the operating system's time, and this reactor's scheduler."""
    return Clock(reactor, time.monotonic, time.time_ns)


def simulated_clock(scheduler: IReactorTime) -> Clock:
    """Return a clock that has nothing but the scheduler's own seconds, as for a `task.Clock`."""
    return Clock(scheduler, scheduler.seconds, lambda: round(scheduler.seconds() * 1e9))


class WallClockLoop:
    """Calls at every multiple of an interval on the wall clock, and goes on when a call fails.

    Unlike a LoopingCall it stays on the wall clock's marks when that clock is corrected, and
    outlives an exception, which is logged and counted.

    Args:
        clock: gives the time and the calls.
        interval_ms: the distance of the marks.
        call: takes the mark's number, counted in intervals since the Unix epoch, and that of the
            mark before it. Marks that were missed are not made up for: the two numbers tell. After
            the clock was set back, the first call may come off its mark, and the two are out of
            order.
        failed: called after each call that raised.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Clock,
        interval_ms: int,
        call: Callable[[int, int], object],
        failed: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock = clock
        self._interval_ns = interval_ms * 1_000_000
        self._call = call
        self._failed = failed
        self._mark = 0
        self._running = False
        self._pending: IDelayedCall | None = None

    def start(self) -> None:
        """Begin with the next mark."""
        self._running = True
        self._mark = self._clock.wall_ns() // self._interval_ns
        self._schedule()

    def stop(self) -> None:
        """Call no more; a call may do this itself."""
        self._running = False
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _schedule(self) -> None:
        wait_ns = self._interval_ns - self._clock.wall_ns() % self._interval_ns
        self._pending = self._clock.scheduler.callLater(wait_ns / 1e9, self._run)

    def _run(self) -> None:
        self._pending = None
        mark = self._clock.wall_ns() // self._interval_ns
        if mark != self._mark:  # a timer may fire a little early
            before, self._mark = self._mark, mark
            self._make_call(mark, before)
        if self._running and self._pending is None:
            self._schedule()

    def _make_call(self, mark: int, before: int) -> None:
        try:
            self._call(mark, before)
        except Exception:
            self._failed()
            self._log.failure("a periodic call failed")
