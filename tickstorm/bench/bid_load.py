"""One process of a load of bids: what it does with its connections, from the first to the last."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from multiprocessing.connection import Connection

from tickstorm.bench.bidders import Bidders
from tickstorm.bench.confirmations import Confirmations
from tickstorm.bench.demand import Demand, Paced, Unpaced
from tickstorm.bench.jobs import Bidding, Job, Progress
from tickstorm.bench.loop import MAX_EVENTS, Loop
from tickstorm.bench.meter import Meter
from tickstorm.bench.pace import GOLDEN_RATIO, Ramp
from tickstorm.bench.tally import Tally
from tickstorm.bench.wire import Wire


class BidLoad:
    """The work of one process.

    Args:
        job: what to do.
        bidding: what to bid.
        control: as `load.run_job` has it.
        wire: opens, reads and writes the connections.
        epoll: watches them.
        wait: waits until there is something to read, or for so many seconds.
        wall_ns: nanoseconds since the Unix epoch.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        job: Job,
        bidding: Bidding,
        control: Connection,
        wire: Wire,
        epoll: select.epoll,
        *,
        wait: Callable[[float], object] | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._epoll = epoll
        self._wait = wait or partial(select.select, [epoll], [], [])
        self._wall_ns = wall_ns
        self._monotonic = monotonic
        self._tally = Tally()
        self._demand = _demand(job, bidding)
        self._confirmations = Confirmations(self._tally, paced=bidding.per_second < inf)
        self._bidders = Bidders(
            job,
            bidding,
            wire,
            epoll,
            self._tally,
            demand=self._demand,
            confirmations=self._confirmations,
            wall_ns=wall_ns,
        )
        # All at once, if no ramp is asked for: a server must be able to take that.
        self._ramp = Ramp(job.connections, job.per_second, job.connections, monotonic())
        meter = Meter(self._tally, time.process_time_ns, MAX_EVENTS)
        self._loop = Loop(control, epoll, self._poll, meter, wall_ns=wall_ns, monotonic=monotonic)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        ready = self._ramp.done and not self._bidders.arrivals
        deserted = ready and not self._confirmations
        return Progress(self._tally.subscribed, self._tally.refused, ready, deserted)

    @property
    def settled(self) -> bool:
        """Whether every bid was sent and has its RESULT."""
        return self._bidders.settled

    def run(self) -> Tally:
        """Return what was counted once the time is over, or somebody says stop."""
        self._loop.run(self)
        return self._tally

    def take(self, events: Iterable[tuple[int, int]]) -> None:
        """Read every connection that has something, and bid."""
        for descriptor, mask in events:
            if descriptor == self._loop.control:
                self._hear()
            else:
                self._bidders.ready(descriptor, mask)
        self._bidders.bid()

    def keep_house(self) -> None:
        """Begin connections, and give up those that take too long."""
        arrivals = self._bidders.arrivals
        arrivals.begin(self._ramp.take(self._monotonic(), len(arrivals)))
        arrivals.give_up_late()

    def end(self, now_ns: int) -> None:
        """Count what is missing."""
        self._bidders.end(now_ns)

    def _hear(self) -> None:
        window = self._loop.hear()
        if window is not None:
            self._bidders.measure(window)

    def _poll(self, seconds: float, most: int) -> Sequence[tuple[int, int]]:
        next_ns = self._demand.next_ns
        left = seconds if next_ns is None else (next_ns - self._wall_ns()) / 1e9
        if left >= seconds:
            return self._epoll.poll(seconds, most)
        # What epoll waits for is rounded up to milliseconds: many bids are due in one of them.
        self._wait(max(0.0, left))
        return self._epoll.poll(0, most)


def _demand(job: Job, bidding: Bidding) -> Demand:
    if bidding.per_second == inf:
        return Unpaced()
    # The processes bid in turn, as far as they can without knowing of each other.
    return Paced(bidding.per_second * job.connections, job.first * GOLDEN_RATIO % 1)
