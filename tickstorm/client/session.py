"""The subscriber's side of one conversation, as a state machine without sockets or clocks."""

from collections.abc import Callable, Mapping

from tickstorm.client.backoff import may_retry
from tickstorm.client.dialogue import Dialogue, SessionLimits
from tickstorm.client.events import (
    Authenticated,
    BatchReceived,
    Gap,
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
    subscription_frame,
    unsubscription_frame,
)
from tickstorm.client.sequence import SequenceTracker
from tickstorm.client.states import SUBSCRIBER, State, Step, acknowledged
from tickstorm.client.terms import subscribed
from tickstorm.errors import InvalidAuth, InvalidMessage, InvalidSubscription
from tickstorm.frames import Frame, FrameType
from tickstorm.messages import Login
from tickstorm.subscriptions import Subscription


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
        self._dialogue: Dialogue[SessionEvent] = Dialogue(
            login, SUBSCRIBER, self._read, random=random, limits=limits, now=now
        )
        self._subscription = subscription
        self._sequence = sequence
        self._received_ns = 0
        self._gap: Gap | None = None

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
        return self._dialogue.deadline

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        return self._dialogue.take_output()

    def feed(self, data: bytes, now: float, wall_ns: int) -> None:
        """Add what arrived; then take events until there is none."""
        self._received_ns = wall_ns
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
        """Send the heartbeat that is due, or end a conversation whose server is silent."""
        return self._dialogue.wake(now, wall_ms)

    def change(self, subscription: Subscription, sequence: SequenceTracker) -> None:
        """Ask for something else instead; of the subscription before, nothing comes any more."""
        if self.over:
            return
        streaming = self.state is State.STREAMING
        self._dialogue.step(Step.CHANGE)
        self._subscription, self._sequence, self._gap = subscription, sequence, None
        if streaming:
            self._dialogue.drop_events()
            self._dialogue.send(unsubscription_frame())

    def close(self) -> None:
        """End it: nothing is read any more."""
        self._dialogue.close()

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
        self._dialogue.step(Step.BATCH)
        if self.state is not State.STREAMING:
            return
        batch = decode_batch(payload, self._received_ns)
        wrong = None
        if not batch.is_snapshot:
            self._tell_gap()
            wrong = self._sequence.received(batch.sequence)
        if wrong is not None:
            self._dialogue.tell(wrong)
        if not isinstance(wrong, Repeated):
            self._dialogue.tell(BatchReceived(batch))

    def _read_gap(self, payload: bytes) -> None:
        self._dialogue.step(Step.GAP)
        gap = decode_gap(payload)
        if self.state is not State.STREAMING:
            return
        self._tell_gap()
        # Only with the batch behind it is it past: should the connection break before, the next one
        # goes on in front of it.
        self._gap = gap

    def _tell_gap(self) -> None:
        gap, self._gap = self._gap, None
        if gap is not None:
            self._dialogue.tell(*self._sequence.lost(gap))

    def _read_pong(self, payload: bytes) -> None:
        self._dialogue.step(Step.PONG)
        pong = decode_pong(payload)
        if self.state is not State.STREAMING or not pong.epoch or self._gap is not None:
            return
        missed = self._sequence.announced(pong.epoch, pong.next_sequence)
        if missed is not None:
            self._dialogue.tell(missed)

    def _read_goaway(self, payload: bytes) -> None:
        self._dialogue.step(Step.GOAWAY)
        self._dialogue.tell(decode_goaway(payload))

    def _read_ack(self, payload: bytes) -> None:
        ack = decode_ack(payload)
        step = acknowledged(ack.acknowledged)
        self._dialogue.step(step)
        if not ack.success:
            refusal = InvalidAuth if step is Step.LOGIN_ACKNOWLEDGED else InvalidSubscription
            self._dialogue.end(ServerError(refusal(ack.message), retryable=False))
            return
        if step is Step.LOGIN_ACKNOWLEDGED:
            self._dialogue.tell(Authenticated())
        if self.state is State.SUBSCRIBING:
            self._dialogue.send(subscription_frame(self._subscription))
        elif self.state is State.UNSUBSCRIBING:
            self._dialogue.send(unsubscription_frame())
        else:
            self._read_terms(ack.metadata)

    def _read_terms(self, metadata: Mapping[str, str]) -> None:
        terms = subscribed(metadata)
        self._dialogue.settle(terms.heartbeat_interval, terms.heartbeat_timeout)
        self._dialogue.tell(terms)
        recovered = terms.recovered if self._subscription.resume is not None else None
        missed = self._sequence.subscribed(terms.epoch, terms.next_sequence, recovered)
        if missed is not None:
            self._dialogue.tell(missed)

    def _read_error(self, payload: bytes) -> None:
        error, told = decode_error(payload)
        # A server that does not know UNSUBSCRIBE says so, and gets the other SUBSCRIBE at once on
        # the next connection.
        unknown = self.state is State.UNSUBSCRIBING and isinstance(error, InvalidMessage)
        self._dialogue.step(Step.ENDED if error.closes else Step.REFUSAL)
        if self.state is State.SUBSCRIBING:  # what it refuses is no longer wanted
            self._dialogue.send(subscription_frame(self._subscription))
            return
        self._dialogue.tell(ServerError(error, unknown or may_retry(error, told)))
