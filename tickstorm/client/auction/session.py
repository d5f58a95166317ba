"""The bidder's side of one conversation, as a state machine without sockets or clocks.

Bytes and the time go in; events and bytes to send come out. Whatever the server sends that is not
among the transitions of the state, or that is no frame, ends it with one error.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum, auto, unique
from math import inf
from typing import NamedTuple

from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import (
    FROM_SERVER,
    Decoder,
    Frame,
    FrameType,
    Refusal,
    auth_frame,
    read_error,
    read_result,
    read_text,
    read_update,
)
from tickstorm.client.auction.bids import Bids
from tickstorm.client.auction.results import Leader
from tickstorm.client.auction.watches import Watches
from tickstorm.client.events import Entered, Garbled, ServerError, Silent
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    AuthRequired,
    ErrorCode,
    InvalidMessage,
    ProtocolError,
)


@unique
class State(Enum):
    """Where a conversation stands."""

    AUTHENTICATING = auto()
    READY = auto()
    CLOSED = auto()


@unique
class Step(Enum):
    """What moves a conversation beside the server's frames."""

    WATCH_REFUSED = auto()
    """An ERROR after which the connection goes on."""
    ENDED = auto()


Input = FrameType | Step

_CODES = frozenset(map(int, PROTOCOL_ERRORS))

TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.AUTHENTICATING, FrameType.AUTH): State.READY,
    (State.READY, FrameType.RESULT): State.READY,
    (State.READY, FrameType.UPDATE): State.READY,
    (State.READY, Step.WATCH_REFUSED): State.READY,
    (State.AUTHENTICATING, Step.ENDED): State.CLOSED,
    (State.READY, Step.ENDED): State.CLOSED,
}


def next_state(state: State, input: Input) -> State:
    """Return where `input` leads from `state`.

    Raises:
        InvalidMessage: TRANSITIONS has no such step; the error names both.
    """
    following = TRANSITIONS.get((state, input))
    if following is None:
        raise InvalidMessage(f"{input.name} is not expected while {state.name}")
    return following


class BidsEnded(NamedTuple):
    """There are bids that are over."""


class Led(NamedTuple):
    """An auction has another leader, or has ended."""

    leader: Leader


class WatchRefused(NamedTuple):
    """An auction cannot be watched."""

    auction_id: int
    error: ProtocolError


SessionEvent = Entered | BidsEnded | Led | WatchRefused | ServerError | Garbled | Silent


class BidderSession:
    """One conversation, from its AUTH to its end.

    Args:
        auth: what to log in with; None if the server asks for no login.
        bids: what to bid; shared by all conversations of this bidder, one at a time.
        watches: what to watch, likewise.
        answer_timeout: seconds of silence that the server may take for any answer.
        probe_interval: seconds of silence after which one that watches asks once more: this wire
            has no heartbeats, and who leads is not to be believed of a server that is gone.
        now: the present, in seconds of any monotonic clock.
    """

    def __init__(
        self,
        auth: str | None,
        bids: Bids,
        watches: Watches,
        *,
        answer_timeout: float,
        probe_interval: float,
        now: float,
    ) -> None:
        self._auth = auth
        self._bids = bids
        self._watches = watches
        self._answer_timeout = answer_timeout
        self._probe_interval = probe_interval
        self._now = self._quiet_since = now
        self._decoder = Decoder(FROM_SERVER)
        self._events: deque[SessionEvent] = deque()
        self._out: list[bytes] = []
        if auth is None:
            self.state = State.READY
            self._events.append(Entered(""))
        else:
            self.state = State.AUTHENTICATING
            self._out.append(auth_frame(auth))

    # What the connection asks.

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state is State.CLOSED

    @property
    def deadline(self) -> float:
        """When to `wake` it; infinity for not at all."""
        if self.state is State.READY:
            return min(self._overdue_at, self._probe_at, self._bids.due, self._watches.due)
        return self._overdue_at

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        if self.state is State.READY:
            self._ask()
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
        self._now = self._quiet_since = now
        self._decoder.feed(data)

    def next_event(self) -> SessionEvent | None:
        """Return what the next frame means, or None until more is fed."""
        while not self._events and not self.over:
            try:
                frame = self._decoder.next_frame()
                if frame is None:
                    return None
                self._read(frame)
            except ProtocolError as error:
                self._end(Garbled(error))
        return self._events.popleft() if self._events else None

    def pause(self) -> None:
        """Do nothing: a bidder has always room for what comes."""

    def resume(self, now: float) -> None:
        """Do nothing, likewise."""

    def wake(self, now: float, wall_ms: int) -> Silent | None:  # noqa: ARG002 - as `feed`
        """Have what is due be sent, or end a conversation whose server is silent."""
        self._now = now
        if now >= self._overdue_at:
            self.close()
            return Silent(self._answer_timeout)
        if now >= self._probe_at:
            self._watches.ask_again()
        return None

    def close(self) -> None:
        """End it: nothing is read any more, and what has no answer is left to the next one."""
        if self.over:
            return
        self._step(Step.ENDED)
        self._bids.connection_lost()
        self._watches.connection_lost()

    # What its owner asks.

    def at(self, now: float) -> None:
        """Note the time at which there is more to say."""
        self._now = now

    # The conversation.

    @property
    def _waits(self) -> bool:
        """Whether the server owes an answer."""
        if self.state is State.READY:
            return self._bids.unanswered > 0 or self._watches.unanswered
        return self.state is State.AUTHENTICATING

    @property
    def _overdue_at(self) -> float:
        return self._quiet_since + self._answer_timeout if self._waits else inf

    @property
    def _probe_at(self) -> float:
        watches = self.state is State.READY and not self._waits and not self._watches.idle
        return self._quiet_since + self._probe_interval if watches else inf

    def _ask(self) -> None:
        waited = self._waits
        frames = [*self._bids.frames(self._now), *self._watches.frames(self._now)]
        if frames and not waited:
            self._quiet_since = self._now
        self._out += frames

    def _read(self, frame: Frame) -> None:
        if frame.type is FrameType.ERROR:
            self._read_error(_error(read_error(frame.value)))
            return
        self._step(frame.type)
        if frame.type is FrameType.RESULT:
            self._read_result(frame.value)
        elif frame.type is FrameType.UPDATE:
            self._tell_leader(Leader.of_update(read_update(frame.value)))
        else:
            self._events.append(Entered(read_text(frame.value)))

    def _read_result(self, value: bytes) -> None:
        said = read_result(value)
        if said.answer.outcome in (Outcome.SOLD, Outcome.UNSOLD):
            leader = Leader.at_the_end(said)
            if self._watches.ended(leader):
                self._events.append(Led(leader))
            return
        self._bids.answered(said, self._now)
        if self._bids.ended:
            self._events.append(BidsEnded())

    def _tell_leader(self, leader: Leader) -> None:
        if self._watches.updated(leader):
            self._events.append(Led(leader))

    def _read_error(self, error: ProtocolError) -> None:
        if error.closes:
            self._end(ServerError(error, self._may_retry(error)))
            return
        self._step(Step.WATCH_REFUSED)
        auction_id = self._watches.refused(error, self._now)
        if auction_id is not None:
            self._events.append(WatchRefused(auction_id, error))

    def _may_retry(self, error: ProtocolError) -> bool:
        # As this side begins with an AUTH, a login that is asked for can only have been late; if it
        # has none, it will have none the next time.
        return error.retryable and not (self._auth is None and isinstance(error, AuthRequired))

    def _step(self, input: Input) -> None:
        self.state = next_state(self.state, input)

    def _end(self, event: ServerError | Garbled) -> None:
        self.close()
        self._events.append(event)


def _error(refusal: Refusal) -> ProtocolError:
    """Return what an ERROR says as the error that it is; of a later version a plain one."""
    if refusal.code not in _CODES:
        return ProtocolError(f"error {refusal.code}: {refusal.text}")
    return PROTOCOL_ERRORS[ErrorCode(refusal.code)](refusal.text)
