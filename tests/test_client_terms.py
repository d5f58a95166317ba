"""What the metadata of an ACK says, of those to SUBSCRIBE, to AUTH and to PUBLISH."""

import pytest

from tickstorm.client.events import Admitted, Subscribed
from tickstorm.client.terms import (
    PublicationAnswered,
    admitted,
    publication_answered,
    subscribed,
)
from tickstorm.errors import InvalidMessage


def test_what_an_acknowledged_subscription_says():
    assert subscribed(
        {
            "epoch": "e",
            "next_sequence": "4294967295",
            "heartbeat_interval_ms": "1500",
            "heartbeat_timeout_ms": "2000",
            "something": "new",
        }
    ) == Subscribed("e", 2**32 - 1, 1.5, 2.0)


@pytest.mark.parametrize(("text", "recovered"), [("true", True), ("false", False)])
def test_whether_it_is_recovered(text, recovered):
    assert subscribed({"recovered": text}) == Subscribed("", None, 15.0, 20.0, recovered)


@pytest.mark.parametrize(
    ("metadata", "symbols"),
    [
        ({"symbols": "*"}, {"*"}),
        ({"symbols": "A,EUR*"}, {"A", "EUR*"}),
        ({"symbols": "A,B", "symbols_2": "C,D,", "symbols_3": "E"}, set("ABCDE")),
        ({"symbols": "A", "symbols_3": "C"}, {"A"}),
    ],
)
def test_a_long_set_of_symbols_is_joined(metadata, symbols):
    assert subscribed(metadata).symbols == symbols


def test_a_server_of_plain_version_1_keeps_the_usual_intervals():
    assert subscribed({}) == Subscribed("", None, 15.0, 20.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("next_sequence", "4294967296"),
        ("next_sequence", "-1"),
        ("next_sequence", ""),
        ("next_sequence", "\N{SUPERSCRIPT TWO}"),
        ("heartbeat_interval_ms", "0"),
        ("heartbeat_interval_ms", "1.5"),
        ("heartbeat_timeout_ms", "9"),
        ("recovered", "yes"),
    ],
)
def test_a_number_that_is_none_names_itself(key, value):
    with pytest.raises(InvalidMessage, match=f"{key} is "):
        subscribed({key: value})


def test_what_an_acknowledged_login_says_to_who_publishes():
    metadata = {"epoch": "e", "heartbeat_interval_ms": "10", "heartbeat_timeout_ms": "86400000"}
    assert admitted(metadata) == Admitted("e", 0.01, 86400.0)
    assert admitted({}) == Admitted("", 15.0, 20.0)


@pytest.mark.parametrize("key", ["heartbeat_interval_ms", "heartbeat_timeout_ms"])
@pytest.mark.parametrize("value", ["9", "86400001"])
def test_an_interval_that_is_not_believed(key, value):
    with pytest.raises(InvalidMessage, match=f"{key} is '{value}', not 10 to 86400000"):
        admitted({key: value})


@pytest.mark.parametrize(
    ("metadata", "repeated"),
    [({}, False), ({"repeated": "true"}, True), ({"repeated": "x"}, False)],
)
def test_which_publication_was_carried_out(metadata, repeated):
    answered = publication_answered({"request_id": str(2**64 - 1), **metadata})
    assert answered == PublicationAnswered(2**64 - 1, repeated)


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({}, "an ACK of PUBLISH does not say of which"),
        ({"request_id": str(2**64)}, "request_id is '18446744073709551616', not 0 to"),
    ],
)
def test_a_publication_of_no_number(metadata, text):
    with pytest.raises(InvalidMessage, match=text):
        publication_answered(metadata)
