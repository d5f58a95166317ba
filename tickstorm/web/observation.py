"""What can be read off a running server, by every page alike."""

from math import inf

from tickstorm.clock import Clock
from tickstorm.factory import TickstormFactory
from tickstorm.web.health import Health, Verdict


class Observation:
    """A running server, looked at and left alone.

    Args:
        factory: the server.
        health: its judgement of itself.
        clock: the times that the server has.
    """

    def __init__(self, factory: TickstormFactory, health: Health, clock: Clock) -> None:
        self.factory = factory
        self.clock = clock
        self._health = health

    def uptime(self) -> float:
        """Return the seconds since the server began."""
        return self.clock.monotonic() - self._health.started_at

    def sweep_age(self) -> float:
        """Return the seconds since the last sweep; before the first, since the server began."""
        last = max(self.factory.metrics.last_sweep_s, self._health.started_at)
        return self.clock.monotonic() - last

    def feed_age(self) -> float:
        """Return the seconds since the last tick, at least 0; infinity before the first."""
        last_ns = self.factory.hub.last_publish_ns
        return max(0.0, (self.clock.wall_ns() - last_ns) / 1e9) if last_ns else inf

    def verdict(self) -> Verdict:
        """Return how the server is."""
        return self._health.judge(self.sweep_age(), self.feed_age())
