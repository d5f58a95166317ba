"""A line to a server: one connection at a time, and another one after a wait when it is lost."""

from collections.abc import Awaitable, Callable
from enum import Enum, auto, unique
from typing import Any, Generic, Protocol, TypeVar

from tickstorm.client.backoff import Backoff
from tickstorm.client.connection import Connection, Conversation, Ending
from tickstorm.client.events import Silent
from tickstorm.client.interfaces import Framework, Timer

Heard_contra = TypeVar("Heard_contra", contravariant=True)
E = TypeVar("E")


@unique
class Phase(Enum):
    """What there is of a line."""

    IDLE = auto()
    CONNECTED = auto()
    """It has a connection, or makes one."""
    WAITING = auto()
    """It will make one."""
    ENDED = auto()


class Owner(Protocol[Heard_contra]):
    """What a line asks of whoever uses it."""

    @property
    def full(self) -> bool:
        """Whether nothing more is to be heard for now."""

    def heard(self, event: Heard_contra | Silent) -> None:
        """Take what the server said."""

    def disconnected(self, error: Exception, retry_in: float | None) -> None:
        """Take note that a connection ended, or could not be made.

        Args:
            error: why.
            retry_in: seconds until the next attempt; None if there is none.
        """


class Line(Generic[E]):
    """Stays connected, once it was started.

    Args:
        framework: dials, and has the time.
        owner: gets what comes.
        begin: makes the conversation of a new connection, at a monotonic time.
        connect_timeout: seconds to get through.
        backoff: the waits between connections.
    """

    def __init__(
        self,
        framework: Framework,
        owner: Owner[E],
        begin: Callable[[float], Conversation[E]],
        connect_timeout: float,
        backoff: Backoff,
    ) -> None:
        self._framework = framework
        self._owner = owner
        self._begin = begin
        self._connect_timeout = connect_timeout
        self._backoff = backoff
        self._phase = Phase.IDLE
        self._connection: Connection[E] | None = None
        self._leaving: list[Connection[E]] = []
        self._closers: list[Any] = []
        self._retry: Timer | None = None

    @property
    def started(self) -> bool:
        """Whether it was told to connect, or to end."""
        return self._phase is not Phase.IDLE

    def start(self) -> None:
        """Connect; nothing happens if that was done before."""
        if self._phase is Phase.IDLE:
            self._connect()

    def send(self) -> None:
        """Send what the conversation has to say by now; nothing while there is none."""
        if self._connection is not None:
            self._connection.send()

    def make_room(self) -> None:
        """Hear more: the owner is not full any more."""
        if self._connection is not None:
            self._connection.make_room()

    def close(self) -> Awaitable[None]:
        """Let there be no connection any more; the future fires when all are gone."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._phase = Phase.ENDED
        if self._connection is not None:
            self._connection.close()
        closed: Awaitable[None] = self._framework.futures.create_future()
        self._closers.append(closed)
        self.gone()
        return closed

    # What a connection reports.

    @property
    def full(self) -> bool:
        """Whether nothing more is to be heard for now."""
        return self._owner.full

    def heard(self, event: E | Silent) -> None:
        """Pass it on."""
        self._owner.heard(event)

    def ended(self, ending: Ending) -> None:
        """Connect again in a while, or never."""
        self._backoff.lasted(ending.streamed_for)
        wait = self._backoff.next_wait(ending.retry_after_ms) if ending.retryable else None
        if wait is None:
            self._phase = Phase.ENDED
        else:
            self._phase = Phase.WAITING
            self._retry = self._framework.call_later(wait, self._connect)
        self._owner.disconnected(ending.error, wait)

    def gone(self) -> None:
        """Tell who waits for the end, if there is no connection any more."""
        if not self._closers or not all(connection.gone for connection in self._connections):
            return
        closers, self._closers = self._closers, []
        for closed in closers:
            if not self._framework.futures.is_called(closed):
                self._framework.futures.resolve(closed)

    @property
    def _connections(self) -> list[Connection[E]]:
        """All that are not known to be gone: one that has ended may still say goodbye."""
        return self._leaving if self._connection is None else [*self._leaving, self._connection]

    def _connect(self) -> None:
        self._retry = None
        self._phase = Phase.CONNECTED
        self._leaving = [connection for connection in self._connections if not connection.gone]
        self._connection = Connection(self._framework, self, self._begin, self._connect_timeout)
        self._connection.start()
