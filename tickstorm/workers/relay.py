"""The parent's side of its workers' subscriptions: a link is the subscriber of a stream.

Streams are numbered here, and each emission is encoded once for all the workers that want it. No
message is longer than one part of what is to be sent, however much that is.
"""

from collections import Counter
from itertools import count

from tickstorm.clock import Clock
from tickstorm.errors import InternalError, ProtocolError
from tickstorm.fanout import FanOut
from tickstorm.outlet import Outlet
from tickstorm.sequences import later
from tickstorm.stream import Stream
from tickstorm.workers.link import Join, Leave, Placed, Unplaced, control, emission, parts


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
        self._numbered: dict[int, Stream[Outlet]] = {}

    def send(self, stream: Stream[Outlet], frames: list[bytes]) -> None:
        """Send a stream's batches to the workers that are on it."""
        number, began = self._numbers[stream], self._clock.monotonic()
        next_sequence = later(stream.next_sequence, -len(frames))
        for part in parts(frames):
            next_sequence = later(next_sequence, len(part))
            message = emission(number, next_sequence, began, part)
            for link in tuple(stream.subscribers):
                link.deliver(message)

    def take(self, feed: FanOut, message: Join | Leave, worker: Placements) -> None:
        """Take what a worker says of its streams."""
        if isinstance(message, Join):
            self.join(feed, message, worker)
        else:
            self.leave(feed, message, worker)

    def join(self, feed: FanOut, join: Join, worker: Placements) -> None:
        """Put a worker on a stream, and answer it; a long past has several parts.

        Whatever is raised, it is answered: a worker asks for nothing more until it is.
        """
        try:
            answers = self._join(feed, join, worker)
        except ProtocolError as error:
            worker.link.deliver(control(Unplaced(join.request, error)))
            return
        except Exception:
            failed = InternalError("the subscription could not be served")
            worker.link.deliver(control(Unplaced(join.request, failed)))
            raise
        for answer in answers:
            worker.link.deliver(control(answer))

    def leave(self, feed: FanOut, leave: Leave, worker: Placements) -> None:
        """Take a worker off a stream, unless it is placed there once more."""
        worker.placed[leave.number] -= leave.placed
        if worker.placed[leave.number] <= 0:
            self._take_off(feed, leave.number, worker, leave.kept)

    def leave_all(self, feed: FanOut, worker: Placements) -> None:
        """Take a worker off every stream: it is gone."""
        for number in list(worker.placed):
            self._take_off(feed, number, worker)

    def _join(self, feed: FanOut, join: Join, worker: Placements) -> list[Placed]:
        _, stream, backfill = feed.join(join.subscription, worker.link, join.slot)
        number = self._numbers.get(stream)
        if number is None:
            number = self._numbers[stream] = next(self._next_number)
            self._numbered[number] = stream
        worker.placed[number] += 1
        placed = Placed(
            join.request,
            number,
            stream.key.slot,
            stream.epoch,
            stream.next_sequence,
            backfill.next_sequence,
            recovered=backfill.recovered,
        )
        *before, last = (placed._replace(frames=part) for part in parts(list(backfill.past)))
        return [*(each._replace(more=True) for each in before), last]

    def _take_off(self, feed: FanOut, number: int, worker: Placements, kept: bool = True) -> None:
        del worker.placed[number]
        stream = self._numbered[number]
        feed.leave(stream, worker.link, kept)
        if not stream.subscribers:
            del self._numbered[number]
            del self._numbers[stream]
