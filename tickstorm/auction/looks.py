"""Looks at auctions in their store: some at a time, so that no bid waits behind all of them."""

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred

AT_ONCE = 64
"""Looks that have no answer yet; each costs the store about as much as a bid."""

Look = Callable[[], Deferred[None]]
"""Asks the store; the Deferred has its result when that is over, and does not fail."""


class Looks:
    """Takes looks one after the other, in the order in which they came.

    Args:
        at_once: how many may be under way, at least 1.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._waiting: deque[Look] = deque()
        self._under_way = 0
        self._beginning = False

    def take(self, look: Look) -> None:
        """Look now, or when those before are over."""
        self._waiting.append(look)
        self._begin()

    def _begin(self) -> None:
        if self._beginning:  # a look that is over at once comes back here: no deeper
            return
        self._beginning = True
        try:
            while self._waiting and self._under_way < self._at_once:
                self._under_way += 1
                self._waiting.popleft()().addBoth(self._over)
        finally:
            self._beginning = False

    def _over(self, _: object) -> None:
        self._under_way -= 1
        self._begin()
