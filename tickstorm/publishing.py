"""Publishing: who may publish what, how fast, and once however often it is asked for. Pure.

A request is carried out whole or has no effect. One that was carried out is remembered, so that a
publisher that lost the answer with its connection can ask again: it gets the answer, and nothing
is published twice. One that is to follow another is carried out directly behind that or not at all.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from tickstorm.errors import (
    InvalidPublication,
    InvalidTick,
    MayNotPublish,
    OutOfTurn,
    PublishingTooFast,
)
from tickstorm.rates import Rate, TokenBuckets
from tickstorm.symbols import SymbolSet
from tickstorm.ticks import Tick

REMEMBERED_REQUESTS = 256
"""How many requests of a publisher are remembered: it may have as many without an answer."""
REMEMBERED_PUBLISHERS = 1000
"""Of how many publishers; that which has published nothing for longest is forgotten."""
RATE = Rate(per_second=100_000, burst=100_000)
"""Ticks of a user, unless it was set otherwise."""


@dataclass(frozen=True, slots=True)
class PublishRight:
    """What one user may publish; as text, "alice:EUR*,GBPUSD"."""

    user: str
    symbols: SymbolSet

    def __str__(self) -> str:
        return f"{self.user}:{self.symbols}"


def read_right(text: str) -> PublishRight:
    """Read what `str` makes of a right; several patterns stand between commas.

    Raises:
        ValueError: it is none.
    """
    user, colon, patterns = text.partition(":")
    if not user or not colon:
        raise ValueError(text)
    return PublishRight(user, SymbolSet(patterns.split(",")))


def rights_by_user(rights: Iterable[PublishRight]) -> dict[str, SymbolSet]:
    """Put the rights of each user together."""
    patterns: dict[str, set[str]] = {}
    for right in rights:
        patterns.setdefault(right.user, set()).update(right.symbols.patterns)
    return {user: SymbolSet(given) for user, given in patterns.items()}


class Publisher(NamedTuple):
    """Whose request it is: two with the same numbers but different publishers are two requests.

    Attributes:
        user: who has logged in.
        client: what tells the publishers of one user apart, over all their connections: their
            client_id, or without one the number of the only connection.
    """

    user: str
    client: str | int


class Publication(NamedTuple):
    """A request to publish.

    Attributes:
        publisher: who asks.
        request_id: rises from one request of a publisher to its next; 0 is not remembered.
        ticks: in their order.
        after: the request of the publisher that it directly follows; 0 stands for any.
    """

    publisher: Publisher
    request_id: int
    ticks: Sequence[Tick]
    after: int = 0


class Accepted(NamedTuple):
    """The answer to a request that was carried out.

    Attributes:
        ticks: how many were published.
        repeated: whether that was at an earlier time, and this is the answer to asking again.
    """

    ticks: int
    repeated: bool = False


class Intake:
    """The way from publishers to the hub.

    Args:
        publish: the hub's: takes all the ticks or raises InvalidTick.
        rights: what each user may publish; who is not among them may not.
        rate: ticks that a user may publish.
    """

    def __init__(
        self,
        publish: Callable[[Iterable[Tick]], int],
        rights: Mapping[str, SymbolSet],
        rate: Rate = RATE,
    ) -> None:
        self._publish = publish
        self._rights = rights
        self._rate = rate
        self._buckets = TokenBuckets(rate)
        self._carried_out = _CarriedOut()

    def change(self, rights: Mapping[str, SymbolSet], rate: Rate) -> None:
        """Judge by other rights, and let other rates through."""
        self._rights = rights
        if rate != self._rate:
            self._rate = rate
            self._buckets = TokenBuckets(rate)

    def take(self, publication: Publication, now: float) -> Accepted:
        """Publish what is asked for, unless that was done before.

        Args:
            publication: the request.
            now: seconds of any monotonic clock.

        Raises:
            MayNotPublish: the user has no right to publish one of the symbols.
            InvalidPublication: a tick is out of its limits, or it can't be known whether the
                request was carried out before; the message says which.
            PublishingTooFast: the user publishes more than the rate; it says when to try again.
            OutOfTurn: the request that it is to follow was not the last that was carried out.
        """
        publisher, request_id, ticks, after = publication
        before = self._carried_out.answer(publisher, request_id)
        if before is not None:
            return Accepted(before, repeated=True)
        self._check_turn(publisher, after)
        self._check_rights(publisher.user, ticks)
        self._check_rate(publisher.user, len(ticks), now)
        try:
            published = self._publish(ticks)
        except InvalidTick as error:
            raise InvalidPublication(str(error)) from None
        self._carried_out.note(publisher, request_id, published)
        return Accepted(published)

    def _check_turn(self, publisher: Publisher, after: int) -> None:
        if after and after != self._carried_out.last(publisher):
            raise OutOfTurn(f"request {after}, which it is to follow, was not carried out last")

    def _check_rights(self, user: str, ticks: Sequence[Tick]) -> None:
        right = self._rights.get(user)
        if right is None:
            raise MayNotPublish("this user may not publish")
        for index, tick in enumerate(ticks):
            if tick.symbol not in right:
                raise MayNotPublish(f"tick {index}: this user may not publish {tick.symbol}")

    def _check_rate(self, user: str, ticks: int, now: float) -> None:
        wait = self._buckets.take(user, ticks, now)
        if wait > 0:
            raise PublishingTooFast(
                f"more than {self._rate.per_second:g} ticks a second",
                retry_after_ms=ceil(wait * 1000),
            )


class _CarriedOut:
    """The answers to requests that were carried out, of those who asked last."""

    def __init__(self) -> None:
        self._by_publisher: OrderedDict[Publisher, _Answers] = OrderedDict()

    def answer(self, publisher: Publisher, request_id: int) -> int | None:
        answers = self._by_publisher.get(publisher)
        return None if answers is None or not request_id else answers.answer(request_id)

    def last(self, publisher: Publisher) -> int | None:
        answers = self._by_publisher.get(publisher)
        return None if answers is None else answers.last

    def note(self, publisher: Publisher, request_id: int, ticks: int) -> None:
        if not request_id:
            return
        answers = self._by_publisher.setdefault(publisher, _Answers())
        answers.note(request_id, ticks)
        self._by_publisher.move_to_end(publisher)
        if len(self._by_publisher) > REMEMBERED_PUBLISHERS:
            self._by_publisher.popitem(last=False)


class _Answers:
    """One publisher's, by request: how many ticks were published.

    Arrays have 12 bytes for each, a dictionary 160: 4 MB instead of 40 for all publishers.
    """

    __slots__ = ("_forgotten", "_highest", "_requests", "_ticks", "last")

    def __init__(self) -> None:
        self._requests = array("Q")
        self._ticks = array("I")
        self._highest = 0
        self._forgotten = 0
        self.last = 0

    def answer(self, request_id: int) -> int | None:
        if request_id > self._highest:  # as nearly all are: nothing is searched for
            return None
        if request_id in self._requests:
            return self._ticks[self._requests.index(request_id)]
        if request_id <= self._forgotten:
            raise InvalidPublication(
                f"request {request_id} is so old that it is not known whether it was carried out"
            )
        return None

    def note(self, request_id: int, ticks: int) -> None:
        self._requests.append(request_id)
        self._ticks.append(ticks)
        self._highest = max(self._highest, request_id)
        self.last = request_id
        if len(self._requests) > REMEMBERED_REQUESTS:
            self._forgotten = max(self._forgotten, self._requests.pop(0))
            self._ticks.pop(0)
