"""One call to publish: its ticks, cut into requests as they are needed, and what became of them.

What was published of a call is its beginning, whatever ended it: how many ticks that is, it says.
"""

import re
from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

from tickstorm.client.messages import published_tick
from tickstorm.errors import (
    InvalidTick,
    ProtocolError,
    PublicationFailed,
    TickstormError,
    error_telling,
)
from tickstorm.ticks import MAX_TICKS_PER_BATCH, Tick, validate

ROOM_FOR_IDS = 22
"""Bytes of a PUBLISH payload that its ticks leave free: two fields of up to 11."""

_INDEX = re.compile(r"tick ([0-9]+): ")


class Published(NamedTuple):
    """What came of a call that was carried out.

    Attributes:
        ticks: how many were published.
        requests: in how many requests.
        repeated: how many of those the server had carried out before a connection was lost.
    """

    ticks: int
    requests: int
    repeated: int


class Request:
    """A part of a call that is published whole or not at all.

    Attributes:
        call: whose it is.
        id: its number.
        first: the index of its first tick in the call.
        ticks: how many it has.
        payload: these, encoded.
        in_doubt: whether it was sent on a connection that is gone, and had no answer there.
    """

    __slots__ = ("call", "first", "id", "in_doubt", "payload", "ticks")

    def __init__(self, call: "Call", id: int, first: int, ticks: int, payload: bytes) -> None:
        self.call = call
        self.id = id
        self.first = first
        self.ticks = ticks
        self.payload = payload
        self.in_doubt = False


class Call:
    """The ticks of one call, read as requests are made of them.

    Args:
        ticks: any number; each is looked at before it is sent.

    Attributes:
        given_up: whether what was not carried out yet is never to be.
    """

    def __init__(self, ticks: Iterable[Tick]) -> None:
        self._pieces = _pieces(ticks)
        self._next: bytes | None = None
        self._error: Exception | None = None
        self._cut = 0
        self._open = 0
        self._published = self._requests = self._repeated = 0
        self._in_doubt: tuple[int, int] | None = None
        self._refused_at = inf  # the server carries nothing out behind what it has refused
        self.given_up = False
        self._look_ahead()

    @property
    def used_up(self) -> bool:
        """Whether no more requests are to be made of it."""
        return self._next is None

    @property
    def over(self) -> bool:
        """Whether all is answered that will be."""
        return self._next is None and not self._open

    def request(self, id: int, max_payload_bytes: int) -> Request:
        """Make the next request, unless it is used up.

        Args:
            id: its number.
            max_payload_bytes: it is not longer, unless a single tick is.
        """
        pieces: list[bytes] = []
        size = ROOM_FOR_IDS
        while self._next is not None and len(pieces) < MAX_TICKS_PER_BATCH:
            size += len(self._next)
            if pieces and size > max_payload_bytes:
                break
            pieces.append(self._next)
            self._look_ahead()
        first, self._cut = self._cut, self._cut + len(pieces)
        self._open += 1
        return Request(self, id, first, len(pieces), b"".join(pieces))

    def carried_out(self, request: Request, *, repeated: bool) -> None:
        """Note that a request was published."""
        self._open -= 1
        self._published += request.ticks
        self._requests += 1
        self._repeated += repeated

    def refused(self, request: Request, error: ProtocolError) -> None:
        """Note that a request was not carried out, or perhaps not, and never will be."""
        request.in_doubt = isinstance(error, PublicationFailed)
        if not request.in_doubt:
            self._refused_at = min(request.first, self._refused_at)
        message = _at(error.message, request.first)
        self.give_up(type(error)(message, error.details, error.retry_after_ms))
        self.dropped(request)

    def dropped(self, request: Request) -> None:
        """Note that a request of a call that was given up is not sent again."""
        self._open -= 1
        if request.in_doubt and request.first < self._refused_at:
            first, last = request.first, request.first + request.ticks - 1
            if self._in_doubt is not None:
                first, last = min(first, self._in_doubt[0]), max(last, self._in_doubt[1])
            self._in_doubt = first, last

    def give_up(self, error: Exception) -> None:
        """End it: nothing more of it is to be published. The first reason stands."""
        if not self.given_up:
            self.given_up = True
            self._error = error
            self._next = None

    def result(self) -> Published:
        """Return what came of it, once it is over.

        Raises:
            TickstormError: what ended it; the message says how many ticks were published. What
                ended it without that, and perhaps other calls, is the error's cause.
            Exception: what the ticks raised, with how many were published as a note.
        """
        if self._error is not None and (self.given_up or isinstance(self._error, TickstormError)):
            raise error_telling(self._error, self._progress()) from self._error
        if self._error is not None:
            self._error.add_note(self._progress())
            raise self._error
        return Published(self._published, self._requests, self._repeated)

    def _look_ahead(self) -> None:
        try:
            self._next = next(self._pieces, None)
        except Exception as error:  # the ticks' own, too: what came before is published
            self._next, self._error = None, error

    def _progress(self) -> str:
        if self._in_doubt is None:
            return _extent(self._published)
        first, last = self._in_doubt
        doubtful = f"tick {first} was" if first == last else f"ticks {first} to {last} were"
        return f"{_extent(self._published)}, whether {doubtful} is not known"


def tick_index(error: Exception) -> int | None:
    """Return which tick of a call an error is about; None if it is about none, or all."""
    found = _INDEX.match(str(error))
    return None if found is None else int(found[1])


def _pieces(ticks: Iterable[Tick]) -> Iterator[bytes]:
    for index, tick in enumerate(ticks):
        try:
            validate(tick)
        except InvalidTick as error:
            raise InvalidTick(f"tick {index}: {error}") from None
        yield published_tick(tick)


def _at(message: str, first: int) -> str:
    """Return a message about a tick of a request as one about a tick of the call."""
    found = _INDEX.match(message)
    if found is None:
        return message
    return f"tick {first + int(found[1])}: {message[found.end() :]}"


def _extent(ticks: int) -> str:
    if not ticks:
        return "no tick was published"
    if ticks == 1:
        return "the first tick was published"
    return f"the first {ticks:,} ticks were published"
