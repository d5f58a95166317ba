"""The desk of logins, asked by itself: who somebody is, and what a client hears of a refusal."""

import pytest
from conversation import PASSWORD, USER
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock as Scheduler
from twisted.python.failure import Failure

from tickstorm.admission import AdmissionLimits, LoginFailures
from tickstorm.clock import simulated_clock
from tickstorm.credentials import Peer, SharedCredentials, User
from tickstorm.errors import InternalError, InvalidAuth, NotPermitted, RateLimited
from tickstorm.logins import LoginDesk
from tickstorm.messages import Login
from tickstorm.pauses import Pauses

PEER, OTHER = Peer("10.0.0.1"), Peer("10.0.0.2")
RIGHT = Login(USER, PASSWORD)


class Desk:
    """Logins on simulated time, with a limit of two failures."""

    def __init__(self, authenticator=None):
        self.scheduler = Scheduler()
        self.failures = LoginFailures(
            AdmissionLimits(max_login_failures=2, login_failure_window=60.0)
        )
        self.logins = LoginDesk(
            authenticator or SharedCredentials(USER, PASSWORD),
            self.failures,
            Pauses(),
            simulated_clock(self.scheduler),
        )

    def fail(self, times=2, peer=PEER):
        for _ in range(times):
            self.failures.record(peer.address, self.scheduler.seconds())

    def refusal(self, error, peer=PEER):
        refusal = self.logins.refusal(Failure(error), peer)
        return type(refusal), refusal.message


class Later:
    """An authenticator that answers when it is told to."""

    def __init__(self):
        self.answer = Deferred()

    def authenticate(self, login, peer):
        return self.answer


def test_who_is_right_is_known_at_once():
    assert Desk().logins.check(RIGHT, PEER) == User(USER)


def test_who_is_wrong_is_not():
    with pytest.raises(InvalidAuth):
        Desk().logins.check(Login(USER, "guess"), PEER)


def test_who_has_failed_too_often_is_not_asked_for_a_while():
    desk = Desk()
    desk.fail()
    with pytest.raises(RateLimited):
        desk.logins.check(RIGHT, PEER)
    assert desk.logins.check(RIGHT, OTHER) == User(USER)
    desk.scheduler.advance(61)
    assert desk.logins.check(RIGHT, PEER) == User(USER)


@pytest.mark.parametrize(("failures", "expected"), [(1, User), (2, RateLimited)])
def test_an_answer_that_comes_later_is_judged_by_the_failures_until_then(failures, expected):
    desk = Desk(Later())
    found = []
    user = desk.logins.check(RIGHT, PEER)
    user.addBoth(lambda each: found.append(type(getattr(each, "value", each))))
    desk.fail(failures)
    desk.logins.authenticator.answer.callback(User(USER))
    assert found == [expected]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (InvalidAuth("of no matter"), (InvalidAuth, "the name or the password is wrong")),
        (UnauthorizedLogin("of no matter"), (InvalidAuth, "the name or the password is wrong")),
        (NotPermitted("not on Sundays"), (NotPermitted, "not on Sundays")),
    ],
)
def test_what_a_client_hears(error, told):
    assert Desk().refusal(error) == told


def test_the_one_failure_too_many_is_told_as_the_limit():
    desk = Desk()
    desk.fail()
    assert desk.refusal(InvalidAuth("wrong"))[0] is RateLimited
    assert desk.refusal(InvalidAuth("wrong"), OTHER)[0] is InvalidAuth


def test_what_went_wrong_inside_stays_inside(failures):
    error = OSError("the database is at 10.9.8.7")
    assert Desk().refusal(error) == (InternalError, "the login could not be checked")
    assert failures == [error]
    failures.clear()


# Connections that ask.


class Visitor:
    """A connection whose client logs in."""

    address, certificate_name = PEER

    def __init__(self):
        self.told = []
        self.is_over = False

    def accept_login(self, client_id, user):
        self.told.append((client_id, user))

    def fail(self, error):
        self.told.append(type(error))

    def pause_reading(self):
        self.told.append("pause")

    def resume_reading(self):
        self.told.append("resume")


IN, OUT = ("desk-1", User(USER)), InvalidAuth


@pytest.mark.parametrize(("password", "told"), [(PASSWORD, IN), ("guess", OUT)])
def test_who_asks_is_told_at_once(password, told):
    visitor = Visitor()
    Desk().logins.ask(visitor, Login(USER, password, "desk-1"))
    assert visitor.told == [told]


@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize(("answer", "told"), [(User(USER), IN), (InvalidAuth("no"), OUT)])
def test_who_asks_is_told_later_unless_it_is_over(answer, told, is_over):
    desk, visitor = Desk(Later()), Visitor()
    desk.logins.ask(visitor, RIGHT._replace(client_id="desk-1"))
    assert visitor.told == ["pause"]
    visitor.is_over = is_over
    later = desk.logins.authenticator.answer
    later.callback(answer) if isinstance(answer, User) else later.errback(answer)
    assert visitor.told == (["pause"] if is_over else ["pause", told, "resume"])
