"""The parent's side of its workers' auctions, which are in its memory.

It has the store decide what the workers' clients bid, and tells all workers who leads: of what
moves in one turn of the reactor, each auction once.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.auction.interfaces import AnswerLost, IAuctionStore, IFollower
from tickstorm.auction.life import Auction
from tickstorm.auction.rule import Answer
from tickstorm.errors import TickstormError
from tickstorm.workers.bids import (
    AuctionAnswered,
    AuctionAsked,
    Batch,
    BidsAnswered,
    BidsAsked,
    Moved,
    pack_answers,
    pack_auctions,
    read_batches,
)

CALLS = frozenset({"read", "create", "close", "settle", "auctions", "record"})
"""The methods of IAuctionStore that a worker may name."""

Send = Callable[[BidsAnswered | AuctionAnswered], object]
"""Sends an answer to the worker that asked."""


@implementer(IFollower)
class Auctioneer:
    """Asks the store for workers.

    Args:
        store: decides bids, and keeps the auctions.
        scheduler: calls later.
        tell: sends a message to every worker.
    """

    _log = Logger()

    def __init__(
        self, store: IAuctionStore, scheduler: IReactorTime, tell: Callable[[Moved], object]
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._tell = tell
        self._moved: dict[int, Auction] = {}
        self._flush_call: IDelayedCall | None = None
        store.follow(self)

    def take(self, message: BidsAsked | AuctionAsked, send: Send) -> None:
        """Take what a worker asks; the answer is sent, at once or later."""
        if isinstance(message, BidsAsked):
            self._decide(message, send)
        else:
            self._ask(message, send)

    # What the store tells.

    def moved(self, auction: Auction) -> None:
        """Have the workers hear of it, behind this turn of the reactor."""
        self._moved[auction.id] = auction
        if self._flush_call is None:
            self._flush_call = self._scheduler.callLater(0, self._flush)

    def resumed(self) -> None:
        """Do nothing: a store in this process misses nothing."""

    def _flush(self) -> None:
        self._flush_call = None
        moved, self._moved = self._moved, {}
        self._tell(Moved(self._store.now_ms(), pack_auctions(moved.values())))

    # What workers ask.

    def _decide(self, asked: BidsAsked, send: Send) -> None:
        def answer(decided: Sequence[Sequence[Answer] | None]) -> None:
            send(BidsAnswered(asked.request, self._store.now_ms(), pack_answers(decided)))

        deciding = gatherResults([self._decided(batch) for batch in read_batches(asked.batches)])
        deciding.addCallback(answer)
        deciding.addErrback(lambda failure: self._log.failure("bids have no answer", failure))

    def _decided(self, batch: Batch) -> Deferred[Sequence[Answer] | None]:
        deciding = maybeDeferred(self._store.bid, *batch)
        return deciding.addErrback(
            lambda failure: self._log.failure("the store failed to decide", failure)
        )

    def _ask(self, asked: AuctionAsked, send: Send) -> None:
        answering = maybeDeferred(self._call, asked)
        answering.addErrback(self._refusal)
        answering.addCallback(
            lambda answer: send(AuctionAnswered(asked.request, self._store.now_ms(), answer))
        )
        answering.addErrback(lambda failure: self._log.failure("a worker has no answer", failure))

    def _call(self, asked: AuctionAsked) -> Deferred[Any]:
        if asked.call not in CALLS:
            raise ValueError(f"{asked.call!r} is not for workers to call")
        answering: Deferred[Any] = getattr(self._store, asked.call)(*asked.arguments)
        return answering

    def _refusal(self, failure: Failure) -> TickstormError:
        error = failure.value
        if isinstance(error, TickstormError):
            return error
        self._log.failure("the store failed", failure)
        return AnswerLost("the first process failed")
