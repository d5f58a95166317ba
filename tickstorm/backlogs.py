"""The backlogs of one process: each by its connection's policy, all within one budget. Pure."""

from collections.abc import Hashable
from functools import partial
from math import inf
from weakref import WeakValueDictionary

from tickstorm.conflation import NewestTicks
from tickstorm.overload import Backlog, BacklogLimits, Budget
from tickstorm.queues import EveryFrame, Losses, NewestBatches, NewestOfEach, Queue
from tickstorm.subscriptions import Overload


class Backlogs:
    """Makes backlogs.

    Args:
        limits: of each.
        max_bytes: of all together.
        losses: counts the ticks that were lost, when that is told.
    """

    def __init__(self, limits: BacklogLimits, max_bytes: float = inf, *, losses: Losses) -> None:
        self.limits = limits
        self.budget = Budget(max_bytes)
        self._losses = losses
        self._newest: WeakValueDictionary[Hashable, NewestTicks] = WeakValueDictionary()

    def new(self, policy: Overload, stream: Hashable, now: float) -> Backlog:
        """Return an empty backlog.

        Args:
            policy: what to do when it is too much.
            stream: whose batches are queued. What they conflate to is shared by all backlogs of it.
            now: in seconds of a monotonic clock.
        """
        limits = self.limits
        lossy = policy is not Overload.DISCONNECT
        return Backlog(
            self._queue(policy, stream),
            limits.max_bytes,
            limits.lossy_write_deadline if lossy else limits.write_deadline,
            self.budget,
            now,
        )

    def _queue(self, policy: Overload, stream: Hashable) -> Queue:
        limits = self.limits
        if policy is Overload.CONFLATE:
            return NewestOfEach(limits.soft, partial(self._newest_of, stream), self._losses)
        if policy is Overload.DROP_OLDEST:
            return NewestBatches(limits.soft, self._losses)
        return EveryFrame(limits.hard)

    def _newest_of(self, stream: Hashable) -> NewestTicks:
        # It lives as long as somebody conflates the stream: as long it has every batch.
        newest = self._newest.get(stream)
        if newest is None:
            newest = self._newest[stream] = NewestTicks()
        return newest
