"""Who may bid for whom. Pure.

A permit is the users that somebody may bid for, and None for any; who has no right has an empty
one, and hears NOT_PERMITTED of each bid.
"""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

Permit = Container[int] | None

NOBODY: Permit = frozenset()
"""The permit of who may bid for nobody."""

MAX_USER_ID = 2**32 - 1
_USER_ID = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class BidRight:
    """For whom one login may bid; as text, "alice:42,43" or "alice:*".

    Attributes:
        name: of the login.
        users: None for any.
    """

    name: str
    users: frozenset[int] | None

    def __str__(self) -> str:
        users = "*" if self.users is None else ",".join(map(str, sorted(self.users)))
        return f"{self.name}:{users}"


def read_bid_right(text: str) -> BidRight:
    """Read what `str` makes of a right.

    Raises:
        ValueError: it is none.
    """
    name, colon, users = text.rpartition(":")
    if not name or not colon:
        raise ValueError(text)
    if users == "*":
        return BidRight(name, None)
    return BidRight(name, frozenset(map(_user_id, users.split(","))))


def permits_by_name(rights: Iterable[BidRight]) -> dict[str, Permit]:
    """Put the rights of each login together."""
    permits: dict[str, frozenset[int] | None] = {}
    for name, users in ((right.name, right.users) for right in rights):
        had = permits.get(name, frozenset())
        permits[name] = None if had is None or users is None else had | users
    return dict(permits)


def permit_of(name: str, permits: Mapping[str, Permit]) -> Permit:
    """Return the permit of a login."""
    return permits.get(name, NOBODY)


def _user_id(text: str) -> int:
    if not _USER_ID.fullmatch(text) or int(text) > MAX_USER_ID:
        raise ValueError(text)
    return int(text)
