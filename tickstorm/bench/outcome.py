"""What comes of a measurement, before anything is made of it. Pure."""

from typing import NamedTuple

from tickstorm.bench.tally import Tally


class ServerUse(NamedTuple):
    """What the server used in the measured time.

    Attributes:
        pids: of its processes at the end.
        cpu: user and system seconds.
        memory: bytes at the end; None if that may not be known.
        machine_busy: seconds that all cores of its machine together were not idle.
        wall: seconds in which it did.
    """

    pids: tuple[int, ...]
    cpu: float
    memory: int | None
    machine_busy: float
    wall: float


class Outcome(NamedTuple):
    """What came of a measurement.

    Attributes:
        tallies: of each process that gave one.
        endings: of each that did not, how it ended.
        seconds: that were measured; 0 if it did not come to that.
        server: what the server used; None if that is not known.
        interrupted: whether it was ended from outside.
    """

    tallies: tuple[Tally, ...]
    endings: tuple[str, ...]
    seconds: float
    server: ServerUse | None
    interrupted: bool
