"""Who does not keep up, at the edge: which connections, what is said of them, and who has to go.

A warning is one line of the log at its beginning and one at its end; of many in the same second
only the first are named, and the others counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from twisted.logger import Logger

from tickstorm.errors import SlowConsumer

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tickstorm.backlogs import Backlogs
    from tickstorm.metrics import Metrics
    from tickstorm.overload import Backlog
    from tickstorm.subscriptions import Overload

WARNED_FROM, WARNED_TO = 0.75, 0.5
"""How full a backlog is when a warning begins, and when it ends."""
MAX_LINES = 20
"""Lines of the log between two checks that name a connection."""


class Congestible(Protocol):
    """What is asked of a connection that does not keep up."""

    @property
    def id(self) -> int:
        """What the log calls it."""

    @property
    def address(self) -> str:
        """Who it counts as."""

    @property
    def policy(self) -> Overload:
        """What it wants done when too much waits for it."""

    @property
    def stream(self) -> Hashable:
        """Whose batches wait for it, if any."""

    @property
    def pending_bytes(self) -> int:
        """What is queued, or with a transport whose socket is full."""

    @property
    def cost(self) -> int:
        """What of the budget of all queues it uses."""

    def now(self) -> float:
        """Return the seconds of the monotonic clock."""

    def check_progress(self, now: float) -> None:
        """End it if it takes nothing."""

    def too_slow(self, error: SlowConsumer) -> None:
        """End it, and say why."""

    def give_up(self) -> None:
        """End one that lingers at once."""


_Connection = TypeVar("_Connection", bound=Congestible)


class Congestion(Generic[_Connection]):
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
        self.connections: set[_Connection] = set()
        self.lingering: set[_Connection] = set()
        self.warned: set[_Connection] = set()
        self.backlogs = backlogs
        self._metrics = metrics
        self._lines = 0
        self._unnamed = 0

    @property
    def queued_bytes(self) -> int:
        """What waits for all of them, queued or with their transports."""
        return self.backlogs.budget.bytes

    def begin(self, connection: _Connection) -> Backlog:
        """Return what to queue in for a connection, by its subscription."""
        self.connections.add(connection)
        return self.backlogs.new(connection.policy, connection.stream, connection.now())

    def relieved(self, connection: _Connection) -> None:
        """Take note that nothing is queued for a connection any more."""
        self.connections.discard(connection)
        self._end_warning(connection)

    def forget(self, connection: _Connection) -> None:
        """Let go of a connection that ends, whatever is queued for it."""
        self.connections.discard(connection)
        self.lingering.discard(connection)
        self.warned.discard(connection)

    def closed(self, connection: _Connection) -> None:
        """Take note that a connection has ended, and waits for its socket if that is full."""
        if connection.pending_bytes:
            self.lingering.add(connection)

    def queued(self, connection: _Connection, backlog: Backlog) -> None:
        """Take note that more, or less, is queued than before."""
        fill = backlog.fill
        if fill <= WARNED_TO:
            self._end_warning(connection)
        elif fill >= WARNED_FROM and connection not in self.warned:
            self._warn(connection)
        self._keep_budget()

    def has_room_for(self, connection: _Connection) -> bool:
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

    def _warn(self, connection: _Connection) -> None:
        self.warned.add(connection)
        self._metrics.slow_warnings += 1
        if self._may_name():
            self._log.warn(
                "connection {connection} from {peer} does not keep up: {bytes} bytes are waiting",
                connection=connection.id,
                peer=connection.address,
                bytes=connection.pending_bytes,
            )

    def _end_warning(self, connection: _Connection) -> None:
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


def _cost(connection: Congestible) -> int:
    return connection.cost
