"""The requests to publish that are under way: from connections to the feed, and the answers back.

A connection that has asked for much is not read until some of it is answered; nothing is queued.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.clock import Clock
from tickstorm.credentials import User
from tickstorm.errors import MayNotPublish, ProtocolError, PublicationFailed
from tickstorm.feed import Feed
from tickstorm.frames import FrameType
from tickstorm.messages import PublishRequest, ack_frame, error_frame, request_details
from tickstorm.pauses import Pauses
from tickstorm.publishing import Accepted, Publication, Publisher
from tickstorm.symbols import SymbolSet

if TYPE_CHECKING:
    from tickstorm.protocol import Connection

MAX_UNANSWERED = 16
"""Requests of one connection; with as many no more of what it sends is read."""


class Publications:
    """Has the feed publish what connections ask for.

    Args:
        feed: where to.
        rights: what each user may publish.
        pauses: has connections wait that have asked for much.
        clock: the times.

    Attributes:
        rights: as given; others may take their place.
    """

    _log = Logger()

    def __init__(
        self, feed: Feed, rights: Mapping[str, SymbolSet], pauses: Pauses, clock: Clock
    ) -> None:
        self._feed = feed
        self.rights = rights
        self._pauses = pauses
        self._clock = clock
        self._unanswered: Counter[Connection] = Counter()

    def __len__(self) -> int:
        return self._unanswered.total()

    def publisher(self, user: User, client_id: str, connection: int) -> Publisher | None:
        """Return who a user is as a publisher; None if it may not publish.

        Without a client_id the requests of one connection are remembered for that alone.
        """
        if user.name not in self.rights:
            return None
        return Publisher(user.name, client_id or connection)

    def is_full(self, connection: Connection) -> bool:
        """Whether a connection has as many unanswered requests as it may."""
        return self._unanswered.get(connection, 0) >= MAX_UNANSWERED

    def ask(self, connection: Connection, request: PublishRequest) -> None:
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
        self, connection: Connection, request: PublishRequest, answer: Deferred[Accepted]
    ) -> None:
        self._unanswered[connection] += 1
        answer.addCallbacks(
            partial(self._accept, connection, request), partial(self._fail, connection, request)
        )
        answer.addErrback(lambda failure: self._log.failure("a publisher has no answer", failure))
        answer.addCallback(lambda _: self._answered(connection))
        if self.is_full(connection):  # so it is not if the answer was there already
            self._pauses.hold(connection)

    def _answered(self, connection: Connection) -> None:
        self._unanswered[connection] -= 1
        if not self._unanswered[connection]:
            del self._unanswered[connection]
        self._pauses.release(connection)

    def _accept(self, connection: Connection, request: PublishRequest, accepted: Accepted) -> None:
        self._feed.metrics.publications["repeated" if accepted.repeated else "accepted"] += 1
        metadata = {"request_id": str(request.request_id), "ticks": str(accepted.ticks)}
        if accepted.repeated:
            metadata["repeated"] = "true"
        connection.answer_publication(
            ack_frame(FrameType.PUBLISH, "published", self._clock.wall_ms(), metadata)
        )

    def _fail(self, connection: Connection, request: PublishRequest, failure: Failure) -> None:
        if isinstance(failure.value, ProtocolError):
            self._refuse(connection, request, failure.value)
            return
        self._log.failure("a publication failed", failure)
        self._refuse(connection, request, PublicationFailed("it could not be published"))

    def _refuse(
        self, connection: Connection, request: PublishRequest, error: ProtocolError
    ) -> None:
        self._feed.metrics.protocol_errors[error.code.name] += 1
        self._feed.metrics.publications[error.code.name] += 1
        error.details = request_details(request.request_id)
        connection.answer_publication(error_frame(error, self._clock.wall_ms()))
