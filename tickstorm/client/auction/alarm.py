"""An alarm: one timer for many times, of which only the earliest matters."""

from collections.abc import Callable
from math import inf

from tickstorm.client.interfaces import Framework, Timer


class Alarm:
    """Calls when the earliest of the times has come that it was set to; then it is set to none.

    Args:
        framework: has the time.
        call: takes the time that it is, which is never before the one that it was set to.
    """

    def __init__(self, framework: Framework, call: Callable[[float], object]) -> None:
        self._framework = framework
        self._call = call
        self._timer: Timer | None = None
        self._at = inf

    def set(self, at: float) -> None:
        """Call at this monotonic time at the latest; infinity changes nothing."""
        if at >= self._at:
            return
        self.cancel()
        self._at = at
        wait = max(0.0, at - self._framework.monotonic())
        self._timer = self._framework.call_later(wait, self._ring)

    def cancel(self) -> None:
        """Call no more, until it is set again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._at = None, inf

    def _ring(self) -> None:
        now = max(self._framework.monotonic(), self._at)  # a timer may fire a little early
        self._timer, self._at = None, inf
        self._call(now)
