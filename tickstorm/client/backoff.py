"""How long to wait before the next connection, and whether there is to be one.

The wait doubles up to a limit and is drawn from its whole range ("full jitter"), so that clients
that lost one server together do not come back together.
"""

from collections.abc import Callable
from typing import NamedTuple

from tickstorm.errors import ProtocolError


class BackoffLimits(NamedTuple):
    """How patient a client is, in seconds.

    Attributes:
        first: the most that the first wait takes.
        longest: the most that any wait takes.
        stable_after: a subscription that lasted this long makes the next wait a first one.
    """

    first: float = 0.5
    longest: float = 30.0
    stable_after: float = 30.0


class Backoff:
    """The waits of one client.

    Args:
        limits: their lengths.
        random: gives a number from 0 up to but not including 1.
    """

    def __init__(self, limits: BackoffLimits, random: Callable[[], float]) -> None:
        self._limits = limits
        self._random = random
        self._ceiling = limits.first

    def lasted(self, seconds: float) -> None:
        """Note how long a subscription went on before it ended."""
        if seconds >= self._limits.stable_after:
            self._ceiling = self._limits.first

    def next_wait(self, retry_after_ms: int = 0) -> float:
        """Return the seconds to wait now: never less than the server asked for."""
        wait = retry_after_ms / 1000 + self._random() * self._ceiling
        self._ceiling = min(self._ceiling * 2, self._limits.longest)
        return wait


def may_retry(error: ProtocolError, told: bool) -> bool:
    """Whether a new connection may do better after the server sent this error.

    A server of plain version 1 does not say, and its silence looks like a no: then the error's
    class decides.

    Args:
        error: what the server sent.
        told: the `retryable` that it sent along.
    """
    # AuthRequired is among those: as this side begins with an AUTH, that can only have been late.
    return told or error.retryable
