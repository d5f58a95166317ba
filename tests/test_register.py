"""The register: what is counted, remembered and logged of a connection."""

import pytest
from OpenSSL.SSL import Error as TLSError
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from tickstorm.admission import AdmissionLimits, LoginFailures
from tickstorm.clock import simulated_clock
from tickstorm.credentials import User
from tickstorm.errors import InvalidAuth, InvalidMessage, RateLimited, ShuttingDown
from tickstorm.metrics import Metrics
from tickstorm.register import Register


class Visitor:
    id, address = 7, "10.0.0.1"

    def __init__(self, inside=True, user=None):
        self.inside, self.user = inside, user


class Book:
    """A register, what it counts, and who it told of."""

    def __init__(self, verbose=False):
        self.metrics = Metrics()
        self.failures = LoginFailures(AdmissionLimits(max_login_failures=1))
        self.register = Register(
            "bidder", self.metrics, self.failures, simulated_clock(Clock()), verbose
        )
        self.told = []
        self.register.on_login_failed = self.told.append


@pytest.fixture
def logged():
    lines = []

    def observe(event):
        lines.append((event["log_level"].name, formatEvent(event)))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize(
    ("visitor", "error", "is_login_error", "is_failure"),
    [
        (Visitor(), InvalidAuth("no"), True, True),
        (Visitor(), RateLimited("slow"), True, False),
        (Visitor(), InvalidMessage("what"), False, False),
        (Visitor(user=User("desk")), InvalidAuth("the token has expired"), False, False),
        (Visitor(inside=False), RateLimited("full"), False, False),
    ],
)
def test_a_login_that_was_wrong_is_counted_remembered_and_told(
    visitor, error, is_login_error, is_failure
):
    book = Book()
    book.register.ended(visitor, error)
    assert book.metrics.protocol_errors[error.code.name] == 1
    assert sum(book.metrics.logins.values()) == is_login_error
    assert book.told == [visitor.address] * is_failure
    if is_failure:
        with pytest.raises(RateLimited):
            book.failures.check(visitor.address, 0.0)
    else:
        book.failures.check(visitor.address, 0.0)


@pytest.mark.parametrize(
    ("verbose", "visitor", "error", "lines"),
    [
        (False, Visitor(), InvalidMessage("what"), 1),
        (False, Visitor(inside=False), InvalidMessage("what"), 0),
        (False, Visitor(), ShuttingDown("later"), 0),
        (True, Visitor(), ShuttingDown("later"), 1),
    ],
)
def test_the_end_of_a_conversation_is_logged_if_it_is_news(logged, verbose, visitor, error, lines):
    Book(verbose).register.ended(visitor, error)
    line = f"bidder 7 from 10.0.0.1 ended: {error.code.name}, {error.message}"
    assert logged == [("warn", line)] * lines


@pytest.mark.parametrize(
    ("verbose", "error", "failures", "levels"),
    [
        (False, ConnectionDone(), 0, []),
        (True, ConnectionDone(), 0, ["debug"]),
        (False, TLSError([("ssl", "", "no shared cipher")]), 1, ["info"]),
        (True, TLSError([("ssl", "", "no shared cipher")]), 1, ["info", "debug"]),
    ],
)
def test_what_tls_ended_is_counted(logged, verbose, error, failures, levels):
    book = Book(verbose)
    book.register.closed(Visitor(), Failure(error))
    assert book.metrics.tls_failures == failures
    assert [level for level, _ in logged] == levels
