"""The end of a pool: every worker sees its clients off and ends, or is ended.

Whoever waits for that hears of it once, when the last worker is gone.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from tickstorm.emptying import HASTE
from tickstorm.workers.link import Drain, Hasten
from tickstorm.workers.place import Place
from tickstorm.workers.worker_process import WorkerProcess

LAST_GRACE = 2.0
"""Seconds that a worker may take beyond the drain before it is ended."""


class Ending:
    """Ends the workers of a pool.

    Args:
        places: the places.
        end: ends a process at once.
        close: called when the last worker is gone, before anybody hears of it; it does not raise.
        scheduler: calls later.
    """

    _log = Logger()

    def __init__(
        self,
        places: Sequence[Place],
        end: Callable[[WorkerProcess | None], object],
        close: Callable[[], object],
        scheduler: IReactorTime,
    ) -> None:
        self._places = places
        self._end = end
        self._close = close
        self._scheduler = scheduler
        self._all_ended: list[Deferred[None]] = []
        self._given_up_at: list[IDelayedCall] = []

    def drain(self, seconds: float, window: float) -> Deferred[None]:
        """Have every worker see its clients off, and end; who does not is ended.

        Args:
            seconds: that it has for that.
            window: seconds over which it spreads the closes.
        """
        for place in self._places:
            if place.link is not None:
                place.link.send(Drain(seconds, window))
                place.let_go()
        self._give_up_after(seconds)
        all_ended: Deferred[None] = Deferred()
        self._all_ended.append(all_ended)
        self.note_gone()
        return all_ended

    def hasten(self) -> None:
        """Have every worker that sees its clients off end at once."""
        if not self._all_ended:
            return
        for place in self._places:
            if place.link is not None:
                place.link.send(Hasten())
        self._give_up_after(HASTE)

    def note_gone(self) -> None:
        """Take note that a worker is gone: during a drain it may have been the last."""
        if not self._all_ended or any(place.link is not None for place in self._places):
            return
        for late in self._given_up_at:
            if late.active():
                late.cancel()
        self._given_up_at.clear()
        self._close()
        # Who hears of it may begin anew, and drain that: it is no business of this list.
        all_ended, self._all_ended = self._all_ended, []
        for each in all_ended:
            each.callback(None)

    def _give_up_after(self, seconds: float) -> None:
        self._given_up_at.append(self._scheduler.callLater(seconds + LAST_GRACE, self._end_all))

    def _end_all(self) -> None:
        for place in self._places:
            if place.link is not None:
                self._log.warn("worker {worker} does not end by itself", worker=place.number)
                self._end(place.process)
                place.link.abort()
