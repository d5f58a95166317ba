"""How connections come to be on their streams, and leave them.

A connection is on one stream at most. Until its place there is known it is not read.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from tickstorm.errors import InternalError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from tickstorm.feed import Feed, Joined
    from tickstorm.pauses import Pauses
    from tickstorm.protocol import Connection
    from tickstorm.subscriptions import Subscription


class Joins:
    """Has connections join the streams of a feed.

    Args:
        feed: whose streams.
        pauses: has connections wait for a place.
        scheduler: runs calls later.
    """

    _log = Logger()

    def __init__(self, feed: Feed, pauses: Pauses, scheduler: IReactorTime) -> None:
        self._feed = feed
        self._pauses = pauses
        self._scheduler = scheduler

    def ask(self, connection: Connection, subscription: Subscription) -> None:
        """Give a connection its place, or tell it why not, at once or later."""
        if connection.resubscribes and subscription.has_past:
            self._ask_later(connection, subscription)
            return
        try:
            joined = self._feed.join(subscription, connection.outlet)
        except ProtocolError as error:
            connection.fail(error)
            return
        if isinstance(joined, Deferred):
            self._wait(connection, joined)
        else:
            self._joined(connection, joined)  # which may have ended it: a join flushes

    def give_up(self, connection: Connection) -> None:
        """Take a connection off its stream: its client has given its subscription up."""
        self.leave(connection, kept=False)
        connection.subscription = None
        connection.resubscribes = True
        connection.outlet.drop_stream()

    def leave(self, connection: Connection, kept: bool = True) -> None:
        """Take a connection off its stream, if it is on one.

        Args:
            connection: who leaves.
            kept: whether its client may come back, and what it misses is to be kept for it.
        """
        stream, connection.stream = connection.stream, None
        if stream is not None:
            connection.outlet.own_bytes += stream.sent_to(connection.outlet)
            self._feed.leave(stream, connection.outlet, kept)

    def _ask_later(self, connection: Connection, subscription: Subscription) -> None:
        # A client may ask for a past as often as it likes, and all in one segment: the others have
        # their turn in between.
        join: Callable[..., Any] = self._feed.join
        later = deferLater(self._scheduler, 0, join, subscription, connection.outlet)
        self._wait(connection, later)

    def _wait(self, connection: Connection, joined: Deferred[Joined]) -> None:
        self._pauses.wait(
            connection,
            joined,
            partial(self._joined, connection),
            partial(self._failed, connection),
        )

    def _joined(self, connection: Connection, joined: Joined) -> None:
        if connection.is_over:
            self._feed.leave(joined.stream, connection.outlet)
            return
        if joined.subscription.resume is not None:
            outcome = "recovered" if joined.backfill.recovered else "snapshot"
            self._feed.metrics.resumes[outcome] += 1
        connection.take_place(joined)
        if joined.backfill.past and not connection.is_over:
            self._feed.send_past(connection.outlet, joined.backfill.past)

    def _failed(self, connection: Connection, reason: Failure) -> None:
        if connection.is_over:
            return
        error = reason.value
        if not isinstance(error, ProtocolError):
            self._log.failure("a subscription failed", reason, connection=connection.id)
            error = InternalError("the subscription could not be served")
        connection.fail(error)
