"""Where a client's conversation stands, and what leads where. Pure.

TRANSITIONS is the whole of it: a step that is not in it is one error.
"""

from collections.abc import Mapping
from enum import Enum, auto, unique

from tickstorm.errors import (
    AlreadyAuthenticated,
    AuthRequired,
    InvalidMessage,
    NotSubscribed,
    ProtocolError,
)
from tickstorm.frames import FrameType


@unique
class State(Enum):
    """Where a conversation stands."""

    AWAITING_AUTH = auto()
    AUTHENTICATING = auto()
    AUTHENTICATED = auto()
    SUBSCRIBING = auto()
    STREAMING = auto()
    CLOSED = auto()


@unique
class Step(Enum):
    """What moves a conversation beside the client's frames: a decision of this side."""

    LOGIN_ACCEPTED = auto()
    SUBSCRIPTION_ACCEPTED = auto()
    REFUSED = auto()
    FAILED = auto()
    LOST = auto()


Input = FrameType | Step

TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.AWAITING_AUTH, FrameType.AUTH): State.AUTHENTICATING,
    (State.AUTHENTICATING, Step.LOGIN_ACCEPTED): State.AUTHENTICATED,
    (State.AUTHENTICATED, FrameType.SUBSCRIBE): State.SUBSCRIBING,
    (State.AUTHENTICATED, FrameType.HEARTBEAT): State.AUTHENTICATED,
    (State.SUBSCRIBING, Step.SUBSCRIPTION_ACCEPTED): State.STREAMING,
    (State.AUTHENTICATED, FrameType.PUBLISH): State.AUTHENTICATED,
    (State.STREAMING, FrameType.HEARTBEAT): State.STREAMING,
    (State.STREAMING, FrameType.PUBLISH): State.STREAMING,
    (State.STREAMING, FrameType.SUBSCRIBE): State.STREAMING,
    (State.STREAMING, FrameType.UNSUBSCRIBE): State.AUTHENTICATED,
    (State.AUTHENTICATED, Step.REFUSED): State.AUTHENTICATED,
    (State.SUBSCRIBING, Step.REFUSED): State.AUTHENTICATED,
    (State.STREAMING, Step.REFUSED): State.STREAMING,
    (State.AWAITING_AUTH, Step.FAILED): State.CLOSED,
    (State.AUTHENTICATING, Step.FAILED): State.CLOSED,
    (State.AUTHENTICATED, Step.FAILED): State.CLOSED,
    (State.SUBSCRIBING, Step.FAILED): State.CLOSED,
    (State.STREAMING, Step.FAILED): State.CLOSED,
    **{(state, Step.LOST): State.CLOSED for state in State},
}

_REFUSALS: Mapping[tuple[State, Input], type[ProtocolError]] = {
    (State.AUTHENTICATED, FrameType.AUTH): AlreadyAuthenticated,
    (State.STREAMING, FrameType.AUTH): AlreadyAuthenticated,
    (State.AUTHENTICATED, FrameType.UNSUBSCRIBE): NotSubscribed,
    **{
        (State.AWAITING_AUTH, type): AuthRequired
        for type in FrameType
        if type is not FrameType.AUTH
    },
}


def next_state(state: State, input: Input) -> State:
    """Return where `input` leads from `state`.

    Raises:
        ProtocolError: TRANSITIONS has no such step; the error names both, or what is missing.
    """
    following = TRANSITIONS.get((state, input))
    if following is None:
        refusal = _REFUSALS.get((state, input), InvalidMessage)
        if refusal is NotSubscribed:
            raise NotSubscribed("there is no subscription")
        raise refusal(f"{input.name} is not allowed while {state.name}")
    return following
