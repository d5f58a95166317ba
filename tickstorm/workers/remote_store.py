"""A worker's store of auctions that are in the parent's memory, at the other end of the link.

All that is to be decided in one turn of the reactor is one message, and so are its answers. A
worker does not outlive its link: once that is lost, all that has no answer fails.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import AnswerLost, IAuctionStore, IFollower, StoreUnavailable
from tickstorm.auction.life import Auction, Entry
from tickstorm.auction.rule import Answer, Bid, Terms
from tickstorm.clock import Clock
from tickstorm.errors import TickstormError
from tickstorm.workers.bids import (
    AuctionAnswered,
    AuctionAsked,
    Batch,
    BidsAnswered,
    BidsAsked,
    Moved,
    pack_batches,
    read_answers,
    read_auctions,
)

Send = Callable[[tuple[Any, ...]], None]
"""Sends a control message to the parent."""

GONE = "the first process is gone"


class _Asked(NamedTuple):
    """A batch, and what waits for its answers."""

    batch: Batch
    answers: Deferred[Sequence[Answer]]


@implementer(IAuctionStore)
class RemoteStore:
    """Asks the parent.

    Args:
        send: to the parent.
        clock: the times: the wall clock is the parent's too.

    Attributes:
        state: it is well until it is stopped.
    """

    _log = Logger()

    def __init__(self, send: Send, clock: Clock) -> None:
        self.state = BreakerState.CLOSED
        self._send = send
        self._clock = clock
        self._now_ms = 0
        self._followers: list[IFollower] = []
        self._requests = count(1)
        self._unasked: list[_Asked] = []
        self._asked: dict[int, list[_Asked]] = {}
        self._questions: dict[int, Deferred[Any]] = {}
        self._flush_call: IDelayedCall | None = None

    def start(self) -> Deferred[None]:
        """Do nothing: the link is there."""
        return succeed(None)

    def stop(self) -> None:
        """Ask nothing more: the link is lost, and with it every answer."""
        self.state = BreakerState.OPEN
        unasked, self._unasked = self._unasked, []
        asked, self._asked = self._asked, {}
        questions, self._questions = self._questions, {}
        for each in unasked:
            each.answers.errback(StoreUnavailable(GONE))
        for each in (each for batches in asked.values() for each in batches):
            each.answers.errback(AnswerLost(GONE))
        for answer in questions.values():
            answer.errback(AnswerLost(GONE))

    # What the dispatcher and the watchers ask.

    def bid(self, auction_id: int, bids: Sequence[Bid]) -> Deferred[Sequence[Answer]]:
        """Decide bids, with all others of this turn of the reactor."""
        if self.state is not BreakerState.CLOSED:
            return fail(StoreUnavailable(GONE))
        answers: Deferred[Sequence[Answer]] = Deferred()
        self._unasked.append(_Asked(Batch(auction_id, bids), answers))
        if self._flush_call is None:
            self._flush_call = self._clock.scheduler.callLater(0, self._flush_late)
        return answers

    def read(self, auction_id: int) -> Deferred[Auction | None]:
        """Return an auction as it stands, or None."""
        return self._ask("read", auction_id).addErrback(_without_effect)

    def create(self, terms: Terms, auction_id: int = 0) -> Deferred[Auction]:
        """Create an auction."""
        return self._ask("create", terms, auction_id)

    def close(self, auction_id: int) -> Deferred[Auction]:
        """Close an auction."""
        return self._ask("close", auction_id)

    def settle(self, auction_id: int) -> Deferred[Auction]:
        """Return how an auction stands, once the parent has its end on record."""
        return self._ask("settle", auction_id)

    def auctions(self, after: int, limit: int) -> Deferred[Sequence[Auction]]:
        """Return some of the auctions."""
        return self._ask("auctions", after, limit).addErrback(_without_effect)

    def record(self, auction_id: int, after: int, limit: int) -> Deferred[Sequence[Entry]]:
        """Return some of an auction's leading bids."""
        return self._ask("record", auction_id, after, limit).addErrback(_without_effect)

    def now_ms(self) -> int:
        """Return the time: never before what the parent has said last."""
        self._hear(self._clock.wall_ms())
        return self._now_ms

    def follow(self, follower: IFollower) -> None:
        """Tell somebody of all auctions from now on."""
        self._followers.append(follower)

    # What the parent says.

    def take(self, message: BidsAnswered | AuctionAnswered | Moved) -> None:
        """Take what the parent says of auctions."""
        self._hear(message.now_ms)
        match message:
            case BidsAnswered():
                self._decided(message)
            case AuctionAnswered():
                self._answered(message)
            case Moved():
                self._moved(message)

    def _decided(self, answered: BidsAnswered) -> None:
        batches = self._asked.pop(answered.request)
        for asked, answers in zip(batches, read_answers(answered.answers), strict=True):
            if answers is None:
                asked.answers.errback(AnswerLost("the first process failed to decide"))
            else:
                asked.answers.callback(answers)

    def _answered(self, answered: AuctionAnswered) -> None:
        answer = self._questions.pop(answered.request)
        if isinstance(answered.answer, TickstormError):
            answer.errback(answered.answer)
        else:
            answer.callback(answered.answer)

    def _moved(self, moved: Moved) -> None:
        for auction in read_auctions(moved.auctions):
            for follower in self._followers:
                self._tell(follower, auction)

    def _tell(self, follower: IFollower, auction: Auction) -> None:
        try:
            follower.moved(auction)
        except Exception:  # one must not keep the others from theirs
            self._log.failure("a follower of the auctions failed")

    def _hear(self, now_ms: int) -> None:
        self._now_ms = max(self._now_ms, now_ms)

    # How it asks.

    def _ask(self, call: str, *arguments: object) -> Deferred[Any]:
        if self.state is not BreakerState.CLOSED:
            return fail(StoreUnavailable(GONE))
        self._flush()  # what was bid before this is decided before it
        request = next(self._requests)
        answer = self._questions[request] = Deferred()
        self._send(AuctionAsked(request, call, arguments))
        return answer

    def _flush_late(self) -> None:
        self._flush_call = None
        self._flush()

    def _flush(self) -> None:
        unasked, self._unasked = self._unasked, []
        if unasked:
            request = next(self._requests)
            self._asked[request] = unasked
            self._send(BidsAsked(request, pack_batches(each.batch for each in unasked)))


def _without_effect(failure: Failure) -> Any:
    """Say of what changes nothing that it may be asked for again."""
    error = failure.value
    if isinstance(error, AnswerLost):
        raise StoreUnavailable(str(error), error.retry_after_ms) from None
    return failure
