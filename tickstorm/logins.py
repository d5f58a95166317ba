"""Logins: who a client is, whoever decides that, and the errors that a client is to hear of.

Who guesses is slowed down: an address that has failed too often is not listened to for a while.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from twisted.cred.error import LoginFailed
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.admission import LoginFailures
from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator, Peer, User
from tickstorm.errors import InternalError, InvalidAuth, ProtocolError, RateLimited
from tickstorm.messages import Login
from tickstorm.pauses import Paused, Pauses


class Arriving(Paused, Protocol):
    """What is asked of a connection that logs in."""

    @property
    def address(self) -> str:
        """Who it counts as."""

    @property
    def certificate_name(self) -> str | None:
        """The common name of the client's certificate, if it showed one."""

    def accept_login(self, client_id: str, user: User) -> None:
        """Let the client go on as this user."""

    def fail(self, error: ProtocolError) -> None:
        """Tell the client of an error that closes."""


class LoginDesk:
    """Checks logins.

    Args:
        authenticator: decides who a login is.
        failures: remembers the addresses of those that were wrong.
        pauses: has connections wait for what takes time.
        clock: the times.

    Attributes:
        authenticator: as given; another may take its place.
    """

    _log = Logger()

    def __init__(
        self,
        authenticator: IAuthenticator,
        failures: LoginFailures,
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        self.authenticator = authenticator
        self._failures = failures
        self._pauses = pauses
        self._clock = clock

    def ask(self, connection: Arriving, login: Login) -> None:
        """Let a connection's client in, or tell it why not, at once or later."""
        accept = partial(self._accept, connection, login.client_id)
        refuse = partial(self._refuse, connection)
        try:
            user = self.check(login, _peer(connection))
        except Exception:
            refuse(Failure())
            return
        if isinstance(user, Deferred):
            self._pauses.wait(connection, user, accept, refuse)
        else:
            accept(user)

    def check(self, login: Login, peer: Peer) -> User | Deferred[User]:
        """Return who it is, at once or later.

        Raises:
            Exception: nobody who may come in; the Deferred fails likewise. What the client is to
                hear of it is for `refusal` to say.
        """
        self._check_limit(peer)
        user = self.authenticator.authenticate(login, peer)
        if isinstance(user, Deferred):
            return user.addCallback(self._taken, peer)
        return _user(user)

    def refusal(self, reason: Failure, peer: Peer) -> ProtocolError:
        """Return the error that a client is to hear of a login that was not accepted."""
        error = reason.value
        if reason.check(InvalidAuth, LoginFailed):
            return self._limit(peer) or InvalidAuth("the name or the password is wrong")
        if isinstance(error, ProtocolError) and error.closes:
            return error
        self._log.failure("a login could not be checked", reason, peer=peer.address)
        return InternalError("the login could not be checked")

    def _accept(self, connection: Arriving, client_id: str, user: User) -> None:
        if not connection.is_over:
            connection.accept_login(client_id, user)

    def _refuse(self, connection: Arriving, reason: Failure) -> None:
        if not connection.is_over:
            connection.fail(self.refusal(reason, _peer(connection)))

    def _taken(self, user: object, peer: Peer) -> User:
        # Asked once more now that the answer is there: others of the same address may have failed
        # meanwhile, and many guesses at once are to be no way around the limit.
        self._check_limit(peer)
        return _user(user)

    def _limit(self, peer: Peer) -> RateLimited | None:
        try:
            self._check_limit(peer)
        except RateLimited as error:
            return error
        return None

    def _check_limit(self, peer: Peer) -> None:
        self._failures.check(peer.address, self._clock.monotonic())


def _user(user: object) -> User:
    if not isinstance(user, User):
        raise TypeError(f"an authenticator returned {user!r:.100}")
    return user


def _peer(connection: Arriving) -> Peer:
    return Peer(connection.address, connection.certificate_name)
