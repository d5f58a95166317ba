"""The limit of open files: how many connections it leaves room for, and raising it.

Each connection is an open file of its process (getrlimit(2), RLIMIT_NOFILE).
"""

import resource
from math import ceil

RESERVE = 200
"""Open files that are no subscriber's: ports, pages, the log, those that are being turned away."""


def limit() -> int:
    """Return how many files this process may have open; a large number if there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> int:
    """Raise this process's own limit as far as it may go, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return limit()


def room(limit: int) -> int:
    """Return how many connections a process with this limit has room for, at least 1."""
    return max(1, limit - RESERVE)


def processes_for(connections: int, limit: int) -> int:
    """Return how many processes with this limit have room for so many connections."""
    return ceil(connections / room(limit))


_UNLIMITED = 2**30
