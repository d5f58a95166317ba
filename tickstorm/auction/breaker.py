"""The breaker: whether a store is asked at all, or everybody is told at once to come back. Pure.

TRANSITIONS is the whole of it: a step that is not in it is one error. Times are seconds of any
monotonic clock, passed in.
"""

from collections.abc import Callable, Mapping
from enum import Enum, unique
from typing import NamedTuple


@unique
class BreakerState(Enum):
    """Whether the store is asked; the numbers are those of the metric."""

    CLOSED = 0
    PROBING = 1
    OPEN = 2


@unique
class BreakerInput(Enum):
    """What the breaker hears of."""

    ANSWERED = "answered"
    LOST = "lost"
    WAITED = "waited"


class IllegalStep(Exception):
    """Something was heard that the state does not allow: a mistake of whoever told it."""


_State, _Input = BreakerState, BreakerInput

TRANSITIONS: Mapping[tuple[BreakerState, BreakerInput], BreakerState] = {
    (_State.CLOSED, _Input.ANSWERED): _State.CLOSED,
    (_State.CLOSED, _Input.LOST): _State.OPEN,
    (_State.OPEN, _Input.WAITED): _State.PROBING,
    (_State.PROBING, _Input.ANSWERED): _State.CLOSED,
    (_State.PROBING, _Input.LOST): _State.OPEN,
}


class BreakerLimits(NamedTuple):
    """When it opens, and how long it stays so.

    Attributes:
        failures: as many in a row open it.
        first: seconds of the first wait before another try; each next wait is twice as long.
        longest: seconds of the longest.
    """

    failures: int = 3
    first: float = 0.1
    longest: float = 0.5


class Breaker:
    """The state of one way to a store. It begins with a try.

    Args:
        limits: see there.
        random: gives a number from 0 up to but not including 1, so that those that lost the same
            store together do not come back together.

    Attributes:
        state: where it stands.
    """

    def __init__(self, limits: BreakerLimits, random: Callable[[], float]) -> None:
        self.state = BreakerState.PROBING
        self._limits = limits
        self._random = random
        self._failures = 0
        self._wait = limits.first
        self._retry_at = 0.0

    def answered(self) -> None:
        """Note that the store did what it was asked for."""
        if self.state is BreakerState.CLOSED and not self._failures:
            return  # as nearly always
        self._step(BreakerInput.ANSWERED)
        self._failures = 0
        self._wait = self._limits.first

    def failed(self, now: float) -> None:
        """Note that the store answered that it can't do it now."""
        self._failures += 1
        if self._failures >= self._limits.failures:
            self.lost(now)

    def lost(self, now: float) -> None:
        """Note that the store does not answer, or is not to be reached."""
        self._step(BreakerInput.LOST)
        self._failures = 0
        self._retry_at = now + self._wait * (1 + self._random()) / 2
        self._wait = min(2 * self._wait, self._limits.longest)

    def waited(self) -> None:
        """Note that the wait is over."""
        self._step(BreakerInput.WAITED)

    def wait_left(self, now: float) -> float:
        """Return the seconds after which it makes sense to ask again; 0.0 if it is closed."""
        if self.state is BreakerState.OPEN:
            return max(0.0, self._retry_at - now)
        return self._limits.first if self.state is BreakerState.PROBING else 0.0

    def _step(self, input: BreakerInput) -> None:
        following = TRANSITIONS.get((self.state, input))
        if following is None:
            raise IllegalStep(f"{input.value} while {self.state.name}")
        self.state = following
