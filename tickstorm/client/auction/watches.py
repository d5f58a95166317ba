"""What is watched: asked for on each connection again, and the newest that is known of it. Pure.

A refusal says which WATCH it answers in its words alone, so one is unanswered at a time.
"""

import re
from collections import deque
from collections.abc import Callable
from math import inf

from tickstorm.auction.wire import watch_frame
from tickstorm.client.auction.results import Leader
from tickstorm.client.backoff import Backoff, BackoffLimits
from tickstorm.errors import InvalidMessage, ProtocolError

WAITS = BackoffLimits(first=0.5, longest=5.0, stable_after=0.0)
"""Before an auction is asked for again that could not be read."""

_NAMED = re.compile(r"auction ([0-9]+) ")
_TRY_AGAIN = "try again"
"""What a refusal says that is no last word: the wire has nothing else that tells."""


class Watches:
    """What one bidder watches.

    Args:
        random: gives a number from 0 up to but not including 1, for waits.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._backoff = Backoff(WAITS, random)
        self._wanted: dict[int, Leader | None] = {}  # with the newest on this connection
        self._queue: deque[int] = deque()
        self._later: dict[int, float] = {}
        self._asked: int | None = None

    @property
    def unanswered(self) -> bool:
        """Whether a WATCH was sent that has no answer."""
        return self._asked is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is watched."""
        return not self._wanted

    @property
    def due(self) -> float:
        """When there will be something to send although nothing comes; infinity for never."""
        return inf if self.unanswered else min(self._later.values(), default=inf)

    # What is wanted.

    def want(self, auction_id: int) -> Leader | None:
        """Watch an auction, and return who leads it if that is known."""
        if auction_id not in self._wanted:
            self._wanted[auction_id] = None
            self._queue.append(auction_id)
        return self._wanted[auction_id]

    def drop(self, auction_id: int) -> None:
        """Watch an auction no more. The server goes on telling, which is not heard."""
        self._wanted.pop(auction_id, None)
        self._later.pop(auction_id, None)

    def ask_again(self) -> None:
        """Ask for one once more, whose answer tells that the server is still there."""
        self._queue.extend(list(self._wanted)[:1])

    # What becomes of it.

    def frames(self, now: float) -> list[bytes]:
        """Return what is to be sent now, and take it for sent."""
        for auction_id in [each for each, at in self._later.items() if at <= now]:
            del self._later[auction_id]
            self._queue.append(auction_id)
        while self._asked is None and self._queue:
            auction_id = self._queue.popleft()
            if auction_id in self._wanted:
                self._asked = auction_id
                return [watch_frame(auction_id)]
        return []

    def connection_lost(self) -> None:
        """Ask for everything again on the next one."""
        self._wanted = dict.fromkeys(self._wanted)
        self._queue = deque(self._wanted)
        self._later.clear()
        self._asked = None

    def updated(self, leader: Leader) -> bool:
        """Take who leads; whether that is news to somebody."""
        self._answered(leader.auction_id)
        self._backoff.lasted(WAITS.stable_after)
        if leader.auction_id not in self._wanted:
            return False
        before = self._wanted[leader.auction_id]
        if before is not None and leader.sequence <= before.sequence:
            return False
        self._wanted[leader.auction_id] = leader
        return True

    def ended(self, leader: Leader) -> bool:
        """Take how an auction has ended, which is watched no more; whether somebody did."""
        self._answered(leader.auction_id)
        wanted = leader.auction_id in self._wanted
        self.drop(leader.auction_id)
        return wanted

    def refused(self, error: ProtocolError, now: float) -> int | None:
        """Take a refusal, and return the auction that is watched no more by it; None if none is.

        Raises:
            InvalidMessage: it names none, and none was asked for.
        """
        auction_id = self._refused_auction(error.message)
        self._answered(auction_id)
        if auction_id not in self._wanted:
            return None
        if _TRY_AGAIN in error.message:
            self._later[auction_id] = now + self._backoff.next_wait()
            return None
        self.drop(auction_id)
        return auction_id

    def _refused_auction(self, message: str) -> int:
        named = _NAMED.match(message)
        if named is not None:
            return int(named[1])
        if self._asked is None:
            raise InvalidMessage(f"a refusal of what was not asked for: {message}")
        return self._asked

    def _answered(self, auction_id: int) -> None:
        if self._asked == auction_id:
            self._asked = None
