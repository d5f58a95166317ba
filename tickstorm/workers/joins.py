"""A worker's joins that wait for the parent: who wants the same waits for one answer.

What is asked for of the past (a snapshot, or the batches since then) costs the parent time and room
on the link, so that only so much is under way at once. Whoever wants more of it waits here, where
it costs nothing, and can be given up at no cost.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from twisted.internet.defer import Deferred

from tickstorm.feed import Joined
from tickstorm.outlet import Outlet
from tickstorm.subscriptions import Subscription
from tickstorm.ticks import NO_METADATA
from tickstorm.workers.link import Join, Placed, Unplaced

BACKFILLS_UNDER_WAY = 16
"""Answers with a past that have not come; one of all symbols counts as so many."""
JOINS_AN_ANSWER = 256
"""Subscribers that one answer is for at most: all of them have work with it at the same moment."""


class Wanted(NamedTuple):
    """What one Join asks for.

    Attributes:
        subscription: without what is no matter to the parent.
        slot: of the hub's slots; None for the worker's next one, if the parent knows no better.
    """

    subscription: Subscription
    slot: int | None

    @property
    def weight(self) -> int:
        """How many of the BACKFILLS_UNDER_WAY it is."""
        if not self.subscription.has_past:
            return 0
        return BACKFILLS_UNDER_WAY if self.subscription.symbols is None else 1


def wanted(subscription: Subscription, slot: int | None) -> Wanted:
    """Return what is to be asked for."""
    return Wanted(subscription._replace(metadata=NO_METADATA, overload=None), slot)


class Joining(NamedTuple):
    """One subscriber's join."""

    subscription: Subscription
    subscriber: Outlet
    joined: Deferred[Joined]


class Waiting:
    """Those who wait for one answer, and what of it has come.

    Args:
        wanted: by each of them.
    """

    __slots__ = ("frames", "joins", "wanted")

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.joins: dict[Outlet, Joining] = {}
        self.frames: list[bytes] = []


class Joins:
    """Asks the parent for what subscribers want, once for all who want the same.

    Args:
        send: sends a message to the parent.
        slots: those that the worker's subscribers take in turn.
    """

    def __init__(self, send: Callable[[Join], object], slots: Iterator[int]) -> None:
        self._send = send
        self._slots = slots
        self._requests = count(1)
        self._shared: dict[Wanted, Waiting] = {}
        self._unasked: OrderedDict[Waiting, None] = OrderedDict()
        self._asked: dict[int, Waiting] = {}
        self._under_way = 0

    def __len__(self) -> int:
        """How many answers are waited for."""
        return len(self._unasked) + len(self._asked)

    def wait(
        self, wanted: Wanted, subscription: Subscription, subscriber: Outlet
    ) -> Deferred[Joined]:
        """Let a subscriber wait; whoever takes the answer calls the Deferred."""
        waiting = self._shared.get(wanted)
        if waiting is None or len(waiting.joins) >= JOINS_AN_ANSWER:
            waiting = self._begin(wanted)
        joined: Deferred[Joined] = Deferred(lambda _: self._give_up(waiting, subscriber))
        waiting.joins[subscriber] = Joining(subscription, subscriber, joined)
        return joined

    def answered(self, answer: Placed | Unplaced) -> Waiting | None:
        """Return who waited for an answer, maybe nobody any more; None if only a part has come."""
        waiting = self._asked[answer.request]
        if isinstance(answer, Placed):
            waiting.frames += answer.frames
            if answer.more:
                return None
        del self._asked[answer.request]
        self._share_no_more(waiting)
        self._under_way -= waiting.wanted.weight
        self._ask_next()
        return waiting

    def _begin(self, wanted: Wanted) -> Waiting:
        waiting = self._shared[wanted] = Waiting(wanted)
        if wanted.weight:
            self._unasked[waiting] = None
            self._ask_next()
        else:
            self._ask(waiting)
        return waiting

    def _ask_next(self) -> None:
        while self._unasked:
            waiting = next(iter(self._unasked))
            if self._under_way + waiting.wanted.weight > BACKFILLS_UNDER_WAY:
                return
            del self._unasked[waiting]
            self._ask(waiting)

    def _ask(self, waiting: Waiting) -> None:
        request = next(self._requests)
        self._asked[request] = waiting
        self._under_way += waiting.wanted.weight
        subscription, slot = waiting.wanted
        self._send(Join(request, subscription, next(self._slots) if slot is None else slot))

    def _give_up(self, waiting: Waiting, subscriber: Outlet) -> None:
        del waiting.joins[subscriber]
        if not waiting.joins and waiting in self._unasked:
            del self._unasked[waiting]
            self._share_no_more(waiting)

    def _share_no_more(self, waiting: Waiting) -> None:
        if self._shared.get(waiting.wanted) is waiting:
            del self._shared[waiting.wanted]
