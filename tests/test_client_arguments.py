"""What an application says: the same on Twisted and on asyncio, and all of it described."""

import re
from inspect import getdoc, signature

import pytest

from tickstorm.client import (
    asyncio_client,
    asyncio_publisher,
    twisted_client,
    twisted_publisher,
)
from tickstorm.client.request import make_request

PAIRS = pytest.mark.parametrize(
    ("on_twisted", "on_asyncio"),
    [(twisted_client, asyncio_client), (twisted_publisher, asyncio_publisher)],
    ids=["client", "publisher"],
)
ALL = pytest.mark.parametrize(
    "function", [twisted_client, asyncio_client, twisted_publisher, asyncio_publisher]
)
OWN = {"reactor", "address", "clock", "loop"}
"""What is of one framework."""


def common(parameters):
    return [(name, each) for name, each in parameters.items() if name not in OWN]


def described(function):
    """What the docstring says of each argument, in its order."""
    _, section = getdoc(function).split("Args:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section.partition("\n\n")[0], re.M)
    return dict(entries)


@PAIRS
def test_both_take_the_same_but_for_what_they_run_on(on_twisted, on_asyncio):
    first, second = signature(on_twisted).parameters, signature(on_asyncio).parameters
    assert common(first) == common(second)
    assert [*first][:2] == ["reactor", *[*second][:1]]
    assert (first.keys() - second.keys(), second.keys() - first.keys()) == (
        {"reactor", "clock"},
        {"loop"},
    )


@PAIRS
def test_both_are_described_in_the_same_words(on_twisted, on_asyncio):
    assert common(described(on_twisted)) == common(described(on_asyncio))


@ALL
def test_each_argument_is_described(function):
    assert [*described(function)] == [*signature(function).parameters]


def test_a_request_is_made_of_all_that_is_no_matter_of_this_side():
    client, request = signature(twisted_client).parameters, signature(make_request).parameters
    own = OWN | {"on_event", "limits", "random"}
    wanted = {name: each.default for name, each in client.items() if name not in own}
    assert {name: each.default for name, each in request.items()} == wanted
