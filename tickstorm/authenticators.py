"""Logins checked by twisted.cred: whatever checkers an application or `--auth` brings."""

from collections.abc import Sequence

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from tickstorm.credentials import IAuthenticator, Peer, User
from tickstorm.messages import Login


@implementer(IAuthenticator)
class CheckerAuthenticator:
    """Lets in whom any of several checkers knows.

    Args:
        checkers: asked in this order, each for a name and a password as bytes in UTF-8.
    """

    def __init__(self, checkers: Sequence[ICredentialsChecker]) -> None:
        self._checkers = checkers

    def authenticate(self, login: Login, peer: Peer) -> Deferred[User]:  # noqa: ARG002 - the interface's
        """Return the user whose name the checker gives; fails with `UnauthorizedLogin`."""
        return Deferred.fromCoroutine(self._ask(login))

    async def _ask(self, login: Login) -> User:
        credentials = UsernamePassword(login.username.encode(), login.password.encode())
        for checker in self._checkers:
            try:
                avatar_id = await maybeDeferred(checker.requestAvatarId, credentials)
            except UnauthorizedLogin:
                continue
            return User(avatar_id.decode() if isinstance(avatar_id, bytes) else login.username)
        raise UnauthorizedLogin("no checker knows this name and password")
