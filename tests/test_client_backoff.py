"""The waits between connections, and after which errors there is another."""

from random import Random

import pytest

from tickstorm.client.backoff import Backoff, BackoffLimits, may_retry
from tickstorm.errors import PROTOCOL_ERRORS, ErrorCode, ProtocolError

LIMITS = BackoffLimits()
RETRIED = {
    ErrorCode.AUTH_REQUIRED,
    ErrorCode.HEARTBEAT_TIMEOUT,
    ErrorCode.CHECKSUM_FAILED,
    ErrorCode.RATE_LIMITED,
    ErrorCode.INTERNAL_ERROR,
    ErrorCode.SLOW_CONSUMER,
    ErrorCode.SHUTTING_DOWN,
    ErrorCode.OVERLOADED,
}


def test_the_most_that_is_waited_doubles_up_to_the_limit():
    backoff = Backoff(LIMITS, lambda: 1.0)
    waits = [backoff.next_wait() for _ in range(9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_waits_are_drawn_from_the_whole_range():
    backoff = Backoff(LIMITS, Random(1).random)
    draw = Random(1).random
    assert [backoff.next_wait() for _ in range(4)] == [
        draw() * 0.5,
        draw() * 1.0,
        draw() * 2.0,
        draw() * 4.0,
    ]


def test_the_server_s_wish_comes_on_top():
    backoff = Backoff(LIMITS, lambda: 0.5)
    assert backoff.next_wait(retry_after_ms=45_000) == 45.25


@pytest.mark.parametrize(("lasted", "following"), [(29.9, 2.0), (30.0, 0.5)])
def test_a_stable_subscription_starts_over(lasted, following):
    backoff = Backoff(LIMITS, lambda: 1.0)
    backoff.next_wait()
    backoff.next_wait()
    backoff.lasted(lasted)
    assert backoff.next_wait() == following


@pytest.mark.parametrize("code", PROTOCOL_ERRORS)
def test_each_code_of_a_server_that_does_not_say(code):
    assert may_retry(PROTOCOL_ERRORS[code]("no"), told=False) is (code in RETRIED)


def test_a_server_that_says_so_is_believed():
    assert may_retry(ProtocolError("new code"), told=True)
    assert not may_retry(ProtocolError("new code"), told=False)
