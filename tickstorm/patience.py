"""Patience: how long a stop waits for others, until somebody loses it."""

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tickstorm.emptying import HASTE


class Patience:
    """The patience of one stop, which waits for one thing at a time.

    Args:
        scheduler: waits.
    """

    def __init__(self, scheduler: IReactorTime) -> None:
        self._scheduler = scheduler
        self._pause: Deferred[None] = succeed(None)
        self._lost = False

    def limit(self, seconds: float) -> float:
        """Return how long something may take: as long, or HASTE at most once this is lost."""
        return min(seconds, HASTE) if self._lost else seconds

    def pause(self, seconds: float) -> Deferred[None]:
        """Return what fires after so long, or as soon as this is lost."""
        self._pause = succeed(None) if self._lost else deferLater(self._scheduler, seconds)
        self._pause.addErrback(_over)
        return self._pause

    def lose(self) -> None:
        """Wait for nothing any more."""
        self._lost = True
        self._pause.cancel()


def _over(reason: Failure) -> None:
    reason.trap(CancelledError)
