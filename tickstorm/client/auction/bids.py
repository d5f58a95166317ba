"""The bids that are under way: sent and answered once each, again under the same number. Pure.

RESULTs come in the order in which bids were sent. A bid that was sent on a connection that is lost,
or of which the server says that the answer was lost, is in doubt: it may lead. Such a bid is sent
again until the auction has decided it, and is never told to have had no effect.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum, auto, unique
from heapq import heappop, heappush
from math import inf

from tickstorm.auction.money import to_amount
from tickstorm.auction.rule import Answer, Bid, Outcome
from tickstorm.auction.wire import Result as Said
from tickstorm.auction.wire import bid_frame
from tickstorm.client.auction.results import Result
from tickstorm.client.backoff import Backoff, BackoffLimits
from tickstorm.errors import InvalidMessage, error_telling

WAITS = BackoffLimits(first=0.1, longest=5.0)
"""Behind what the server asks for, before a bid is sent again."""

_TRY_AGAIN = frozenset({Outcome.RATE_LIMITED, Outcome.UNAVAILABLE, Outcome.UNDECIDED})


@unique
class Stage(Enum):
    """Where a bid is."""

    WAITING = auto()
    """For a connection, for room, or for its next try."""
    SENT = auto()
    """On the present connection, and not answered."""
    OVER = auto()


class Offer:
    """One bid that somebody waits for.

    Args:
        bid: what is bid; its bid_id is not 0.
        give_up_at: from this time on it is not tried again, unless it is in doubt.

    Attributes:
        stage: where it is.
        in_doubt: whether it was sent, and what became of that is not known.
        answer: the last one.
        error: what ended it without one.
        backoff: the waits before its next tries; None before the second.
    """

    __slots__ = ("answer", "backoff", "bid", "error", "give_up_at", "in_doubt", "stage")

    def __init__(self, bid: Bid, give_up_at: float) -> None:
        self.bid = bid
        self.give_up_at = give_up_at
        self.stage = Stage.WAITING
        self.in_doubt = False
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.backoff: Backoff | None = None

    def result(self) -> Result:
        """Return what became of it, once it is over.

        Raises:
            TickstormError: what ended it; the message says whether the bid may count.
        """
        if self.error is not None:
            raise error_telling(self.error, self._extent()) from self.error
        assert self.answer is not None  # it is over
        return Result.of(self.bid, self.answer, in_doubt=self.in_doubt)

    def _extent(self) -> str:
        if self.in_doubt:
            return f"whether bid {self.bid.bid_id} counts is not known"
        return "the bid had no effect"


class Bids:
    """What one bidder has under way.

    Args:
        max_sent: sent and unanswered at a time, at least 1.
        random: gives a number from 0 up to but not including 1, for waits.

    Attributes:
        ended: the bids that are over, for whoever waits for them to take out.

    Raises:
        ValueError: `max_sent` is out of its range.
    """

    def __init__(self, max_sent: int, random: Callable[[], float]) -> None:
        if max_sent < 1:
            raise ValueError(f"{max_sent} bids at a time are not at least 1")
        self._max_sent = max_sent
        self._random = random
        self._open: dict[Offer, None] = {}  # all that are not over
        self._queue: deque[Offer] = deque()  # to be sent as soon as there is room
        self._later: list[tuple[float, int, Offer]] = []  # a heap of those with a time to wait for
        self._put_off = 0
        self._sent: deque[Offer] = deque()  # also those that nobody waits for any more
        self.ended: deque[Offer] = deque()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a bid."""
        return not self._open

    @property
    def unanswered(self) -> int:
        """How many were sent on this connection that have no RESULT."""
        return len(self._sent)

    @property
    def due(self) -> float:
        """When there will be something to send although nothing comes; infinity for never."""
        if not self._later or len(self._sent) >= self._max_sent:
            return inf
        return self._later[0][0]

    # What is wanted.

    def add(self, offer: Offer) -> None:
        """Send a bid, behind those that wait."""
        self._open[offer] = None
        self._queue.append(offer)

    def give_up(self, offer: Offer, error: Exception) -> None:
        """Send a bid no more; nothing happens if it is over. If it was sent it may count."""
        if offer.stage is Stage.OVER:
            return
        offer.in_doubt = offer.in_doubt or offer.stage is Stage.SENT
        offer.error = error
        self._end(offer)

    def give_up_all(self, error: Exception) -> None:
        """Send nothing more, and wait for no answer."""
        for offer in tuple(self._open):
            self.give_up(offer, error)

    def give_up_harmless(self, error: Exception) -> None:
        """Send nothing that has had no effect, and wait for the answers to all the rest."""
        for offer in self._harmless():
            self.give_up(offer, error)

    def expire(self, now: float) -> None:
        """End what is overdue and known to have had no effect."""
        for offer in self._harmless():
            if offer.give_up_at <= now:
                offer.answer = offer.answer or Answer(Outcome.UNAVAILABLE, offer.bid.cents)
                self._end(offer)

    def next_expiry(self, now: float) -> float:
        """Return when something will be overdue, behind `now`; infinity for never."""
        times = (offer.give_up_at for offer in self._open if not offer.in_doubt)
        return min((time for time in times if time > now), default=inf)

    # What becomes of it.

    def frames(self, now: float) -> list[bytes]:
        """Return what is to be sent now, and take it for sent."""
        while self._later and self._later[0][0] <= now:
            self._queue.append(heappop(self._later)[2])
        frames = []
        while self._queue and len(self._sent) < self._max_sent:
            offer = self._queue.popleft()
            if offer.stage is Stage.OVER:
                continue
            offer.stage = Stage.SENT
            self._sent.append(offer)
            frames.append(_frame(offer.bid))
        return frames

    def connection_lost(self) -> None:
        """Keep what has no answer, to be sent again before all else: it is in doubt."""
        unanswered = [offer for offer in self._sent if offer.stage is Stage.SENT]
        for offer in unanswered:
            offer.stage, offer.in_doubt = Stage.WAITING, True
        self._queue.extendleft(reversed(unanswered))
        self._sent.clear()

    def answered(self, said: Said, now: float) -> None:
        """Take a RESULT, which is that of the bid that was sent first.

        Raises:
            InvalidMessage: no bid has no RESULT, or it is that of another.
        """
        offer = self._first_sent(said.bid)
        if offer.stage is Stage.OVER:
            return
        offer.answer = said.answer
        offer.in_doubt = offer.in_doubt or said.answer.outcome is Outcome.UNDECIDED
        if said.answer.outcome in _TRY_AGAIN and self._tries_again(offer, said.answer, now):
            return
        self._end(offer)

    def _first_sent(self, bid: Bid) -> Offer:
        if not self._sent:
            raise InvalidMessage("a RESULT of a bid that was not sent")
        offer = self._sent.popleft()
        if (bid.auction_id, bid.user_id, bid.bid_id) != (
            offer.bid.auction_id,
            offer.bid.user_id,
            offer.bid.bid_id,
        ):
            self._sent.appendleft(offer)
            raise InvalidMessage("a RESULT of another bid than the one that was sent first")
        return offer

    def _tries_again(self, offer: Offer, answer: Answer, now: float) -> bool:
        if offer.backoff is None:
            offer.backoff = Backoff(WAITS, self._random)
        at = now + offer.backoff.next_wait(answer.retry_after_ms)
        if at >= offer.give_up_at and not offer.in_doubt:
            return False
        offer.stage = Stage.WAITING
        self._put_off += 1
        heappush(self._later, (at, self._put_off, offer))
        return True

    def _harmless(self) -> list[Offer]:
        return [
            offer for offer in self._open if offer.stage is Stage.WAITING and not offer.in_doubt
        ]

    def _end(self, offer: Offer) -> None:
        offer.stage = Stage.OVER
        del self._open[offer]
        self.ended.append(offer)


def _frame(bid: Bid) -> bytes:
    return bid_frame(bid.auction_id, bid.user_id, to_amount(bid.cents), bid.bid_id)
