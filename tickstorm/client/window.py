"""The requests that are under way: in order, over any number of connections, none twice.

Requests are sent without waiting, each told which one it follows, so that behind one that is
refused the server refuses all that were sent already. Then nothing is sent until each of them is
answered and the server's wait is over, and what is still wanted is sent again from there: as in a
go-back-N protocol, but that the number of a request stays with its ticks.
"""

from collections import deque
from math import inf
from operator import attrgetter
from typing import NamedTuple

from tickstorm.client.messages import publication_frame
from tickstorm.client.publication import Call, Request
from tickstorm.errors import InvalidMessage, ProtocolError, PublicationFailed, PublishingTooFast

MAX_REQUESTS = 16
"""A server reads no more of a connection that has so many unanswered."""

MIN_HOLD = 0.25
"""Seconds that a publisher waits at least when it was too fast: what is behind the request that was
refused is refused, too, and that is not to happen for every few requests that are let in."""


class Totals(NamedTuple):
    """What a publisher has published.

    Attributes:
        ticks: that a server has confirmed.
        requests: likewise.
        repeated: how many of those it had carried out before a connection was lost.
    """

    ticks: int = 0
    requests: int = 0
    repeated: int = 0


class Window:
    """What one publisher has under way.

    Args:
        max_requests: sent and unanswered at a time, 1 to MAX_REQUESTS.
        max_payload_bytes: no request is longer.
        first_id: the number of the first request, above those that this publisher ever had.

    Attributes:
        totals: what was published.
        ended: the calls that are over, for whoever waits for them to take out.

    Raises:
        ValueError: `max_requests` is out of its range.
    """

    def __init__(self, max_requests: int, max_payload_bytes: int, first_id: int) -> None:
        if not 1 <= max_requests <= MAX_REQUESTS:
            raise ValueError(f"{max_requests} requests are not 1 to {MAX_REQUESTS}")
        self._max_requests = max_requests
        self._max_payload_bytes = max_payload_bytes
        self._next_id = first_id
        self._calls: dict[Call, None] = {}  # in their order; those that are not over
        self._sent: dict[int, Request] = {}  # on this connection, and unanswered
        self._again: list[Request] = []  # to be sent before any new one, by their numbers
        self._held_until: float | None = None
        self._epoch = ""
        self.totals = Totals()
        self.ended: deque[Call] = deque()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to be published."""
        return not self._calls

    @property
    def deadline(self) -> float:
        """When there will be something to send although nothing comes; infinity for never."""
        return inf if self._held_until is None or self._sent else self._held_until

    # What is wanted.

    def add(self, call: Call) -> None:
        """Publish the ticks of a call, behind those of the calls before."""
        self._calls[call] = None
        self._note(call)

    def give_up(self, call: Call, error: Exception) -> None:
        """Send nothing more of a call; nothing happens if it is over.

        What was sent of it may be published all the same.
        """
        if call in self._calls:
            call.give_up(error)
            self._drop_given_up()
            self._note(call)

    def give_up_all(self, error: Exception) -> None:
        """Send nothing more, and wait for no answer."""
        self.connection_lost()
        for call in tuple(self._calls):
            self.give_up(call, error)

    # What becomes of it.

    def connected(self, epoch: str) -> None:
        """Begin on a new connection.

        Args:
            epoch: of the server. If it is another one than before, that has forgotten what it had
                carried out: then what was sent to it and not answered is in doubt for good.
        """
        restarted = bool(epoch and self._epoch) and epoch != self._epoch
        self._epoch = epoch or self._epoch
        if not restarted:
            return
        for request in self._again:
            if request.in_doubt:
                request.call.give_up(PublicationFailed("the server was started again"))
        self._drop_given_up()

    def connection_lost(self) -> None:
        """Keep what has no answer, to be sent again."""
        for request in self._sent.values():
            request.in_doubt = True
        self._put_back(*self._sent.values())
        self._sent.clear()
        self._drop_given_up()

    def frames(self, now: float) -> list[bytes]:
        """Return what is to be sent now, and take it for sent."""
        if self._held_until is not None:
            if now < self.deadline or self._sent:
                return []
            self._held_until = None
        frames = []
        while len(self._sent) < self._max_requests:
            request = self._next_request()
            if request is None:
                break
            after = next(reversed(self._sent), 0)
            frames.append(publication_frame(request.payload, request.id, after))
            self._sent[request.id] = request
        return frames

    def acknowledged(self, request_id: int, *, repeated: bool) -> None:
        """Take the answer that a request was carried out.

        Raises:
            InvalidMessage: there is no such request.
        """
        request = self._answered(request_id)
        request.call.carried_out(request, repeated=repeated)
        ticks, requests, repeats = self.totals
        self.totals = Totals(ticks + request.ticks, requests + 1, repeats + repeated)
        self._note(request.call)

    def refused(self, request_id: int, error: ProtocolError, now: float) -> None:
        """Take the answer that a request was not carried out, or is not known to be.

        Raises:
            InvalidMessage: there is no such request.
        """
        request = self._answered(request_id)
        self._hold(now, error.retry_after_ms / 1000)
        if isinstance(error, PublishingTooFast):
            request.in_doubt = False
            self._put_back(request)
        else:
            request.call.refused(request, error)
            self._note(request.call)
        self._drop_given_up()

    def _hold(self, now: float, seconds: float) -> None:
        until = now + (max(seconds, MIN_HOLD) if seconds else 0.0)
        self._held_until = max(until, self._held_until or until)

    def _answered(self, request_id: int) -> Request:
        request = self._sent.pop(request_id, None)
        if request is None:
            raise InvalidMessage(f"an answer to request {request_id}, which was not made")
        return request

    def _put_back(self, *requests: Request) -> None:
        self._again = sorted((*self._again, *requests), key=attrgetter("id"))

    def _next_request(self) -> Request | None:
        if self._again:
            return self._again.pop(0)
        call = next((call for call in self._calls if not call.used_up), None)
        if call is None:
            return None
        self._next_id += 1
        return call.request(self._next_id - 1, self._max_payload_bytes)

    def _drop_given_up(self) -> None:
        again, self._again = self._again, []
        for request in again:
            if request.call.given_up:
                request.call.dropped(request)
                self._note(request.call)
            else:
                self._again.append(request)

    def _note(self, call: Call) -> None:
        if call.over and call in self._calls:
            del self._calls[call]
            self.ended.append(call)
