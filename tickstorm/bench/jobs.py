"""What the processes of a load are told, and what they tell before they are done. Pure."""

from __future__ import annotations

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
    """

    subscribed: int
    refused: int
    ready: bool
