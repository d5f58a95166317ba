"""Who does not keep up, at the edge: which connections, what is said of them, and who has to go.

A warning is one line of the log at its beginning and one at its end; of many in the same second
only the first are named, and the others counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from tickstorm.errors import SlowConsumer
from tickstorm.subscriptions import Overload

if TYPE_CHECKING:
    from tickstorm.backlogs import Backlogs
    from tickstorm.metrics import Metrics
    from tickstorm.overload import Backlog
    from tickstorm.protocol import Connection

WARNED_FROM, WARNED_TO = 0.75, 0.5
"""How full a backlog is when a warning begins, and when it ends."""
MAX_LINES = 20
"""Lines of the log between two checks that name a connection."""


class Congestion:
    """The connections of a factory that have something queued, or whose socket is full.

    Args:
        backlogs: makes what it is queued in.
        metrics: counts the warnings.

    Attributes:
        backlogs: the same.
        connections: those that have something queued, or whose socket is full.
        lingering: those that have ended, and whose socket has not taken what it was handed.
        warned: those of the first that are about to lose something, or to be ended.
    """

    _log = Logger()

    def __init__(self, backlogs: Backlogs, metrics: Metrics) -> None:
        self.connections: set[Connection] = set()
        self.lingering: set[Connection] = set()
        self.warned: set[Connection] = set()
        self.backlogs = backlogs
        self._metrics = metrics
        self._lines = 0
        self._unnamed = 0

    @property
    def queued_bytes(self) -> int:
        """What waits for all of them, queued or with their transports."""
        return self.backlogs.budget.bytes

    def begin(self, connection: Connection) -> Backlog:
        """Return what to queue in for a connection, by its subscription."""
        self.connections.add(connection)
        subscription = connection.subscription
        policy = subscription.policy if subscription is not None else Overload.DISCONNECT
        return self.backlogs.new(policy, connection.stream, connection.now())

    def relieved(self, connection: Connection) -> None:
        """Take note that nothing is queued for a connection any more."""
        self.connections.discard(connection)
        self._end_warning(connection)

    def forget(self, connection: Connection) -> None:
        """Let go of a connection that ends, whatever is queued for it."""
        self.connections.discard(connection)
        self.lingering.discard(connection)
        self.warned.discard(connection)

    def closed(self, connection: Connection) -> None:
        """Take note that a connection has ended, and waits for its socket if that is full."""
        if connection.pending_bytes:
            self.lingering.add(connection)

    def queued(self, connection: Connection, backlog: Backlog) -> None:
        """Take note that more, or less, is queued than before."""
        fill = backlog.fill
        if fill <= WARNED_TO:
            self._end_warning(connection)
        elif fill >= WARNED_FROM and connection not in self.warned:
            self._warn(connection)
        self._keep_budget()

    def has_room_for(self, connection: Connection) -> bool:
        """Whether its transport may be handed all that is queued for a connection.

        What a history keeps, or others wait for too, counts once it is there.
        """
        more = connection.pending_bytes - connection.cost
        return self.queued_bytes + more <= self.backlogs.budget.max_bytes

    def check(self, now: float) -> None:
        """End those that take nothing; call it once a second."""
        for connection in list(self.connections):
            connection.check_progress(now)
        self._keep_budget()
        if self._unnamed:
            self._log.warn(
                "{count} more began or ended not to keep up, and are not named", count=self._unnamed
            )
        self._lines = self._unnamed = 0

    def _keep_budget(self) -> None:
        budget = self.backlogs.budget
        if not budget.is_exceeded:
            return
        self._give_up()
        self._shed()
        if budget.is_exceeded:  # by what those have in their transports
            self._give_up()

    def _give_up(self) -> None:
        for connection in self.backlogs.budget.surplus(self.lingering, _cost):
            self.lingering.discard(connection)
            connection.give_up()

    def _shed(self) -> None:
        budget = self.backlogs.budget
        most = f"more than {budget.max_bytes} bytes are waiting for all clients together"
        for connection in budget.surplus(self.connections, _cost):
            connection.too_slow(SlowConsumer(most))

    def _warn(self, connection: Connection) -> None:
        self.warned.add(connection)
        self._metrics.slow_warnings += 1
        if self._may_name():
            self._log.warn(
                "connection {connection} from {peer} does not keep up: {bytes} bytes are waiting",
                connection=connection.id,
                peer=connection.address,
                bytes=connection.pending_bytes,
            )

    def _end_warning(self, connection: Connection) -> None:
        if connection not in self.warned:
            return
        self.warned.remove(connection)
        if self._may_name():
            self._log.info(
                "connection {connection} from {peer} is no longer behind",
                connection=connection.id,
                peer=connection.address,
            )

    def _may_name(self) -> bool:
        if self._lines == MAX_LINES:
            self._unnamed += 1
            return False
        self._lines += 1
        return True


def _cost(connection: Connection) -> int:
    return connection.cost
