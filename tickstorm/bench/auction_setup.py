"""Auctions for a measurement: those that there are not yet are created. Pure: who asks is given."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

LISTED = 1_000
"""Auctions that are asked for at a time."""

Ask = Callable[[str, str, Mapping[str, object]], Mapping[str, Any]]
"""Asks the operators' page: a path, a method and a query to what it answers."""


def create_missing(ids: Collection[int], closes_ms: int, ask: Ask, at_a_time: int = LISTED) -> None:
    """Create those auctions that there are not, with the least of terms.

    Args:
        ids: of the auctions that are wanted.
        closes_ms: when they are to close, since the Unix epoch.
        ask: asks the operators' page.
        at_a_time: how many it is asked to list.
    """
    there = _there(min(ids), max(ids), lambda after: _listed(after, at_a_time, ask))
    for id in sorted(set(ids).difference(*there)):
        ask("/auctions", "POST", {"id": id, "closes_ms": closes_ms})


def _there(first: int, last: int, list_after: Callable[[int], list[int]]) -> Iterator[list[int]]:
    """Yield the ids of the auctions that there are, up to the last at least."""
    after = first - 1
    while after < last and (ids := list_after(after)):
        yield ids
        after = ids[-1]


def _listed(after: int, limit: int, ask: Ask) -> list[int]:
    answer = ask("/auctions", "GET", {"after": after, "limit": limit})
    return [each["id"] for each in answer["auctions"]]
