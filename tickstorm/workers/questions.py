"""A question to all workers, and the answers put together: whoever gives none is missing."""

from collections.abc import Iterable
from itertools import count

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from tickstorm.listing import Listing, Query, together
from tickstorm.workers.link import ListAsked, Listed
from tickstorm.workers.place import Place

TIMEOUT = 2.0
"""Seconds that the workers have."""


class _Question:
    def __init__(self, query: Query, waiting: set[int], timeout: IDelayedCall) -> None:
        self.query = query
        self.waiting = waiting
        self.timeout = timeout
        self.listings: list[Listing] = []
        self.answer: Deferred[Listing] = Deferred()


class Questions:
    """The questions that are not answered yet.

    Args:
        scheduler: ends the waiting.
    """

    def __init__(self, scheduler: IReactorTime) -> None:
        self._scheduler = scheduler
        self._ids = count(1)
        self._open: dict[int, _Question] = {}

    def ask(self, places: Iterable[Place], query: Query) -> Deferred[Listing]:
        """Ask every worker that is there for its connections."""
        request = next(self._ids)
        links = {place.number: place.link for place in places if place.link is not None}
        timeout = self._scheduler.callLater(TIMEOUT, self._give_up, request)
        question = self._open[request] = _Question(query, set(links), timeout)
        for link in links.values():
            link.send(ListAsked(request, query))
        self._close_if_answered(request)
        return question.answer

    def take(self, number: int, listed: Listed) -> None:
        """Take a worker's answer."""
        self._note(listed.request, number, listed.listing)

    def forget(self, number: int) -> None:
        """Expect no answer of a worker any more: it is gone."""
        for request in list(self._open):
            self._note(request, number, Listing(0, [], missing=1))

    def _note(self, request: int, number: int, listing: Listing) -> None:
        question = self._open.get(request)
        if question is not None and number in question.waiting:
            question.waiting.discard(number)
            question.listings.append(listing)
            self._close_if_answered(request)

    def _give_up(self, request: int) -> None:
        question = self._open[request]
        question.listings += [Listing(0, [], missing=1) for _ in question.waiting]
        question.waiting.clear()
        self._close_if_answered(request)

    def _close_if_answered(self, request: int) -> None:
        question = self._open[request]
        if question.waiting:
            return
        del self._open[request]
        if question.timeout.active():
            question.timeout.cancel()
        if not question.answer.called:
            question.answer.callback(together(question.listings, question.query))
