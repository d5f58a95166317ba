"""The drain: sees a server's connections off, one after the other, while their streams go on."""

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from tickstorm.clock import Clock
from tickstorm.departures import STOPPING, Departure, departures
from tickstorm.errors import ShuttingDown

STEP = 0.02
"""Seconds between two closes at least: those that are due by then go together."""


class Leaving(Protocol):
    """What the drain asks of a connection."""

    @property
    def pending_bytes(self) -> int:
        """What is queued for it."""

    def announce_end(self, retry_after_ms: int, reason: str) -> bool:
        """Tell the client to come back after so long, if it knows of that; whether it does."""

    def see_off(self, last_words: ShuttingDown | None) -> None:
        """Close behind what is queued; nothing happens to one that is closed already."""


class _Due(NamedTuple):
    connection: Leaving
    departure: Departure
    told: bool


class Draining:
    """Closes connections, each at a moment of its own.

    Args:
        clock: the times.
        random: chooses the moments, and who goes first.
        flush: called before connections are closed: what was collected for them goes out.
    """

    _log = Logger()

    def __init__(self, clock: Clock, random: Random, flush: Callable[[], object]) -> None:
        self._clock = clock
        self._random = random
        self._flush = flush
        self._due: deque[_Due] = deque()
        self._began_at = 0.0
        self._timer: IDelayedCall | None = None

    def begin(self, connections: Iterable[Leaving], window: float) -> None:
        """Tell those who know what it means, and close all within `window` seconds.

        Nothing happens while another round is under way.
        """
        if self._due:
            return
        self._began_at = self._clock.monotonic()
        leaving = self._in_order(connections)
        moments = departures(len(leaving), window, self._random.random)
        for connection, departure in zip(leaving, moments, strict=True):
            self._due.append(_Due(connection, departure, self._announce(connection, departure)))
        self._close_due(window <= 0)

    def hasten(self) -> None:
        """Close all who are left now."""
        self._close_due(True)

    def stop(self) -> None:
        """Forget whoever is left: they have gone by themselves."""
        self._due.clear()
        self._cancel()

    def _in_order(self, connections: Iterable[Leaving]) -> list[Leaving]:
        """Return them in a random order, but first those who need time for what is queued."""
        leaving = list(connections)
        self._random.shuffle(leaving)
        return sorted(leaving, key=lambda connection: not connection.pending_bytes)

    def _close_due(self, everybody: bool = False) -> None:
        self._cancel()
        self._flush()
        elapsed = self._clock.monotonic() - self._began_at
        while self._due and (everybody or self._due[0].departure.at <= elapsed):
            self._see_off(self._due.popleft())
        if self._due:
            wait = max(STEP, self._due[0].departure.at - elapsed)
            self._timer = self._clock.scheduler.callLater(wait, self._timed_out)

    def _announce(self, connection: Leaving, departure: Departure) -> bool:
        try:
            return connection.announce_end(departure.notice_ms, STOPPING)
        except Exception:  # one must not keep the others from theirs
            self._log.failure("a connection could not be told of the end")
            return False

    def _see_off(self, due: _Due) -> None:
        error = ShuttingDown(STOPPING, retry_after_ms=due.departure.rest_ms)
        try:
            due.connection.see_off(None if due.told else error)
        except Exception:
            self._log.failure("a connection could not be closed")

    def _timed_out(self) -> None:
        self._timer = None
        self._close_due()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
