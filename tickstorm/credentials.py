"""Names and passwords: what a login is checked against.

A comparison takes as long for a wrong name or password as for a right one, whatever they share.
"""

from __future__ import annotations

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
            InvalidAuth: the login is wrong. A Deferred may fail with it, or with cred's
                `LoginFailed`; anything else is an internal error.
        """


@implementer(IAuthenticator)
class SharedCredentials:
    """One name and password for everybody.

    Args:
        username: 1 to 64 of A-Z a-z 0-9 _ -.
        password: at most 128 characters, not empty.
    """

    def __init__(self, username: str, password: str) -> None:
        self._username = username.encode()
        self._password = password.encode()

    def authenticate(self, login: Login, peer: Peer) -> User:  # noqa: ARG002 - the interface's
        """Return the user that a login names.

        Raises:
            InvalidAuth: the name or the password is wrong, and it is not said which.
        """
        name_right = compare_digest(login.username.encode(), self._username)
        password_right = compare_digest(login.password.encode(), self._password)
        if name_right & password_right:
            return User(login.username)
        raise InvalidAuth("the name or the password is wrong")
