"""The requests to publish that are under way: from connections to the feed, and the answers back.

A connection that has asked for much is not read until some of it is answered; nothing is queued.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.clock import Clock
from tickstorm.credentials import User
from tickstorm.errors import MayNotPublish, ProtocolError, PublicationFailed
from tickstorm.feed import Feed
from tickstorm.frames import FrameType
from tickstorm.messages import PublishRequest, ack_frame, error_frame, request_details
from tickstorm.publishing import Accepted, Publication, Publisher
from tickstorm.symbols import SymbolSet

MAX_UNANSWERED = 16
"""Requests of one connection; with as many no more of what it sends is read."""


class Asking(Protocol):
    """What is asked of a connection that publishes."""

    @property
    def publisher(self) -> Publisher | None:
        """Who publishes; None if the user may not."""

    def answer_publication(self, frame: bytes) -> None:
        """Send an answer, unless the conversation is over."""

    def pause_reading(self) -> None:
        """Read nothing for now; nothing happens if that is so."""

    def resume_reading(self) -> None:
        """Read on, and first what was read already and is held back."""


class Publications:
    """Has the feed publish what connections ask for.

    Args:
        feed: where to.
        rights: what each user may publish.
        clock: the times.

    Attributes:
        rights: as given; others may take their place.
    """

    _log = Logger()

    def __init__(self, feed: Feed, rights: Mapping[str, SymbolSet], clock: Clock) -> None:
        self._feed = feed
        self.rights = rights
        self._clock = clock
        self._unanswered: Counter[Asking] = Counter()

    def __len__(self) -> int:
        return self._unanswered.total()

    def publisher(self, user: User, client_id: str, connection: int) -> Publisher | None:
        """Return who a user is as a publisher; None if it may not publish.

        Without a client_id the requests of one connection are remembered for that alone.
        """
        if user.name not in self.rights:
            return None
        return Publisher(user.name, client_id or connection)

    def is_full(self, connection: Asking) -> bool:
        """Whether a connection has as many unanswered requests as it may."""
        return self._unanswered.get(connection, 0) >= MAX_UNANSWERED

    def ask(self, connection: Asking, request: PublishRequest) -> None:
        """Publish, and answer, at once or later."""
        publisher = connection.publisher
        if publisher is None:
            self._refuse(connection, request, MayNotPublish("this user may not publish"))
            return
        try:
            answer = self._feed.publish(Publication(publisher, *request))
        except ProtocolError as error:
            self._refuse(connection, request, error)
            return
        if isinstance(answer, Deferred):
            self._wait(connection, request, answer)
        else:
            self._accept(connection, request, answer)

    def _wait(
        self, connection: Asking, request: PublishRequest, answer: Deferred[Accepted]
    ) -> None:
        self._unanswered[connection] += 1
        if self.is_full(connection):
            connection.pause_reading()
        answer.addCallbacks(
            partial(self._accept, connection, request), partial(self._fail, connection, request)
        )
        answer.addErrback(lambda failure: self._log.failure("a publisher has no answer", failure))
        answer.addCallback(lambda _: self._answered(connection))

    def _answered(self, connection: Asking) -> None:
        was_full = self.is_full(connection)
        self._unanswered[connection] -= 1
        if not self._unanswered[connection]:
            del self._unanswered[connection]
        if was_full:
            connection.resume_reading()

    def _accept(self, connection: Asking, request: PublishRequest, accepted: Accepted) -> None:
        self._feed.metrics.publications["repeated" if accepted.repeated else "accepted"] += 1
        metadata = {"request_id": str(request.request_id), "ticks": str(accepted.ticks)}
        if accepted.repeated:
            metadata["repeated"] = "true"
        connection.answer_publication(
            ack_frame(FrameType.PUBLISH, "published", self._clock.wall_ms(), metadata)
        )

    def _fail(self, connection: Asking, request: PublishRequest, failure: Failure) -> None:
        if isinstance(failure.value, ProtocolError):
            self._refuse(connection, request, failure.value)
            return
        self._log.failure("a publication failed", failure)
        self._refuse(connection, request, PublicationFailed("it could not be published"))

    def _refuse(self, connection: Asking, request: PublishRequest, error: ProtocolError) -> None:
        self._feed.metrics.protocol_errors[error.code.name] += 1
        self._feed.metrics.publications[error.code.name] += 1
        error.details = request_details(request.request_id)
        connection.answer_publication(error_frame(error, self._clock.wall_ms()))
