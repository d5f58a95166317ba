"""The life of a client that is asked for things: it ends when nothing is under way any more."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tickstorm.client.interfaces import Framework, Timer
from tickstorm.client.line import Line
from tickstorm.errors import TickstormError

E = TypeVar("E")


class Work(Protocol):
    """What a client has under way."""

    @property
    def idle(self) -> bool:
        """Whether nobody waits for any of it."""

    def end(self, error: Exception) -> None:
        """Do nothing more, and tell all who wait."""


class CloseLimits(NamedTuple):
    """How a client closes.

    Attributes:
        seconds: that it waits for what is under way.
        overdue: makes what those hear who still wait then.
    """

    seconds: float
    overdue: Callable[[], Exception]


class Lifetime(Generic[E]):
    """Ends a client: because it was asked to, or because it has to.

    Args:
        framework: has the time.
        line: what is closed in the end.
        work: what is waited for before.
        on_event: is told what happens. What it raises is the end.
        limits: see there.
    """

    def __init__(
        self,
        framework: Framework,
        line: Line[Any],
        work: Work,
        on_event: Callable[[E], object],
        limits: CloseLimits,
    ) -> None:
        self._framework = framework
        self._line = line
        self._work = work
        self._on_event = on_event
        self._limits = limits
        self._closers: list[Any] = []
        self._closing: Timer | None = None
        self._error: Exception | None = None

    def check(self) -> None:
        """Raise the error of a client that has ended."""
        if self._error is not None:
            raise self._error.with_traceback(None)  # each raise makes that longer

    def tell(self, event: E) -> None:
        """Tell what happens."""
        try:
            self._on_event(event)
        except Exception as error:
            failure = TickstormError(f"on_event raised {error!r}")
            failure.__cause__ = error
            self.end(failure)
            self._line.close()

    def refuse(self, error: Exception) -> None:
        """Let nothing more be asked for: from now on this is raised, unless it has ended."""
        self._error = self._error or error

    def close(self) -> Awaitable[None]:
        """Disconnect as soon as nothing is under way, after `CloseLimits.seconds` at the latest."""
        closed: Awaitable[None] = self._framework.futures.create_future()
        self._closers.append(closed)
        self.settled()
        if not self._work.idle and self._closing is None:
            self._closing = self._framework.call_later(self._limits.seconds, self._give_up)
        return closed

    def end(self, error: Exception) -> None:
        """Have everything that is under way end with an error, and all that is asked for later."""
        self.refuse(error)
        self._work.end(error)

    def settled(self) -> None:
        """Disconnect if that was asked for, and nothing is under way."""
        if not self._closers or not self._work.idle:
            return
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        closers, self._closers = self._closers, []
        for closed in closers:
            self._framework.futures.add_callbacks(
                self._line.close(), partial(self._framework.futures.resolve, closed), None
            )

    def _give_up(self) -> None:
        self._closing = None
        self.end(self._limits.overdue())
