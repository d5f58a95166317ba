"""What the parent and the nursery say to one another: the birth and the end of workers."""

from typing import NamedTuple

from tickstorm.settings import Settings

MAX_PACKET = 2**20
"""Bytes of any of these, pickled."""


class WorkerSpec(NamedTuple):
    """Asks for a worker, and is all that it is told at its birth.

    Attributes:
        number: its place, from 1.
        settings: the instance's, but for `max_connections`, which is this worker's share.
        epoch: the hub's.
        slots: those of a period that its subscribers take in turn.
        asks_for_logins: whether the parent decides who may log in; else the settings do.
        elsewhere: how many connections the other workers have, by address, if that is limited.
    """

    number: int
    settings: Settings
    epoch: str
    slots: tuple[int, ...]
    asks_for_logins: bool
    elsewhere: dict[str, int]


class End(NamedTuple):
    """Asks for the end of a worker, at once."""

    pid: int


class Born(NamedTuple):
    """A worker began."""

    number: int
    pid: int


class Ended(NamedTuple):
    """A worker ended.

    Attributes:
        status: its exit code; below 0, the signal that ended it.
    """

    pid: int
    status: int
