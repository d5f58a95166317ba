"""The client: stays subscribed over any number of connections, and hands out the batches.

Batches come in the order of their numbers, none twice. A connection that is lost is resumed behind
the last batch that it brought; what is missing nevertheless is told.
"""

from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self

from tickstorm.client.backoff import Backoff, BackoffLimits
from tickstorm.client.batch import Batch
from tickstorm.client.dialogue import SessionLimits
from tickstorm.client.events import BatchReceived, Disconnected, Event, SessionEvent, Subscribed
from tickstorm.client.inbox import Inbox
from tickstorm.client.interfaces import Framework
from tickstorm.client.line import Line
from tickstorm.client.request import Request, make_subscription
from tickstorm.client.resumption import Resumption
from tickstorm.client.session import Session
from tickstorm.subscriptions import Mode, Position, Subscription


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


class _Received(NamedTuple):
    """A batch, and where it stands."""

    batch: Batch
    position: Position | None


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
        self._position = request.subscription.resume
        self._resumption = Resumption(request.subscription, resumes=request.resumes)
        self._line: Line[SessionEvent] = Line(
            framework,
            self,
            self._begin,
            limits.connect_timeout,
            Backoff(limits.backoff, random),
        )
        self._inbox: Inbox[_Received] = Inbox(
            framework.futures, limits.max_queued_batches, self._line.make_room
        )
        self._changes: list[Any] = []
        self._session: Session | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        self._line.start()
        received = await self._inbox.take()
        if not received.batch.is_snapshot:
            self._position = received.position
        return received.batch

    async def __aenter__(self) -> Self:
        self._line.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def position(self) -> Position | None:
        """Which batch the iteration handed out last: the `resume_from` of a client that goes on.

        Until there was one it is what this client was given as such. None if that was nothing, and
        from a server that does not say its epoch. A snapshot counts for nothing.
        """
        return self._position

    async def change(
        self, *, mode: Mode, symbols: Iterable[str] | None, interval: float | None = None
    ) -> None:
        """Subscribe to something else, on the same connection, and return when that streams.

        From the call on the iteration hands out nothing of the subscription before: what was
        received and not yet consumed is dropped, and what it missed is not told. All else that the
        client was made with stays; `position` is None until there is a batch. Should the connection
        be lost meanwhile, the next one asks for the new subscription.

        Args:
            mode: as that of the client.
            symbols: likewise.
            interval: likewise.

        Raises:
            TypeError: `symbols` is one string, or `mode` is no Mode.
            ValueError: an argument is outside its limits; nothing has changed.
            ConnectionError: the client was closed.
            Exception: what ended the client, such as a subscription that the server refuses.
        """
        self._replace_subscription(make_subscription(mode, symbols, interval))
        if self._inbox.ending is not None:
            raise _reason(self._inbox.ending)
        if not self._line.started:
            return
        changed = self._framework.futures.create_future()
        self._changes.append(changed)
        self._renegotiate()
        await changed

    def close(self) -> Awaitable[None]:
        """End the iteration and the connection; batches not consumed yet are dropped.

        It begins at once. The future fires when the connection is gone, after some seconds at most.
        """
        self._inbox.clear()
        self._end(StopAsyncIteration())
        return self._line.close()

    # What the line reports.

    @property
    def full(self) -> bool:
        """Whether there is no room for a batch."""
        return self._inbox.full

    def heard(self, event: SessionEvent) -> None:
        """Queue a batch, tell everything else."""
        if isinstance(event, BatchReceived):
            self._resumption.received(event.batch)
            self._inbox.put(_Received(event.batch, self._resumption.position))
        elif isinstance(event, Subscribed):
            self._subscribed(event)
        else:
            self._tell(event)

    def disconnected(self, error: Exception, retry_in: float | None) -> None:
        """Tell it; without another attempt the iteration ends."""
        if retry_in is None:
            self._end(error)
        self._tell(Disconnected(error, retry_in))

    def _subscribed(self, event: Subscribed) -> None:
        changes, self._changes = self._changes, []
        self._resumption.subscribed(event)
        self._tell(event)
        if self._inbox.ending is not None:
            self._reject(changes)
            return
        for changed in changes:
            if not self._framework.futures.is_called(changed):
                self._framework.futures.resolve(changed)

    def _reject(self, changes: list[Any]) -> None:
        for changed in changes:
            if not self._framework.futures.is_called(changed):
                self._framework.futures.reject(changed, _reason(self._inbox.ending))

    def _replace_subscription(self, wanted: Subscription) -> None:
        before = self._request.subscription
        subscription = wanted._replace(snapshot=before.snapshot, overload=before.overload)
        self._request = self._request._replace(subscription=subscription)
        self._resumption = Resumption(subscription, resumes=self._request.resumes)
        self._position = None
        self._inbox.clear()

    def _renegotiate(self) -> None:
        # Before there is a session there is nothing to change: it will ask for the new one.
        if self._session is None:
            return
        self._session.change(self._request.subscription, self._resumption.sequence)
        self._line.send()
        self._line.make_room()

    def _begin(self, now: float) -> Session:
        self._session = Session(
            self._request.login,
            self._resumption.next_subscription(),
            self._resumption.sequence,
            random=self._random,
            limits=self._limits.session,
            now=now,
        )
        return self._session

    def _tell(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception as error:
            self._end(error)
            self._line.close()

    def _end(self, error: Exception) -> None:
        self._inbox.end(error)
        changes, self._changes = self._changes, []
        self._reject(changes)


def _reason(ending: Exception | None) -> Exception:
    """Return what ended a client, for one who does not iterate."""
    if ending is None or isinstance(ending, StopAsyncIteration):
        return ConnectionError("the client was closed")
    return ending
