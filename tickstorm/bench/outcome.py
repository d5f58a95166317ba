"""What comes of a measurement, before anything is made of it. Pure."""

from typing import NamedTuple

from tickstorm.bench.tally import Tally


class ServerUse(NamedTuple):
    """What the server used in the measured time.

    Attributes:
        pids: of its processes at the end.
        ended: how many of those that it had at the beginning were gone then.
        cpu: user and system seconds, of those that ended up to when they were last seen.
        memory: bytes at the end; None if that may not be known.
    """

    pids: tuple[int, ...]
    ended: int
    cpu: float
    memory: int | None


class MachineUse(NamedTuple):
    """What was used of the machine of the load in the measured time, by whomever.

    Attributes:
        busy: seconds that all cores together were not idle.
        wall: seconds in which they were not.
    """

    busy: float
    wall: float


class Outcome(NamedTuple):
    """What came of a measurement.

    Attributes:
        tallies: of each process that gave one.
        endings: of each that did not, how it ended.
        seconds: that were measured; 0 if it did not come to that.
        ended_ns: when they were over, since the Unix epoch.
        machine: what was used of this machine; None if it did not come to that.
        server: what the server used; None if that is not known.
        interrupted: whether it was ended from outside.
    """

    tallies: tuple[Tally, ...]
    endings: tuple[str, ...]
    seconds: float
    ended_ns: int
    machine: MachineUse | None
    server: ServerUse | None
    interrupted: bool
