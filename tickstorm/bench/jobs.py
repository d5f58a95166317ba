"""What the processes of a load are told, and what they tell before they are done. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tickstorm.bench.login import Requests
from tickstorm.client.address import TLSAddress


class Place(NamedTuple):
    """Where a server is: the family of its socket address, and that."""

    family: int
    address: tuple[str, int] | tuple[str, int, int, int]


class Bidding(NamedTuple):
    """What is bid, and how fast.

    Attributes:
        auctions: that are bid in, by their ids.
        users: who bids, from the first to the last of these ids.
        pipeline: bids of a connection without a RESULT, at most.
        per_second: bids of each connection a second; infinity for as fast as RESULTs come.
        level: the least that may lead anywhere, in cents; what is bid rises from there.
        first_bid_id: of the bids of all processes together; 0 for bids without ids.
    """

    auctions: tuple[int, ...]
    users: tuple[int, int]
    pipeline: int
    per_second: float
    level: int
    first_bid_id: int


class Job(NamedTuple):
    """What a process is to do.

    Attributes:
        place: where the server is.
        tls: None for plain TCP.
        requests: what each connection sends.
        period_ns: between two batches of a connection; 0 for TICK.
        first: the number of its first connection among all.
        connections: how many to open.
        sources: addresses to connect from, in turn; none leaves them to the kernel.
        per_second: connections to begin a second, at most; infinity for no limit.
        heartbeat: seconds between those of a connection; None for what the server says.
        ahead_ns: how far the server's clock is ahead of the one here.
        bidding: what to bid; None follows a stream, which alone has a period and heartbeats.
    """

    place: Place
    tls: TLSAddress | None
    requests: Requests
    period_ns: int
    first: int
    connections: int
    sources: tuple[str, ...]
    per_second: float
    heartbeat: float | None
    ahead_ns: int = 0
    bidding: Bidding | None = None


class Begin(NamedTuple):
    """Tells a process which time to measure, in nanoseconds since the Unix epoch."""

    start_ns: int
    end_ns: int


class Stop(NamedTuple):
    """Tells a process to end, and to give what it has."""


class Progress(NamedTuple):
    """How far a process is.

    Attributes:
        subscribed: connections that are in so far; of bidders, those that got a RESULT.
        refused: connections so far.
        ready: whether each of its connections is one or the other.
        deserted: whether it has no connection any more, and will have none.
    """

    subscribed: int
    refused: int
    ready: bool
    deserted: bool = False


def together(all_progress: Iterable[Progress]) -> Progress:
    """Return how far several processes are: ready, or deserted, if each of them is."""
    found = tuple(all_progress)
    return Progress(
        sum(progress.subscribed for progress in found),
        sum(progress.refused for progress in found),
        all(progress.ready for progress in found),
        all(progress.deserted for progress in found),
    )
