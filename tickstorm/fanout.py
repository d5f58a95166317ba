"""The fan-out: what a cadence emits goes to each subscriber of its stream, and the timers of that.

Delivery is `aligned`, where all get the period's batch at its end, or `spread`, where each
connection has its own slot of the period and the load is flat.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import count

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from tickstorm.cadence import Emission
from tickstorm.clock import Clock, WallClockLoop
from tickstorm.hub import Hub
from tickstorm.messages import MAX_TICKS_PER_BATCH, Mode, Subscription
from tickstorm.metrics import Metrics
from tickstorm.outlet import Outlet
from tickstorm.settings import Delivery
from tickstorm.stream import Stream

TIMED_RUN = 64
"""How many subscribers share one reading of the clock for the latency histogram."""


SLOTS = {Delivery.ALIGNED: 1, Delivery.SPREAD: 200}
"""The moments of a period: 200 are 5 ms apart in a second, 300 ms in a minute."""


class FanOut:
    """Sends what the hub's cadences emit.

    Args:
        hub: what is published, in as many slots as its own.
        clock: the times.
        metrics: takes what was sent.
        batch_window: seconds that a TICK batch collects ticks for; 0 sends at once.
    """

    _log = Logger()

    def __init__(
        self, hub: Hub[Outlet], clock: Clock, metrics: Metrics, batch_window: float = 0.005
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._metrics = metrics
        self._batch_window = batch_window
        self._next_slot = count()
        self._flush_due: IDelayedCall | None = None
        self._loops = [
            WallClockLoop(clock, cadence.slot_ms, self._closer(mode), self._failure_counter(mode))
            for mode, cadence in hub.bars.items()
        ]

    def start(self) -> None:
        """Begin to end periods.

        Raises:
            RuntimeError: another fan-out has this hub already.
        """
        if self._hub.on_ticks_pending is not None:
            raise RuntimeError("a hub feeds one factory: give each factory a hub of its own")
        self._hub.on_ticks_pending = self._ticks_pending
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Send what is pending, and no more after that."""
        for loop in self._loops:
            loop.stop()
        self.flush_ticks()
        if self._hub.on_ticks_pending == self._ticks_pending:
            self._hub.on_ticks_pending = None

    def open(self, subscription: Subscription) -> Stream[Outlet]:
        """Return the stream that serves a subscription from now on.

        What TICK collected before goes out first, so that a snapshot taken now and the stream's
        next batch have nothing in common and nothing between them.
        """
        if subscription.mode is Mode.TICK:
            self.flush_ticks()
        return self._hub.open(subscription, next(self._next_slot) % self._hub.slots)

    def send_now(self, subscriber: Outlet, frames: Iterable[bytes]) -> None:
        """Send frames to one subscriber alone."""
        for frame in frames:
            subscriber.deliver(frame)
            self._metrics.messages_sent += 1
            self._metrics.bytes_sent += len(frame)

    def flush_ticks(self) -> None:
        """Send the ticks collected so far."""
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        self._send(self._hub.ticks.flush())

    def _ticks_pending(self) -> None:
        if self._batch_window == 0 or self._hub.ticks.pending >= MAX_TICKS_PER_BATCH:
            self.flush_ticks()
        elif self._flush_due is None:
            self._flush_due = self._clock.scheduler.callLater(self._batch_window, self._flush)

    def _flush(self) -> None:
        self._flush_due = None
        self.flush_ticks()

    def _closer(self, mode: Mode) -> Callable[[int, int], None]:
        cadence = self._hub.bars[mode]

        def close(end: int, before: int) -> None:
            for missed in range(max(before + 1, end - cadence.slots + 1), end + 1):
                self._send(cadence.close(missed))

        return close

    def _failure_counter(self, mode: Mode) -> Callable[[], None]:
        def count_failure() -> None:
            self._metrics.failures[mode.name] += 1

        return count_failure

    def _send(self, emissions: Iterator[Emission[Outlet]]) -> None:
        for stream, frames in emissions:
            subscribers = tuple(stream.subscribers)
            began = self._clock.monotonic()
            for at in range(0, len(subscribers), TIMED_RUN):
                run = subscribers[at : at + TIMED_RUN]
                for frame in frames:
                    self._deliver(frame, run)
                self._metrics.publish_latency_ms.observe(
                    (self._clock.monotonic() - began) * 1e3, len(run) * len(frames)
                )
            self._metrics.messages_sent += len(subscribers) * len(frames)
            self._metrics.bytes_sent += len(subscribers) * sum(map(len, frames))

    def _deliver(self, frame: bytes, subscribers: Iterable[Outlet]) -> None:
        waiting = iter(subscribers)
        while True:
            try:
                for subscriber in waiting:
                    subscriber.deliver(frame)
            except Exception:  # one must not keep the others from theirs
                self._metrics.failures["deliver"] += 1
                self._log.failure("a delivery failed")
            else:
                return
