"""Names and passwords: what a login is checked against.

A comparison takes as long for a wrong name or password as for a right one, whatever they share and
however long they are: what is compared are digests.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, NamedTuple

from zope.interface import Interface, implementer

from tickstorm.errors import InvalidAuth
from tickstorm.messages import Login

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class Peer(NamedTuple):
    """Where a login comes from.

    Attributes:
        address: an IP address as text, or what names the peer otherwise.
        certificate_name: the subject's common name of its verified client certificate, if it
            showed one.
    """

    address: str
    certificate_name: str | None = None


class User(NamedTuple):
    """Who was let in."""

    name: str


class IAuthenticator(Interface):
    """Decides who a login is."""

    def authenticate(login: Login, peer: Peer) -> User | Deferred[User]:
        """Return the user, at once or later.

        Raises:
            ProtocolError: why the login is refused: InvalidAuth if it is wrong, another one that
                closes, such as NotPermitted. A Deferred may fail with it too, or with cred's
                `LoginFailed`; anything else is an internal error.
        """


@implementer(IAuthenticator)
class SharedCredentials:
    """One name and password for everybody.

    Args:
        username: 1 to 64 of A-Z a-z 0-9 _ -.
        password: at most 128 characters, not empty.

    Raises:
        ValueError: one of them is empty.
    """

    def __init__(self, username: str, password: str) -> None:
        if not username or not password:
            raise ValueError("a name and a password are needed, and one of them is empty")
        self._user = User(username)
        self._username = _digest(username)
        self._password = _digest(password)

    def authenticate(self, login: Login, peer: Peer) -> User:  # noqa: ARG002 - the interface's
        """Return the user, one and the same for all.

        Raises:
            InvalidAuth: the name or the password is wrong, and it is not said which.
        """
        name_right = compare_digest(_digest(login.username), self._username)
        password_right = compare_digest(_digest(login.password), self._password)
        if name_right & password_right:
            return self._user
        raise InvalidAuth("the name or the password is wrong")


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
