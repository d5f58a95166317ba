"""Permits: whom a login may bid for."""

import pytest

from tickstorm.auction.permits import BidRight, permit_of, permits_by_name, read_bid_right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("alice:42", BidRight("alice", frozenset({42}))),
        ("alice:0,4294967295", BidRight("alice", frozenset({0, 2**32 - 1}))),
        ("alice:*", BidRight("alice", None)),
        ("desk:a:7", BidRight("desk:a", frozenset({7}))),
    ],
)
def test_a_right_is_what_is_written(text, right):
    assert read_bid_right(text) == right
    assert str(right) == text


@pytest.mark.parametrize(
    "text", ["", "alice", ":1", "alice:", "alice:1,", "alice:x", "alice:-1", "alice:4294967296"]
)
def test_what_is_no_right(text):
    with pytest.raises(ValueError):  # noqa: PT011 - it is the caller who says more
        read_bid_right(text)


def test_the_rights_of_a_login_are_put_together():
    rights = map(read_bid_right, ["alice:1", "bob:2", "alice:3", "bob:*", "bob:4"])
    permits = permits_by_name(rights)
    assert permits == {"alice": {1, 3}, "bob": None}
    assert permit_of("alice", permits) == {1, 3}
    assert permit_of("bob", permits) is None


def test_who_has_no_right_may_bid_for_nobody():
    assert permit_of("carol", {}) == frozenset()
