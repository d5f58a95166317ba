"""One connection's conversation, as a state machine without sockets or clocks.

Bytes and the time go in; events (past facts for the edge to act on) and bytes to send come out.
A step that `tickstorm.states` does not have is one error, and an error that closes is the last
thing that is sent. Nothing after it is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import inf
from typing import NamedTuple, Protocol

from tickstorm.errors import (
    AlreadySubscribed,
    AuthRequired,
    HeartbeatTimeout,
    InternalError,
    InvalidMessage,
    InvalidSubscription,
    MayNotPublish,
    ProtocolError,
)
from tickstorm.events import (
    Event,
    Failed,
    LoginRequested,
    PublicationRequested,
    Refused,
    SubscriptionRequested,
    Unsubscribed,
)
from tickstorm.frames import MAX_PAYLOAD_BYTES, Frame, FrameDecoder, FrameType, sole_payload
from tickstorm.messages import (
    Heartbeat,
    ack_frame,
    check_unsubscription,
    decode_heartbeat,
    decode_login,
    decode_publication,
    decode_request_id,
    error_frame,
    pong_frame,
    request_details,
)
from tickstorm.states import State, Step, next_state
from tickstorm.subscriptions import Subscription, decode_subscription
from tickstorm.ticks import NO_METADATA

_WAITING = (State.AUTHENTICATING, State.SUBSCRIBING)
"""Where this side owes an answer, and nothing is read until it is there."""
_UNREAD = (*_WAITING, State.CLOSED)

MAX_HELD_BYTES = 262_144
"""What a client may send behind a request that is not answered yet: some reads of a socket."""
MAX_HEARTBEAT_BYTES = 64
"""A longer HEARTBEAT frame has what none needs, and is read as any other frame."""


class SessionLimits(NamedTuple):
    """What a session is held to: seconds on the clock that `now` comes from, and bytes."""

    auth_timeout: float = 10.0
    heartbeat_interval: float = 15.0
    heartbeat_timeout: float = 20.0
    max_payload_bytes: int = MAX_PAYLOAD_BYTES


class Place(Protocol):
    """Where a client is in its stream."""

    @property
    def epoch(self) -> str:
        """Names the run of the stream's numbers."""

    @property
    def next_sequence(self) -> int:
        """The number of the batch that comes next."""


class Publishing(Protocol):
    """The requests to publish of a client that may publish."""

    @property
    def publishing_epoch(self) -> str:
        """Names the run of the server, in which they are remembered."""

    @property
    def is_full(self) -> bool:
        """Whether so many are unanswered that nothing is read until one of them is."""


class Session:
    """The server's side of one conversation.

    Args:
        limits: the deadlines and sizes.
        now: the present, in seconds of any monotonic clock.
    """

    __slots__ = (
        "_alive_at",
        "_decoder",
        "_limits",
        "_out",
        "_place",
        "_publishing",
        "_state",
        "_subscription",
    )

    def __init__(self, limits: SessionLimits, now: float) -> None:
        self._limits = limits
        self._state = State.AWAITING_AUTH
        self._alive_at = now
        self._decoder: FrameDecoder | None = None
        self._out: list[bytes] | None = None
        self._subscription: Subscription | None = None
        self._place: Place | None = None
        self._publishing: Publishing | None = None

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._state

    @property
    def deadline(self) -> float:
        """The time at which `expire` ends the conversation if nothing more is heard."""
        if self._state is State.CLOSED:
            return inf
        if self._state in (State.AWAITING_AUTH, State.AUTHENTICATING):
            return self._alive_at + self._limits.auth_timeout
        return self._alive_at + self._limits.heartbeat_timeout

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        if self._out is None:
            return b""
        out, self._out = self._out, None
        return out[0] if len(out) == 1 else b"".join(out)

    def receive(self, data: bytes, now: float, wall_ms: int) -> Iterable[Event]:
        """Read what arrived, and return what it means, one event at a time.

        Act on each event before taking the next: the frames behind it are judged by the state
        that the answer leaves. Call again with no data after an answer that came later, for the
        frames that the client sent behind its request, and when there is room for requests to
        publish once more.
        """
        if self._is_mere_heartbeat(data, now, wall_ms):
            return ()
        return self._read(data, now, wall_ms)

    def accept_login(self, now: float, wall_ms: int, publishing: Publishing | None = None) -> None:
        """Answer LoginRequested: the client is who it says.

        Args:
            now: the present.
            wall_ms: the same on the wall clock.
            publishing: knows of the client's requests; None if it may not publish: its ACK is bare.
        """
        self._state = next_state(self._state, Step.LOGIN_ACCEPTED)
        self._alive_at = now
        self._publishing = publishing
        metadata = NO_METADATA
        if publishing is not None:
            metadata = {**_intervals(self._limits), "epoch": publishing.publishing_epoch}
        self._put(ack_frame(FrameType.AUTH, "authenticated", wall_ms, metadata))

    def accept_subscription(
        self, subscription: Subscription, metadata: Mapping[str, str], place: Place, wall_ms: int
    ) -> None:
        """Answer SubscriptionRequested: what is sent next are its batches.

        Args:
            subscription: what was accepted.
            metadata: what the client is told of it, beside its heartbeats.
            place: knows at any time which batch comes next.
            wall_ms: milliseconds since the Unix epoch.
        """
        self._state = next_state(self._state, Step.SUBSCRIPTION_ACCEPTED)
        self._subscription = subscription
        self._place = place
        metadata = {**_intervals(self._limits), **metadata}
        self._put(ack_frame(FrameType.SUBSCRIBE, "subscribed", wall_ms, metadata))

    def answer_publication(self, frame: bytes) -> None:
        """Answer PublicationRequested, in whatever state: what was asked for is done or refused."""
        if self._state is not State.CLOSED:
            self._put(frame)

    def answer(self, error: ProtocolError, wall_ms: int) -> Refused | Failed:
        """Tell the client of an error; one that closes ends the conversation."""
        self._state = next_state(self._state, Step.FAILED if error.closes else Step.REFUSED)
        self._put(error_frame(error, wall_ms))
        return Failed(error) if error.closes else Refused(error)

    def lose(self) -> None:
        """End the conversation without a word: there is nobody left to tell."""
        self._state = next_state(self._state, Step.LOST)
        self._out = None
        self._place = self._publishing = None

    def expire(self, now: float, wall_ms: int) -> Failed | None:
        """End the conversation if its deadline has passed."""
        if now < self.deadline:
            return None
        if self._state is State.AUTHENTICATING:
            error: ProtocolError = InternalError("the login could not be checked in time")
        elif self._state is State.SUBSCRIBING:
            error = InternalError("the subscription could not be served in time")
        elif self._state is State.AWAITING_AUTH:
            error = AuthRequired(f"no login within {self._limits.auth_timeout:g} s")
        else:
            error = HeartbeatTimeout(f"nothing heard for {self._limits.heartbeat_timeout:g} s")
        self.answer(error, wall_ms)
        return Failed(error)

    def _is_mere_heartbeat(self, data: bytes, now: float, wall_ms: int) -> bool:
        """Answer what comes most, in the state that it leaves as it is; say whether it was that."""
        if self._state is not State.STREAMING or self._decoder or len(data) > MAX_HEARTBEAT_BYTES:
            return False
        payload = sole_payload(FrameType.HEARTBEAT, data)
        if payload is None:
            return False
        try:
            heartbeat = decode_heartbeat(payload, wall_ms)
        except ProtocolError:
            return False  # it is read once more, to be refused
        self._alive_at = now
        self._put(self._pong(heartbeat, wall_ms))
        return True

    def _read(self, data: bytes, now: float, wall_ms: int) -> Iterator[Event]:
        if self._state is State.CLOSED:
            return
        decoder = self._decoder = self._decoder or FrameDecoder(self._limits.max_payload_bytes)
        decoder.feed(data)
        waits = self._state in _WAITING or self._is_full
        if waits and decoder.pending_bytes > MAX_HELD_BYTES:
            yield self.answer(
                InvalidMessage(f"{MAX_HELD_BYTES} bytes came behind an unanswered request"), wall_ms
            )
        while self._state not in _UNREAD and not self._is_full:
            try:
                frame = decoder.next_frame()
                if frame is None:
                    break
                event = self._step(frame, now, wall_ms)
            except ProtocolError as error:
                yield self.answer(error, wall_ms)
            else:
                if event is not None:
                    yield event
        if self.state is State.CLOSED or not decoder.pending_bytes:
            self._decoder = None

    @property
    def _is_full(self) -> bool:
        return self._publishing is not None and self._publishing.is_full

    def _put(self, frame: bytes) -> None:
        if self._out is None:
            self._out = [frame]
        else:
            self._out.append(frame)

    def _step(self, frame: Frame, now: float, wall_ms: int) -> Event | None:
        self._state = next_state(self._state, frame.type)
        self._alive_at = now
        if frame.type is FrameType.HEARTBEAT:
            self._put(self._pong(decode_heartbeat(frame.payload, wall_ms), wall_ms))
            return None
        if frame.type is FrameType.AUTH:
            return LoginRequested(decode_login(frame.payload))
        if frame.type is FrameType.PUBLISH:
            return self._publication_requested(frame.payload, wall_ms)
        if frame.type is FrameType.UNSUBSCRIBE:
            return self._unsubscribed(frame.payload, wall_ms)
        return self._subscription_requested(decode_subscription(frame.payload))

    def _publication_requested(self, payload: bytes, wall_ms: int) -> PublicationRequested:
        if self._publishing is None:
            details = request_details(decode_request_id(payload))
            raise MayNotPublish("this user may not publish", details)
        return PublicationRequested(decode_publication(payload, wall_ms))

    def _subscription_requested(self, subscription: Subscription) -> SubscriptionRequested:
        present = self._subscription
        if present is None:
            return SubscriptionRequested(subscription)
        if present.period_ms == subscription.period_ms:
            raise AlreadySubscribed(f"already subscribed to {present.mode.name}")
        raise InvalidSubscription(
            f"the mode is {present.mode.name}: UNSUBSCRIBE comes before another"
        )

    def _unsubscribed(self, payload: bytes, wall_ms: int) -> Unsubscribed:
        check_unsubscription(payload)
        self._subscription = self._place = None
        self._put(ack_frame(FrameType.UNSUBSCRIBE, "unsubscribed", wall_ms))
        return Unsubscribed()

    def _pong(self, heartbeat: Heartbeat, wall_ms: int) -> bytes:
        place = self._place
        if place is None:
            return pong_frame(heartbeat, wall_ms)
        return pong_frame(heartbeat, wall_ms, place.epoch, place.next_sequence)


@lru_cache
def _intervals(limits: SessionLimits) -> Mapping[str, str]:
    return {
        "heartbeat_interval_ms": str(round(limits.heartbeat_interval * 1000)),
        "heartbeat_timeout_ms": str(round(limits.heartbeat_timeout * 1000)),
    }
