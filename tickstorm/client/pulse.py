"""The signs of life of one conversation: this side's heartbeats, and the other's silence. Pure."""

from collections.abc import Callable
from math import inf

from tickstorm.client.events import Silent
from tickstorm.client.messages import heartbeat_frame

HEARTBEAT_SPREAD = 0.2
"""Heartbeats come up to this part of their interval early, so that clients that connected together
do not send together."""
LATE = 1.0
"""Seconds. A deadline that is looked at later than this says that this side was busy or asleep, not
that the server was silent."""


class Pulse:
    """Knows when to send a heartbeat, and when the server has been silent for too long.

    Args:
        timeout: seconds that the server may be silent before `settle`.
        random: gives a number from 0 up to but not including 1.
        now: the present, in seconds of any monotonic clock.
    """

    __slots__ = ("_heard_at", "_heartbeat_at", "_heartbeats", "_interval", "_random", "_timeout")

    def __init__(self, timeout: float, random: Callable[[], float], now: float) -> None:
        self._timeout = timeout
        self._random = random
        self._interval = inf
        self._heard_at = now  # infinity while nothing is being read
        self._heartbeat_at = inf
        self._heartbeats = 0

    @property
    def deadline(self) -> float:
        """When to `wake` it."""
        return min(self._heartbeat_at, self._heard_at + self._timeout)

    def settle(self, interval: float, timeout: float) -> None:
        """Keep the intervals that the server has named, in seconds, from when it was last heard."""
        self._interval, self._timeout = interval, timeout
        self._schedule(self._heard_at)

    def heard(self, now: float) -> None:
        """Note that something came."""
        self._heard_at = max(self._heard_at, now)

    def pause(self) -> None:
        """Note that nothing is read from now on: the server cannot be blamed for silence."""
        self._heard_at = inf

    def resume(self, now: float) -> None:
        """Note that what arrives is read again."""
        self._heard_at = now

    def wake(self, now: float, wall_ms: int) -> bytes | Silent:
        """Return the heartbeat that is due, nothing if none is, or that the server is silent."""
        if now >= self.deadline + LATE:
            self._heard_at = max(self._heard_at, now)
        if now >= self._heard_at + self._timeout:
            return Silent(self._timeout)
        if now < self._heartbeat_at:
            return b""
        self._heartbeats += 1
        self._schedule(now)
        return heartbeat_frame(wall_ms, self._heartbeats)

    def _schedule(self, now: float) -> None:
        self._heartbeat_at = now + self._interval * (1 - HEARTBEAT_SPREAD * self._random())
