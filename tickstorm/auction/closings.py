"""Closings: says of each auction that is watched when its time to close has come.

Nothing of the auction depends on it: who looks at one after that finds it closed, and before it
open. It is only that somebody has to look.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

LONGEST_WAIT = 30.0
"""Seconds after which it looks at the clock again, which may have been corrected meanwhile."""


class Closings:
    """Waits for the nearest.

    Args:
        scheduler: runs calls later.
        now_ms: the time on the store's clock.
        due: called with the id of an auction whose time has come, once for each `expect`.
    """

    _log = Logger()

    def __init__(
        self, scheduler: IReactorTime, now_ms: Callable[[], int], due: Callable[[int], object]
    ) -> None:
        self._scheduler = scheduler
        self._now_ms = now_ms
        self._due = due
        self._closes_ms: dict[int, int] = {}
        self._timer: IDelayedCall | None = None
        self._timer_ms = 0

    def __len__(self) -> int:
        return len(self._closes_ms)

    def expect(self, auction_id: int, closes_ms: int) -> None:
        """Wait for the close of an auction; a time that was known before does not count."""
        self._closes_ms[auction_id] = closes_ms
        if self._timer is None or closes_ms < self._timer_ms:
            self._wait()

    def forget(self, auction_id: int) -> None:
        """Wait for that of an auction no more."""
        self._closes_ms.pop(auction_id, None)
        if not self._closes_ms:
            self._cancel()

    def _wait(self) -> None:
        self._cancel()
        if not self._closes_ms:
            return
        self._timer_ms = min(self._closes_ms.values())
        wait = min(max(1, self._timer_ms - self._now_ms()) / 1000, LONGEST_WAIT)
        self._timer = self._scheduler.callLater(wait, self._look)

    def _look(self) -> None:
        self._timer = None
        now_ms = self._now_ms()
        reached = [id for id, closes_ms in self._closes_ms.items() if closes_ms <= now_ms]
        for auction_id in reached:
            del self._closes_ms[auction_id]
        for auction_id in reached:
            self._tell(auction_id)
        self._wait()

    def _tell(self, auction_id: int) -> None:
        try:
            self._due(auction_id)
        except Exception:  # one must not keep the others from theirs
            self._log.failure("the close of auction {auction} failed", auction=auction_id)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
