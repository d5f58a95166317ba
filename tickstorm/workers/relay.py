"""The parent's side of its workers' subscriptions: a link is the subscriber of a stream.

Streams are numbered here, and each emission is encoded once for all the workers that want it.
"""

from collections import Counter
from itertools import count
from typing import NamedTuple

from tickstorm.clock import Clock
from tickstorm.fanout import FanOut
from tickstorm.messages import Mode
from tickstorm.outlet import Outlet
from tickstorm.stream import Stream
from tickstorm.workers.link import Join, Leave, Placed, emission


class _Numbered(NamedTuple):
    number: int
    mode: Mode
    stream: Stream[Outlet]


class Placements:
    """The streams that one worker is on.

    Args:
        link: the way to it.
    """

    def __init__(self, link: Outlet) -> None:
        self.link = link
        self.placed: Counter[int] = Counter()
        """How many Placed it has not given up, by the number of the stream."""


class Relay:
    """Puts workers on the hub's streams, and sends them what those emit.

    Args:
        clock: the times.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_number = count(1)
        self._numbers: dict[Stream[Outlet], int] = {}
        self._numbered: dict[int, _Numbered] = {}

    def send(self, stream: Stream[Outlet], frames: list[bytes]) -> None:
        """Send a stream's batches to the workers that are on it."""
        number = self._numbers[stream]
        message = emission(number, stream.next_sequence, self._clock.monotonic(), frames)
        for link in tuple(stream.subscribers):
            link.deliver(message)

    def join(self, feed: FanOut, join: Join, worker: Placements) -> Placed:
        """Put a worker on a stream, and return what to answer."""
        subscription, stream, snapshot = feed.join(join.subscription, worker.link, join.slot)
        number = self._numbers.get(stream)
        if number is None:
            number = self._numbers[stream] = next(self._next_number)
            self._numbered[number] = _Numbered(number, subscription.mode, stream)
        worker.placed[number] += 1
        return Placed(join.request, number, stream.next_sequence, snapshot)

    def leave(self, feed: FanOut, leave: Leave, worker: Placements) -> None:
        """Take a worker off a stream, unless it is placed there once more."""
        worker.placed[leave.number] -= leave.placed
        if worker.placed[leave.number] <= 0:
            self._take_off(feed, leave.number, worker)

    def leave_all(self, feed: FanOut, worker: Placements) -> None:
        """Take a worker off every stream: it is gone."""
        for number in list(worker.placed):
            self._take_off(feed, number, worker)

    def _take_off(self, feed: FanOut, number: int, worker: Placements) -> None:
        del worker.placed[number]
        numbered = self._numbered[number]
        feed.leave(numbered.mode, numbered.stream, worker.link)
        if not numbered.stream.subscribers:
            del self._numbered[number]
            del self._numbers[numbered.stream]
