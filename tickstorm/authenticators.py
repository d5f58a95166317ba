"""Logins checked by twisted.cred: whatever checkers an application or `--auth` brings."""

from collections.abc import Mapping, Sequence
from hmac import compare_digest
from pathlib import Path
from typing import Any

from twisted.cred.checkers import (
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from tickstorm.credentials import IAuthenticator, Peer, User
from tickstorm.errors import ConfigError
from tickstorm.messages import Login


@implementer(IAuthenticator)
class CheckerAuthenticator:
    """Lets in whom any of several checkers knows.

    Args:
        checkers: asked in this order, each for a name and a password as bytes in UTF-8.

    Attributes:
        checkers: as given; others may take their place.
    """

    def __init__(self, checkers: Sequence[ICredentialsChecker]) -> None:
        self.checkers = checkers

    def authenticate(self, login: Login, peer: Peer) -> Deferred[User]:  # noqa: ARG002 - the interface's
        """Return the user whose name the checker gives; fails with `UnauthorizedLogin`."""
        return Deferred.fromCoroutine(self._ask(login))

    async def _ask(self, login: Login) -> User:
        for checker in self.checkers:
            try:
                avatar_id = await maybeDeferred(checker.requestAvatarId, _for(checker, login))
            except UnauthorizedLogin:
                continue
            return User(_text(avatar_id) or login.username)
        raise UnauthorizedLogin("no checker knows this name and password")


@implementer(ICredentialsChecker)
class Passwords:
    """The names and passwords of a file, as it was when it was read.

    Cred's own reads its file at every login, and whatever stands there at that moment counts.

    Args:
        passwords: by name.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, passwords: Mapping[bytes, bytes]) -> None:
        self._passwords = passwords

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """Return the name; fails with `UnauthorizedLogin`."""
        name: bytes = credentials.username
        known = self._passwords.get(name)
        right = compare_digest(known if known is not None else b"", credentials.password)
        if known is None or not right:
            return fail(UnauthorizedLogin())
        return succeed(name)


def with_files_read(checkers: Sequence[ICredentialsChecker]) -> list[ICredentialsChecker]:
    """Return checkers that know what those of `--auth file:` have in their files now.

    Raises:
        ConfigError: a file cannot be read, or is not lines of NAME:PASSWORD.
    """
    return [
        Passwords(_read(Path(checker.filename))) if isinstance(checker, FilePasswordDB) else checker
        for checker in checkers
    ]


def _read(path: Path) -> dict[bytes, bytes]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise ConfigError(f"--auth: there is no file {path}") from None
    except OSError as error:
        raise ConfigError(f"--auth: {path} cannot be read: {error.strerror}") from None
    passwords: dict[bytes, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        name, colon, rest = line.rstrip().partition(b":")
        if not name or not colon:
            raise ConfigError(f"--auth: {path}, line {number}: it is not NAME:PASSWORD")
        passwords.setdefault(name, rest.partition(b":")[0])
    if not passwords:
        raise ConfigError(f"--auth: {path} has nobody in it")
    return passwords


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
