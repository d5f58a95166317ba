"""The hot path: the same bytes to every subscriber of a stream.

Nobody is always last: each broadcast begins further on in the order of the subscribers.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, islice

from twisted.logger import Logger

from tickstorm.clock import Clock
from tickstorm.metrics import Metrics
from tickstorm.outlet import Outlet
from tickstorm.past import Past
from tickstorm.stream import Stream

TIMED_RUN = 64
"""How many subscribers share one reading of the clock for the latency histogram."""

STRIDE = 0.618_033_988_749_895
"""How much further on the broadcast of each next batch begins, as a part of the whole.

It is the golden ratio's: multiples of it, modulo 1, are spread evenly however many there are
(D. E. Knuth, The Art of Computer Programming, volume 3, 6.4, theorem S).
"""


class Broadcast:
    """Sends frames to many, and counts what was sent.

    Args:
        clock: the times.
        metrics: takes what was sent.
    """

    _log = Logger()

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics

    def send(
        self, stream: Stream[Outlet], frames: Sequence[bytes], began: float | None = None
    ) -> None:
        """Send frames to every subscriber of a stream.

        Args:
            stream: whose subscribers get them.
            frames: its next batches.
            began: when their fan-out began, on the monotonic clock; None stands for now.
        """
        if began is None:
            began = self._clock.monotonic()
        size = sum(map(len, frames))
        stream.bytes_sent += size
        subscribers = _in_turn(stream.subscribers, stream.next_sequence * STRIDE % 1)
        for at in range(0, len(subscribers), TIMED_RUN):
            run = subscribers[at : at + TIMED_RUN]
            for frame in frames:
                self._deliver(frame, run)
            self._metrics.publish_latency_ms.observe(
                (self._clock.monotonic() - began) * 1e3, len(run) * len(frames)
            )
        self._metrics.messages_sent += len(subscribers) * len(frames)
        self._metrics.bytes_sent += len(subscribers) * size

    def send_past(self, subscriber: Outlet, past: Past) -> None:
        """Send one subscriber what comes before the next batch of its stream."""
        self._metrics.messages_sent += len(past)
        self._metrics.bytes_sent += past.length
        subscriber.replay(past)

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


def _in_turn(subscribers: Collection[Outlet], beginning: float) -> tuple[Outlet, ...]:
    first = int(beginning * len(subscribers))
    return tuple(chain(islice(subscribers, first, None), islice(subscribers, first)))
