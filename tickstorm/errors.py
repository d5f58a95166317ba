"""Everything that can go wrong, each error code of the wire as one class.

A `ProtocolError` is both raised inside the server and sent to the peer as an ERROR frame: the class
says the code, whether the connection ends, and whether the same request may succeed later.
"""

from enum import IntEnum, unique
from typing import ClassVar


@unique
class ErrorCode(IntEnum):
    """The codes of ErrorResponse, numbered as in protos/tickstorm.proto."""

    UNSPECIFIED = 0
    INVALID_AUTH = 1
    AUTH_REQUIRED = 2
    ALREADY_AUTHENTICATED = 3
    INVALID_SUBSCRIPTION = 4
    ALREADY_SUBSCRIBED = 5
    NOT_SUBSCRIBED = 6
    HEARTBEAT_TIMEOUT = 7
    INVALID_MESSAGE = 8
    CHECKSUM_FAILED = 9
    PROTOCOL_VERSION = 10
    MESSAGE_TOO_LARGE = 11
    RATE_LIMITED = 12
    INTERNAL_ERROR = 13
    SLOW_CONSUMER = 14
    SHUTTING_DOWN = 15
    NOT_PERMITTED = 16
    OVERLOADED = 17


class TickstormError(Exception):
    """The base of every error that this package raises on purpose."""


class ConfigError(TickstormError):
    """A setting that cannot be used: the message names it, where it was set and what is allowed."""


class SourceError(TickstormError):
    """A source that cannot give ticks: the message names the file and line, or the argument."""


class ListenError(TickstormError):
    """A port that cannot be listened on: the message has the reason, then its description."""


class PublisherClosed(TickstormError):
    """A publisher was closed before it had published this; the message says how much it had."""


class BidderClosed(TickstormError):
    """A bidder was closed before a bid was answered; the message says whether it may count."""


class InvalidTick(TickstormError):
    """A tick outside the limits of the protocol: the message names the field and its range."""


class ProtocolError(TickstormError):
    """One side broke the protocol, or was refused: sent to the peer as an ERROR frame.

    Args:
        message: for people, at most 512 characters go on the wire.
        details: more of it, at most 1,024 characters.
        retry_after_ms: how long the peer should wait before it tries again, 0 for no advice.
    """

    code: ClassVar[ErrorCode] = ErrorCode.UNSPECIFIED
    closes: ClassVar[bool] = True
    """Whether the connection ends with this error."""
    retryable: ClassVar[bool] = False
    """Whether the same request, sent later, may succeed."""

    def __init__(self, message: str, details: str = "", retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.retry_after_ms = retry_after_ms


class InvalidAuth(ProtocolError):
    """The name, the password or the token is wrong."""

    code = ErrorCode.INVALID_AUTH


class AuthRequired(ProtocolError):
    """Something came before AUTH, or AUTH did not come in time."""

    code = ErrorCode.AUTH_REQUIRED
    retryable = True


class AlreadyAuthenticated(ProtocolError):
    """A second AUTH on one connection."""

    code = ErrorCode.ALREADY_AUTHENTICATED


class InvalidSubscription(ProtocolError):
    """A SUBSCRIBE that cannot be served; another may follow."""

    code = ErrorCode.INVALID_SUBSCRIPTION
    closes = False


class TooManyIntervals(InvalidSubscription):
    """A SUBSCRIBE for an interval of its own, of which there are as many as there may be."""

    retryable = True


class AlreadySubscribed(ProtocolError):
    """A second SUBSCRIBE; the stream already running goes on."""

    code = ErrorCode.ALREADY_SUBSCRIBED
    closes = False


class NotSubscribed(ProtocolError):
    """A request that needs a subscription came without one."""

    code = ErrorCode.NOT_SUBSCRIBED
    closes = False


class HeartbeatTimeout(ProtocolError):
    """No valid frame came within the heartbeat timeout."""

    code = ErrorCode.HEARTBEAT_TIMEOUT
    retryable = True


class InvalidMessage(ProtocolError):
    """A frame that is not one, that cannot be decoded, or that the state does not allow."""

    code = ErrorCode.INVALID_MESSAGE


class ChecksumFailed(ProtocolError):
    """The CRC32C of a frame is not that of its bytes."""

    code = ErrorCode.CHECKSUM_FAILED
    retryable = True


class UnsupportedVersion(ProtocolError):
    """The version byte of a frame is not one that this side speaks."""

    code = ErrorCode.PROTOCOL_VERSION


class MessageTooLarge(ProtocolError):
    """A header announces more payload than the limit."""

    code = ErrorCode.MESSAGE_TOO_LARGE


class RateLimited(ProtocolError):
    """Too many failed logins from one address."""

    code = ErrorCode.RATE_LIMITED
    retryable = True


class InternalError(ProtocolError):
    """The server failed; the peer did nothing wrong."""

    code = ErrorCode.INTERNAL_ERROR
    retryable = True


class SlowConsumer(ProtocolError):
    """The peer reads more slowly than its bounds in bytes and age allow."""

    code = ErrorCode.SLOW_CONSUMER
    retryable = True


class ShuttingDown(ProtocolError):
    """The process that serves the connection is being stopped."""

    code = ErrorCode.SHUTTING_DOWN
    retryable = True


class NotPermitted(ProtocolError):
    """The user may not do this."""

    code = ErrorCode.NOT_PERMITTED


class InvalidPublication(InvalidMessage):
    """A PUBLISH that cannot be carried out: nothing of it was; others may follow."""

    closes = False


class MayNotPublish(NotPermitted):
    """A PUBLISH of what the user has no right to: nothing of it was published."""

    closes = False


class PublishingTooFast(RateLimited):
    """More ticks than the user's rate allows: nothing of the PUBLISH was published."""

    closes = False


class OutOfTurn(RateLimited):
    """A PUBLISH that is to follow one that was not carried out: send them again in their order."""

    closes = False


class PublicationFailed(InternalError):
    """The server failed to carry a PUBLISH out; whether any of it was published is not known."""

    closes = False


class Overloaded(ProtocolError):
    """The server has no room for another connection."""

    code = ErrorCode.OVERLOADED
    retryable = True


PROTOCOL_ERRORS: dict[ErrorCode, type[ProtocolError]] = {
    error.code: error for error in ProtocolError.__subclasses__()
}
"""The class of each code; a client raises the one whose code an ERROR frame carries."""


def error_telling(error: Exception, more: str) -> TickstormError:
    """Return an error of the same kind as one of ours, with more in its message."""
    if isinstance(error, ProtocolError):
        return type(error)(f"{error.message}; {more}", error.details, error.retry_after_ms)
    if isinstance(error, TickstormError):
        return type(error)(f"{error}; {more}")
    return TickstormError(f"{error!r}; {more}")
