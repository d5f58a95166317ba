"""The publisher: takes ticks, and returns when the server has them, over any number of connections.

Ticks reach the server in the order in which they were given, and each once: a request that lost its
answer with its connection is sent again under its number, and the server knows what it has done.
"""

from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self

from tickstorm.client.backoff import Backoff, BackoffLimits
from tickstorm.client.dialogue import SessionLimits
from tickstorm.client.events import Disconnected, PublisherEvent
from tickstorm.client.interfaces import Framework
from tickstorm.client.lifetime import CloseLimits, Lifetime
from tickstorm.client.line import Line
from tickstorm.client.publication import Call, Published
from tickstorm.client.publisher_session import CallsEnded, PublisherSession, SessionEvent
from tickstorm.client.window import Totals, Window
from tickstorm.errors import PublisherClosed
from tickstorm.messages import Login
from tickstorm.ticks import Tick


class PublisherLimits(NamedTuple):
    """How much a publisher has under way, and how long it waits.

    Attributes:
        max_requests: sent and not yet answered, 1 to 16; each has up to 1,000 ticks.
        close_timeout: seconds that `close` waits for the answers to what is under way.
        connect_timeout: seconds until the server must be reached.
        session: what the server is held to then; no request is longer than its payloads.
        backoff: the waits between connections.
    """

    max_requests: int = 8
    close_timeout: float = 5.0
    connect_timeout: float = 10.0
    session: SessionLimits = SessionLimits()
    backoff: BackoffLimits = BackoffLimits()


class Publisher:
    """Publishes ticks, and stays connected.

    Args:
        framework: Twisted or asyncio, with the server's address.
        login: who to be; its client_id tells this publisher from all others of the user.
        on_event: called with all that happens to its connections, when it happens.
        limits: how much to have under way and how long to wait.
        random: gives a number from 0 up to but not including 1.

    Raises:
        ValueError: a limit is out of its range.
    """

    def __init__(
        self,
        framework: Framework,
        login: Login,
        on_event: Callable[[PublisherEvent], object],
        limits: PublisherLimits,
        random: Callable[[], float],
    ) -> None:
        self._framework = framework
        self._login = login
        self._limits = limits
        self._random = random
        self._line: Line[SessionEvent] = Line(
            framework,
            self,
            self._begin,
            limits.connect_timeout,
            Backoff(limits.backoff, random),
        )
        # Numbers are to rise over all who ever have this client_id: the clock's microseconds do,
        # and nobody makes more requests than those pass.
        self._window = Window(
            limits.max_requests,
            limits.session.max_payload_bytes,
            first_id=framework.wall_ns() // 1000,
        )
        self._waiting: dict[Call, Any] = {}
        self._lifetime: Lifetime[PublisherEvent] = Lifetime(
            framework,
            self._line,
            self,
            on_event,
            CloseLimits(limits.close_timeout, _overdue),
        )

    @property
    def totals(self) -> Totals:
        """What the server has confirmed so far."""
        return self._window.totals

    async def publish(self, ticks: Iterable[Tick]) -> Published:
        """Publish ticks, and return when the server has confirmed all of them.

        Several calls may be under way; their ticks are published in the order of the calls. A call
        that is cancelled sends nothing more; what it had sent may be published.

        Args:
            ticks: any number, in their order. They are taken as they can be sent.

        Raises:
            InvalidTick: one is outside the limits of the protocol; those before it are published.
            InvalidPublication, MayNotPublish: the server has refused one.
            PublicationFailed: whether some of them were published is not known.
            PublisherClosed: the publisher was closed.
            ProtocolError: the server will not let it in; every later call raises the same.
            TickstormError: `on_event` raised something, which is at the end of its causes.
            Exception: what `ticks` raised.

        Whatever is raised, what was published are the first ticks of the call: the message says how
        many, and begins with the index of the tick that was wrong, `tick 3: `. Nothing else ends a
        call: it waits until there is a server.
        """
        self._lifetime.check()
        call = Call(ticks)
        if call.over:
            return call.result()
        self._waiting[call] = answered = self._framework.futures.create_future()
        self._window.add(call)
        self._line.start()
        self._line.send()
        try:
            await answered
        finally:
            del self._waiting[call]
            self._window.give_up(call, PublisherClosed("the call was cancelled"))
            self._settle()
        return call.result()

    def close(self) -> Awaitable[None]:
        """Take no more ticks, wait for the answers to those under way, and disconnect.

        It begins at once. The future fires when the connection is gone: after `close_timeout` and
        some seconds at most. A call that has no answer by then raises PublisherClosed.
        """
        self._lifetime.refuse(PublisherClosed("the publisher is closed"))
        self._settle()
        return self._lifetime.close()

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

    # What the line reports.

    @property
    def full(self) -> bool:
        """Never: there is always room for an answer."""
        return False

    def heard(self, event: SessionEvent) -> None:
        """Answer the calls that are over, tell everything else."""
        if isinstance(event, CallsEnded):
            self._settle()
        else:
            self._lifetime.tell(event)

    def disconnected(self, error: Exception, retry_in: float | None) -> None:
        """Answer the calls that it has decided, and tell it; without another attempt, all calls."""
        if retry_in is None:
            self._lifetime.end(error)
        self._settle()
        self._lifetime.tell(Disconnected(error, retry_in))

    # What its lifetime asks.

    @property
    def idle(self) -> bool:
        """Whether nobody waits for ticks to be published."""
        return self._window.idle

    def end(self, error: Exception) -> None:
        """Publish nothing more."""
        self._window.give_up_all(error)
        self._settle()

    def _begin(self, now: float) -> PublisherSession:
        return PublisherSession(
            self._login,
            self._window,
            random=self._random,
            limits=self._limits.session,
            now=now,
        )

    def _settle(self) -> None:
        while self._window.ended:
            answered = self._waiting.get(self._window.ended.popleft())
            if answered is not None and not self._framework.futures.is_called(answered):
                self._framework.futures.resolve(answered)
        self._lifetime.settled()


def _overdue() -> PublisherClosed:
    return PublisherClosed("the publisher was closed before all was answered")
