"""The desk: by what somebody may log in, and what it is told if not."""

import pytest
from conversation import PASSWORD, START, USER
from signing import BY_SECRET, SECRET, signed
from twisted.internet.task import Clock as TaskClock

from tickstorm.admission import AdmissionLimits, LoginFailures
from tickstorm.auction.desk import Desk
from tickstorm.auction.tokens import Tokens
from tickstorm.clock import Clock
from tickstorm.credentials import SharedCredentials, User
from tickstorm.errors import InvalidAuth, RateLimited
from tickstorm.pauses import Pauses

UPTIME = 500.0
"""What the monotonic clock shows: another time than the wall's."""
RIGHT = signed({"sub": "ada", "user_id": [7, 8], "exp": START + 60})


class Bidder:
    """A connection that keeps what it is told."""

    address = "10.0.0.1"
    certificate_name = None
    is_over = False

    def __init__(self):
        self.told = []

    def accept_login(self, client_id, user):
        self.told.append(user)

    def accept(self, user, permit, ends_at):
        self.told.append((user, permit, ends_at))

    def fail(self, error):
        self.told.append((type(error), error.message))


class Room:
    """A desk with all that it needs."""

    def __init__(self, tokens):
        self.failures = LoginFailures(AdmissionLimits(max_login_failures=2))
        clock = Clock(TaskClock(), lambda: UPTIME, lambda: round(START * 1e9))
        checks = SharedCredentials(USER, PASSWORD)
        self.desk = Desk(checks, {USER: None}, self.failures, Pauses(), clock, tokens=tokens)

    def told(self, text):
        bidder = Bidder()
        self.desk.ask(bidder, text)
        (told,) = bidder.told
        return told


@pytest.fixture(name="room")
def with_tokens():
    return Room(Tokens(BY_SECRET))


def test_a_token_is_a_user_a_permit_and_an_end_on_the_monotonic_clock(room):
    assert room.told(RIGHT) == (User("ada"), frozenset({7, 8}), UPTIME + 65)


def test_beside_tokens_there_are_names_and_passwords(room):
    assert room.told(f"{USER}:{PASSWORD}") == User(USER)
    assert room.told(f"{USER}:{RIGHT}") == (InvalidAuth, "the name or the password is wrong")


def test_why_a_token_is_wrong_is_said(room):
    expired = signed({"user_id": 7, "exp": START - 5})
    assert room.told(expired) == (InvalidAuth, "the token has expired")
    assert room.told(RIGHT[:-1]) == (InvalidAuth, "the token, or its signature, is wrong")
    assert room.told("") == (InvalidAuth, "the token, or its signature, is wrong")


def test_who_has_failed_too_often_is_not_listened_to(room):
    for _ in range(2):
        room.failures.record("10.0.0.1", UPTIME)
    assert room.told(RIGHT) == (RateLimited, "2 failed logins within 60 s")


def test_without_a_key_there_are_no_tokens():
    room = Room(None)
    assert room.told(RIGHT) == (InvalidAuth, "it is not NAME:PASSWORD")
    room.desk.tokens = Tokens(BY_SECRET)
    assert room.told(RIGHT)[0] == User("ada")
    room.desk.tokens = Tokens(BY_SECRET, "somebody")
    assert room.told(RIGHT) == (InvalidAuth, "the token has no aud")


def test_a_permit_of_a_name_is_not_that_of_a_token(room):
    token = signed({"sub": USER, "user_id": 7, "exp": START + 1})
    assert room.told(token) == (User(USER), frozenset({7}), UPTIME + 6)
    assert room.desk.permit(USER) is None
    assert SECRET.decode() not in str(vars(room.desk.tokens))
