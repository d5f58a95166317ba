"""The publisher's side of one conversation, as a state machine without sockets or clocks."""

from collections.abc import Callable
from typing import NamedTuple

from tickstorm.client.backoff import may_retry
from tickstorm.client.dialogue import Dialogue, SessionLimits
from tickstorm.client.events import Admitted, Garbled, Held, ServerError, Silent
from tickstorm.client.messages import (
    Ack,
    decode_ack,
    decode_error,
    decode_pong,
    refusal,
    refused_request,
)
from tickstorm.client.states import PUBLISHER, State, Step, acknowledged
from tickstorm.client.terms import admitted, publication_answered
from tickstorm.client.window import Window
from tickstorm.errors import InvalidAuth, InvalidMessage, PublishingTooFast
from tickstorm.frames import Frame, FrameType
from tickstorm.messages import Login


class CallsEnded(NamedTuple):
    """The window has calls of which all is published, or no more will be."""


SessionEvent = Admitted | CallsEnded | Held | ServerError | Garbled | Silent


class PublisherSession:
    """One conversation, from its AUTH to its end.

    Args:
        login: who to be.
        window: what to publish; shared by all conversations of this publisher, one at a time.
        random: gives a number from 0 up to but not including 1.
        limits: what the server is held to.
        now: the present, in seconds of any monotonic clock.
    """

    def __init__(
        self,
        login: Login,
        window: Window,
        *,
        random: Callable[[], float],
        limits: SessionLimits,
        now: float,
    ) -> None:
        self._dialogue: Dialogue[SessionEvent] = Dialogue(
            login,
            PUBLISHER,
            self._read,
            random=random,
            limits=limits,
            now=now,
            at_end=window.connection_lost,
        )
        self._window = window
        self._now = now

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._dialogue.state

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._dialogue.over

    @property
    def deadline(self) -> float:
        """When to `wake` it; infinity once it is over."""
        if self.state is State.PUBLISHING:
            return min(self._dialogue.deadline, self._window.deadline)
        # Nothing is sent yet of what the window holds, however long that has been due.
        return self._dialogue.deadline

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        if self.state is State.PUBLISHING:
            self._dialogue.send(*self._window.frames(self._now))
        return self._dialogue.take_output()

    def feed(
        self,
        data: bytes,
        now: float,
        wall_ns: int,  # noqa: ARG002 - what comes here has no time
    ) -> None:
        """Add what arrived; then take events until there is none."""
        self._now = now
        self._dialogue.feed(data, now)

    def next_event(self) -> SessionEvent | None:
        """Return what the next frame means, or None until more is fed."""
        return self._dialogue.next_event()

    def pause(self) -> None:
        """Note that nothing is read from now on: the server cannot be blamed for silence."""
        self._dialogue.pause()

    def resume(self, now: float) -> None:
        """Note that what arrives is read again."""
        self._dialogue.resume(now)

    def wake(self, now: float, wall_ms: int) -> Silent | None:
        """Send what is due, or end a conversation whose server is silent."""
        self._now = now
        return self._dialogue.wake(now, wall_ms)

    def close(self) -> None:
        """End it: nothing is read any more, and what has no answer is left to the next one."""
        self._dialogue.close()

    def _read(self, frame: Frame) -> None:
        if frame.type is FrameType.ACK:
            self._read_ack(decode_ack(frame.payload))
        elif frame.type is FrameType.ERROR:
            self._read_error(frame.payload)
        elif frame.type is FrameType.PONG:
            self._dialogue.step(Step.PONG)
            decode_pong(frame.payload)
        else:
            raise InvalidMessage(f"{frame.type.name} does not come to who has no subscription")
        if self._window.ended:
            self._dialogue.tell(CallsEnded())

    def _read_ack(self, ack: Ack) -> None:
        step = acknowledged(ack.acknowledged)
        self._dialogue.step(step)
        if step is Step.PUBLICATION_ACKNOWLEDGED:
            self._read_answer(ack)
        elif ack.success:
            self._begin(admitted(ack.metadata))
        else:
            self._dialogue.end(ServerError(InvalidAuth(ack.message), retryable=False))

    def _read_answer(self, ack: Ack) -> None:
        if not ack.success:
            raise InvalidMessage("an ACK of PUBLISH without success, which is an ERROR's to tell")
        request_id, repeated = publication_answered(ack.metadata)
        self._window.acknowledged(request_id, repeated=repeated)

    def _begin(self, terms: Admitted) -> None:
        self._dialogue.settle(terms.heartbeat_interval, terms.heartbeat_timeout)
        self._window.connected(terms.epoch)
        self._dialogue.tell(terms)

    def _read_error(self, payload: bytes) -> None:
        error, told = decode_error(payload)
        request_id = refused_request(error)
        if request_id is None:
            self._dialogue.end(ServerError(error, may_retry(error, told)))
            return
        self._dialogue.step(Step.PUBLICATION_REFUSED)
        error = refusal(error)
        self._window.refused(request_id, error, self._now)
        if isinstance(error, PublishingTooFast) and error.retry_after_ms:
            self._dialogue.tell(Held(error.retry_after_ms / 1000))
