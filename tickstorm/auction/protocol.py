"""One bidder's connection: moves bytes and time between a transport and its session.

It decides nothing: the session says what a frame means, the dispatcher has bids decided, the
watchers' follower says who leads. What a client does not read stops the reading of what it sends.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tickstorm.admission import counted_as
from tickstorm.auction.permits import Permit
from tickstorm.auction.session import (
    BidsReceived,
    Event,
    Failed,
    LoginRequested,
    Refused,
    Session,
)
from tickstorm.auction.wire import MAX_VALUE_BYTES
from tickstorm.credentials import User
from tickstorm.edge import LINGER, Edge
from tickstorm.errors import ProtocolError, ShuttingDown, SlowConsumer
from tickstorm.overload import Backlog
from tickstorm.subscriptions import Overload
from tickstorm.transports import PROXIED, UNNAMED

if TYPE_CHECKING:
    from tickstorm.auction.factory import AuctionFactory


class BidderConnection(Edge):
    """One bidder, or one that only watches.

    Args:
        server: what all connections share.
        id: unique while the server runs.

    Attributes:
        pace_address: what its rate is shared with; "" if there is nothing.
    """

    policy = Overload.DISCONNECT
    stream = None

    __slots__ = ("_paused", "pace_address")

    _server: AuctionFactory
    _session: Session

    def __init__(self, server: AuctionFactory, id: int) -> None:
        super().__init__(server, id)
        self._paused = False
        self.pace_address = ""
        self._session = Session(server.session_limits, self.now(), server.with_login)

    # What the sweep asks and calls.

    def expire(self, now: float) -> None:
        """End one without a login, or whose token has expired; cut one that does not close."""
        if self.is_over:
            self._cut_at = inf
            self._transport.abortConnection()
            return
        failed = self._session.expire(now)
        if failed is not None:
            self._end(failed.error)
            self._say()

    # What the outlet calls.

    def congested(self) -> Backlog:
        """Read nothing more: the client does not read either."""
        backlog = super().congested()
        self._pace()
        return backlog

    def relieved(self) -> None:
        """Tell what was put off, and read on."""
        super().relieved()
        self._server.watchers.catch_up(self)
        self._pace()

    def too_slow(self, error: SlowConsumer) -> None:
        """Close on a client that does not read, without the RESULTs that it has not read."""
        self._server.edge.slow_consumers += 1
        self._session.give_up()
        self.fail(error)
        self._say()

    # What others may ask.

    @property
    def is_over(self) -> bool:
        """Whether the conversation has ended; RESULTs may be to come."""
        return self._session.is_over

    @property
    def is_congested(self) -> bool:
        """Whether the client has not read what it was sent."""
        return self in self._server.congestion.connections

    def fail(self, error: ProtocolError) -> None:
        """End the conversation, behind the RESULTs that are to come."""
        if not self.is_over:
            self._session.fail(error)
            self._end(error)
            self._say()

    def announce_end(self, retry_after_ms: int, reason: str) -> bool:  # noqa: ARG002 - the drain's
        """Do nothing: this wire has no word for it."""
        return False

    def see_off(self, last_words: ShuttingDown | None) -> None:
        """Read no more, and close behind the RESULTs that are to come."""
        if last_words is not None:
            self.fail(last_words)

    # What its requests come to.

    def accept_login(self, client_id: str, user: User) -> None:  # noqa: ARG002 - the stream's
        """Let the client bid."""
        self.accept(user, self._server.desk.permit(user.name), inf)

    def accept(self, user: User, permit: Permit, ends_at: float) -> None:
        """Let the client bid as this user, for these, up to that time."""
        self.user = user
        name = user.name.encode()[:MAX_VALUE_BYTES].decode(errors="ignore")
        had = self.deadline
        self._session.accept_login(name, permit, ends_at)
        self._server.accepted(self, had)

    def tell(self) -> None:
        """Send the RESULTs that there are, and read on if that had to wait for them."""
        was_full = self._session.is_full
        self._say()
        if was_full and not self._session.is_full and not self.is_over:
            self._read(b"", self._server.dispatcher.room)
        else:
            self._pace()

    def go_on(self, room: int) -> None:
        """Read on, at most so many bids."""
        self._read(b"", room)

    def begin_watch(self, frame: bytes) -> None:
        """Say who leads."""
        self._session.answer_watch(frame)
        self._say_later()

    def update(self, frames: bytes) -> None:
        """Say who leads now."""
        if not self.is_over:
            self._outlet.answer(frames)

    def end_watch(self, auction_id: int, frame: bytes) -> None:
        """Say how an auction has ended."""
        self._session.end_watch(auction_id, frame)
        self._say_later()

    def refuse_watch(self, auction_id: int, error: ProtocolError) -> None:
        """Say that there is nothing to watch."""
        self._server.register.refused(error)
        self._session.refuse_watch(auction_id, error)
        self._say_later()

    def pause_reading(self) -> None:
        """Read nothing until the login is checked."""
        self._pace()

    def resume_reading(self) -> None:
        """Read on, and first what came behind the login."""
        self._read(b"", self._server.dispatcher.room)

    # The conversation.

    def _enter(self, address: str) -> bool:
        entered = super()._enter(address)
        self.pace_address = "" if address in (PROXIED, UNNAMED) else counted_as(address)
        return entered

    def _receive(self, data: bytes) -> None:
        waited = self._waits
        self._read(data, self._server.dispatcher.room)
        if waited and self._waits:  # not at once: most clients wait for their RESULTs themselves
            self._pause()

    def _read(self, data: bytes, room: int) -> None:
        dispatcher = self._server.dispatcher
        for event in self._session.receive(data, self.now(), room):
            if isinstance(event, BidsReceived):
                room -= event.turn.missing
                dispatcher.take(self, event.turn)
            else:
                self._act(event)
        if room <= 0 and self._session.holds_back and not self.is_over:
            dispatcher.wait(self)
        self.tell()

    def _act(self, event: Event) -> None:
        if isinstance(event, LoginRequested):
            self._server.desk.ask(self, event.token)
        elif isinstance(event, Failed):
            self._end(event.error)
        elif isinstance(event, Refused):
            self._server.register.refused(event.error)
        elif not isinstance(event, BidsReceived):
            self._server.watchers.ask(self, event.auction_id)

    def _say(self) -> None:
        if self._session.is_closed:
            return
        output = self._session.take_output()
        if self._session.is_closed:
            self._close(output)
        elif output:
            self._outlet.answer(output)

    def _say_later(self) -> None:
        # What is answered while it is read goes out with all the rest of that.
        self._server.dispatcher.tell_soon(self)

    @property
    def _waits(self) -> bool:
        # For its RESULTs, or for room: what it sends meanwhile is held back.
        return self._session.is_full or self in self._server.dispatcher

    def _pace(self) -> None:
        if not self.is_over and (self.is_congested or self in self._server.pauses):
            self._pause()
        elif self._paused and (self.is_over or not self._waits):
            self._paused = False
            self._transport.resumeProducing()

    def _pause(self) -> None:
        if not self._paused and not self.is_over:
            self._paused = True
            self._transport.pauseProducing()

    # The end.

    def _end(self, error: ProtocolError) -> None:
        self._cut_at = self.now() + LINGER
        self._server.ended(self, error)
        self._server.let_go(self)
        self._pace()  # what comes is dropped, but its end is to be seen

    def _close(self, last_words: bytes) -> None:
        self._server.congestion.forget(self)
        self._outlet.close(last_words)
        self._server.congestion.closed(self)

    def _let_go(self) -> None:
        self._paused = False
        self._server.let_go(self)
        self._server.congestion.forget(self)
