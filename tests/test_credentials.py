"""One name and password, and nothing that is nearly them."""

import pytest

from tickstorm.credentials import Peer, SharedCredentials, User
from tickstorm.errors import InvalidAuth
from tickstorm.messages import Login

PEER = Peer("10.0.0.1")


@pytest.mark.parametrize(
    ("username", "password"),
    [("alice", "secret"), ("alice", "Grüße \N{SNOWMAN}"), ("a", "p" * 128)],
)
def test_the_right_name_and_password(username, password):
    credentials = SharedCredentials(username, password)
    assert credentials.authenticate(Login(username, password, "x", "1.0"), PEER) == User(username)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("bob", "secret"),
        ("alice", "Secret"),
        ("alice", "secre"),
        ("alice", "secret "),
        ("alice", ""),
        ("", "secret"),
        ("", ""),
        ("Alice", "secret"),
        ("secret", "alice"),
        ("alice", "s\u00e9cret"),
        ("\u0430lice", "secret"),
    ],
)
def test_anything_else_is_one_and_the_same_error(username, password):
    credentials = SharedCredentials("alice", "secret")
    with pytest.raises(InvalidAuth) as caught:
        credentials.authenticate(Login(username, password), PEER)
    assert (caught.value.message, caught.value.details) == ("the name or the password is wrong", "")


def test_two_writings_of_one_letter_are_two_passwords():
    credentials = SharedCredentials("alice", "\u00e9")
    with pytest.raises(InvalidAuth):
        credentials.authenticate(Login("alice", "e\u0301"), PEER)


@pytest.mark.parametrize(("username", "password"), [("alice", ""), ("", "secret"), ("", "")])
def test_a_name_and_a_password_are_not_empty(username, password):
    with pytest.raises(ValueError, match=r"^a name and a password are needed, and one of them is"):
        SharedCredentials(username, password)


@pytest.mark.parametrize(("username", "password"), [("a", "p"), ("a" * 64, "\N{SNOWMAN}" * 128)])
def test_what_is_compared_is_of_one_length_whatever_they_are(username, password):
    _, *kept = vars(SharedCredentials(username, password)).values()
    assert [len(each) for each in kept] == [32, 32]
    assert not any(text.encode() in each for text in (username * 3, password) for each in kept)


def test_all_are_the_same_user():
    credentials = SharedCredentials("alice", "secret")
    users = [credentials.authenticate(Login("alice", "secret"), PEER) for _ in range(2)]
    assert users[0] is users[1]


def test_a_peer_without_a_certificate():
    assert Peer("10.0.0.1", certificate_name=None) == PEER
