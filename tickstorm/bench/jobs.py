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


class Begin(NamedTuple):
    """Tells a process which time to measure, in nanoseconds since the Unix epoch."""

    start_ns: int
    end_ns: int


class Stop(NamedTuple):
    """Tells a process to end, and to give what it has."""


class Progress(NamedTuple):
    """How far a process is.

    Attributes:
        subscribed: connections so far.
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
