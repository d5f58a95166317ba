"""Auctions for a measurement: those that there are not yet are created. Pure: who asks is given."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

LISTED = 1_000
"""Auctions that are asked for at a time."""


class Numbered(Protocol):
    """An auction, as far as it is of interest."""

    @property
    def id(self) -> int:
        """Its number."""


class Auctions(Protocol):
    """The auctions of a server; `BlockingAuctions` are some."""

    def create(self, *, closes_ms: int, id: int) -> object:
        """Create one."""

    def list(self, after: int, limit: int) -> Sequence[Numbered]:
        """Return those with an id above `after`, the lowest first."""


def create_missing(
    ids: Collection[int], closes_ms: int, auctions: Auctions, at_a_time: int = LISTED
) -> None:
    """Create those auctions that there are not, with the least of terms.

    Args:
        ids: of the auctions that are wanted.
        closes_ms: when they are to close, since the Unix epoch.
        auctions: those of the server.
        at_a_time: how many it is asked to list.
    """
    there = _there(min(ids), max(ids), lambda after: auctions.list(after, at_a_time))
    for id in sorted(set(ids).difference(*there)):
        auctions.create(closes_ms=closes_ms, id=id)


def _there(
    first: int, last: int, list_after: Callable[[int], Sequence[Numbered]]
) -> Iterator[list[int]]:
    """Yield the ids of the auctions that there are, up to the last at least."""
    after = first - 1
    while after < last and (listed := list_after(after)):
        yield [each.id for each in listed]
        after = listed[-1].id
