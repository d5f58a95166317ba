"""The way down: when each connection is closed, and when its client may come back. Pure.

However many they are, they go as evenly as they are to come back somewhere else: a window of time
has as many equal parts as there are connections, and each goes at a random moment of its own part
(stratified sampling: R. L. Cook, Stochastic Sampling in Computer Graphics, 1986, calls it jitter).
"""

from collections.abc import Callable
from typing import NamedTuple

WINDOW = 0.8
"""The part of a drain in which connections are closed; the rest is for those who take their time
with what is written to them last."""
STOPPING = "this server process is stopping"
"""What clients are told. There may be others, which go on: it is true of one worker, too."""
LEAST_REST, MOST_REST = 0.5, 1.5
"""Seconds between a client's close and its return, beside what it waits by itself."""

Uniform = Callable[[], float]
"""Returns random numbers from 0 up to, but not including, 1."""


class Departure(NamedTuple):
    """When one connection goes.

    Attributes:
        at: its close, in seconds from the beginning of the drain.
        rest: seconds from then until its client may come back.
    """

    at: float
    rest: float

    @property
    def notice_ms(self) -> int:
        """The milliseconds until it may come back, as they are told at the beginning."""
        return round((self.at + self.rest) * 1000)

    @property
    def rest_ms(self) -> int:
        """The same, as they are told at its close."""
        return round(self.rest * 1000)


def window_of(drain_seconds: float) -> float:
    """Return in how many seconds connections are closed, if all is to be over after so many."""
    return WINDOW * drain_seconds


def departures(connections: int, window: float, random: Uniform) -> list[Departure]:
    """Return when each of so many connections goes within `window` seconds, in this order."""
    return [
        Departure(
            (index + random()) / connections * window,
            LEAST_REST + random() * (MOST_REST - LEAST_REST),
        )
        for index in range(connections)
    ]
