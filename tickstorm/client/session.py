"""The client's side of one conversation, as a state machine without sockets or clocks.

Bytes and the time go in; events and bytes to send come out. Whatever the server sends that is not
among the transitions of its state, or that is no frame, ends it with one error.
"""

from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from tickstorm.client.backoff import may_retry
from tickstorm.client.events import (
    Authenticated,
    BatchReceived,
    Gap,
    Garbled,
    Repeated,
    ServerError,
    SessionEvent,
    Silent,
)
from tickstorm.client.messages import (
    decode_ack,
    decode_batch,
    decode_error,
    decode_gap,
    decode_goaway,
    decode_pong,
    heartbeat_frame,
    login_frame,
    subscribed,
    subscription_frame,
    unsubscription_frame,
)
from tickstorm.client.sequence import SequenceTracker
from tickstorm.client.states import State, Step, next_state
from tickstorm.errors import InvalidAuth, InvalidMessage, InvalidSubscription, ProtocolError
from tickstorm.frames import MAX_PAYLOAD_BYTES, Frame, FrameDecoder, FrameType
from tickstorm.messages import Login
from tickstorm.subscriptions import Subscription

HEARTBEAT_SPREAD = 0.2
"""Heartbeats come up to this part of their interval early, so that clients that connected together
do not send together."""
LATE = 1.0
"""Seconds. A deadline that is looked at later than this says that this side was busy or asleep, not
that the server was silent."""

_ACKNOWLEDGED = {
    int(FrameType.AUTH): Step.LOGIN_ACKNOWLEDGED,
    int(FrameType.SUBSCRIBE): Step.SUBSCRIPTION_ACKNOWLEDGED,
    int(FrameType.UNSUBSCRIBE): Step.UNSUBSCRIPTION_ACKNOWLEDGED,
}


class SessionLimits(NamedTuple):
    """What a server is held to: seconds for each answer before the stream, bytes of a payload."""

    answer_timeout: float = 10.0
    max_payload_bytes: int = MAX_PAYLOAD_BYTES


class Session:
    """One conversation, from its AUTH to its end.

    Args:
        login: who to be.
        subscription: what to ask for.
        sequence: follows the numbers; shared by all conversations about this subscription.
        random: gives a number from 0 up to but not including 1.
        limits: what the server is held to.
        now: the present, in seconds of any monotonic clock.
    """

    def __init__(
        self,
        login: Login,
        subscription: Subscription,
        sequence: SequenceTracker,
        *,
        random: Callable[[], float],
        limits: SessionLimits,
        now: float,
    ) -> None:
        self._state = State.AUTHENTICATING
        self._subscription = subscription
        self._sequence = sequence
        self._random = random
        self._decoder = FrameDecoder(limits.max_payload_bytes)
        self._events: deque[SessionEvent] = deque()
        self._out = [login_frame(login)]
        self._timeout = limits.answer_timeout
        self._interval = inf
        self._heard_at = now  # infinity while nothing is being read
        self._heartbeat_at = inf
        self._heartbeats = 0
        self._received_ns = 0
        self._gap: Gap | None = None

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
        return min(self._heartbeat_at, self._heard_at + self._timeout)

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        output = b"".join(self._out)
        self._out.clear()
        return output

    def feed(self, data: bytes, now: float, wall_ns: int) -> None:
        """Add what arrived; then take events until there is none."""
        self._received_ns = wall_ns
        self._heard_at = max(self._heard_at, now)
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
        self._heard_at = inf

    def resume(self, now: float) -> None:
        """Note that what arrives is read again."""
        self._heard_at = now

    def wake(self, now: float, wall_ms: int) -> Silent | None:
        """Send the heartbeat that is due, or end a conversation whose server is silent."""
        if now >= self.deadline + LATE:
            self._heard_at = max(self._heard_at, now)
        if now >= self._heard_at + self._timeout:
            self.close()
            return Silent(self._timeout)
        if now >= self._heartbeat_at:
            self._heartbeats += 1
            self._out.append(heartbeat_frame(wall_ms, self._heartbeats))
            self._schedule_heartbeat(now)
        return None

    def change(self, subscription: Subscription, sequence: SequenceTracker) -> None:
        """Ask for something else instead; of the subscription before, nothing comes any more."""
        if self._state is State.CLOSED:
            return
        streaming = self._state is State.STREAMING
        self._step(Step.CHANGE)
        self._subscription, self._sequence, self._gap = subscription, sequence, None
        if streaming:
            self._events.clear()
            self._out.append(unsubscription_frame())

    def close(self) -> None:
        """End it: nothing is read any more."""
        if self._state is not State.CLOSED:
            self._step(Step.ENDED)

    def _step(self, step: Step) -> None:
        self._state = next_state(self._state, step)

    def _schedule_heartbeat(self, now: float) -> None:
        self._heartbeat_at = now + self._interval * (1 - HEARTBEAT_SPREAD * self._random())

    def _read(self, frame: Frame) -> None:
        match frame.type:
            case FrameType.DATA_BATCH:
                self._read_batch(frame.payload)
            case FrameType.GAP:
                self._read_gap(frame.payload)
            case FrameType.PONG:
                self._read_pong(frame.payload)
            case FrameType.ACK:
                self._read_ack(frame.payload)
            case FrameType.ERROR:
                self._read_error(frame.payload)
            case FrameType.GOAWAY:
                self._read_goaway(frame.payload)
            case unexpected:
                raise InvalidMessage(f"a server does not send {unexpected.name}")

    def _read_batch(self, payload: bytes) -> None:
        self._step(Step.BATCH)
        if self._state is not State.STREAMING:
            return
        batch = decode_batch(payload, self._received_ns)
        wrong = None
        if not batch.is_snapshot:
            self._tell_gap()
            wrong = self._sequence.received(batch.sequence)
        if wrong is not None:
            self._events.append(wrong)
        if not isinstance(wrong, Repeated):
            self._events.append(BatchReceived(batch))

    def _read_gap(self, payload: bytes) -> None:
        self._step(Step.GAP)
        gap = decode_gap(payload)
        if self._state is not State.STREAMING:
            return
        self._tell_gap()
        # Only with the batch behind it is it past: should the connection break before, the next one
        # goes on in front of it.
        self._gap = gap

    def _tell_gap(self) -> None:
        gap, self._gap = self._gap, None
        if gap is not None:
            self._events.extend(self._sequence.lost(gap))

    def _read_pong(self, payload: bytes) -> None:
        self._step(Step.PONG)
        pong = decode_pong(payload)
        if self._state is not State.STREAMING or not pong.epoch or self._gap is not None:
            return
        missed = self._sequence.announced(pong.epoch, pong.next_sequence)
        if missed is not None:
            self._events.append(missed)

    def _read_goaway(self, payload: bytes) -> None:
        self._step(Step.GOAWAY)
        self._events.append(decode_goaway(payload))

    def _read_ack(self, payload: bytes) -> None:
        ack = decode_ack(payload)
        step = _ACKNOWLEDGED.get(ack.acknowledged)
        if step is None:
            raise InvalidMessage(f"an ACK of request {ack.acknowledged}, which was not made")
        self._step(step)
        if not ack.success:
            refusal = InvalidAuth if step is Step.LOGIN_ACKNOWLEDGED else InvalidSubscription
            self._refused(refusal(ack.message))
            return
        if step is Step.LOGIN_ACKNOWLEDGED:
            self._events.append(Authenticated())
        if self._state is State.SUBSCRIBING:
            self._out.append(subscription_frame(self._subscription))
        elif self._state is State.UNSUBSCRIBING:
            self._out.append(unsubscription_frame())
        else:
            self._read_terms(ack.metadata)

    def _read_terms(self, metadata: Mapping[str, str]) -> None:
        terms = subscribed(metadata)
        self._interval, self._timeout = terms.heartbeat_interval, terms.heartbeat_timeout
        self._schedule_heartbeat(self._heard_at)
        self._events.append(terms)
        recovered = terms.recovered if self._subscription.resume is not None else None
        missed = self._sequence.subscribed(terms.epoch, terms.next_sequence, recovered)
        if missed is not None:
            self._events.append(missed)

    def _refused(self, error: ProtocolError) -> None:
        self.close()
        self._events.append(ServerError(error, retryable=False))

    def _read_error(self, payload: bytes) -> None:
        error, told = decode_error(payload)
        # A server that does not know UNSUBSCRIBE says so, and gets the other SUBSCRIBE at once on
        # the next connection.
        unknown = self._state is State.UNSUBSCRIBING and isinstance(error, InvalidMessage)
        self._step(Step.ENDED if error.closes else Step.REFUSAL)
        self._events.append(ServerError(error, unknown or may_retry(error, told)))
