"""The desk: who a bidder is, by the text of its AUTH, and for whom it may bid.

A name and a password are for the same checkers as on the stream, and its failures count there too.
"""

from collections.abc import Mapping
from typing import Protocol

from tickstorm.admission import LoginFailures
from tickstorm.auction.permits import Permit, permit_of
from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator
from tickstorm.errors import InvalidAuth, ProtocolError
from tickstorm.logins import Arriving, LoginDesk
from tickstorm.messages import Login
from tickstorm.pauses import Pauses


class Bidder(Arriving, Protocol):
    """What is asked of a connection that logs in."""

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

    Attributes:
        logins: the same for names and passwords alone.
        permits: as given; others may take their place.
    """

    def __init__(
        self,
        authenticator: IAuthenticator,
        permits: Mapping[str, Permit],
        failures: LoginFailures,
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        self.logins = LoginDesk(authenticator, failures, pauses, clock)
        self.permits = permits

    def ask(self, bidder: Bidder, text: str) -> None:
        """Let a connection bid, or tell it why not, at once or later."""
        name, colon, password = text.partition(":")
        if colon:
            self.logins.ask(bidder, Login(name, password))
        else:
            bidder.fail(InvalidAuth("it is not NAME:PASSWORD"))

    def permit(self, name: str) -> Permit:
        """Return for whom somebody may bid who has logged in."""
        return permit_of(name, self.permits)
