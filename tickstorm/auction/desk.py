"""The desk: who a bidder is, by the text of its AUTH, and for whom it may bid.

A name and a password are for the same checkers as on the stream, and its failures count there too.
So do those of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from tickstorm.admission import LoginFailures
from tickstorm.auction.permits import Permit, permit_of
from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator, User
from tickstorm.errors import InvalidAuth, ProtocolError
from tickstorm.logins import Arriving, LoginDesk
from tickstorm.messages import Login
from tickstorm.pauses import Pauses

if TYPE_CHECKING:
    from tickstorm.auction.tokens import Tokens


class Bidder(Arriving, Protocol):
    """What is asked of a connection that logs in."""

    def accept(self, user: User, permit: Permit, ends_at: float) -> None:
        """Let the client bid as this user, for these, up to that time of the monotonic clock."""

    def fail(self, error: ProtocolError) -> None:
        """Tell the client of an error that closes."""


class Desk:
    """Checks the AUTH of bidders.

    Args:
        authenticator: decides who a name and a password are.
        permits: whom each login may bid for.
        failures: remembers the addresses of logins that were wrong.
        pauses: has connections wait for what takes time.
        clock: the times.
        tokens: verifies what is no name and password; None if nobody has tokens.

    Attributes:
        logins: the same for names and passwords alone.
        permits: as given; others may take their place.
        tokens: likewise.
    """

    def __init__(
        self,
        authenticator: IAuthenticator,
        permits: Mapping[str, Permit],
        failures: LoginFailures,
        pauses: Pauses,
        clock: Clock,
        *,
        tokens: Tokens | None,
    ) -> None:
        self.logins = LoginDesk(authenticator, failures, pauses, clock)
        self.permits = permits
        self.tokens = tokens
        self._failures = failures
        self._clock = clock

    def ask(self, bidder: Bidder, text: str) -> None:
        """Let a connection bid, or tell it why not, at once or later."""
        name, colon, password = text.partition(":")
        if colon:
            self.logins.ask(bidder, Login(name, password))
        elif self.tokens is not None:
            self._verify(bidder, self.tokens, text)
        else:
            bidder.fail(InvalidAuth("it is not NAME:PASSWORD"))

    def permit(self, name: str) -> Permit:
        """Return for whom somebody may bid who has logged in with a password."""
        return permit_of(name, self.permits)

    def _verify(self, bidder: Bidder, tokens: Tokens, text: str) -> None:
        monotonic, now = self._clock.monotonic(), self._clock.wall_ns() / 1e9
        try:
            self._failures.check(bidder.address, monotonic)
            token = tokens.verify(text, now)
        except ProtocolError as error:
            bidder.fail(error)
            return
        bidder.accept(User(token.name), token.users, monotonic + token.ends_at - now)
