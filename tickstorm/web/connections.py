"""The list of connections as JSON: a bounded page of it at a time.

By id, a page goes on where the last one ended (`after`), and no connection is shown twice or left
out while others come and go.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import chain, islice
from typing import Any, NamedTuple

from twisted.web.iweb import IRequest

from tickstorm.factory import TickstormFactory
from tickstorm.protocol import Connection
from tickstorm.web.observation import Observation
from tickstorm.web.pages import Answer, Reply, json_answer

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000

_NUMBER = re.compile(rb"[0-9]{1,18}")


class BadQuery(Exception):
    """The arguments of a request cannot be used: the message names the one and what is allowed."""


class Query(NamedTuple):
    """Which connections are asked for.

    Attributes:
        limit: how many, 1 to MAX_LIMIT.
        after: only those with a higher id.
        by_pending: those with the most bytes pending first, instead of by id.
    """

    limit: int = DEFAULT_LIMIT
    after: int = 0
    by_pending: bool = False


def read_query(arguments: Mapping[bytes, Sequence[bytes]]) -> Query:
    """Read the arguments behind the path's question mark.

    Raises:
        BadQuery: one of them is unknown, given twice, or out of its range.
    """
    for name, values in arguments.items():
        if name not in (b"limit", b"after", b"sort"):
            raise BadQuery(f"{name.decode(errors='replace')!r} is not limit, after or sort")
        if len(values) > 1:
            raise BadQuery(f"{name.decode()} is given more than once")
    sort = arguments.get(b"sort", [b"id"])[0]
    if sort not in (b"id", b"pending"):
        raise BadQuery("sort is id or pending")
    if sort == b"pending" and b"after" in arguments:
        raise BadQuery("after goes with sort=id only")
    return Query(
        limit=_number(arguments, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
        after=_number(arguments, "after", 0, 0, 10**18),
        by_pending=sort == b"pending",
    )


def select(factory: TickstormFactory, query: Query) -> list[Connection]:
    """Return the connections that a query asks for, in its order."""
    ids = sorted(factory.connections)
    if query.by_pending:
        return list(islice(_by_pending(factory, ids), query.limit))
    start = bisect_right(ids, query.after)
    return [factory.connections[id] for id in ids[start : start + query.limit]]


def describe(connection: Connection, congested: bool, now: float) -> dict[str, Any]:
    """Return what an operator may know of a connection, ready for JSON."""
    user, subscription = connection.user, connection.subscription
    symbols = subscription.symbols if subscription is not None else None
    return {
        "id": connection.id,
        "peer": connection.address or None,
        "user": user.name if user is not None else None,
        "certificate": connection.certificate_name,
        "mode": subscription.mode.name if subscription is not None else None,
        "symbols": sorted(symbols) if symbols is not None else None,
        "age_s": round(now - connection.opened_at, 3),
        "bytes_sent": connection.bytes_sent,
        "pending_bytes": connection.pending_bytes,
        "congested": congested,
    }


def connections_reply(observation: Observation) -> Reply:
    """Return what answers with the connections."""

    def reply(request: IRequest) -> Answer:
        try:
            query = read_query(request.args)
        except BadQuery as error:
            return json_answer({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        factory, now = observation.factory, observation.clock.monotonic()
        rows = [
            describe(connection, connection in factory.congested, now)
            for connection in select(factory, query)
        ]
        return json_answer({"total": len(factory.connections), "connections": rows})

    return reply


def _number(
    arguments: Mapping[bytes, Sequence[bytes]], name: str, default: int, least: int, most: int
) -> int:
    values = arguments.get(name.encode())
    if values is None:
        return default
    if not _NUMBER.fullmatch(values[0]) or not least <= int(values[0]) <= most:
        raise BadQuery(f"{name} is {least} to {most}")
    return int(values[0])


def _by_pending(factory: TickstormFactory, ids: Iterable[int]) -> Iterable[Connection]:
    # Only the congested have anything pending: the others need not be asked.
    congested = sorted(factory.congested, key=lambda each: (-each.pending_bytes, each.id))
    others = (factory.connections[id] for id in ids)
    return chain(congested, (each for each in others if each not in factory.congested))
