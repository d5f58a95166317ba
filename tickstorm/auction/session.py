"""One bidder's conversation, as a state machine without sockets or clocks.

Bytes and the time go in; events (past facts for the edge to act on) and bytes to send come out.
Each bid gets one RESULT, in the order of the bids, before the one ERROR that may end it all.
"""

from collections.abc import Container, Iterator, Mapping
from enum import Enum, auto, unique
from math import inf
from typing import NamedTuple

from tickstorm.auction.rule import Answer, Bid, Outcome
from tickstorm.auction.turns import Turn, Turns
from tickstorm.auction.wire import (
    Decoder,
    Frame,
    FrameType,
    auth_frame,
    error_frame,
    read_auction_id,
    read_text,
)
from tickstorm.errors import (
    AlreadyAuthenticated,
    AuthRequired,
    InternalError,
    InvalidAuth,
    InvalidMessage,
    InvalidSubscription,
    ProtocolError,
)


@unique
class State(Enum):
    """Where a conversation stands."""

    AWAITING_AUTH = auto()
    AUTHENTICATING = auto()
    READY = auto()
    ENDING = auto()
    CLOSED = auto()


@unique
class Step(Enum):
    """What moves a conversation beside the client's frames."""

    LOGIN_ACCEPTED = auto()
    FAILED = auto()
    TOLD = auto()
    LOST = auto()


Input = FrameType | Step

TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.AWAITING_AUTH, FrameType.AUTH): State.AUTHENTICATING,
    (State.AUTHENTICATING, Step.LOGIN_ACCEPTED): State.READY,
    (State.READY, FrameType.BID): State.READY,
    (State.READY, FrameType.WATCH): State.READY,
    (State.AWAITING_AUTH, Step.FAILED): State.ENDING,
    (State.AUTHENTICATING, Step.FAILED): State.ENDING,
    (State.READY, Step.FAILED): State.ENDING,
    (State.ENDING, Step.TOLD): State.CLOSED,
    **{(state, Step.LOST): State.CLOSED for state in State},
}

_REFUSALS: Mapping[tuple[State, Input], type[ProtocolError]] = {
    (State.READY, FrameType.AUTH): AlreadyAuthenticated,
    (State.AWAITING_AUTH, FrameType.BID): AuthRequired,
    (State.AWAITING_AUTH, FrameType.WATCH): AuthRequired,
}


def next_state(state: State, input: Input) -> State:
    """Return where `input` leads from `state`.

    Raises:
        ProtocolError: TRANSITIONS has no such step; the error names both.
    """
    following = TRANSITIONS.get((state, input))
    if following is None:
        refusal = _REFUSALS.get((state, input), InvalidMessage)
        raise refusal(f"{input.name} is not allowed while {state.name}")
    return following


_READING = (State.AWAITING_AUTH, State.READY)

MAX_HELD_BYTES = 262_144
"""What a client may send while nothing of it is read: some reads of a socket."""


class SessionLimits(NamedTuple):
    """What a session is held to.

    Attributes:
        auth_timeout: seconds that a login may take, and its check once more.
        max_untold: bids without a RESULT; with as many no more of what is sent is read.
        max_watched: auctions that one connection may watch.
    """

    auth_timeout: float = 10.0
    max_untold: int = 512
    max_watched: int = 100


class LoginRequested(NamedTuple):
    """The client sent its AUTH. Nothing is read until `accept_login` or `fail`."""

    token: str


class BidsReceived(NamedTuple):
    """The client sent bids: each that is undecided is to be answered in its turn."""

    turn: Turn


class WatchRequested(NamedTuple):
    """The client wants the UPDATEs of an auction, the present one at once; perhaps once more."""

    auction_id: int


class Refused(NamedTuple):
    """A request was answered with an error; the conversation goes on."""

    error: ProtocolError


class Failed(NamedTuple):
    """Nothing is read any more: send what there is to send, and close once it is CLOSED."""

    error: ProtocolError


Event = LoginRequested | BidsReceived | WatchRequested | Refused | Failed


class Session:
    """The server's side of one conversation.

    Args:
        limits: the deadline and sizes.
        now: the present, in seconds of any monotonic clock.
        with_login: whether AUTH comes first; without it everybody may bid for any user.
    """

    __slots__ = (
        "_decoder",
        "_ends_at",
        "_last_words",
        "_limits",
        "_out",
        "_permit",
        "_since",
        "_state",
        "_turns",
        "_watched",
    )

    def __init__(self, limits: SessionLimits, now: float, with_login: bool) -> None:
        self._limits = limits
        self._state = State.AWAITING_AUTH if with_login else State.READY
        self._since = now
        self._ends_at = inf
        self._permit: Container[int] | None = None
        self._decoder: Decoder | None = None
        self._turns = Turns()
        self._out: list[bytes] = []
        self._last_words = b""
        self._watched: set[int] = set()

    @property
    def state(self) -> State:
        """Where the conversation stands."""
        return self._state

    @property
    def untold(self) -> int:
        """How many bids have no RESULT yet."""
        return self._turns.untold

    @property
    def is_reading(self) -> bool:
        """Whether more of what the client sends is of use now."""
        return self._state in _READING and self._room > 0

    @property
    def is_full(self) -> bool:
        """Whether as many bids have no RESULT as may be."""
        return self._room <= 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is read any more; RESULTs may be to come."""
        return self._state in (State.ENDING, State.CLOSED)

    @property
    def is_closed(self) -> bool:
        """Whether everything was said, and the connection is to close."""
        return self._state is State.CLOSED

    @property
    def holds_back(self) -> bool:
        """Whether something was sent that is not read yet: for want of room, or not all there."""
        return self._decoder is not None

    @property
    def deadline(self) -> float:
        """The time at which `expire` ends the conversation: infinity for one without an end."""
        if self._state in (State.AWAITING_AUTH, State.AUTHENTICATING):
            return self._since + self._limits.auth_timeout
        return self._ends_at if self._state is State.READY else inf

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them; with its last words a session is CLOSED."""
        out, self._out = self._out, []
        out += self._turns.take()
        if self._state is State.ENDING and not self._turns.untold:
            out.append(self._last_words)
            self._state = next_state(self._state, Step.TOLD)
        return b"".join(out)

    def receive(self, data: bytes, now: float, room: int) -> Iterator[Event]:
        """Read what arrived, and return what it means, one event at a time.

        Act on each event before taking the next. Call again with no data once there is more room,
        and after an answer that came later, for what the client had sent behind.

        Args:
            data: what arrived.
            now: the present.
            room: how many bids can be taken on.
        """
        if self.is_over:
            return
        if now >= self._ends_at:
            yield self.fail(_expired())
            return
        decoder = self._decoder = self._decoder or Decoder()
        decoder.feed(data)
        if decoder.pending_bytes > MAX_HELD_BYTES:
            yield self.fail(InvalidMessage(f"{MAX_HELD_BYTES} bytes came before they were read"))
        while self._state in _READING:
            limit = min(room, self._room)
            if limit <= 0:
                break
            try:
                event = self._next_event(decoder, now, limit)
            except ProtocolError as error:
                event = self._answer(error)
            if event is None:
                break
            if isinstance(event, BidsReceived):
                room -= event.turn.missing
            yield event
        if not decoder.pending_bytes:
            self._decoder = None

    def accept_login(self, name: str, permit: Container[int] | None, ends_at: float = inf) -> None:
        """Answer LoginRequested: the client may bid.

        Args:
            name: who it is, at most 255 bytes: the client is told.
            permit: the users that it may bid for; None for any.
            ends_at: when it may do so no more, and nothing is read from then on.
        """
        self._state = next_state(self._state, Step.LOGIN_ACCEPTED)
        self._permit = permit
        self._ends_at = ends_at
        self._out.append(auth_frame(name))

    def answer_watch(self, frame: bytes) -> None:
        """Answer WatchRequested, unless the conversation is over: with who leads."""
        if self._state is State.READY:
            self._out.append(frame)

    def refuse_watch(self, auction_id: int, error: ProtocolError) -> None:
        """Answer WatchRequested, unless the conversation is over: there is nothing to watch."""
        self._watched.discard(auction_id)
        if self._state is State.READY:
            self._out.append(error_frame(error))

    def end_watch(self, auction_id: int, frame: bytes) -> None:
        """Say how an auction has ended, which is no longer one of those that are watched."""
        self._watched.discard(auction_id)
        self.answer_watch(frame)

    def fail(self, error: ProtocolError) -> Failed:
        """End the conversation with an error, behind the answers that are still to come."""
        self._state = next_state(self._state, Step.FAILED)
        self._last_words = error_frame(error)
        self._decoder = None
        return Failed(error)

    def give_up(self) -> None:
        """Forget the answers that are still to come: the client does not read."""
        self._turns.clear()

    def lose(self) -> None:
        """End the conversation without a word: there is nobody left to tell."""
        self._state = next_state(self._state, Step.LOST)
        self._turns.clear()
        self._out.clear()
        self._decoder = None

    def expire(self, now: float) -> Failed | None:
        """End the conversation if its deadline has passed."""
        if now < self.deadline:
            return None
        if self._state is State.READY:
            return self.fail(_expired())
        if self._state is State.AUTHENTICATING:
            return self.fail(InternalError("the login could not be checked in time"))
        return self.fail(AuthRequired(f"no login within {self._limits.auth_timeout:g} s"))

    @property
    def _room(self) -> int:
        return self._limits.max_untold - self._turns.untold

    def _next_event(self, decoder: Decoder, now: float, limit: int) -> Event | None:
        bids = decoder.take_bids(limit)
        if bids:
            self._state = next_state(self._state, FrameType.BID)
            return BidsReceived(self._turn(bids))
        frame = decoder.next_frame()
        return None if frame is None else self._step(frame, now)

    def _turn(self, bids: list[Bid]) -> Turn:
        turn = Turn(bids)
        self._turns.add(turn)
        permit = self._permit
        for place, bid in enumerate(bids):
            if not bid.cents:
                turn.answer(place, Answer(Outcome.MALFORMED, bid.cents))
            elif permit is not None and bid.user_id not in permit:
                turn.answer(place, Answer(Outcome.NOT_PERMITTED, bid.cents))
        return turn

    def _step(self, frame: Frame, now: float) -> Event:
        self._state = next_state(self._state, frame.type)
        if frame.type is FrameType.AUTH:
            self._since = now
            return LoginRequested(read_text(frame.value))
        return self._watch(read_auction_id(frame.value))

    def _watch(self, auction_id: int) -> WatchRequested:
        if auction_id not in self._watched and len(self._watched) >= self._limits.max_watched:
            raise InvalidSubscription(f"more than {self._limits.max_watched} auctions to watch")
        self._watched.add(auction_id)
        return WatchRequested(auction_id)

    def _answer(self, error: ProtocolError) -> Refused | Failed:
        if error.closes:
            return self.fail(error)
        self._out.append(error_frame(error))
        return Refused(error)


def _expired() -> InvalidAuth:
    return InvalidAuth("the token has expired")
