"""The logins that workers ask about: each has one answer, in plain values, or is given up."""

import pytest
from pools import pools
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed

from tickstorm.credentials import Peer, User
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    InternalError,
    InvalidAuth,
    NotPermitted,
    NotSubscribed,
    Overloaded,
    ProtocolError,
)
from tickstorm.messages import Login
from tickstorm.workers.link import LinkDecoder, LoginAnswered, LoginAsked, LoginDropped, control
from tickstorm.workers.logins import WorkerLogins

LOGIN, PEER = Login("bob", "his"), Peer("10.0.0.7", "bob.example")


class Checks:
    """Logins that are checked by the test, and what workers were told of them."""

    def __init__(self, outcome=None):
        self.asked = []
        self.checks = []
        self.cancelled = []
        self.told = []
        self._outcome = outcome or self._later
        self.logins = WorkerLogins(self)

    def _later(self):
        self.checks.append(Deferred(self.cancelled.append))
        return self.checks[-1]

    def authenticate(self, login, peer):
        self.asked.append((login, peer))
        return self._outcome()

    def ask(self, request, number=1):
        self.logins.take(number, LoginAsked(request, LOGIN, PEER), self.told.append)
        return self

    def drop(self, request, number=1):
        self.logins.take(number, LoginDropped(request), self.told.append)

    def answers(self):
        """What a worker makes of what it was told."""
        data = b"".join(map(control, self.told))
        return [(request, *as_values(answer)) for request, answer in LinkDecoder().receive(data)]


def as_values(answer):
    if isinstance(answer, ProtocolError):
        return type(answer), vars(answer)
    return type(answer), answer


def raising(error):
    def outcome():
        raise error

    return outcome


class Banned(NotPermitted):
    """As an application may have it: it cannot be made anew from its message alone."""

    def __init__(self, user, until):
        super().__init__(f"{user} is banned until {until}", "a detail", 1500)
        self.until = until


class Member(User):
    """A user as an application may have it."""


class Text(str):
    """A text as an application may have it."""

    __slots__ = ()


def test_the_authenticator_knows_who_asks_and_from_where():
    assert Checks().ask(1).asked == [(LOGIN, PEER)]


@pytest.mark.parametrize("how", [lambda user: user, succeed])
@pytest.mark.parametrize("user", [User("bob"), Member("bob"), User(Text("bob"))])
def test_who_it_is(user, how):
    checks = Checks(lambda: how(user)).ask(3)
    assert checks.answers() == [(3, User, User("bob"))]
    assert type(checks.told[0].answer.name) is str


@pytest.mark.parametrize("how", [raising, lambda error: lambda: fail(error)])
def test_why_not_is_told_in_errors_that_every_worker_has(how):
    plain = {"message": "bob is banned until noon", "details": "a detail", "retry_after_ms": 1500}
    assert Checks(how(Banned("bob", "noon"))).ask(3).answers() == [(3, NotPermitted, plain)]


@pytest.mark.parametrize(
    "error", [error for error in PROTOCOL_ERRORS.values() if error.closes], ids=lambda e: e.__name__
)
def test_every_error_that_closes_stays_what_it_is(error):
    checks = Checks(raising(error("no", "really", 5))).ask(3)
    expected = {"message": "no", "details": "really", "retry_after_ms": 5}
    assert checks.answers() == [(3, error, expected)]


def test_a_refusal_says_whether_to_try_again_as_the_application_has_it():
    sent_away = type("SentAway", (Overloaded,), {"retryable": False})
    ((_, kind, fields),) = Checks(raising(sent_away("no"))).ask(3).answers()
    assert (kind, fields["retryable"]) == (Overloaded, False)


def test_a_wrong_login_of_cred_is_a_wrong_login():
    ((_, kind, fields),) = Checks(raising(UnauthorizedLogin("secret"))).ask(3).answers()
    assert (kind, fields["message"]) == (InvalidAuth, "the name or the password is wrong")


def broken():
    error = Banned("bob", "noon")
    del error.message
    return error


@pytest.mark.parametrize(
    ("outcome", "logged"),
    [
        (raising(OSError("at 10.9.8.7")), OSError),
        (raising(NotSubscribed("of no use here")), NotSubscribed),
        (raising(broken()), AttributeError),
        (lambda: None, TypeError),
        (lambda: succeed("bob"), TypeError),
    ],
)
def test_what_could_not_be_checked_is_an_internal_error(outcome, logged, failures):
    ((_, kind, fields),) = Checks(outcome).ask(3).answers()
    assert (kind, fields["message"]) == (InternalError, "the login could not be checked")
    assert [type(failure) for failure in failures] == [logged]
    failures.clear()


def test_an_answer_that_comes_later():
    checks = Checks().ask(3).ask(4)
    checks.checks[1].callback(User("eve"))
    checks.checks[0].errback(InvalidAuth("no"))
    assert [(request, kind) for request, kind, _ in checks.answers()] == [
        (4, User),
        (3, InvalidAuth),
    ]
    assert checks.logins._open == {}


def test_without_an_authenticator_nothing_is_said():
    told = []
    WorkerLogins(None).take(1, LoginAsked(1, LOGIN, PEER), told.append)
    assert told == []


# What nobody waits for.


def test_the_check_of_a_login_that_is_dropped_is_cancelled():
    checks = Checks().ask(1).ask(2)
    checks.drop(1)
    assert checks.cancelled == checks.checks[:1]
    checks.checks[1].callback(User("bob"))
    assert checks.told == [LoginAnswered(2, User("bob"))]
    assert checks.logins._open == {}


def test_dropping_what_is_answered_or_unknown_changes_nothing():
    checks = Checks(lambda: User("bob")).ask(1)
    checks.drop(1)
    checks.drop(99)
    assert checks.told == [LoginAnswered(1, User("bob"))]


def test_with_a_worker_all_its_checks_are_cancelled_and_no_other_s():
    checks = Checks().ask(1).ask(1, number=2).ask(2)
    checks.logins.forget(1)
    assert checks.cancelled == [checks.checks[0], checks.checks[2]]
    checks.checks[1].callback(User("bob"))
    assert (checks.told, checks.logins._open) == ([LoginAnswered(1, User("bob"))], {})


def test_a_check_that_cannot_be_cancelled_is_logged_and_takes_no_other_along(failures):
    outcomes = [Deferred(lambda _: 1 / 0), Deferred()]
    waiting = iter(outcomes)
    checks = Checks(lambda: next(waiting)).ask(1).ask(2)
    checks.logins.forget(1)
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    failures.clear()
    assert (outcomes[1].called, checks.logins._open) == (True, {})


def test_what_comes_of_a_check_that_was_given_up_is_no_answer_to_the_next_worker(failures):
    outcomes = [Deferred(lambda _: 1 / 0), Deferred()]
    waiting = iter(outcomes)
    checks = Checks(lambda: next(waiting)).ask(1)
    checks.logins.forget(1)
    failures.clear()
    checks.ask(1)
    outcomes[0].callback(User("eve"))
    assert checks.told == []
    outcomes[1].callback(User("bob"))
    assert checks.told == [LoginAnswered(1, User("bob"))]


def test_nor_is_it_logged_if_it_fails(failures):
    outcomes = [Deferred(lambda _: 1 / 0), Deferred()]
    waiting = iter(outcomes)
    checks = Checks(lambda: next(waiting)).ask(1)
    checks.logins.forget(1)
    failures.clear()
    checks.ask(1)
    outcomes[0].errback(OSError("of no use to anybody now"))
    assert (checks.told, failures) == ([], [])


# In a pool.


@pytest.mark.parametrize("gone", ["login", "worker"])
def test_the_pool_gives_up_what_nobody_waits_for(gone):
    checks = Checks()
    with pools() as make:
        one = make(authenticator=checks)
        worker, other = one.begin_all()
        worker.say(LoginAsked(1, LOGIN, PEER))
        other.say(LoginAsked(1, LOGIN, PEER))
        if gone == "worker":
            worker.die()
        else:
            worker.say(LoginDropped(1))
        assert checks.cancelled == checks.checks[:1]
        checks.checks[1].callback(User("bob"))
        assert other.heard(LoginAnswered) == [LoginAnswered(1, User("bob"))]
