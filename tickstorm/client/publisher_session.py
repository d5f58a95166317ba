"""The publisher's side of one conversation, as a state machine without sockets or clocks.

Bytes and the time go in; events and bytes to send come out. TRANSITIONS is the whole conversation:
whatever the server sends that is not in it, or that is no frame, ends it with one error.
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum, auto, unique
from math import inf
from typing import NamedTuple

from tickstorm.client.backoff import may_retry
from tickstorm.client.events import Admitted, Garbled, Held, ServerError, Silent
from tickstorm.client.messages import (
    Ack,
    admitted,
    decode_ack,
    decode_error,
    decode_pong,
    login_frame,
    publication_answered,
    refusal,
    refused_request,
)
from tickstorm.client.publication import Call
from tickstorm.client.pulse import Pulse
from tickstorm.client.session import SessionLimits
from tickstorm.client.window import Window
from tickstorm.errors import InvalidAuth, InvalidMessage, ProtocolError, PublishingTooFast
from tickstorm.frames import Frame, FrameDecoder, FrameType
from tickstorm.messages import Login


@unique
class State(Enum):
    """Where a conversation stands."""

    AUTHENTICATING = auto()
    PUBLISHING = auto()
    CLOSED = auto()


@unique
class Step(Enum):
    """What moves a conversation: an answer of the server's, or the end."""

    LOGIN_ACKNOWLEDGED = auto()
    PUBLICATION_ACKNOWLEDGED = auto()
    PUBLICATION_REFUSED = auto()
    PONG = auto()
    ENDED = auto()


TRANSITIONS: Mapping[tuple[State, Step], State] = {
    (State.AUTHENTICATING, Step.LOGIN_ACKNOWLEDGED): State.PUBLISHING,
    (State.PUBLISHING, Step.PUBLICATION_ACKNOWLEDGED): State.PUBLISHING,
    (State.PUBLISHING, Step.PUBLICATION_REFUSED): State.PUBLISHING,
    (State.PUBLISHING, Step.PONG): State.PUBLISHING,
    (State.AUTHENTICATING, Step.ENDED): State.CLOSED,
    (State.PUBLISHING, Step.ENDED): State.CLOSED,
}

_ACKNOWLEDGED = {
    int(FrameType.AUTH): Step.LOGIN_ACKNOWLEDGED,
    int(FrameType.PUBLISH): Step.PUBLICATION_ACKNOWLEDGED,
}


def next_state(state: State, step: Step) -> State:
    """Return where `step` leads from `state`.

    Raises:
        InvalidMessage: TRANSITIONS has no such step; the error names both.
    """
    following = TRANSITIONS.get((state, step))
    if following is None:
        raise InvalidMessage(f"{step.name} is not expected while {state.name}")
    return following


class CallEnded(NamedTuple):
    """All of a call is published, or no more of it will be."""

    call: Call


SessionEvent = Admitted | CallEnded | Held | ServerError | Garbled | Silent


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
        self._state = State.AUTHENTICATING
        self._window = window
        self._decoder = FrameDecoder(limits.max_payload_bytes)
        self._pulse = Pulse(limits.answer_timeout, random, now)
        self._events: deque[SessionEvent] = deque()
        self._out = [login_frame(login)]
        self._now = now

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._state

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._state is State.CLOSED

    @property
    def deadline(self) -> float:
        """When to `wake` it; infinity once it is over."""
        if self._state is State.CLOSED:
            return inf
        if self._state is State.AUTHENTICATING:
            # Nothing is sent yet of what the window holds, however long that has been due.
            return self._pulse.deadline
        return min(self._pulse.deadline, self._window.deadline)

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        if self._state is State.PUBLISHING:
            self._out += self._window.frames(self._now)
        output = b"".join(self._out)
        self._out.clear()
        return output

    def feed(
        self,
        data: bytes,
        now: float,
        wall_ns: int,  # noqa: ARG002 - what comes here has no time
    ) -> None:
        """Add what arrived; then take events until there is none."""
        self._now = now
        self._pulse.heard(now)
        self._decoder.feed(data)

    def next_event(self) -> SessionEvent | None:
        """Return what the next frame means, or None until more is fed."""
        while not self._events and self._state is not State.CLOSED:
            try:
                frame = self._decoder.next_frame()
                if frame is None:
                    return None
                self._read(frame)
            except ProtocolError as error:
                self.close()
                self._events.append(Garbled(error))
        return self._events.popleft() if self._events else None

    def pause(self) -> None:
        """Note that nothing is read from now on: the server cannot be blamed for silence."""
        self._pulse.pause()

    def resume(self, now: float) -> None:
        """Note that what arrives is read again."""
        self._pulse.resume(now)

    def wake(self, now: float, wall_ms: int) -> Silent | None:
        """Send what is due, or end a conversation whose server is silent."""
        self._now = now
        beat = self._pulse.wake(now, wall_ms)
        if isinstance(beat, Silent):
            self.close()
            return beat
        self._out.append(beat)
        return None

    def close(self) -> None:
        """End it: nothing is read any more, and what has no answer is left to the next one."""
        if self._state is not State.CLOSED:
            self._step(Step.ENDED)

    def _step(self, step: Step) -> None:
        self._state = next_state(self._state, step)
        if self._state is State.CLOSED:
            self._window.connection_lost()

    def _read(self, frame: Frame) -> None:
        if frame.type is FrameType.ACK:
            self._read_ack(decode_ack(frame.payload))
        elif frame.type is FrameType.ERROR:
            self._read_error(frame.payload)
        elif frame.type is FrameType.PONG:
            self._step(Step.PONG)
            decode_pong(frame.payload)
        else:
            raise InvalidMessage(f"{frame.type.name} does not come to who has no subscription")
        while self._window.ended:
            self._events.append(CallEnded(self._window.ended.popleft()))

    def _read_ack(self, ack: Ack) -> None:
        step = _ACKNOWLEDGED.get(ack.acknowledged)
        if step is None:
            raise InvalidMessage(f"an ACK of request {ack.acknowledged}, which was not made")
        self._step(step)
        if step is Step.PUBLICATION_ACKNOWLEDGED:
            request_id, repeated = publication_answered(ack.metadata)
            self._window.acknowledged(request_id, repeated=repeated)
        elif ack.success:
            self._begin(admitted(ack.metadata))
        else:
            self.close()
            self._events.append(ServerError(InvalidAuth(ack.message), retryable=False))

    def _begin(self, terms: Admitted) -> None:
        self._pulse.settle(terms.heartbeat_interval, terms.heartbeat_timeout)
        self._window.connected(terms.epoch)
        self._events.append(terms)

    def _read_error(self, payload: bytes) -> None:
        error, told = decode_error(payload)
        request_id = refused_request(error)
        if request_id is None:
            self._step(Step.ENDED)
            self._events.append(ServerError(error, may_retry(error, told)))
            return
        self._step(Step.PUBLICATION_REFUSED)
        error = refusal(error)
        self._window.refused(request_id, error, self._now)
        if isinstance(error, PublishingTooFast) and error.retry_after_ms:
            self._events.append(Held(error.retry_after_ms / 1000))
