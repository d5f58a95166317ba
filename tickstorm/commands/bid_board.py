"""What somebody who bids knows of the auction: who leads, what would, and how long there is. Pure.

The server tells its watchers who leads, and only who bids what would lead and when it closes: so
these are known from the first bid on. Each new leader may have moved the close, if the auction has
a soft one, but never to an earlier time.
"""

from decimal import Context, Decimal

from tickstorm.auction.rule import Outcome
from tickstorm.client.auction.results import Leader, Result
from tickstorm.client.events import Disconnected, Entered
from tickstorm.commands.bid_words import whose

_EXACT = Context(prec=40)
_CENT = Decimal("0.01")


class BidBoard:
    """Takes leaders, results and events in.

    Args:
        auction_id: of the auction.
        user_id: for whom it is bid.
    """

    def __init__(self, auction_id: int, user_id: int) -> None:
        self._auction_id = auction_id
        self._user_id = user_id
        self._leader: Leader | None = None
        self._increment: Decimal | None = None
        self._start: Decimal | None = None
        self._closes_ms = 0
        self._closes_surely = True
        self._connection = "connecting"

    @property
    def minimum(self) -> Decimal | None:
        """The least that would lead; None if that is not known."""
        if self._leader is None or self._leader.price is None:
            return self._start
        if self._increment is None:
            return None
        return _EXACT.add(self._leader.price, self._increment)

    @property
    def least(self) -> Decimal:
        """The least that would lead; if that is not known, the least that it could be."""
        if self.minimum is not None:
            return self.minimum
        price = None if self._leader is None else self._leader.price
        return _CENT if price is None else _EXACT.add(price, _CENT)

    def lead(self, leader: Leader) -> None:
        """Take who leads, which is the newest of it."""
        if self._leader is not None and leader.sequence != self._leader.sequence:
            self._closes_surely = False
        self._leader = leader

    def answered(self, result: Result) -> None:
        """Take what became of a bid, which may be older than what is known of the leader."""
        if result.minimum is None:
            return
        if result.price is None:
            self._start = result.minimum
        else:
            self._increment = _EXACT.subtract(result.minimum, result.price)
        sequence = 0 if self._leader is None else self._leader.sequence
        self._closes_ms = max(self._closes_ms, result.closes_ms)
        self._closes_surely = result.sequence >= sequence
        if result.outcome is Outcome.CLOSED:
            self._closes_ms, self._closes_surely = result.closes_ms, True
        if result.sequence > sequence or self._leader is None:
            self._leader = Leader(self._auction_id, result.bidder, result.price, result.sequence)

    def note(self, event: object) -> None:
        """Take what happens to the connection."""
        if isinstance(event, Entered):
            self._connection = ""
        elif isinstance(event, Disconnected):
            self._connection = "disconnected"

    def line(self, now_ms: int, width: int) -> str:
        """Return all of it, or as much as has room.

        Args:
            now_ms: milliseconds since 1970.
            width: in characters.
        """
        line = ""
        for part in self._parts(now_ms):
            longer = f"{line}, {part}" if line else part
            if len(longer) > width:
                break
            line = longer
        return line

    def _parts(self, now_ms: int) -> list[str]:
        parts = [f"auction {self._auction_id}: {self._price()}"]
        if self._connection:
            parts.insert(0, self._connection)
        if self.minimum is not None:
            parts.append(f"next from {self.minimum}")
        if self._closes_ms:
            parts.append(self._left(now_ms))
        return parts

    def _price(self) -> str:
        if self._leader is None:
            return "-"
        if self._leader.price is None:
            return "no bid yet"
        return f"{self._leader.price} by {whose(self._leader.bidder, self._user_id)}"

    def _left(self, now_ms: int) -> str:
        left = span(max(self._closes_ms - now_ms, 0))
        return f"{left} left" if self._closes_surely else f"{left} left or more"


def span(ms: int) -> str:
    """Return how long something is, to the second: 1:05, or 2:00:05 with hours."""
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
