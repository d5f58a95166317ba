"""The dispatcher: has the store decide what connections bid, and tells them.

What it takes on is bounded. Beyond that connections read no more, and go on in the order in which
they came to that, some bids each: no flood of one keeps the others from theirs.
"""

from collections.abc import Callable, Sequence, Sized
from functools import partial
from typing import NamedTuple, Protocol

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.auction.batches import Batch, Batches
from tickstorm.auction.interfaces import AnswerLost, IAuctionStore, StoreUnavailable
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.auction.pacing import PaceLimits, Pacing
from tickstorm.auction.rule import Answer, Outcome
from tickstorm.auction.turns import Turn
from tickstorm.clock import Clock

ROOM_TO_GO_ON = 200
"""Bids that there must be room for before those that wait go on."""
SHARE = 64
"""Bids that one that waits may go on with, before it is the others' turn."""
RETRY_AFTER_MS = 500
"""What a client is told to wait whose bid the store has not answered, and said nothing of it."""


class DispatchLimits(NamedTuple):
    """What a dispatcher takes on.

    Attributes:
        in_flight: bids without an answer.
        batch: bids of one auction that the store is asked for at a time.
    """

    in_flight: int = 5_000
    batch: int = 512


class Bidding(Protocol):
    """What is asked of a connection that bids."""

    @property
    def pace_address(self) -> str:
        """Where its bids come from; "" if that has no rate of its own."""

    def tell(self) -> None:
        """Send the RESULTs that there are; perhaps none, and perhaps its end has come by now."""

    def go_on(self, room: int) -> None:
        """Read on, at most so many bids."""

    def abort(self) -> None:
        """Close at once."""


class Dispatcher:
    """Takes turns of bids.

    Args:
        store: decides them.
        clock: the times.
        metrics: counts them.
        limits: what is taken on.
        pace: how fast bids may come.
    """

    _log = Logger()

    def __init__(
        self,
        store: IAuctionStore,
        clock: Clock,
        metrics: AuctionMetrics,
        limits: DispatchLimits = DispatchLimits(),
        pace: PaceLimits = PaceLimits(),
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._limit = limits.in_flight
        self._batches: Batches[Bidding] = Batches(limits.batch)
        self._pacing = Pacing(pace)
        self._waiting: dict[Bidding, None] = {}
        self._to_tell: dict[Bidding, None] = {}
        self._flush_call: IDelayedCall | None = None
        self._flushing = False

    def __contains__(self, bidder: Bidding) -> bool:
        return bidder in self._waiting

    @property
    def waiting(self) -> int:
        """How many connections wait for room."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """How many bids have no answer yet."""
        return self._batches.in_flight

    @property
    def room(self) -> int:
        """How many bids may come now; none while somebody waits, whose turn is first."""
        return 0 if self._waiting else self._limit - self._batches.in_flight

    def change_pace(self, pace: PaceLimits) -> None:
        """Let other rates through; what was taken of those before does not count."""
        self._pacing = Pacing(pace)

    def take(self, bidder: Bidding, turn: Turn) -> None:
        """Have the bids of a turn decided that have no answer yet.

        Nothing is told before the present turn of the reactor is over.
        """
        now = self._clock.monotonic()
        self._pacing.judge(turn, bidder.pace_address, now)
        if turn.missing != len(turn.bids):
            self._metrics.outcomes.update(turn.outcomes())
        if turn.missing:
            self._batches.add(bidder, turn, now)
            self._flush_soon()

    def tell_soon(self, bidder: Bidding) -> None:
        """Have a connection say what there is to say, behind the present turn of the reactor."""
        self._to_tell[bidder] = None
        self._flush_soon()

    def wait(self, bidder: Bidding) -> None:
        """Have a connection go on when there is room, behind those that wait already."""
        self._waiting[bidder] = None
        self._flush_soon()

    def forget(self, bidder: Bidding) -> None:
        """Let go of a connection that has ended; what it has bid is decided all the same."""
        self._waiting.pop(bidder, None)

    def _flush_soon(self) -> None:
        # Whatever the sockets give in one turn of the reactor goes together.
        if self._flush_call is None and not self._flushing:
            self._flush_call = self._clock.scheduler.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        self._flushing = True
        try:
            self._ask()
            self._tell()
            self._let_go_on()
        finally:
            self._flushing = False
        if self._batches.has_ready:
            self._flush_soon()

    def _ask(self) -> None:
        while ready := self._batches.take_ready():
            for batch in ready:
                self._ask_for(batch)

    def _ask_for(self, batch: Batch) -> None:
        self._metrics.batch_bids.observe(len(batch.bids))
        asked = maybeDeferred(self._store.bid, batch.auction_id, batch.bids)
        asked.addCallbacks(
            self._decided, self._not_decided, callbackArgs=(batch,), errbackArgs=(batch,)
        )
        asked.addErrback(self._log_unanswered)

    def _decided(self, answers: Sequence[Answer], batch: Batch) -> None:
        told = len(answers) if isinstance(answers, Sized) else 0
        if told == len(batch.bids):
            self._answer(batch, answers)
        else:
            wrong = ValueError(f"{told} answers to {len(batch.bids)} bids")
            self._not_decided(Failure(wrong), batch)

    def _not_decided(self, reason: Failure, batch: Batch) -> None:
        error = reason.value
        if isinstance(error, StoreUnavailable | AnswerLost):
            kind, retry_ms = type(error).__name__, error.retry_after_ms or RETRY_AFTER_MS
        else:
            kind, retry_ms = "other", RETRY_AFTER_MS
            self._log.failure("a store failed", reason)
        self._metrics.store_errors[kind] += 1
        outcome = Outcome.UNAVAILABLE if isinstance(error, StoreUnavailable) else Outcome.UNDECIDED
        told = [Answer(outcome, bid.cents, retry_after_ms=retry_ms) for bid in batch.bids]
        self._answer(batch, told)

    def _log_unanswered(self, reason: Failure) -> None:
        self._log.failure("bids stay without answer", reason)

    def _answer(self, batch: Batch, answers: Sequence[Answer]) -> None:
        self._metrics.outcomes.update([answer[0] for answer in answers])
        now = self._clock.monotonic()
        observe, to_tell = self._metrics.decision_seconds.observe, self._to_tell
        for bidder, bids, since in self._batches.answer(batch, answers):
            observe(now - since, bids)
            to_tell[bidder] = None
        self._flush_soon()

    def _tell(self) -> None:
        told, self._to_tell = self._to_tell, {}
        for bidder in told:
            self._guarded(bidder, bidder.tell)

    def _let_go_on(self) -> None:
        least = min(ROOM_TO_GO_ON, self._limit)
        while self._waiting:
            room = self._limit - self._batches.in_flight
            if room < least:
                return
            bidder = next(iter(self._waiting))
            del self._waiting[bidder]
            self._guarded(bidder, partial(bidder.go_on, min(SHARE, room)))

    def _guarded(self, bidder: Bidding, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:  # one must not keep the others from their RESULTs
            self._log.failure("a bidder could not be told")
            bidder.abort()
