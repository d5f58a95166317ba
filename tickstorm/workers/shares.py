"""How many workers there are, and what each has of the whole: connections, and slots of a period.

Pure.
"""

from typing import Literal

from tickstorm.open_files import processes_for, room
from tickstorm.stream_settings import Delivery

SLOTS = (200, 250, 500, 1000)
"""What a period may be cut into when delivery is spread: divisors of a second's milliseconds."""

SLOTS_A_WORKER = 200
"""Moments of a period that each worker has at least: 5 ms apart in a second."""


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

    Where there are slots enough the workers take turns, and do not get in each other's way. More
    workers share all slots: turns would come too seldom, each with too much to send at once.
    """
    if delivery is Delivery.ALIGNED:
        return 1
    wanted = SLOTS_A_WORKER * max(1, workers)
    return next((slots for slots in SLOTS if slots >= wanted), SLOTS_A_WORKER)


def slots_of_worker(number: int, workers: int, slots: int) -> tuple[int, ...]:
    """Return which slots of a period are a worker's: its own, or all if they do not take turns.

    Args:
        number: the worker's, from 1.
        workers: how many there are.
        slots: of the period.
    """
    if slots < SLOTS_A_WORKER * workers:
        return tuple(range(slots))
    return tuple(range(number - 1, slots, workers))
