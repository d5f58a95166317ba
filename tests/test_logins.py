"""Logins: right and wrong, too many of them, and those that take their time to be checked."""

import pytest
from conversation import (
    NOW_MS,
    PASSWORD,
    TICK,
    USER,
    Server,
    auth,
    error,
    heartbeat,
    names,
    subscribe,
)
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import formatEvent, globalLogPublisher

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.credentials import Peer, User
from tickstorm.errors import InvalidAuth, NotPermitted, NotSubscribed
from tickstorm.session import MAX_HELD_BYTES

WRONG = error(pb.ERROR_CODE_INVALID_AUTH, "the name or the password is wrong")
UNCHECKED = error(pb.ERROR_CODE_INTERNAL_ERROR, "the login could not be checked", retryable=True)
TOO_LATE = error(
    pb.ERROR_CODE_INTERNAL_ERROR,
    "the login could not be checked in time",
    NOW_MS + 10_000,
    retryable=True,
)


def rate_limited(retry_after_ms, elapsed_ms=0):
    return error(
        pb.ERROR_CODE_RATE_LIMITED,
        "10 failed logins within 60 s",
        NOW_MS + elapsed_ms,
        retryable=True,
        retry_after_ms=retry_after_ms,
    )


def log_in(server, password=PASSWORD, address="10.0.0.1"):
    """A client that has sent its AUTH."""
    client = server.connect(address)
    client.send(auth(password=password))
    return client


def answer_to(*login):
    """What a login is told."""
    (answer,) = log_in(*login).read()
    return answer


# Answered at once.


def test_a_wrong_login_is_invalid_auth():
    server = Server()
    for username, password in ((USER, "wrong"), ("bob", PASSWORD), (USER, "")):
        client = server.connect()
        client.send(auth(username, password))
        assert (client.read(), client.closed) == ([WRONG], True)
    assert server.metrics.logins == {"INVALID_AUTH": 3}
    assert server.metrics.protocol_errors == {"INVALID_AUTH": 3}


def test_ten_failures_a_minute_are_rate_limited():
    server = Server()
    for _ in range(10):
        assert answer_to(server, "guess").code == pb.ERROR_CODE_INVALID_AUTH
        server.reactor.advance(1)
    client = log_in(server)  # the right one
    assert (client.read(), client.closed) == ([rate_limited(50_000, 10_000)], True)
    assert server.metrics.logins == {"INVALID_AUTH": 10, "RATE_LIMITED": 1}
    assert log_in(server, PASSWORD, "10.0.0.2").names() == ["ACK"]


@pytest.mark.parametrize("ms", [1000, 500, 125])
def test_the_limit_is_over_when_it_said(ms):
    server = Server()
    for _ in range(10):
        log_in(server, "guess")
    server.reactor.advance(60 - ms / 1000)
    assert answer_to(server) == rate_limited(ms, 60_000 - ms)
    server.reactor.advance(ms / 1000)
    assert log_in(server).names() == ["ACK"]


def test_a_wait_of_less_than_a_millisecond_is_one():
    server = Server()
    server.reactor.advance(0.0003)
    for _ in range(10):
        log_in(server, "guess")
    server.reactor.advance(59.9996)
    assert answer_to(server).retry_after_ms == 1
    server.reactor.advance(0.001)
    assert log_in(server).names() == ["ACK"]


def test_no_secret_is_ever_logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    log_in(Server(), "hunter-2")
    globalLogPublisher.removeObserver(events.append)
    assert events
    assert not [event for event in events if "hunter-2" in formatEvent(event) + repr(event)]


class Says:
    """An authenticator that calls what it is given, and says what comes of that."""

    def __init__(self, outcome):
        self.outcome = outcome

    def authenticate(self, login, peer):
        return self.outcome()


def raising(error):
    def outcome():
        raise error

    return outcome


@pytest.mark.parametrize("outcome", [lambda: User(USER), lambda: succeed(User(USER))])
def test_a_login_that_is_answered_at_once(outcome):
    client = Server(Says(outcome)).connect()
    client.send(auth(), subscribe(TICK), heartbeat())
    assert client.names() == ["ACK", "ACK", "PONG"]
    assert client.transport.producerState == "producing"


# Answered later.


class Slow:
    """An authenticator that waits to be told."""

    def __init__(self, canceller=lambda answer: None):
        self.canceller = canceller
        self.asked = []
        self.cancelled = 0

    def authenticate(self, login, peer):
        answer = Deferred(self._cancel)
        self.asked.append((login, peer, answer))
        return answer

    def _cancel(self, answer):
        self.cancelled += 1
        self.canceller(answer)

    @property
    def answers(self):
        return [answer for _, _, answer in self.asked]

    @property
    def answer(self):
        return self.answers[-1]


def waiting(*pipelined, **slow_options):
    """A server and a client whose login is being checked."""
    slow = Slow(**slow_options)
    server = Server(slow)
    client = server.connect()
    client.send(auth(), *pipelined)
    assert client.read() == []
    return server, client, slow


def test_a_login_that_takes_time_pauses_reading():
    _, client, slow = waiting()
    assert client.transport.producerState == "paused"
    slow.answer.callback(User("somebody"))
    assert client.transport.producerState == "producing"
    assert (client.names(), client.connection.user) == (["ACK"], User("somebody"))
    ((login, peer, _),) = slow.asked
    assert (login.username, login.password, peer) == (USER, PASSWORD, Peer("10.0.0.1"))


def test_frames_behind_a_slow_login_are_read_after_it():
    server, client, slow = waiting(subscribe(TICK, snapshot=True), heartbeat(3), heartbeat(4)[:9])
    slow.answer.callback(User(USER))
    assert client.names() == ["ACK", "ACK", [], "PONG"]
    client.send(heartbeat(4)[9:])
    assert client.names() == ["PONG"]
    server.publish(1.0)
    server.reactor.advance(0.005)
    assert client.names() == [[1.0]]


def test_frames_that_come_while_a_login_is_checked_wait_too():
    _, client, slow = waiting()
    client.send(subscribe(TICK), heartbeat())
    assert client.read() == []
    slow.answer.callback(User(USER))
    assert client.names() == ["ACK", "ACK", "PONG"]


def test_a_bad_frame_behind_a_slow_login_ends_it_after_the_ack():
    server, client, slow = waiting(auth(), heartbeat())
    slow.answer.callback(User(USER))
    assert (client.names(), client.closed) == (["ACK", "ALREADY_AUTHENTICATED"], True)
    assert server.metrics.logins == {"accepted": 1}


# Refused.


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (InvalidAuth("no"), "INVALID_AUTH"),
        (LoginFailed("secret detail"), "INVALID_AUTH"),
        (UnauthorizedLogin("secret detail"), "INVALID_AUTH"),
        (NotPermitted("not today"), "NOT_PERMITTED"),
    ],
)
def test_a_login_that_is_refused(later, reason, code):
    if later:
        server, client, slow = waiting(heartbeat())
        slow.answer.errback(reason)
    else:
        server = Server(Says(raising(reason)))
        client = server.connect()
        client.send(auth(), heartbeat())
    (answer,) = client.read()
    assert (names([answer]), client.closed) == ([code], True)
    assert "secret" not in answer.message + answer.details
    assert len(server.factory.login_failures) == (code == "INVALID_AUTH")


NO_DATABASE = OSError("the database is at 10.9.8.7")


@pytest.mark.parametrize("outcome", [raising(NO_DATABASE), lambda: fail(NO_DATABASE)])
def test_a_login_that_cannot_be_checked_is_an_internal_error(outcome, failures):
    server = Server(Says(outcome))
    client = server.connect()
    client.send(auth(), heartbeat())
    assert (client.read(), client.closed) == ([UNCHECKED], True)
    assert failures == [NO_DATABASE]
    assert len(server.factory.login_failures) == 0
    assert server.metrics.logins == {"INTERNAL_ERROR": 1}
    failures.clear()


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("answer", [None, "alice", True])
def test_an_authenticator_that_gives_no_user_is_an_internal_error(answer, later, failures):
    server = Server(Says(lambda: succeed(answer) if later else answer))
    client = server.connect()
    client.send(auth(), heartbeat())
    assert (client.read(), client.closed) == ([UNCHECKED], True)
    assert [str(failure) for failure in failures] == [f"an authenticator returned {answer!r}"]
    assert server.metrics.logins == {"INTERNAL_ERROR": 1}
    failures.clear()


def test_a_login_refused_with_an_error_that_does_not_close_is_an_internal_error(failures):
    client = log_in(Server(Says(raising(NotSubscribed("of no use here")))))
    assert [str(failure) for failure in failures] == ["of no use here"]
    failures.clear()
    assert (client.read(), client.closed) == ([UNCHECKED], True)


# Many guesses at once.


def told_to_guesses(answers_before_the_right_one, count=30):
    """What those are told whose logins were checked at the same time, in the order of the answers.

    Returns:
        that, the server, and the client with the right password.
    """
    slow = Slow()
    server = Server(slow)
    clients = [log_in(server, f"guess-{n}") for n in range(count)]
    for n, answer in enumerate(slow.answers):
        if n == answers_before_the_right_one:
            answer.callback(User(USER))
        else:
            answer.errback(InvalidAuth("no"))
    told = [client.read() for client in clients]
    return [answer for (answer,) in told], server, clients[answers_before_the_right_one]


@pytest.mark.parametrize("before", [10, 11, 29])
def test_of_many_guesses_at_once_ten_are_answered_and_a_right_one_is_not(before):
    told, server, right = told_to_guesses(before)
    assert told == [WRONG] * 10 + [rate_limited(60_000)] * 20
    assert (right.connection.user, right.closed) == (None, True)
    assert server.metrics.logins == {"INVALID_AUTH": 10, "RATE_LIMITED": 20}
    assert answer_to(server) == rate_limited(60_000)


@pytest.mark.parametrize("before", [0, 5, 9])
def test_a_right_login_among_few_wrong_ones_is_accepted(before):
    told, server, right = told_to_guesses(before)
    assert names(told[: before + 1]) == ["INVALID_AUTH"] * before + ["ACK"]
    assert (right.connection.user, right.closed) == (User(USER), False)
    assert server.metrics.logins == {"accepted": 1, "INVALID_AUTH": 10, "RATE_LIMITED": 19}


def test_guesses_of_one_address_are_not_anothers():
    slow = Slow()
    server = Server(slow)
    for _ in range(10):
        log_in(server, "guess")
        slow.answer.errback(InvalidAuth("no"))
    client = log_in(server, PASSWORD, "10.0.0.2")
    slow.answer.callback(User(USER))
    assert client.names() == ["ACK"]


def test_who_is_limited_is_not_even_checked():
    slow = Slow()
    server = Server(slow)
    for _ in range(10):
        log_in(server, "guess")
        slow.answer.errback(InvalidAuth("no"))
    assert answer_to(server) == rate_limited(60_000)
    assert len(slow.asked) == 10


# Given up while it is checked.


def test_a_login_that_takes_too_long_is_cancelled_at_once():
    server, client, slow = waiting(heartbeat())
    server.advance(10)
    assert (client.read(), client.closed, slow.cancelled) == ([TOO_LATE], True, 1)
    assert server.metrics.logins == {"INTERNAL_ERROR": 1}
    client.vanish()
    assert (slow.cancelled, server.left_behind()) == (1, {})


def test_an_answer_that_comes_after_the_timeout_is_too_late():
    answer = Deferred()  # without a canceller, as of an authenticator that cannot stop
    server = Server(Says(lambda: answer))
    client = log_in(server)
    server.advance(10)
    assert client.read() == [TOO_LATE]
    answer.callback(User(USER))
    assert (client.read(), client.connection.user) == ([], None)
    assert server.metrics.logins == {"INTERNAL_ERROR": 1}


def test_a_client_that_goes_while_its_login_is_checked():
    server, client, slow = waiting(subscribe(TICK))
    client.vanish()
    assert (client.read(), slow.cancelled) == ([], 1)
    assert (server.metrics.protocol_errors, server.metrics.logins) == ({}, {})
    assert server.left_behind() == {}


def test_a_login_that_is_checked_while_the_server_stops():
    server, client, slow = waiting(subscribe(TICK))
    server.factory.drain(1.0)
    assert (client.names(), slow.cancelled) == (["SHUTTING_DOWN"], 1)
    assert server.metrics.logins == {}


@pytest.mark.parametrize("end", ["vanish", "timeout"])
@pytest.mark.parametrize(
    "canceller",
    [lambda answer: answer.callback(User(USER)), lambda answer: answer.errback(NO_DATABASE)],
)
def test_whatever_a_cancelled_login_says_counts_no_more(canceller, end):
    server, client, _ = waiting(subscribe(TICK), canceller=canceller)
    if end == "timeout":
        server.advance(10)
        assert client.read() == [TOO_LATE]
    client.vanish()
    assert (client.read(), client.connection.user) == ([], None)
    assert server.metrics.logins == ({"INTERNAL_ERROR": 1} if end == "timeout" else {})
    assert server.left_behind() == {}


def test_what_is_sent_behind_a_login_that_is_checked_is_bounded():
    server, client, slow = waiting()
    client.send(bytes(MAX_HELD_BYTES))
    assert not client.closed
    client.send(b"\0")
    assert client.read() == [
        error(
            pb.ERROR_CODE_INVALID_MESSAGE,
            f"{MAX_HELD_BYTES} bytes came behind an unanswered request",
        )
    ]
    assert (client.closed, slow.cancelled, server.metrics.logins) == (True, 1, {})
