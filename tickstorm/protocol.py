"""The Twisted edge of one connection: moves bytes and time between a transport and its session.

It decides nothing: the session says what a frame means, the door who may connect, the authenticator
who somebody is, the hub which stream serves a subscription.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IProtocol, ITransport
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.credentials import Peer, User
from tickstorm.errors import (
    InternalError,
    ProtocolError,
    ShuttingDown,
    SlowConsumer,
)
from tickstorm.events import (
    Event,
    Failed,
    LoginRequested,
    PublicationRequested,
    Refused,
    Unsubscribed,
)
from tickstorm.feed import Joined
from tickstorm.messages import Login, goaway_frame
from tickstorm.outlet import Outlet
from tickstorm.overload import Backlog
from tickstorm.publishing import Publisher
from tickstorm.session import Session
from tickstorm.states import State
from tickstorm.stream import Stream
from tickstorm.subscriptions import Subscription
from tickstorm.transports import (
    PROXIED,
    awaits_proxy,
    certificate_name,
    close_now,
    peer_address,
    set_socket_options,
    share_names,
    tls_parameters,
)

if TYPE_CHECKING:
    from tickstorm.factory import TickstormFactory

_Answer = TypeVar("_Answer")

LINGER = 5.0
"""Seconds that a client has to take the last words of its connection before it is cut."""


@implementer(IProtocol, IHandshakeListener)
class Connection:
    """One client.

    Args:
        server: what all connections share.
        id: unique while the server runs.

    Attributes:
        address: who it counts as: an IP address, "unix", or "" while a proxy has not said.
        inside: whether the door let it in.
        user: who has logged in.
        publisher: the same, as one that publishes; None if it may not.
        subscription: what it gets.
        opened_at: when it came, on the monotonic clock.
    """

    __slots__ = (
        "_awaited",
        "_cut_at",
        "_outlet",
        "_resubscribes",
        "_server",
        "_session",
        "_stream",
        "_transport",
        "address",
        "id",
        "inside",
        "opened_at",
        "publisher",
        "subscription",
        "user",
    )

    _log = Logger()
    _outlet: Outlet
    _transport: Any

    def __init__(self, server: TickstormFactory, id: int) -> None:
        self._server = server
        self._cut_at = inf
        self._awaited: Deferred[Any] | None = None
        self._resubscribes = False
        self._stream: Stream[Outlet] | None = None
        self.id = id
        self.address = PROXIED
        self.inside = False
        self.user: User | None = None
        self.publisher: Publisher | None = None
        self.subscription: Subscription | None = None
        self.opened_at = self.now()
        self._session = Session(server.session_limits, self.opened_at)

    # What the transport calls.

    def makeConnection(self, transport: ITransport) -> None:
        """Begin, or turn the client away."""
        self._transport = transport
        share_names(transport)
        set_socket_options(transport, self._server.socket_options)
        self._outlet = Outlet(transport, self)
        self._server.opened(self)
        address = PROXIED if awaits_proxy(transport) else peer_address(transport)
        if not self._server.entrance.enter(self, address):
            self.abort()
            close_now(transport)

    def connectionMade(self) -> None:
        """Wait: the client speaks first."""

    def handshakeCompleted(self) -> None:
        """Count the TLS handshake."""
        self._server.metrics.tls_handshakes[tls_parameters(self._transport)] += 1

    def dataReceived(self, data: bytes) -> None:
        """Read what the client sent."""
        if self.inside and self.address == PROXIED:
            self._server.entrance.leave(self)
            if not self._server.entrance.enter(self, peer_address(self._transport)):
                self.abort()
                return
        self._receive(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything."""
        self._server.note_tls_failure(self, reason)
        self._session.lose()
        self._cut_at = inf
        self._let_go()
        self._outlet.lose()
        self._server.entrance.leave(self)
        self._server.closed(self, reason.getErrorMessage())

    # What the sweep asks and calls.

    @property
    def deadline(self) -> float:
        """When it is to expire; infinity once it is gone."""
        return min(self._session.deadline, self._cut_at)

    def expire(self, now: float) -> None:
        """End a conversation that has fallen silent, or cut a connection that does not close."""
        if self._session.state is State.CLOSED:
            self._cut_at = inf
            self._transport.abortConnection()
            return
        failed = self._session.expire(now, self._server.clock.wall_ms())
        if failed is not None:
            self._act(failed)

    def check_progress(self, now: float) -> None:
        """End a connection that takes nothing."""
        self._outlet.check(now)

    # What the outlet asks and calls.

    def now(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self._server.clock.monotonic()

    def congested(self) -> Backlog:
        """Begin to queue."""
        return self._server.congestion.begin(self)

    def queued(self, backlog: Backlog) -> None:
        """Take note of how much is queued."""
        self._server.congestion.queued(self, backlog)

    def relieved(self) -> None:
        """Stop queueing."""
        self._server.congestion.relieved(self)

    def too_slow(self, error: SlowConsumer) -> None:
        """Close on a client that does not read, and say what it does not get."""
        self._server.metrics.slow_consumers += 1
        self.fail(SlowConsumer(error.message, self._outlet.unsent))

    # What others may ask.

    @property
    def bytes_sent(self) -> int:
        """What was written to the transport."""
        outlet, stream = self._outlet, self._stream
        streamed = stream.sent_to(outlet) if stream is not None else 0
        return outlet.own_bytes + streamed - outlet.pending_bytes

    @property
    def stream(self) -> Stream[Outlet] | None:
        """What it is on."""
        return self._stream

    @property
    def certificate_name(self) -> str | None:
        """The common name of the client's certificate, if it showed one."""
        return certificate_name(self._transport)

    @property
    def epoch(self) -> str:
        """That of its stream."""
        return self._stream.epoch if self._stream is not None else ""

    @property
    def next_sequence(self) -> int:
        """The number of the batch that it gets next."""
        stream = self._stream
        return self._outlet.next_sequence(stream.next_sequence) if stream is not None else 0

    @property
    def publishing_epoch(self) -> str:
        """Names the run of the server."""
        return self._server.feed.epoch

    @property
    def is_full(self) -> bool:
        """Whether as many of its requests to publish are unanswered as may be."""
        return self._server.publications.is_full(self)

    @property
    def pending_bytes(self) -> int:
        """What is queued."""
        return self._outlet.pending_bytes

    def fail(self, error: ProtocolError) -> None:
        """Tell the client of an error; close if the error does."""
        if self._session.state is not State.CLOSED:
            self._act(self._session.answer(error, self._server.clock.wall_ms()))
            self._say()

    def announce_end(self, retry_after_ms: int, reason: str) -> bool:
        """Tell the client to come back after so long, if it knows of that; whether it does."""
        known = self.subscription is not None and self.subscription.is_extended
        if not known or self._session.state is State.CLOSED:
            return False
        self._outlet.answer(goaway_frame(retry_after_ms, reason))
        return True

    def see_off(self, last_words: ShuttingDown | None) -> None:
        """Close behind what is queued, however long the client takes for that."""
        if self._session.state is State.CLOSED:
            return
        if last_words is None:
            self._session.lose()
        else:
            self._session.answer(last_words, self._server.clock.wall_ms())
            self._server.ended(self, last_words)
        self._close(flush=True)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abortConnection()

    # What its publications call.

    def answer_publication(self, frame: bytes) -> None:
        """Send an answer, unless the conversation is over."""
        self._session.answer_publication(frame)
        self._say()

    def pause_reading(self) -> None:
        """Read nothing for now."""
        self._transport.pauseProducing()

    def resume_reading(self) -> None:
        """Read on, unless something else is waited for, and first what the session holds back."""
        if self._awaited is not None or self._session.state is State.CLOSED:
            return
        try:
            self._read_on()
        except Exception:
            self._broke_down(Failure())

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
            self._log_in(event.login)
        elif isinstance(event, PublicationRequested):
            self._say()  # what it publishes may come back to it, and is not to overtake a PONG
            self._server.publications.ask(self, event.request)
        elif isinstance(event, Failed):
            self._end(event.error)
        elif isinstance(event, Refused):
            self._server.refused(event.error)
        elif isinstance(event, Unsubscribed):
            self._unsubscribe()
        else:
            self._subscribe(event.subscription)

    def _log_in(self, login: Login) -> None:
        try:
            user = self._server.logins.check(login, self._peer)
        except Exception:
            self._login_failed(Failure())
            return
        if isinstance(user, Deferred):
            self._await(user, partial(self._logged_in_later, login.client_id), self._login_failed)
        else:
            self._logged_in(login.client_id, user)

    def _logged_in(self, client_id: str, user: User) -> None:
        self.user = user
        self.publisher = self._server.publications.publisher(user, client_id, self.id)
        self._server.metrics.logins["accepted"] += 1
        publishing = None if self.publisher is None else self
        self._session.accept_login(self.now(), self._server.clock.wall_ms(), publishing)

    def _logged_in_later(self, client_id: str, user: User) -> None:
        if self._session.state is State.AUTHENTICATING:
            self._logged_in(client_id, user)
            self._read_on()

    def _login_failed(self, reason: Failure) -> None:
        if self._session.state is State.AUTHENTICATING:
            self.fail(self._server.logins.refusal(reason, self._peer))

    @property
    def _peer(self) -> Peer:
        return Peer(self.address, self.certificate_name)

    def _subscribe(self, subscription: Subscription) -> None:
        if self._resubscribes and subscription.has_past:
            self._subscribe_later(subscription)
            return
        try:
            joined = self._server.feed.join(subscription, self._outlet)
        except ProtocolError as error:
            self.fail(error)
            return
        if isinstance(joined, Deferred):
            self._await(joined, self._joined_later, self._join_failed)
        else:
            self._joined(joined)

    def _subscribe_later(self, subscription: Subscription) -> None:
        # A client may ask for a past as often as it likes, and all in one segment: the others have
        # their turn in between.
        scheduler, join = self._server.clock.scheduler, self._server.feed.join
        later: Deferred[Any] = deferLater(scheduler, 0, join, subscription, self._outlet)
        self._await(later, self._joined_later, self._join_failed)

    def _joined(self, joined: Joined) -> None:
        backfill = joined.backfill
        self._stream, self.subscription = joined.stream, joined.subscription
        self._outlet.drop_stream()
        if joined.subscription.resume is not None:
            self._server.metrics.resumes["recovered" if backfill.recovered else "snapshot"] += 1
        self._session.accept_subscription(
            joined.subscription, joined.terms(), self, self._server.clock.wall_ms()
        )
        self._say()
        self._server.feed.send_past(self._outlet, backfill.frames)

    def _joined_later(self, joined: Joined) -> None:
        if self._session.state is not State.SUBSCRIBING:
            self._server.feed.leave(joined.stream, self._outlet)
            return
        self._joined(joined)
        self._read_on()

    def _join_failed(self, reason: Failure) -> None:
        if self._session.state is not State.SUBSCRIBING:
            return
        error = reason.value
        if not isinstance(error, ProtocolError):
            self._log.failure("a subscription failed", reason, connection=self.id)
            error = InternalError("the subscription could not be served")
        self.fail(error)
        if not error.closes:
            self._read_on()

    def _unsubscribe(self) -> None:
        self._leave_stream(kept=False)
        self.subscription = None
        self._resubscribes = True
        self._outlet.drop_stream()

    # What takes time: the client is not read until the answer is there.

    def _await(
        self,
        answer: Deferred[_Answer],
        take: Callable[[_Answer], None],
        fail: Callable[[Failure], None],
    ) -> None:
        self._transport.pauseProducing()
        self._awaited = answer
        answer.addBoth(self._answered)
        answer.addCallbacks(take, fail)
        answer.addErrback(self._broke_down)

    def _answered(self, answer: Any) -> Any:
        self._awaited = None
        return answer

    def _read_on(self) -> None:
        if self.is_full:
            return
        self._transport.resumeProducing()
        self._receive(b"")

    def _broke_down(self, reason: Failure) -> None:
        # As for an exception in dataReceived, of which Twisted does the same.
        self._log.failure("a connection broke down", reason, connection=self.id)
        self.abort()

    # The end.

    def _end(self, error: ProtocolError) -> None:
        self._server.ended(self, error)
        self._cut_at = self.now() + LINGER
        self._close(flush=False)

    def _close(self, flush: bool) -> None:
        self._let_go()
        self._server.closing(self)
        self._outlet.close(self._session.take_output(), flush)

    def _let_go(self) -> None:
        self._leave_stream()
        if self._awaited is not None:
            self._awaited.cancel()
        self._server.congestion.forget(self)

    def _leave_stream(self, kept: bool = True) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._outlet.own_bytes += stream.sent_to(self._outlet)
            self._server.feed.leave(stream, self._outlet, kept)
