"""The fan-out: what a hub's cadences emit goes to the subscribers, and the timers of that.

Delivery is `aligned`, where all get the period's batch at its end, or `spread`, where each
connection has its own slot of the period and the load is flat.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tickstorm.broadcast import Broadcast
from tickstorm.cadence import BarCadence, Emission
from tickstorm.clock import Clock, WallClockLoop
from tickstorm.feed import Joined
from tickstorm.hub import Hub
from tickstorm.metrics import Metrics
from tickstorm.outlet import Outlet
from tickstorm.past import Past
from tickstorm.publishing import Accepted, Intake, Publication
from tickstorm.stream import Stream, StreamTable
from tickstorm.subscriptions import Mode, Subscription, mode_of
from tickstorm.ticks import MAX_TICKS_PER_BATCH

HOUSEKEEPING_INTERVAL = 1.0
"""Seconds between two looks at what is kept for too long."""

Send = Callable[[Stream[Outlet], list[bytes]], None]


class FanOut:
    """Feeds connections from a hub in this process.

    Args:
        hub: what is published, in as many slots as its own.
        clock: the times.
        batch_window: seconds that a TICK batch collects ticks for; 0 sends at once.
        metrics: takes what was sent.
        send: takes each stream's frames; None stands for sending them to its subscribers.
        intake: the way of publishers to the hub; None lets nobody publish.
    """

    _log = Logger()

    def __init__(
        self,
        hub: Hub[Outlet],
        clock: Clock,
        batch_window: float = 0.005,
        *,
        metrics: Metrics | None = None,
        send: Send | None = None,
        intake: Intake | None = None,
    ) -> None:
        self.metrics = metrics if metrics is not None else Metrics()
        self._hub = hub
        self._clock = clock
        self._batch_window = batch_window
        self._broadcast = Broadcast(clock, self.metrics)
        self._send_to_subscribers = send if send is not None else self._broadcast.send
        self._intake = intake if intake is not None else Intake(hub.publish, {})
        self._next_slot = count()
        self._flush_due: IDelayedCall | None = None
        self._running = False
        self._loops: dict[int, WallClockLoop] = {}
        self._housekeeping = LoopingCall(self._guarded_expire)
        self._housekeeping.clock = clock.scheduler

    @property
    def epoch(self) -> str:
        """The hub's."""
        return self._hub.epoch

    @property
    def slots(self) -> int:
        """The hub's."""
        return self._hub.slots

    @property
    def streams(self) -> Mapping[int, StreamTable[Outlet]]:
        """The hub's."""
        return self._hub.streams

    def start(self) -> None:
        """Begin to end periods.

        Raises:
            RuntimeError: another fan-out has this hub already.
        """
        if self._hub.on_ticks_pending is not None:
            raise RuntimeError("a hub feeds one factory: give each factory a hub of its own")
        self._hub.on_ticks_pending = self._ticks_pending
        self._running = True
        if self._hub.history.limits.seconds:
            self._housekeeping.start(HOUSEKEEPING_INTERVAL, now=False)
        self._follow_cadences()

    def stop(self) -> None:
        """Send what is pending, and no more after that."""
        self._running = False
        if self._housekeeping.running:
            self._housekeeping.stop()
        for loop in self._loops.values():
            loop.stop()
        self._loops.clear()
        self.flush()
        if self._hub.on_ticks_pending == self._ticks_pending:
            self._hub.on_ticks_pending = None

    def join(
        self, subscription: Subscription, subscriber: Outlet, slot: int | None = None
    ) -> Joined:
        """Put a subscriber on the stream that serves it.

        What TICK collected before goes out first, so that what it gets of the past and the stream's
        next batch have nothing in common and nothing between them.

        Args:
            subscription: what is asked for.
            subscriber: who gets it.
            slot: the moment of a period at which it does; None for the next one in turn.

        Raises:
            ProtocolError: it cannot be served.
        """
        if subscription.mode is Mode.TICK:
            self.flush()
        if slot is None:
            slot = next(self._next_slot) % self._hub.slots
        stream = self._hub.open(subscription, slot)
        try:
            backfill = self._hub.backfill(subscription, stream)
        except Exception:
            if subscriber not in stream.subscribers:  # else it is on it by an earlier join
                self.leave(stream, subscriber)
            raise
        stream.join(subscriber)
        self._follow_cadences()
        return Joined(subscription, stream, backfill)

    def publish(self, publication: Publication) -> Accepted:
        """Publish what a client asks for.

        Raises:
            ProtocolError: it may not, or cannot; see `Intake.take`.
        """
        return self._intake.take(publication, self._clock.monotonic())

    def leave(self, stream: Stream[Outlet], subscriber: Outlet, kept: bool = True) -> None:
        """Take a subscriber off its stream; what it misses is kept if it may come back."""
        self._hub.leave(stream, subscriber, kept)
        self._follow_cadences()

    def send_past(self, subscriber: Outlet, past: Past) -> None:
        """Send one subscriber what comes before the next batch of its stream."""
        self._broadcast.send_past(subscriber, past)

    def flush(self) -> None:
        """Send the ticks collected so far."""
        if self._flush_due is not None:
            self._flush_due.cancel()
            self._flush_due = None
        self._send(self._hub.ticks.flush())

    def _ticks_pending(self) -> None:
        if self._batch_window == 0 or self._hub.ticks.pending >= MAX_TICKS_PER_BATCH:
            self.flush()
        elif self._flush_due is None:
            self._flush_due = self._clock.scheduler.callLater(self._batch_window, self._flush)

    def _flush(self) -> None:
        self._flush_due = None
        self.flush()

    def _follow_cadences(self) -> None:
        """Have a loop for each period that there is, while this is running."""
        periods = self._hub.bars
        if not self._running or periods.keys() == self._loops.keys():
            return
        for period_ms in self._loops.keys() - periods.keys():
            self._loops.pop(period_ms).stop()
        for period_ms in periods.keys() - self._loops.keys():
            loop = self._loops[period_ms] = self._loop(period_ms, periods[period_ms])
            loop.start()

    def _loop(self, period_ms: int, cadence: BarCadence[Outlet]) -> WallClockLoop:
        name = mode_of(period_ms).name
        return WallClockLoop(
            self._clock, cadence.slot_ms, self._closer(cadence), self._failure_counter(name)
        )

    def _closer(self, cadence: BarCadence[Outlet]) -> Callable[[int, int], None]:
        def close(end: int, before: int) -> None:
            for missed in range(max(before + 1, end - cadence.slots + 1), end + 1):
                self._send(cadence.close(missed))

        return close

    def _failure_counter(self, name: str) -> Callable[[], None]:
        def count_failure() -> None:
            self.metrics.failures[name] += 1

        return count_failure

    def _send(self, emissions: Iterator[Emission[Outlet]]) -> None:
        for stream, frames in emissions:
            if stream.subscribers:  # else they are only kept
                self._send_to_subscribers(stream, frames)

    def _guarded_expire(self) -> None:
        try:
            self._hub.expire()
            self._follow_cadences()
        except Exception:
            self.metrics.failures["history"] += 1
            self._log.failure("the past could not be let go of")
