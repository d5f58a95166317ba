"""The list of connections as JSON: see `tickstorm.listing`."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from twisted.internet.defer import Deferred
from twisted.web.iweb import IRequest

from tickstorm.listing import DEFAULT_LIMIT, MAX_LIMIT, Listing, Query
from tickstorm.web.observation import Observation
from tickstorm.web.pages import Answer, Reply, json_answer

_NUMBER = re.compile(rb"[0-9]{1,18}")


class BadQuery(Exception):
    """The arguments of a request cannot be used: the message names the one and what is allowed."""


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


def connections_reply(observation: Observation) -> Reply:
    """Return what answers with the connections."""

    def reply(request: IRequest) -> Answer | Deferred[Answer]:
        try:
            query = read_query(request.args)
        except BadQuery as error:
            return json_answer({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        listing = observation.list(query)
        if isinstance(listing, Deferred):
            return listing.addCallback(_answer)
        return _answer(listing)

    return reply


def _answer(listing: Listing) -> Answer:
    value = {"total": listing.total, "connections": listing.rows}
    if listing.missing:
        value["workers_without_answer"] = listing.missing
    return json_answer(value)


def _number(
    arguments: Mapping[bytes, Sequence[bytes]], name: str, default: int, least: int, most: int
) -> int:
    values = arguments.get(name.encode())
    if values is None:
        return default
    if not _NUMBER.fullmatch(values[0]) or not least <= int(values[0]) <= most:
        raise BadQuery(f"{name} is {least} to {most}")
    return int(values[0])
