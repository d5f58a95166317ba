"""The logins that workers ask about: checked here, where the application's authenticator is.

What a worker is told is plain, whatever classes the application has: it need not know them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.cred.error import LoginFailed
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.credentials import IAuthenticator, User
from tickstorm.errors import PROTOCOL_ERRORS, InternalError, InvalidAuth, ProtocolError
from tickstorm.workers.link import LoginAnswered, LoginAsked, LoginDropped

Send = Callable[[LoginAnswered], object]
"""Sends an answer to the worker that asked."""


class _Key(NamedTuple):
    worker: int
    request: int


class WorkerLogins:
    """The logins that are not answered yet.

    Args:
        authenticator: decides who a login is; with None no worker asks.
    """

    _log = Logger()

    def __init__(self, authenticator: IAuthenticator | None) -> None:
        self._authenticator = authenticator
        self._open: dict[_Key, Deferred[Any]] = {}

    def take(self, number: int, message: LoginAsked | LoginDropped, send: Send) -> None:
        """Take what a worker says; the answer to what it asks is sent, at once or later."""
        if isinstance(message, LoginDropped):
            self._drop(number, message.request)
        elif self._authenticator is not None:
            self._check(self._authenticator, _Key(number, message.request), message, send)

    def forget(self, number: int) -> None:
        """Give up every check for a worker: it is gone."""
        for worker, request in list(self._open):
            if worker == number:
                self._drop(worker, request)

    def _check(
        self, authenticator: IAuthenticator, key: _Key, asked: LoginAsked, send: Send
    ) -> None:
        check: Deferred[Any] = maybeDeferred(authenticator.authenticate, asked.login, asked.peer)
        self._open[key] = check
        check.addCallback(_plain_user)
        check.addErrback(_refusal)
        check.addErrback(self._internal_error, key, check)
        check.addCallback(self._answer, key, check, send)
        check.addErrback(lambda failure: self._log.failure("a login has no answer", failure))

    def _drop(self, number: int, request: int) -> None:
        check = self._open.pop(_Key(number, request), None)
        if check is None:
            return
        try:
            check.cancel()
        except Exception:  # the application's own code
            self._log.failure("the check of a login could not be cancelled")

    def _internal_error(
        self, failure: Failure, key: _Key, check: Deferred[Any]
    ) -> ProtocolError | None:
        if self._open.get(key) is not check:  # nobody waits for what a cancelled one comes to
            return None
        self._log.failure("a login could not be checked", failure)
        return InternalError("the login could not be checked")

    def _answer(self, answer: Any, key: _Key, check: Deferred[Any], send: Send) -> None:
        # The next worker of a place counts its requests from 1 again, and one that was given up
        # may come to something all the same: it is not the answer to another's.
        if self._open.get(key) is check:
            del self._open[key]
            send(LoginAnswered(key.request, answer))


def _plain_user(user: object) -> User:
    if not isinstance(user, User):
        raise TypeError(f"an authenticator returned {user!r:.100}")
    return User(str(user.name))


def _refusal(failure: Failure) -> ProtocolError | Failure:
    error = failure.value
    if isinstance(error, ProtocolError) and error.closes:
        return _plain_error(error)
    if isinstance(error, LoginFailed):
        return InvalidAuth("the name or the password is wrong")
    return failure


def _plain_error(error: ProtocolError) -> ProtocolError:
    make = PROTOCOL_ERRORS.get(error.code, ProtocolError)
    plain = make(str(error.message), str(error.details), int(error.retry_after_ms))
    if error.retryable != plain.retryable:  # a subclass may differ in that from what it is one of
        vars(plain)["retryable"] = bool(error.retryable)
    return plain
