"""One subscriber's connection: moves bytes and time between a transport and its session.

It decides nothing: the session says what a frame means, the door who may connect, the authenticator
who somebody is, the hub which stream serves a subscription.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tickstorm.credentials import User
from tickstorm.edge import LINGER, Edge
from tickstorm.errors import ProtocolError, ShuttingDown, SlowConsumer
from tickstorm.events import (
    Event,
    Failed,
    LoginRequested,
    PublicationRequested,
    Refused,
    Unsubscribed,
)
from tickstorm.feed import Joined
from tickstorm.messages import goaway_frame
from tickstorm.outlet import Outlet
from tickstorm.publishing import Publisher
from tickstorm.session import Session
from tickstorm.states import State
from tickstorm.stream import Stream
from tickstorm.subscriptions import Overload, Subscription

if TYPE_CHECKING:
    from tickstorm.factory import TickstormFactory


class Connection(Edge):
    """One client.

    Args:
        server: what all connections share.
        id: unique while the server runs.

    Attributes:
        publisher: who has logged in, as one that publishes; None if it may not.
        subscription: what it gets.
        stream: what it is on.
        resubscribes: whether it has given a subscription up.
        opened_at: when it came, on the monotonic clock.
    """

    __slots__ = ("opened_at", "publisher", "resubscribes", "stream", "subscription")

    _server: TickstormFactory
    _session: Session

    def __init__(self, server: TickstormFactory, id: int) -> None:
        super().__init__(server, id)
        self.publisher: Publisher | None = None
        self.subscription: Subscription | None = None
        self.stream: Stream[Outlet] | None = None
        self.resubscribes = False
        self.opened_at = self.now()
        self._session = Session(server.session_limits, self.opened_at)

    # What the sweep asks and calls.

    def expire(self, now: float) -> None:
        """End a conversation that has fallen silent, or cut a connection that does not close."""
        if self.is_over:
            self._cut_at = inf
            self._transport.abortConnection()
            return
        failed = self._session.expire(now, self._server.clock.wall_ms())
        if failed is not None:
            self._act(failed)

    # What the outlet calls.

    def too_slow(self, error: SlowConsumer) -> None:
        """Close on a client that does not read, and say what it does not get."""
        self._server.metrics.slow_consumers += 1
        self.fail(SlowConsumer(error.message, self._outlet.unsent))

    # What others may ask.

    @property
    def bytes_sent(self) -> int:
        """What the socket took, as far as the transport says so."""
        outlet, stream = self._outlet, self.stream
        streamed = stream.sent_to(outlet) if stream is not None else 0
        return max(0, outlet.own_bytes + streamed - outlet.pending_bytes)

    @property
    def outlet(self) -> Outlet:
        """Its way out."""
        return self._outlet

    @property
    def is_over(self) -> bool:
        """Whether the conversation has ended."""
        return self._session.state is State.CLOSED

    @property
    def policy(self) -> Overload:
        """What is done when too much waits for it."""
        subscription = self.subscription
        return subscription.policy if subscription is not None else Overload.DISCONNECT

    @property
    def epoch(self) -> str:
        """That of its stream."""
        return self.stream.epoch if self.stream is not None else ""

    @property
    def next_sequence(self) -> int:
        """The number of the batch that it gets next."""
        stream = self.stream
        return self._outlet.next_sequence(stream.next_sequence) if stream is not None else 0

    @property
    def publishing_epoch(self) -> str:
        """Names the run of the server."""
        return self._server.feed.epoch

    @property
    def is_full(self) -> bool:
        """Whether as many of its requests to publish are unanswered as may be."""
        return self._server.publications.is_full(self)

    def fail(self, error: ProtocolError) -> None:
        """Tell the client of an error; close if the error does."""
        if not self.is_over:
            self._act(self._session.answer(error, self._server.clock.wall_ms()))
            self._say()

    def announce_end(self, retry_after_ms: int, reason: str) -> bool:
        """Tell the client to come back after so long, if it knows of that; whether it does."""
        known = self.subscription is not None and self.subscription.is_extended
        if not known or self.is_over:
            return False
        self._outlet.answer(goaway_frame(retry_after_ms, reason))
        return True

    def see_off(self, last_words: ShuttingDown | None) -> None:
        """Close behind what is queued, however long the client takes for that.

        What is queued is left out if all transports together would have too much.
        """
        self._outlet.check(self.now())  # nothing may follow what a history has dropped
        if self.is_over:
            return
        if last_words is None:
            self._session.lose()
        else:
            self._session.answer(last_words, self._server.clock.wall_ms())
            self._server.register.ended(self, last_words)
        self._close(flush=self._server.congestion.has_room_for(self))

    # What its requests come to.

    def accept_login(self, client_id: str, user: User) -> None:
        """Let the client go on as this user."""
        self.user = user
        self.publisher = self._server.publications.publisher(user, client_id, self.id)
        self._server.register.accepted()
        publishing = None if self.publisher is None else self
        self._session.accept_login(self.now(), self._server.clock.wall_ms(), publishing)

    def take_place(self, joined: Joined) -> None:
        """Tell the client of its place in a stream, whose batches come next."""
        self.stream, self.subscription = joined.stream, joined.subscription
        self._outlet.drop_stream()
        wall_ms = self._server.clock.wall_ms()
        self._session.accept_subscription(joined.subscription, joined.terms(), self, wall_ms)
        self._say()

    def answer_publication(self, frame: bytes) -> None:
        """Send an answer, unless the conversation is over."""
        self._session.answer_publication(frame)
        self._say()

    def pause_reading(self) -> None:
        """Read nothing for now."""
        self._transport.pauseProducing()

    def resume_reading(self) -> None:
        """Read on, and first what the session holds back."""
        self._transport.resumeProducing()
        self._receive(b"")

    # The conversation.

    def _receive(self, data: bytes) -> None:
        clock = self._server.clock
        for event in self._session.receive(data, clock.monotonic(), clock.wall_ms()):
            self._act(event)
        self._say()

    def _say(self) -> None:
        output = self._session.take_output()
        if output:
            self._outlet.answer(output)

    def _act(self, event: Event) -> None:
        if isinstance(event, LoginRequested):
            self._server.logins.ask(self, event.login)
        elif isinstance(event, PublicationRequested):
            self._say()  # what it publishes may come back to it, and is not to overtake a PONG
            if not self.is_over:
                self._server.publications.ask(self, event.request)
        elif isinstance(event, Failed):
            self._end(event.error)
        elif isinstance(event, Refused):
            self._server.refused(event.error)
        elif isinstance(event, Unsubscribed):
            self._server.joins.give_up(self)
        else:
            self._server.joins.ask(self, event.subscription)

    # The end.

    def _end(self, error: ProtocolError) -> None:
        self._server.register.ended(self, error)
        self._cut_at = self.now() + LINGER
        self._close(flush=False)

    def _close(self, flush: bool) -> None:
        if self in self._server.pauses:
            self._transport.resumeProducing()  # what comes is dropped, but its end is to be seen
        self._let_go()
        self._server.closing(self)
        self._outlet.close(self._session.take_output(), flush)
        self._server.congestion.closed(self)

    def _let_go(self) -> None:
        self._server.joins.leave(self)
        self._server.pauses.forget(self)
        self._server.congestion.forget(self)
