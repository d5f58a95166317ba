"""Each code of the wire is one class, and the other way round."""

import pytest

from tickstorm import errors
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    ConfigError,
    ErrorCode,
    InvalidTick,
    ProtocolError,
    RateLimited,
    SourceError,
    TickstormError,
)

TABLE = {
    # code: (number, class, closes, retryable)
    "INVALID_AUTH": (1, "InvalidAuth", True, False),
    "AUTH_REQUIRED": (2, "AuthRequired", True, True),
    "ALREADY_AUTHENTICATED": (3, "AlreadyAuthenticated", True, False),
    "INVALID_SUBSCRIPTION": (4, "InvalidSubscription", False, False),
    "ALREADY_SUBSCRIBED": (5, "AlreadySubscribed", False, False),
    "NOT_SUBSCRIBED": (6, "NotSubscribed", False, False),
    "HEARTBEAT_TIMEOUT": (7, "HeartbeatTimeout", True, True),
    "INVALID_MESSAGE": (8, "InvalidMessage", True, False),
    "CHECKSUM_FAILED": (9, "ChecksumFailed", True, True),
    "PROTOCOL_VERSION": (10, "UnsupportedVersion", True, False),
    "MESSAGE_TOO_LARGE": (11, "MessageTooLarge", True, False),
    "RATE_LIMITED": (12, "RateLimited", True, True),
    "INTERNAL_ERROR": (13, "InternalError", True, True),
    "SLOW_CONSUMER": (14, "SlowConsumer", True, True),
    "SHUTTING_DOWN": (15, "ShuttingDown", True, True),
    "NOT_PERMITTED": (16, "NotPermitted", True, False),
    "OVERLOADED": (17, "Overloaded", True, True),
}


def test_every_code_has_one_class_that_says_what_becomes_of_the_connection():
    assert {
        code.name: (int(code), error.__name__, error.closes, error.retryable)
        for code, error in PROTOCOL_ERRORS.items()
    } == TABLE


def test_no_code_is_without_a_class():
    assert set(ErrorCode) - set(PROTOCOL_ERRORS) == {ErrorCode.UNSPECIFIED}


def test_no_class_shares_the_code_of_another():
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type)
        and issubclass(value, ProtocolError)
        and value is not ProtocolError
    ]
    own = [error for error in classes if error.__base__ is ProtocolError]
    assert sorted(error.code for error in own) == sorted(PROTOCOL_ERRORS)
    # What else there is answers a PUBLISH, under the code of the one that it is made from.
    others = [error for error in classes if error not in own]
    assert {error.closes for error in others} == {False}
    assert all(error.code == error.__base__.code for error in others)


def test_an_error_carries_what_is_sent():
    error = RateLimited("slow down", "ten a minute", retry_after_ms=1500)
    assert str(error) == "slow down"
    assert (error.message, error.details, error.retry_after_ms) == (
        "slow down",
        "ten a minute",
        1500,
    )


def test_an_error_without_advice():
    error = RateLimited("slow down")
    assert (error.details, error.retry_after_ms) == ("", 0)


@pytest.mark.parametrize("kind", [ConfigError, SourceError, InvalidTick, ProtocolError])
def test_all_are_ours_and_only_protocol_errors_have_a_code(kind):
    assert issubclass(kind, TickstormError)
    assert hasattr(kind, "code") == (kind is ProtocolError)
