"""The register: what is noted of connections and their logins, in the metrics and in the log."""

from collections.abc import Callable
from typing import Protocol

from OpenSSL.SSL import Error as TLSError
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.admission import LoginFailures
from tickstorm.clock import Clock
from tickstorm.credentials import User
from tickstorm.errors import (
    InternalError,
    InvalidAuth,
    NotPermitted,
    ProtocolError,
    RateLimited,
    ShuttingDown,
)
from tickstorm.metrics import Metrics

LOGIN_ERRORS = (InvalidAuth, RateLimited, NotPermitted, InternalError)
"""What a login can end in."""


class Noted(Protocol):
    """What is noted of a connection.

    Attributes:
        id: unique while the server runs.
        address: who it counts as.
        inside: whether the door let it in.
        user: who has logged in.
    """

    id: int
    address: str
    inside: bool
    user: User | None


class Register:
    """Notes what becomes of connections.

    Args:
        noun: what the log calls one.
        metrics: counts them.
        failures: remembers the addresses of logins that were wrong.
        clock: the times.
        verbose: whether each connection's beginning and end is logged, at level debug.

    Attributes:
        verbose: as given; it may change.
        on_login_failed: called with the address of each login that was wrong.
    """

    _log = Logger()

    def __init__(
        self, noun: str, metrics: Metrics, failures: LoginFailures, clock: Clock, verbose: bool
    ) -> None:
        self.verbose = verbose
        self.on_login_failed: Callable[[str], object] = lambda _: None
        self._noun = noun
        self._metrics = metrics
        self._failures = failures
        self._clock = clock

    def opened(self) -> None:
        """Count a connection."""
        self._metrics.connections_opened += 1

    def shook_hands(self, parameters: tuple[str, str]) -> None:
        """Count a TLS handshake, by version and cipher."""
        self._metrics.tls_handshakes[parameters] += 1

    def accepted(self) -> None:
        """Count a login."""
        self._metrics.logins["accepted"] += 1

    def refused(self, error: ProtocolError) -> None:
        """Count a request that was answered with an error."""
        self._metrics.protocol_errors[error.code.name] += 1

    def ended(self, connection: Noted, error: ProtocolError) -> None:
        """Note why a conversation ended, and that its login was wrong if it was that."""
        self.refused(error)
        logging_in = connection.inside and connection.user is None
        if logging_in and isinstance(error, LOGIN_ERRORS):
            self._metrics.logins[error.code.name] += 1
        if logging_in and isinstance(error, InvalidAuth):  # a token that expires is no failure
            self._failures.record(connection.address, self._clock.monotonic())
            self.on_login_failed(connection.address)
        if self.verbose or (connection.inside and not isinstance(error, ShuttingDown)):
            self._log.warn(
                "{noun} {connection} from {peer} ended: {code}, {reason}",
                noun=self._noun,
                connection=connection.id,
                peer=connection.address,
                code=error.code.name,
                reason=error.message,
            )

    def closed(self, connection: Noted, reason: Failure) -> None:
        """Note the end of a connection, and whether TLS, its handshake as a rule, was why."""
        told = {"noun": self._noun, "connection": connection.id, "peer": connection.address}
        why = reason.getErrorMessage()
        if reason.check(TLSError):
            self._metrics.tls_failures += 1
            self._log.info(
                "{noun} {connection} from {peer}: TLS failed: {reason}", **told, reason=why
            )
        if self.verbose:
            self._log.debug("{noun} {connection} from {peer} closed: {reason}", **told, reason=why)
