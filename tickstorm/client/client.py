"""The client: stays subscribed over any number of connections, and hands out the batches.

Batches come in the order of their numbers, none twice. What is missing is told, not repaired.
"""

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum, auto, unique
from types import TracebackType
from typing import NamedTuple, Self

import tickstorm
from tickstorm.client.backoff import Backoff, BackoffLimits
from tickstorm.client.batch import Batch
from tickstorm.client.connection import Connection, Ending
from tickstorm.client.events import BatchReceived, Disconnected, Event, SessionEvent
from tickstorm.client.inbox import Inbox
from tickstorm.client.interfaces import Framework, Timer
from tickstorm.client.sequence import SequenceTracker
from tickstorm.client.session import Session, SessionLimits
from tickstorm.messages import Login, Mode, Subscription


class Request(NamedTuple):
    """What a client asks a server for, on each connection again."""

    login: Login
    subscription: Subscription


def make_request(
    username: str,
    password: str,
    mode: Mode = Mode.SECOND,
    symbols: Iterable[str] | None = None,
    *,
    snapshot: bool = False,
    client_id: str = "",
) -> Request:
    """Return a request.

    Args:
        username: as the server knows it.
        password: likewise.
        mode: how often the ticks come, and whether as bars.
        symbols: at most 100; None asks for all.
        snapshot: whether to get the last value of each symbol first, on each connection.
        client_id: told to the server, at most 64 characters.

    Raises:
        TypeError: `symbols` is one string.
        ValueError: `symbols` is empty.
    """
    if isinstance(symbols, str):
        raise TypeError(f"symbols is the string {symbols!r}: give a list of symbols")
    wanted = None if symbols is None else frozenset(symbols)
    if wanted is not None and not wanted:
        raise ValueError("symbols is empty: None asks for all")
    return Request(
        Login(username, password, client_id, tickstorm.__version__),
        Subscription(mode, wanted, snapshot),
    )


class ClientLimits(NamedTuple):
    """How much a client takes, and how long it waits.

    Attributes:
        max_queued_batches: received and not yet consumed; with more, reading stops.
        connect_timeout: seconds until the server must be reached.
        session: what the server is held to then.
        backoff: the waits between connections.
    """

    max_queued_batches: int = 64
    connect_timeout: float = 10.0
    session: SessionLimits = SessionLimits()
    backoff: BackoffLimits = BackoffLimits()


@unique
class Phase(Enum):
    """What a client is doing."""

    IDLE = auto()
    """It connects when it is first asked for a batch."""
    RUNNING = auto()
    """It has a connection, or makes one."""
    WAITING = auto()
    """It will make one."""
    ENDED = auto()


class Client:
    """A subscription as an asynchronous iterator of batches.

    The iteration ends after `close`, and raises the error that ended the client if it was one that
    will not go away (a wrong password, an impossible subscription) or one that `on_event` raised.

    Args:
        framework: Twisted or asyncio, with the server's address.
        request: what to ask for.
        on_event: called with all that happens beside the batches, when it happens.
        limits: how much to take and how long to wait.
        random: gives a number from 0 up to but not including 1.
    """

    def __init__(
        self,
        framework: Framework,
        request: Request,
        on_event: Callable[[Event], object],
        limits: ClientLimits,
        random: Callable[[], float],
    ) -> None:
        self._framework = framework
        self._request = request
        self._on_event = on_event
        self._limits = limits
        self._random = random
        self._phase = Phase.IDLE
        self._sequence = SequenceTracker()
        self._backoff = Backoff(limits.backoff, random)
        self._inbox = Inbox(framework.futures, limits.max_queued_batches, self._make_room)
        self._connection: Connection[SessionEvent] | None = None
        self._retry: Timer | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        self._start()
        return await self._inbox.take()

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def close(self) -> Awaitable[None]:
        """End the iteration and the connection; batches not consumed yet are dropped.

        It begins at once. The future fires when the connection is gone, after some seconds at most.
        """
        self._inbox.clear()
        self._end(StopAsyncIteration())
        gone: Awaitable[None]
        if self._connection is None:
            gone = self._framework.futures.create_future_success(None)
        else:
            gone = self._connection.close()
        return gone

    # What a connection reports.

    @property
    def full(self) -> bool:
        """Whether there is no room for a batch."""
        return self._inbox.full

    def heard(self, event: SessionEvent) -> None:
        """Queue a batch, tell everything else."""
        if isinstance(event, BatchReceived):
            self._inbox.put(event.batch)
        else:
            self._tell(event)

    def ended(self, ending: Ending) -> None:
        """Connect again in a while, or never."""
        self._backoff.lasted(ending.streamed_for)
        wait = self._backoff.next_wait(ending.retry_after_ms) if ending.retryable else None
        if wait is None:
            self._end(ending.error)
        else:
            self._phase = Phase.WAITING
            self._retry = self._framework.call_later(wait, self._connect)
        self._tell(Disconnected(ending.error, wait))

    def _start(self) -> None:
        if self._phase is Phase.IDLE:
            self._connect()

    def _connect(self) -> None:
        self._retry = None
        self._phase = Phase.RUNNING
        self._connection = Connection(
            self._framework, self, self._begin, self._limits.connect_timeout
        )
        self._connection.start()

    def _begin(self, now: float) -> Session:
        login, subscription = self._request
        return Session(
            login,
            subscription,
            self._sequence,
            random=self._random,
            limits=self._limits.session,
            now=now,
        )

    def _make_room(self) -> None:
        if self._connection is not None:
            self._connection.make_room()

    def _tell(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception as error:
            self._end(error)
            if self._connection is not None:
                self._connection.close()

    def _end(self, error: Exception) -> None:
        if self._phase is Phase.WAITING and self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._phase = Phase.ENDED
        self._inbox.end(error)
