"""The Twisted edge of one connection: moves bytes and time between a transport and its session.

It decides nothing: the session says what a frame means, the door who may connect, the authenticator
who somebody is, the hub which stream serves a subscription.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.cred.error import LoginFailed
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IProtocol, ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.admission import Rejection
from tickstorm.credentials import Peer, User
from tickstorm.errors import (
    InternalError,
    InvalidAuth,
    NotPermitted,
    Overloaded,
    ProtocolError,
    RateLimited,
    ShuttingDown,
    SlowConsumer,
)
from tickstorm.feed import Joined
from tickstorm.messages import Login, Subscription
from tickstorm.outlet import Outlet
from tickstorm.overload import Backlog
from tickstorm.publishing import Publisher
from tickstorm.session import (
    Event,
    Failed,
    LoginRequested,
    PublicationRequested,
    Refused,
    Session,
    State,
)
from tickstorm.stream import Stream
from tickstorm.ticks import MAX_METADATA_VALUE
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

MAX_TURNED_AWAY = 64
"""Connections that are told why they are turned away, at a time; any more are just closed.

Each holds an open file until its client has taken that, and those are what the server is short of.
"""

_REJECTIONS: dict[Rejection, ProtocolError] = {
    Rejection.BLOCKED: NotPermitted("this address may not connect"),
    Rejection.NOT_ALLOWED: NotPermitted("this address may not connect"),
    Rejection.TOO_MANY: Overloaded("the server has as many connections as it takes"),
    Rejection.TOO_MANY_FROM_ADDRESS: RateLimited("too many connections from this address"),
    Rejection.SHUTTING_DOWN: ShuttingDown("the server is stopping"),
}


def _named(symbols: frozenset[str] | None) -> dict[str, str]:
    """Return what an ACK says of the symbols: nothing if they do not fit into one entry."""
    names = ",".join(sorted(symbols or "*"))
    return {"symbols": names} if len(names) <= MAX_METADATA_VALUE else {}


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
        if not self._enter(PROXIED if awaits_proxy(transport) else peer_address(transport)):
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
            self._leave_door()
            if not self._enter(peer_address(self._transport)):
                self.abort()
                return
        self._receive(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything."""
        self._server.note_tls_failure(self, reason)
        self._session.lose()
        self._cut_at = inf
        self._let_go()
        self._leave_door()
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
        self._server.congested.add(self)
        return Backlog(self._server.backlog_limits, self.now())

    def relieved(self) -> None:
        """Stop queueing."""
        self._server.congested.discard(self)

    def too_slow(self, error: SlowConsumer) -> None:
        """Close on a client that does not read."""
        self._server.metrics.slow_consumers += 1
        self.fail(error)

    # What others may ask.

    @property
    def bytes_sent(self) -> int:
        """What was written to the transport."""
        outlet, stream = self._outlet, self._stream
        streamed = stream.sent_to(outlet) if stream is not None else 0
        return outlet.own_bytes + streamed - outlet.pending_bytes

    @property
    def certificate_name(self) -> str | None:
        """The common name of the client's certificate, if it showed one."""
        return certificate_name(self._transport)

    @property
    def pending_bytes(self) -> int:
        """What is queued."""
        return self._outlet.pending_bytes

    def fail(self, error: ProtocolError) -> None:
        """Tell the client of an error; close if the error does."""
        if self._session.state is not State.CLOSED:
            self._act(self._session.answer(error, self._server.clock.wall_ms()))
            self._say()

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
        """Read on, unless something else is waited for."""
        if self._awaited is None and self._session.state is not State.CLOSED:
            self._transport.resumeProducing()

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
            self._server.publications.ask(self, event.request)
        elif isinstance(event, Failed):
            self._end(event.error)
        elif isinstance(event, Refused):
            self._server.refused(event.error)
        else:
            self._subscribe(event.subscription)

    def _log_in(self, login: Login) -> None:
        limited = self._limited()
        if limited is not None:
            self.fail(limited)
            return
        try:
            user = self._server.authenticator.authenticate(
                login, Peer(self.address, self.certificate_name)
            )
        except Exception:
            self._login_failed(Failure())
            return
        if isinstance(user, Deferred):
            later = partial(self._logged_in_later, login.client_id)
            self._await(user, later, self._login_failed)
        else:
            self._logged_in(login.client_id, user)

    def _logged_in(self, client_id: str, user: User) -> None:
        if not isinstance(user, User):
            self._login_failed(Failure(TypeError(f"an authenticator returned {user!r:.100}")))
            return
        self.user = user
        self.publisher = self._server.publications.publisher(user, client_id, self.id)
        self._server.metrics.logins["accepted"] += 1
        publishing = None if self.publisher is None else {"epoch": self._server.feed.epoch}
        self._session.accept_login(self.now(), self._server.clock.wall_ms(), publishing)

    def _logged_in_later(self, client_id: str, user: User) -> None:
        if self._session.state is not State.AUTHENTICATING:
            return
        limited = self._limited()
        if limited is not None:
            self.fail(limited)
            return
        self._logged_in(client_id, user)
        if self.user is not None:
            self._read_on()

    def _login_failed(self, reason: Failure) -> None:
        if self._session.state is State.AUTHENTICATING:
            self.fail(self._login_error(reason))

    def _login_error(self, reason: Failure) -> ProtocolError:
        if reason.check(InvalidAuth, LoginFailed):
            return self._limited() or InvalidAuth("the name or the password is wrong")
        if isinstance(reason.value, ProtocolError) and reason.value.closes:
            return reason.value
        self._log.failure("a login could not be checked", reason, connection=self.id)
        return InternalError("the login could not be checked")

    def _limited(self) -> RateLimited | None:
        # Asked once more when the answer is there: others of the same address may have failed
        # meanwhile, and many guesses at once are to be no way around the limit.
        try:
            self._server.login_failures.check(self.address, self.now())
        except RateLimited as error:
            return error
        return None

    def _subscribe(self, subscription: Subscription) -> None:
        joined = self._server.feed.join(subscription, self._outlet)
        if isinstance(joined, Deferred):
            self._await(joined, self._joined_later, self._join_failed)
        else:
            self._joined(joined)

    def _joined(self, joined: Joined) -> None:
        feed, subscription = self._server.feed, joined.subscription
        self._stream, self.subscription = joined.stream, subscription
        self._session.accept_subscription(
            subscription.mode,
            {
                "epoch": feed.epoch,
                "next_sequence": str(joined.stream.next_sequence),
                **_named(subscription.symbols),
            },
            self._server.clock.wall_ms(),
        )
        self._say()
        feed.send_now(self._outlet, joined.snapshot)

    def _joined_later(self, joined: Joined) -> None:
        if self._session.state is not State.SUBSCRIBING:
            self._server.feed.leave(joined.subscription.mode, joined.stream, self._outlet)
            return
        self._joined(joined)
        self._read_on()

    def _join_failed(self, reason: Failure) -> None:
        if self._session.state is State.SUBSCRIBING:
            self._log.failure("a subscription failed", reason, connection=self.id)
            self.fail(InternalError("the subscription could not be served"))

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
        self._transport.resumeProducing()
        self._receive(b"")

    def _broke_down(self, reason: Failure) -> None:
        # As for an exception in dataReceived, of which Twisted does the same.
        self._log.failure("a connection broke down", reason, connection=self.id)
        self.abort()

    # The door.

    def _enter(self, address: str) -> bool:
        """Come in, or be told why not; False if as many are told already, and this is to close."""
        self.address = address
        rejection = self._server.door.enter(address)
        if rejection is None:
            self.inside = True
            return True
        self._server.metrics.rejections[rejection.value] += 1
        if self._server.turned_away > MAX_TURNED_AWAY:
            return False
        self.fail(_REJECTIONS[rejection])
        return True

    def _leave_door(self) -> None:
        if self.inside:
            self.inside = False
            self._server.door.leave(self.address)

    # The end.

    def _end(self, error: ProtocolError) -> None:
        self._server.ended(self, error)
        self._cut_at = self.now() + LINGER
        self._let_go()
        self._server.closing(self)
        self._outlet.close(self._session.take_output(), flush=isinstance(error, ShuttingDown))

    def _let_go(self) -> None:
        if self._stream is not None and self.subscription is not None:
            self._outlet.own_bytes += self._stream.sent_to(self._outlet)
            self._server.feed.leave(self.subscription.mode, self._stream, self._outlet)
            self._stream = None
        if self._awaited is not None:
            self._awaited.cancel()
        self._server.congested.discard(self)
