"""Logins checked by twisted.cred: whatever checkers an application or `--auth` brings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.cred.checkers import (
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from tickstorm.credentials import IAuthenticator, Peer, User
from tickstorm.errors import ConfigError
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
        for checker in self._checkers:
            try:
                avatar_id = await maybeDeferred(checker.requestAvatarId, _for(checker, login))
            except UnauthorizedLogin:
                continue
            return User(_text(avatar_id) or login.username)
        raise UnauthorizedLogin("no checker knows this name and password")


def check_files(checkers: Sequence[ICredentialsChecker]) -> None:
    """Look for the files that checkers read: cred itself only warns of one that is missing.

    Raises:
        ConfigError: there is none of that name.
    """
    for checker in checkers:
        if isinstance(checker, FilePasswordDB) and not Path(checker.filename).is_file():
            raise ConfigError(f"--auth: there is no file {checker.filename}")


def _for(checker: ICredentialsChecker, login: Login) -> UsernamePassword:
    name: Any = login.username
    password: Any = login.password
    if isinstance(checker, InMemoryUsernamePasswordDatabaseDontUse) and any(
        isinstance(known, str) for known in checker.users
    ):  # `--auth memory:NAME:PASSWORD` fills it with text, where every other checker has bytes
        return UsernamePassword(name, password)
    return UsernamePassword(name.encode(), password.encode())


def _text(avatar_id: object) -> str:
    if isinstance(avatar_id, bytes):
        return avatar_id.decode(errors="backslashreplace")
    return avatar_id if isinstance(avatar_id, str) else ""
