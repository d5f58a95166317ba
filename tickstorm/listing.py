"""Who is connected: a bounded page of it at a time, for whoever asks. Pure.

By id, a page goes on where the last one ended (`after`), and no connection is shown twice or left
out while others come and go.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tickstorm.congestion import Congestion
    from tickstorm.factory import TickstormFactory
    from tickstorm.protocol import Connection

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000

Row = dict[str, Any]
"""What an operator may know of a connection, ready for JSON."""


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


class Listing(NamedTuple):
    """A page of connections.

    Attributes:
        total: how many are open.
        rows: those that were asked for, in their order.
        missing: how many processes were asked and gave no answer.
    """

    total: int
    rows: list[Row]
    missing: int = 0


def listing(factory: TickstormFactory, query: Query) -> Listing:
    """Return the connections of a factory that a query asks for."""
    now = factory.clock.monotonic()
    rows = [_row(each, factory.congestion, now) for each in _select(factory, query)]
    return Listing(len(factory.connections), rows)


def together(listings: Iterable[Listing], query: Query) -> Listing:
    """Return the answer to a query that several processes were asked."""
    listings = list(listings)
    key = _pending_first if query.by_pending else itemgetter("id")
    rows = chain.from_iterable(listing.rows for listing in listings)
    return Listing(
        sum(listing.total for listing in listings),
        nsmallest(query.limit, rows, key=key),
        sum(listing.missing for listing in listings),
    )


def _pending_first(row: Row) -> tuple[bool, int, int]:
    return (not row["congested"], -row["pending_bytes"], row["id"])


def _select(factory: TickstormFactory, query: Query) -> list[Connection]:
    if query.by_pending:
        return list(islice(_by_pending(factory), query.limit))
    ids = (id for id in factory.connections if id > query.after)
    return [factory.connections[id] for id in nsmallest(query.limit, ids)]


def _by_pending(factory: TickstormFactory) -> Iterable[Connection]:
    # Only these two kinds have anything pending: the others need not be asked.
    congested, lingering = factory.congestion.connections, factory.congestion.lingering
    others = (factory.connections[id] for id in sorted(factory.connections))
    return chain(
        sorted(congested, key=_most_first),
        sorted(lingering, key=_most_first),
        (each for each in others if each not in congested and each not in lingering),
    )


def _most_first(connection: Connection) -> tuple[int, int]:
    return (-connection.pending_bytes, connection.id)


def _row(connection: Connection, congestion: Congestion[Connection], now: float) -> Row:
    user, subscription = connection.user, connection.subscription
    symbols = subscription.symbols if subscription is not None else None
    return {
        "id": connection.id,
        "peer": connection.address or None,
        "user": user.name if user is not None else None,
        "certificate": connection.certificate_name,
        "mode": subscription.mode.name if subscription is not None else None,
        "interval_ms": subscription.period_ms or None if subscription is not None else None,
        "symbols": sorted(symbols) if symbols is not None else None,
        "overload": subscription.policy.name if subscription is not None else None,
        "age_s": round(now - connection.opened_at, 3),
        "bytes_sent": connection.bytes_sent,
        "pending_bytes": connection.pending_bytes,
        "congested": connection in congestion.connections,
        "warned": connection in congestion.warned,
    }
