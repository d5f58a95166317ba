"""What the parent and the nursery say to one another: the birth and the end of workers."""

from typing import NamedTuple

from tickstorm.settings import Settings
from tickstorm.workers.handover import PortKind

MAX_PACKET = 2**16
"""Bytes of any packet between them. What a worker is told, which has no bound, is in none."""
BIRTH_DESCRIPTORS = 3
"""What comes with a Birth: the file with the WorkerSpec, the link, the way for connections."""


class WorkerSpec(NamedTuple):
    """All that a worker is told at its birth.

    Attributes:
        number: its place, from 1.
        settings: the instance's, but for `max_connections`, `max_backlog_bytes` and
            `auction_in_flight`, which are this worker's share.
        epoch: the hub's.
        slots: those of a period that its subscribers take in turn.
        slots_of_period: how many a period has.
        asks_for_logins: whether the parent decides who may log in; else the settings do.
        elsewhere: how many connections of each kind the other workers have, by address, if that is
            limited.
        files: the contents of the ports' PEM files, by path, as the parent has found them good.
    """

    number: int
    settings: Settings
    epoch: str
    slots: tuple[int, ...]
    slots_of_period: int
    asks_for_logins: bool
    elsewhere: dict[PortKind, dict[str, int]]
    files: dict[str, bytes]


class Birth(NamedTuple):
    """Asks for a worker; BIRTH_DESCRIPTORS come with it.

    Attributes:
        number: its place, from 1.
        modules: what it needs that not every worker does, to be loaded for all of them.
    """

    number: int
    modules: tuple[str, ...] = ()


def birth_of(spec: WorkerSpec) -> Birth:
    """Return what asks for a worker."""
    settings = spec.settings
    modules = ["tickstorm.auction.house"] if settings.auction else []
    if settings.auction and settings.redis:
        modules += ["tickstorm.auction.stores", "tickstorm.auction.redis_connection"]
    return Birth(spec.number, tuple(modules))


class Born(NamedTuple):
    """A worker began; a handle of its process comes with it, if there can be one."""

    number: int
    pid: int


class Unborn(NamedTuple):
    """A worker that was asked for could not begin."""

    number: int
    reason: str


class Ended(NamedTuple):
    """A worker ended.

    Attributes:
        status: its exit code; below 0, the signal that ended it.
    """

    pid: int
    status: int


News = Born | Unborn | Ended
"""What the nursery tells."""
