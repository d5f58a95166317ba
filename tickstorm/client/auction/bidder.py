"""The bidder: bids, and returns when the auction has decided, over any number of connections.

Each bid counts once: one that lost its answer with its connection is sent again under its number,
and the server knows what it has decided.
"""

import secrets
from collections.abc import Awaitable, Callable
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple, Self

from tickstorm.auction.rule import Bid
from tickstorm.client.auction.alarm import Alarm
from tickstorm.client.auction.amounts import to_cents
from tickstorm.client.auction.bids import Bids, Offer
from tickstorm.client.auction.results import Leader, Result
from tickstorm.client.auction.session import (
    BidderSession,
    BidsEnded,
    Led,
    SessionEvent,
    WatchRefused,
)
from tickstorm.client.auction.watch import Watch
from tickstorm.client.auction.watches import Watches
from tickstorm.client.backoff import Backoff, BackoffLimits
from tickstorm.client.events import Disconnected, Entered, Garbled, ServerError, Silent
from tickstorm.client.interfaces import Framework
from tickstorm.client.lifetime import CloseLimits, Lifetime
from tickstorm.client.line import Line
from tickstorm.errors import BidderClosed

MAX_ID = 2**32 - 1
"""Of an auction, and of a user."""
MAX_BID_ID = 2**64 - 1

BidderEvent = Entered | ServerError | Garbled | Silent | Disconnected
"""What reaches the `on_event` of a bidder."""


class BidderLimits(NamedTuple):
    """How much a bidder has under way, and how long it waits, in seconds.

    Attributes:
        max_bids: sent and not yet answered; those behind them wait for their turn.
        answer_timeout: for the server to say anything while it owes an answer.
        probe_interval: of silence, after which a bidder that watches asks whether the server is
            still there.
        close_timeout: that `close` waits for the answers to what is under way.
        connect_timeout: until the server must be reached.
        backoff: the waits between connections.
    """

    max_bids: int = 256
    answer_timeout: float = 10.0
    probe_interval: float = 30.0
    close_timeout: float = 5.0
    connect_timeout: float = 10.0
    backoff: BackoffLimits = BackoffLimits(first=0.25, longest=10.0)


class Bidder:
    """Bids and watches, and stays connected.

    Args:
        framework: Twisted or asyncio, with the server's address.
        auth: what to log in with, `NAME:PASSWORD` or a token; None for a server that asks for no
            login.
        on_event: called with all that happens to its connections, when it happens.
        limits: how much to have under way and how long to wait.
        random: gives a number from 0 up to but not including 1.

    Raises:
        ValueError: a limit is out of its range.
    """

    def __init__(
        self,
        framework: Framework,
        auth: str | None,
        on_event: Callable[[BidderEvent], object],
        limits: BidderLimits,
        random: Callable[[], float],
    ) -> None:
        self._framework = framework
        self._auth = auth
        self._limits = limits
        self._bids = Bids(limits.max_bids, random)
        self._watches = Watches(random)
        self._line: Line[SessionEvent] = Line(
            framework,
            self,
            self._begin,
            limits.connect_timeout,
            Backoff(limits.backoff, random),
        )
        self._session: BidderSession | None = None
        self._waiting: dict[Offer, Any] = {}
        self._watching: dict[int, list[Watch]] = {}
        self._lifetime: Lifetime[BidderEvent] = Lifetime(
            framework,
            self._line,
            self,
            on_event,
            CloseLimits(limits.close_timeout, _overdue),
        )
        self._expiry = Alarm(framework, self._expire)

    async def bid(
        self,
        auction_id: int,
        user_id: int,
        amount: Decimal,
        *,
        retry_for: float = 30.0,
        bid_id: int = 0,
    ) -> Result:
        """Bid, and return when the auction has decided.

        Several bids may be under way; they are sent in the order of the calls, and those that have
        to be tried again behind the others. A call that is cancelled sends nothing more; what it
        had sent may count.

        Args:
            auction_id: of the auction.
            user_id: for whom.
            amount: in whole cents.
            retry_for: seconds from now on for which it is tried again while it has had no effect:
                there is no connection, or the answer is RATE_LIMITED or UNAVAILABLE. Then that is
                the result; UNAVAILABLE, too, if it was never sent. A bid that is in doubt, because
                its answer was lost, is sent again until what became of it is known: if the server
                had not heard it, it is decided then.
            bid_id: names the bid, 1 to 2^64 - 1: the same one again is the same bid, which counts
                once and has one answer, for as long as the server remembers (`auction_bid_memory`).
                One is drawn at random unless given.

        Raises:
            TypeError: the amount is no Decimal, or a number is no int.
            ValueError: the amount is none that can be bid, or a number is out of its range.
            BidderClosed: the bidder was closed, or the call given up.
            ProtocolError: the server will not let it in; every later call raises the same.
            TickstormError: `on_event` raised something, which is at the end of its causes.

        The message of the last three says whether the bid may count all the same.
        """
        offer = self._offer(auction_id, user_id, amount, retry_for, bid_id)
        self._lifetime.check()
        self._waiting[offer] = answered = self._framework.futures.create_future()
        self._bids.add(offer)
        self._go_on()
        self._expiry.set(offer.give_up_at)
        try:
            await answered
        finally:
            del self._waiting[offer]
            self._bids.give_up(offer, BidderClosed("the call was cancelled"))
            self._settle()
        return offer.result()

    def watch(self, auction_id: int) -> Watch:
        """Return who leads an auction, from now on and over any number of connections.

        Raises:
            TypeError: the number is no int.
            ValueError: it is out of its range.
            TickstormError: the bidder has ended.
        """
        _check("auction_id", auction_id, 0, MAX_ID)
        self._lifetime.check()
        watch = Watch(self._framework.futures, auction_id, self._forget)
        self._watching.setdefault(auction_id, []).append(watch)
        leader = self._watches.want(auction_id)
        if leader is not None:
            watch.take(leader)
        self._go_on()
        return watch

    def close(self) -> Awaitable[None]:
        """Take no more bids, wait for the answers to those that may count, and disconnect.

        It begins at once, and ends all watches, and the bids that are known to have had no effect.
        The future fires when the connection is gone: after `close_timeout` and some seconds at
        most. A bid that has no answer by then raises BidderClosed.
        """
        self._lifetime.refuse(BidderClosed("the bidder is closed"))
        self._end_watches(None)
        self._bids.give_up_harmless(BidderClosed("the bidder was closed"))
        self._settle()
        return self._lifetime.close()

    async def __aenter__(self) -> Self:
        self._line.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # What the line reports.

    @property
    def full(self) -> bool:
        """Never: there is always room for an answer."""
        return False

    def heard(self, event: SessionEvent) -> None:
        """Answer the bids that are over, pass on who leads, tell everything else."""
        if isinstance(event, BidsEnded):
            self._settle()
        elif isinstance(event, Led):
            self._pass_on(event.leader)
        elif isinstance(event, WatchRefused):
            for watch in self._watching.pop(event.auction_id, ()):
                watch.end(event.error)
        else:
            self._lifetime.tell(event)

    def disconnected(self, error: Exception, retry_in: float | None) -> None:
        """Tell it; without another attempt it is the end of all bids and watches."""
        if retry_in is None:
            self._lifetime.end(error)
        self._lifetime.tell(Disconnected(error, retry_in))

    # What its lifetime asks.

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a bid."""
        return self._bids.idle

    def end(self, error: Exception) -> None:
        """Bid and watch nothing more."""
        self._bids.give_up_all(error)
        self._end_watches(error)
        self._settle()

    def _begin(self, now: float) -> BidderSession:
        self._session = BidderSession(
            self._auth,
            self._bids,
            self._watches,
            answer_timeout=self._limits.answer_timeout,
            probe_interval=self._limits.probe_interval,
            now=now,
        )
        return self._session

    # Bids.

    def _offer(
        self, auction_id: int, user_id: int, amount: Decimal, retry_for: float, bid_id: int
    ) -> Offer:
        _check("auction_id", auction_id, 0, MAX_ID)
        _check("user_id", user_id, 0, MAX_ID)
        _check("bid_id", bid_id, 0, MAX_BID_ID)
        if not retry_for >= 0:
            raise ValueError(f"retry_for is {retry_for!r}, not at least 0")
        bid = Bid(auction_id, user_id, to_cents(amount), bid_id or new_bid_id())
        return Offer(bid, self._framework.monotonic() + retry_for)

    def _go_on(self) -> None:
        self._line.start()
        if self._session is not None:
            self._session.at(self._framework.monotonic())
        self._line.send()

    def _settle(self) -> None:
        while self._bids.ended:
            answered = self._waiting.get(self._bids.ended.popleft())
            if answered is not None and not self._framework.futures.is_called(answered):
                self._framework.futures.resolve(answered)
        if self._bids.idle:
            self._expiry.cancel()
        self._lifetime.settled()

    def _expire(self, now: float) -> None:
        self._bids.expire(now)
        self._expiry.set(self._bids.next_expiry(now))
        self._settle()

    # Watches.

    def _pass_on(self, leader: Leader) -> None:
        over = leader.outcome is not None
        take = self._watching.pop if over else self._watching.get
        for watch in tuple(take(leader.auction_id, ())):
            watch.take(leader)
            if over:
                watch.end()

    def _forget(self, watch: Watch) -> None:
        watches = self._watching.get(watch.auction_id, [])
        if watch not in watches:
            return
        watches.remove(watch)
        if not watches:
            del self._watching[watch.auction_id]
            self._watches.drop(watch.auction_id)

    def _end_watches(self, error: Exception | None) -> None:
        watching, self._watching = self._watching, {}
        for auction_id, watches in watching.items():
            self._watches.drop(auction_id)
            for watch in watches:
                watch.end(error)


def new_bid_id() -> int:
    """Return a number for a bid that no other bid has, 1 to 2^64 - 1."""
    return secrets.randbelow(MAX_BID_ID) + 1


def _check(name: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}: give a whole number")
    if not least <= value <= most:
        raise ValueError(f"{name} {value} is not {least} to {most}")


def _overdue() -> BidderClosed:
    return BidderClosed("the bidder was closed before all was answered")
