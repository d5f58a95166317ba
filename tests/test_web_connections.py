"""The list of connections: good and bad questions."""

import pytest

from tickstorm.listing import Query
from tickstorm.web.connections import BadQuery, read_query

# What is asked.


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, Query(limit=1000, after=0, by_pending=False)),
        ({b"limit": [b"1"], b"after": [b"0"]}, Query(1, 0)),
        ({b"limit": [b"10000"], b"after": [b"999999999999"]}, Query(10_000, 999_999_999_999)),
        ({b"sort": [b"pending"], b"limit": [b"7"]}, Query(7, 0, True)),
        ({b"sort": [b"id"], b"after": [b"7"]}, Query(1000, 7, False)),
    ],
)
def test_a_good_question(arguments, query):
    assert read_query(arguments) == query


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({b"limit": [b"0"]}, "limit is 1 to 10000"),
        ({b"limit": [b"10001"]}, "limit is 1 to 10000"),
        ({b"limit": [b"-1"]}, "limit is 1 to 10000"),
        ({b"limit": [b""]}, "limit is 1 to 10000"),
        ({b"limit": [b"1_0"]}, "limit is 1 to 10000"),
        ({b"limit": ["\u0661".encode()]}, "limit is 1 to 10000"),
        ({b"limit": [b"9" * 5000]}, "limit is 1 to 10000"),
        ({b"after": [b"x"]}, "after is 0 to 1000000000000000000"),
        ({b"limit": [b"1", b"2"]}, "limit is given more than once"),
        ({b"sort": [b"age"]}, "sort is id or pending"),
        ({b"sort": [b"pending"], b"after": [b"1"]}, "after goes with sort=id only"),
        ({b"lim\xff": [b"1"]}, "'lim\ufffd' is not limit, after or sort"),
    ],
)
def test_a_bad_question(arguments, reason):
    with pytest.raises(BadQuery) as raised:
        read_query(arguments)
    assert str(raised.value) == reason
