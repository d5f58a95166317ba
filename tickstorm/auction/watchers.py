"""The watchers' follower: answers WATCH, sends UPDATEs, and at its end each auction's one RESULT.

An UPDATE is encoded once for all that get it in one turn of the reactor.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.auction.closings import Closings
from tickstorm.auction.interfaces import AnswerLost, IAuctionStore, IFollower, StoreUnavailable
from tickstorm.auction.life import Auction, NoSuchAuction, Phase
from tickstorm.auction.looks import Looks
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.auction.rule import Answer, Bid
from tickstorm.auction.watching import Watching
from tickstorm.auction.wire import Update, result_frame, update_frame
from tickstorm.clock import Clock
from tickstorm.errors import InvalidSubscription, ProtocolError

NOT_THERE = "is not there"
NOT_NOW = "cannot be read now: try again later"
LOOK_AGAIN_MS = 500
"""When an auction is looked at again that the store could not tell of."""


class Watcher(Protocol):
    """What is asked of a connection that watches."""

    @property
    def is_congested(self) -> bool:
        """Whether it has not read what it was sent."""

    def begin_watch(self, frame: bytes) -> None:
        """Answer a WATCH."""

    def update(self, frames: bytes) -> None:
        """Send UPDATEs."""

    def end_watch(self, auction_id: int, frame: bytes) -> None:
        """Send the final RESULT of an auction."""

    def refuse_watch(self, auction_id: int, error: ProtocolError) -> None:
        """Say that there is nothing to watch."""

    def abort(self) -> None:
        """Close at once."""


@implementer(IFollower)
class Watchers:
    """Has connections watch.

    Args:
        store: what it follows.
        clock: the times.
        metrics: counts UPDATEs.
    """

    _log = Logger()

    def __init__(self, store: IAuctionStore, clock: Clock, metrics: AuctionMetrics) -> None:
        self._store = store
        self._scheduler = clock.scheduler
        self._metrics = metrics
        self._watching: Watching[Watcher] = Watching()
        self._closings = Closings(clock.scheduler, store.now_ms, self._look)
        self._looks = Looks()
        self._flush_call: IDelayedCall | None = None
        store.follow(self)

    def __len__(self) -> int:
        """How many connections watch something."""
        return len(self._watching)

    # What a connection asks.

    def ask(self, watcher: Watcher, auction_id: int) -> None:
        """Answer a WATCH, at once or later."""
        newest = self._watching.again(watcher, auction_id)
        if newest is not None:
            watcher.begin_watch(_update(newest))
        elif self._watching.expect(watcher, auction_id):
            self._ask(
                self._store.read,
                auction_id,
                partial(self._begin, watcher, auction_id),
                partial(self._refuse, watcher, auction_id, NOT_NOW),
            )

    def catch_up(self, watcher: Watcher) -> None:
        """Tell one that reads again what it has not heard of."""
        late = self._watching.take_late(watcher)
        if late:
            self._send(watcher, [_update(auction) for auction in late])

    def leave(self, watcher: Watcher) -> None:
        """Let go of a connection that has ended."""
        for auction_id in self._watching.leave(watcher):
            self._closings.forget(auction_id)

    # What the store tells.

    def moved(self, auction: Auction) -> None:
        """Have those hear of it that watch the auction, behind this turn of the reactor."""
        if not self._watching.note(auction):
            return
        self._closings.expect(auction.id, auction.standing.closes_ms)
        if self._flush_call is None:
            self._flush_call = self._scheduler.callLater(0, self._flush)

    def resumed(self) -> None:
        """Read what is watched again: it may have moved, or what was told of it may be lost."""
        self._watching.doubt()
        for auction_id in list(self._watching.auctions):
            self._look(auction_id)

    def _flush(self) -> None:
        self._flush_call = None
        frames: dict[Watcher, list[bytes]] = {}
        for auction, watchers in self._watching.take_moved():
            frame = _update(auction)
            for watcher in watchers:
                if watcher.is_congested:
                    self._watching.put_off(watcher, auction.id)
                else:
                    frames.setdefault(watcher, []).append(frame)
        for watcher, own in frames.items():
            self._send(watcher, own)
        self._metrics.updates["conflated"] = self._watching.conflated

    def _send(self, watcher: Watcher, frames: list[bytes]) -> None:
        self._metrics.updates["sent"] += len(frames)
        self._guarded(watcher, partial(watcher.update, b"".join(frames)))

    # The beginning and the end of watching.

    def _ask(
        self,
        ask: Callable[[int], Deferred[Any]],
        auction_id: int,
        take: Callable[[Auction | None], None],
        without: Callable[[], None],
    ) -> None:
        def fail(reason: Failure) -> None:
            if reason.check(NoSuchAuction):
                take(None)
                return
            if not reason.check(StoreUnavailable, AnswerLost):
                self._log.failure("an auction cannot be read", reason, auction=auction_id)
            without()

        def look() -> Deferred[None]:
            asked = maybeDeferred(ask, auction_id).addCallbacks(take, fail)
            return asked.addErrback(partial(self._log.failure, "a watcher is not told"))

        self._looks.take(look)

    def _begin(self, watcher: Watcher, auction_id: int, auction: Auction | None) -> None:
        if auction is None:
            self._refuse(watcher, auction_id, NOT_THERE)
            return
        newest = self._watching.begin(watcher, auction)
        if newest is None:
            return
        if self._is_closed(newest):
            self._watching.stop(watcher, newest.id)
            watcher.end_watch(newest.id, _final(newest))
            return
        self._closings.expect(newest.id, newest.standing.closes_ms)
        watcher.begin_watch(_update(newest))

    def _refuse(self, watcher: Watcher, auction_id: int, reason: str) -> None:
        if self._watching.stop(watcher, auction_id):
            watcher.refuse_watch(auction_id, _refusal(auction_id, reason))

    def _look(self, auction_id: int) -> None:
        if auction_id in self._watching.auctions:
            # What has closed is to be settled by whoever looks first.
            self._ask(
                self._store.settle,
                auction_id,
                partial(self._looked, auction_id),
                partial(self._not_seen, auction_id),
            )

    def _looked(self, auction_id: int, auction: Auction | None) -> None:
        if auction is None:
            refusal = _refusal(auction_id, NOT_THERE)
            self._end(auction_id, lambda watcher: watcher.refuse_watch(auction_id, refusal))
            return
        self.moved(auction)
        if self._is_closed(auction):
            frame = _final(auction)
            self._end(auction_id, lambda watcher: watcher.end_watch(auction_id, frame))

    def _end(self, auction_id: int, tell: Callable[[Watcher], None]) -> None:
        self._closings.forget(auction_id)
        for watcher in self._watching.end(auction_id):
            self._guarded(watcher, partial(tell, watcher))

    def _not_seen(self, auction_id: int) -> None:
        self._closings.expect(auction_id, self._store.now_ms() + LOOK_AGAIN_MS)

    def _is_closed(self, auction: Auction) -> bool:
        return auction.phase(self._store.now_ms()) is Phase.CLOSED

    def _guarded(self, watcher: Watcher, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:  # one must not keep the others from theirs
            self._log.failure("a watcher could not be told")
            watcher.abort()


def _refusal(auction_id: int, reason: str) -> InvalidSubscription:
    return InvalidSubscription(f"auction {auction_id} {reason}")


def _update(auction: Auction) -> bytes:
    price, bidder, sequence, _, _ = auction.standing
    return update_frame(Update(auction.id, bidder, price, sequence))


def _final(auction: Auction) -> bytes:
    price, bidder, _, _, _ = standing = auction.standing
    return result_frame(Bid(auction.id, bidder, price), Answer(auction.final, price, standing))
