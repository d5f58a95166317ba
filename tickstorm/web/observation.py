"""What can be read off a running server, by every page alike."""

from collections.abc import Callable, Sequence
from math import inf

from twisted.internet.defer import Deferred

from tickstorm.clock import Clock
from tickstorm.hub import Hub
from tickstorm.listing import Listing, Query
from tickstorm.outlet import Outlet
from tickstorm.reading import Reading
from tickstorm.serving import Serving, WorkerReading
from tickstorm.web.health import Health, Verdict


class Observation:
    """A running server, looked at and left alone.

    Args:
        hub: what is published.
        serving: who gets it.
        health: the server's judgement of itself.
        clock: the times that the server has.
        complaints: says what is wrong that other servers share.
    """

    def __init__(
        self,
        hub: Hub[Outlet],
        serving: Serving,
        health: Health,
        clock: Clock,
        complaints: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.hub = hub
        self.clock = clock
        self._serving = serving
        self._health = health
        self._complaints = complaints

    def read(self) -> Reading:
        """Return the numbers of all that serves."""
        return self._serving.read()

    def workers(self) -> Sequence[WorkerReading]:
        """Return how each worker is; none if there are none."""
        return self._serving.workers()

    def list(self, query: Query) -> Listing | Deferred[Listing]:
        """Return the connections that a query asks for."""
        return self._serving.list(query)

    def uptime(self) -> float:
        """Return the seconds since the server began."""
        return self.clock.monotonic() - self._health.started_at

    def sweep_age(self, reading: Reading) -> float:
        """Return the seconds since the last sweep; before the first, since the server began."""
        now = self.clock.monotonic()
        return max(0.0, now - max(reading.last_sweep_s, self._health.started_at))

    def feed_age(self) -> float:
        """Return the seconds since the last tick, at least 0; infinity before the first."""
        last_ns = self.hub.last_publish_ns
        return max(0.0, (self.clock.wall_ns() - last_ns) / 1e9) if last_ns else inf

    def verdict(self) -> Verdict:
        """Return how the server is."""
        workers = self.workers()
        return self._health.judge(
            self.sweep_age(self.read()),
            self.feed_age(),
            [worker.number for worker in workers if not worker.up],
            self._complaints(),
        )
