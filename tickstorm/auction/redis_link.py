"""A way to one server of Redis that is kept open, and the breaker before it.

What is asked for is written at once or refused at once, and what was written has its reply, or none
any more, within the timeout.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.auction.breaker import Breaker, BreakerState
from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.redis_replies import Meaning, Refused
from tickstorm.clock import Clock


class Connection(Protocol):
    """An open connection; see `redis_connection.RedisConnection`."""

    lost: Deferred[object]

    @property
    def oldest(self) -> float | None:
        """When that was asked for which has waited longest for its reply."""

    def ask(self, *command: bytes) -> Deferred[Any]:
        """Send a command, and return its reply; it may fail with Refused or ConnectionGone."""

    def abort(self) -> None:
        """End it now."""


Dial = Callable[[], Coroutine[Any, Any, Connection]]
"""Connects, and says who this is."""


class Beat(NamedTuple):
    """What is asked for when nothing else is.

    Attributes:
        command: has no effect.
        heard: takes the reply; a link is open only once it has taken one.
    """

    command: tuple[bytes, ...]
    heard: Callable[[Any], object]


class Way(NamedTuple):
    """What a link leads to.

    Attributes:
        name: of the server, for the log.
        dial: connects.
        beat: finds out whether the server is there.
    """

    name: str
    dial: Dial
    beat: Beat


class LinkLimits(NamedTuple):
    """How patient a link is, in seconds.

    Attributes:
        reply: a connection that owes a reply for so long is given up; one on which nothing is asked
            for so long is asked for a beat.
        dial: likewise, for a connection to be open.
    """

    reply: float = 1.0
    dial: float = 1.0


class Link:
    """Asks one server, tries again and again to reach it, and meanwhile refuses at once.

    Args:
        way: where to.
        breaker: says when to ask.
        clock: the times.
        limits: see there.
        rose: called each time that the link has become open.
    """

    _log = Logger()

    def __init__(
        self,
        way: Way,
        breaker: Breaker,
        clock: Clock,
        limits: LinkLimits,
        rose: Callable[[], object],
    ) -> None:
        self._name, self._dial, self._beat = way
        self._breaker = breaker
        self._clock = clock
        self._limits = limits
        self._rose = rose
        self._connection: Connection | None = None
        self._dialing: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._due_at = 0.0
        self._stopped = False

    @property
    def state(self) -> BreakerState:
        """Whether it is open: CLOSED, as the breaker has it, is when all is well."""
        return self._breaker.state

    @property
    def retry_after_ms(self) -> int:
        """After how long it makes sense to ask again, if it is refused now."""
        return round(self._breaker.wait_left(self._clock.monotonic()) * 1000)

    def start(self) -> Deferred[None]:
        """Connect; the Deferred has its result after the first try, whatever came of it."""
        tried: Deferred[None] = Deferred()
        self._probe().addBoth(lambda _: tried.callback(None))
        return tried

    def stop(self) -> None:
        """Give up the connection, or the try, for good."""
        self._stopped = True
        self._cancel_timer()
        if self._dialing is not None:
            self._dialing.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abort()

    def ask(self, *command: bytes) -> Deferred[Any]:
        """Send a command, and return its reply.

        The Deferred may fail with StoreUnavailable: it was not sent; Refused: an error came back;
        AnswerLost: none came.
        """
        if self._connection is None:
            return fail(StoreUnavailable(f"{self._name} is away", self.retry_after_ms))
        asked = self._connection.ask(*command)
        return asked.addCallbacks(self._answered, self._failed)

    def drop(self, why: object) -> None:
        """Give up the connection, and look for another."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._breaker.state is BreakerState.CLOSED:
            self._breaker.lost(self._clock.monotonic())
        self._log.warn("{name} is away: {why}", name=self._name, why=str(why))
        connection.abort()
        self._wait()

    def _answered(self, reply: Any) -> Any:
        if self._connection is not None:
            self._breaker.answered()
        return reply

    def _failed(self, failure: Failure) -> Failure:
        error = failure.value
        if not isinstance(error, Refused):
            raise AnswerLost(f"{self._name} did not answer", self.retry_after_ms) from None
        if self._connection is not None:
            self._judge(error)
        return failure

    def _judge(self, refused: Refused) -> None:
        if refused.meaning is Meaning.ELSEWHERE:
            self.drop(refused)
        elif refused.meaning is not Meaning.LATER:
            self._breaker.answered()
        else:
            self._breaker.failed(self._clock.monotonic())
            if self._breaker.state is BreakerState.OPEN:
                self.drop(refused)

    # The connection.

    def _probe(self) -> Deferred[Any]:
        opening = Deferred.fromCoroutine(self._open())
        opening.addTimeout(self._limits.dial, self._clock.scheduler)
        self._dialing = opening.addCallbacks(self._opened, self._not_opened)
        return opening.addErrback(lambda failure: self._log.failure("a link failed", failure))

    async def _open(self) -> Connection:
        connection = await self._dial()
        await entered(connection, self._heard(connection))
        return connection

    async def _heard(self, connection: Connection) -> None:
        self._beat.heard(await connection.ask(*self._beat.command))

    def _opened(self, connection: Connection) -> None:
        self._dialing = None
        if self._stopped:
            connection.abort()
            return
        self._breaker.answered()
        self._connection = connection
        connection.lost.addCallback(lambda _: self._lost(connection))
        self._log.info("{name} is there", name=self._name)
        self._watch()
        self._rose()

    def _not_opened(self, failure: Failure) -> None:
        self._dialing = None
        if self._stopped:
            return
        why = failure.getErrorMessage()
        self._log.warn("{name} is not to be reached: {why}", name=self._name, why=why)
        self._breaker.lost(self._clock.monotonic())
        self._wait()

    def _lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self.drop("the connection was lost")

    # Time.

    def _wait(self) -> None:
        self._cancel_timer()
        wait = self._breaker.wait_left(self._clock.monotonic())
        self._timer = self._clock.scheduler.callLater(wait, self._retry)

    def _retry(self) -> None:
        self._timer = None
        self._breaker.waited()
        self._probe()

    def _watch(self) -> None:
        """See to the connection, and again when the reply that is due next is late."""
        self._timer = None
        if self._connection is None:
            return
        if self._is_late():
            # If it was this process that stood still, that time does not count.
            stood_still = max(0.0, self._clock.monotonic() - self._due_at)
            wait = min(stood_still, self._limits.reply)
            self._timer = self._clock.scheduler.callLater(wait, self._read_first)
            return
        if self._connection.oldest is None:
            beat = self.ask(*self._beat.command).addCallback(self._beat.heard)
            beat.addErrback(lambda failure: self.drop(failure.getErrorMessage()))
        patience = self._patience_left()
        self._due_at = self._clock.monotonic() + patience
        self._timer = self._clock.scheduler.callLater(patience, self._watch)

    def _read_first(self) -> None:
        # The reactor does what is due before it reads what is there.
        self._timer = self._clock.scheduler.callLater(0, self._watch_once_more)

    def _watch_once_more(self) -> None:
        self._timer = None
        if self._is_late():
            self.drop("it does not answer")
        else:
            self._watch()

    def _is_late(self) -> bool:
        return self._patience_left() <= 0.0

    def _patience_left(self) -> float:
        """Return the seconds that are left for the reply that is due next."""
        if self._connection is None or self._connection.oldest is None:
            return self._limits.reply
        return self._connection.oldest + self._limits.reply - self._clock.monotonic()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def entered(connection: Connection, steps: Awaitable[object]) -> Connection:
    """Take the steps with which a connection begins, and return it; end it if they fail."""
    try:
        await steps
    except BaseException:
        connection.abort()
        raise
    return connection
