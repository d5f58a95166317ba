"""How many workers there are, and what each has of the whole: connections, and slots of a period.

Pure.
"""

from typing import Literal

from tickstorm.open_files import processes_for, room
from tickstorm.settings import Delivery

SLOTS = (200, 250, 500, 1000)
"""What a period may be cut into when delivery is spread: divisors of a second's milliseconds."""

SLOTS_A_WORKER = 200
"""Moments of a period that each worker has of its own, where there are so many: 5 ms apart."""


def worker_count(wanted: int | Literal["auto"], connections: int, cores: int, limit: int) -> int:
    """Return the number of workers; 0 if the process is to serve by itself.

    Args:
        wanted: "auto" is one for each core, and as many more as the open files ask for.
        connections: in all.
        cores: that this process may use.
        limit: of open files in each process.
    """
    if wanted != "auto":
        return wanted
    return max(cores, processes_for(connections, limit))


def shares(connections: int, workers: int, limit: int) -> list[int]:
    """Return how many connections each of `workers` processes may have.

    Together they are as many as asked for, or as there is room for.
    """
    each, more = divmod(connections, workers)
    return [min(each + (number < more), room(limit)) for number in range(workers)]


def slots_of_period(delivery: Delivery, workers: int) -> int:
    """Return into how many slots a period is cut.

    Workers take turns: no two have the same moment, so that they do not get in each other's way.
    """
    if delivery is Delivery.ALIGNED:
        return 1
    return next((slots for slots in SLOTS if slots >= SLOTS_A_WORKER * max(1, workers)), SLOTS[-1])


def slots_of_worker(number: int, workers: int, slots: int) -> tuple[int, ...]:
    """Return which slots of a period are a worker's.

    With fewer slots than workers, as when delivery is aligned, all have all of them.

    Args:
        number: the worker's, from 1.
        workers: how many there are.
        slots: of the period.
    """
    return tuple(range(number - 1, slots, workers)) if slots >= workers else tuple(range(slots))
