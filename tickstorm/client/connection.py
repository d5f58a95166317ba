"""One connection, from dialing to its end: moves bytes, time and events, and decides nothing.

It ends once, with one reason. While the consumer has no room nothing is read, neither from the
socket nor from what was read before, and a connection that is lost meanwhile ends only when all
that it brought has been taken.
"""

from collections.abc import Callable
from enum import Enum, auto, unique
from math import inf
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tickstorm.client.events import (
    Admitted,
    Entered,
    Garbled,
    GoAway,
    ServerError,
    Silent,
    Subscribed,
)
from tickstorm.client.interfaces import Framework, Link, Timer
from tickstorm.errors import ShuttingDown

LINGER = 2.0
"""Seconds that a server has to close its side before the connection is cut."""


@unique
class Phase(Enum):
    """What there is of a connection."""

    DIALING = auto()
    OPEN = auto()
    PAUSED = auto()
    """Nothing is read: the consumer has no room."""
    LOST = auto()
    """The link is gone, and what it brought waits for room."""
    CLOSING = auto()
    """It has ended, and its link is still there."""
    GONE = auto()


class Ending(NamedTuple):
    """Why a connection ended.

    Attributes:
        error: what went wrong.
        retryable: whether another may do better.
        retry_after_ms: how long the server wants to be left alone.
        streamed_for: seconds that it lasted behind the login, or the subscription if it is for one.
    """

    error: Exception
    retryable: bool = True
    retry_after_ms: int = 0
    streamed_for: float = 0.0


Said_co = TypeVar("Said_co", covariant=True)
"""The events of a conversation."""
Heard_contra = TypeVar("Heard_contra", contravariant=True)
E = TypeVar("E")


class Conversation(Protocol[Said_co]):
    """What a connection carries: bytes and the time go in, events and bytes to send come out."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""

    @property
    def deadline(self) -> float:
        """When to `wake` it; infinity once it is over."""

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""

    def feed(self, data: bytes, now: float, wall_ns: int) -> None:
        """Add what arrived; then take events until there is none."""

    def next_event(self) -> Said_co | None:
        """Return what the next frame means, or None until more is fed."""

    def pause(self) -> None:
        """Note that nothing is read from now on."""

    def resume(self, now: float) -> None:
        """Note that what arrives is read again."""

    def wake(self, now: float, wall_ms: int) -> Silent | None:
        """Do what is due, or end it because the server is silent."""

    def close(self) -> None:
        """End it: nothing is read any more."""


class Owner(Protocol[Heard_contra]):
    """What a connection asks of its client."""

    @property
    def full(self) -> bool:
        """Whether there is no room for a batch."""

    def heard(self, event: Heard_contra | Silent) -> None:
        """Take what the server said."""

    def ended(self, ending: Ending) -> None:
        """Take note of the end; once, unless it was `close`d."""

    def gone(self) -> None:
        """Take note that there is no link any more, once it was `close`d or had ended."""


class Connection(Generic[E]):
    """One attempt to be connected, and what comes of it.

    Args:
        framework: dials, and has the time.
        owner: gets what comes.
        begin: makes the session, at a monotonic time.
        connect_timeout: seconds to get through.
    """

    def __init__(
        self,
        framework: Framework,
        owner: Owner[E],
        begin: Callable[[float], Conversation[E]],
        connect_timeout: float,
    ) -> None:
        self._framework = framework
        self._owner = owner
        self._begin = begin
        self._connect_timeout = connect_timeout
        self._phase = Phase.DIALING
        self._timer: Timer | None = None
        self._dialing: Any = None
        self._link: Link | None = None
        self._session: Conversation[E] | None = None
        self._settled_at: float | None = None
        self._armed_for = inf
        self._loss: Exception | None = None

    @property
    def gone(self) -> bool:
        """Whether it has ended, and there is no link any more."""
        return self._phase is Phase.GONE

    def start(self) -> None:
        """Dial."""
        self._set_timer(self._connect_timeout, self._dial_timed_out)
        self._dialing = self._framework.dial(self)
        self._framework.futures.add_callbacks(self._dialing, None, self._dial_failed)

    def make_room(self) -> None:
        """Go on: the consumer has room again."""
        if self._phase is Phase.PAUSED:
            self._phase = Phase.OPEN
            self._open_session.resume(self._framework.monotonic())
            self._advance()
            self._resume()
        elif self._phase is Phase.LOST:
            self._advance()
            self._finish_loss()

    def send(self) -> None:
        """Send what the conversation has to say by now."""
        if self._phase in (Phase.OPEN, Phase.PAUSED):
            self._say()
            self._arm_earlier()

    def close(self) -> None:
        """End it; all that the owner hears of it from now on is that it is gone."""
        if self._phase is Phase.DIALING:
            self._stop(Phase.GONE)
            self._give_up_dialing()
        elif self._phase in (Phase.OPEN, Phase.PAUSED):
            self._hang_up()
        elif self._phase is Phase.LOST:
            self._stop(Phase.GONE)
        self._tell_gone()

    # What the link calls.

    def connected(self, link: Link) -> None:
        """Begin the conversation."""
        if self._phase is not Phase.DIALING:
            link.abort()
            return
        self._phase = Phase.OPEN
        self._link = link
        self._session = self._begin(self._framework.monotonic())
        self._say()
        self._arm()

    def received(self, data: bytes) -> None:
        """Read."""
        if self._phase not in (Phase.OPEN, Phase.PAUSED):
            return
        self._open_session.feed(data, self._framework.monotonic(), self._framework.wall_ns())
        if self._phase is Phase.OPEN:
            self._advance()

    def lost(self, error: Exception) -> None:
        """End it, once what it brought has been taken."""
        if self._phase is Phase.CLOSING:
            self._stop(Phase.GONE)
        elif self._phase in (Phase.OPEN, Phase.PAUSED):
            self._cancel_timer()
            self._loss = error
            paused, self._phase = self._phase is Phase.PAUSED, Phase.LOST
            if not paused:
                self._finish_loss()
        self._tell_gone()

    # The conversation.

    @property
    def _open_session(self) -> Conversation[E]:
        assert self._session is not None
        return self._session

    @property
    def _open_link(self) -> Link:
        assert self._link is not None
        return self._link

    def _advance(self) -> None:
        while self._phase in (Phase.OPEN, Phase.LOST) and not self._owner.full:
            event = self._open_session.next_event()
            if event is None:
                break
            self._act(event)
        self._say()
        self._arm_earlier()
        if self._phase is Phase.OPEN and self._owner.full:
            self._phase = Phase.PAUSED
            self._open_session.pause()
            self._open_link.pause()

    def _resume(self) -> None:
        if self._phase is Phase.OPEN:
            self._open_link.resume()

    def _act(self, event: E) -> None:
        self._owner.heard(event)
        if isinstance(event, Subscribed | Admitted | Entered):
            if self._settled_at is None:  # another subscription makes it no younger
                self._settled_at = self._framework.monotonic()
            self._arm()
        elif isinstance(event, Garbled):
            self._fail(Ending(event.error))
        elif isinstance(event, ServerError) and self._open_session.over:
            self._fail(Ending(event.error, event.retryable, event.error.retry_after_ms))
        elif isinstance(event, GoAway):
            error = ShuttingDown(event.reason, retry_after_ms=event.retry_after_ms)
            self._fail(Ending(error, retry_after_ms=event.retry_after_ms), self._hang_up)

    def _say(self) -> None:
        output = self._open_session.take_output()
        if output and self._phase in (Phase.OPEN, Phase.PAUSED):
            self._open_link.write(output)

    # Time.

    def _arm(self) -> None:
        if self._phase in (Phase.OPEN, Phase.PAUSED):
            self._armed_for = self._open_session.deadline
            self._cancel_timer()
            if self._armed_for < inf:
                wait = self._armed_for - self._framework.monotonic()
                self._set_timer(max(0.0, wait), self._wake)

    def _arm_earlier(self) -> None:
        if self._phase in (Phase.OPEN, Phase.PAUSED) and (
            self._open_session.deadline < self._armed_for
        ):
            self._arm()

    def _wake(self) -> None:
        self._timer = None
        now, wall_ns = self._framework.monotonic(), self._framework.wall_ns()
        silent = self._open_session.wake(now, wall_ns // 1_000_000)
        if silent is None:
            self._say()
            self._arm()
        else:
            self._owner.heard(silent)
            self._fail(Ending(_silence(silent)))

    def _set_timer(self, delay: float, call: Callable[[], object]) -> None:
        self._cancel_timer()
        self._timer = self._framework.call_later(delay, call)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # The end.

    def _dial_timed_out(self) -> None:
        self._timer = None
        self._stop(Phase.GONE)
        self._give_up_dialing()
        self._owner.ended(Ending(TimeoutError(f"no connection in {self._connect_timeout:g} s")))

    def _dial_failed(self, failure: Any) -> None:
        if self._phase is Phase.DIALING:
            self._stop(Phase.GONE)
            self._owner.ended(Ending(failure.value))

    def _give_up_dialing(self) -> None:
        if self._dialing is not None and not self._framework.futures.is_called(self._dialing):
            self._framework.futures.cancel(self._dialing)

    def _finish_loss(self) -> None:
        if self._phase is Phase.LOST and self._loss is not None and not self._owner.full:
            self._fail(Ending(self._loss))

    def _fail(self, ending: Ending, part: Callable[[], None] | None = None) -> None:
        if self._phase in (Phase.CLOSING, Phase.GONE):
            return
        now = self._framework.monotonic()
        lasted = 0.0 if self._settled_at is None else now - self._settled_at
        if self._phase is Phase.LOST:
            self._stop(Phase.GONE)
        else:
            (part or self._break_off)()
        self._owner.ended(ending._replace(streamed_for=lasted))

    def _break_off(self) -> None:
        self._stop(Phase.CLOSING)
        self._open_link.abort()

    def _hang_up(self) -> None:
        self._stop(Phase.CLOSING)
        self._open_link.resume()  # a TLS connection closes in both directions
        self._open_link.close()
        self._set_timer(LINGER, self._cut)

    def _cut(self) -> None:
        self._timer = None
        self._open_link.abort()

    def _stop(self, phase: Phase) -> None:
        self._cancel_timer()
        self._phase = phase
        if self._session is not None:
            self._session.close()

    def _tell_gone(self) -> None:
        if self.gone:
            self._owner.gone()


def _silence(silent: Silent) -> Exception:
    return TimeoutError(f"connected, but nothing came for {silent.seconds:g} s")
