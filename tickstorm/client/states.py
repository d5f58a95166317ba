"""Where a subscriber's conversation stands, and what leads where. Pure.

TRANSITIONS is the whole of it: a step that is not in it is one error.
"""

from collections.abc import Mapping
from enum import Enum, auto, unique

from tickstorm.errors import InvalidMessage


@unique
class State(Enum):
    """Where a conversation stands."""

    AUTHENTICATING = auto()
    SUBSCRIBING = auto()
    STREAMING = auto()
    OUTDATED = auto()
    """Subscribing to what is no longer wanted."""
    UNSUBSCRIBING = auto()
    """What still comes is of the subscription that is no longer wanted."""
    CLOSED = auto()


@unique
class Step(Enum):
    """What moves a conversation: an answer of the server's, another wish, or the end."""

    LOGIN_ACKNOWLEDGED = auto()
    SUBSCRIPTION_ACKNOWLEDGED = auto()
    UNSUBSCRIPTION_ACKNOWLEDGED = auto()
    BATCH = auto()
    GAP = auto()
    PONG = auto()
    REFUSAL = auto()
    """An ERROR after which a running stream goes on."""
    CHANGE = auto()
    """This side wants another subscription instead."""
    GOAWAY = auto()
    ENDED = auto()


_SUBSCRIBER = (State.SUBSCRIBING, State.STREAMING, State.OUTDATED, State.UNSUBSCRIBING)

TRANSITIONS: Mapping[tuple[State, Step], State] = {
    (State.AUTHENTICATING, Step.LOGIN_ACKNOWLEDGED): State.SUBSCRIBING,
    (State.SUBSCRIBING, Step.SUBSCRIPTION_ACKNOWLEDGED): State.STREAMING,
    (State.OUTDATED, Step.SUBSCRIPTION_ACKNOWLEDGED): State.UNSUBSCRIBING,
    (State.UNSUBSCRIBING, Step.UNSUBSCRIPTION_ACKNOWLEDGED): State.SUBSCRIBING,
    (State.STREAMING, Step.BATCH): State.STREAMING,
    (State.STREAMING, Step.GAP): State.STREAMING,
    (State.UNSUBSCRIBING, Step.BATCH): State.UNSUBSCRIBING,
    (State.UNSUBSCRIBING, Step.GAP): State.UNSUBSCRIBING,
    (State.AUTHENTICATING, Step.CHANGE): State.AUTHENTICATING,
    (State.SUBSCRIBING, Step.CHANGE): State.OUTDATED,
    (State.STREAMING, Step.CHANGE): State.UNSUBSCRIBING,
    (State.OUTDATED, Step.CHANGE): State.OUTDATED,
    (State.UNSUBSCRIBING, Step.CHANGE): State.UNSUBSCRIBING,
    (State.AUTHENTICATING, Step.REFUSAL): State.CLOSED,
    (State.SUBSCRIBING, Step.REFUSAL): State.CLOSED,
    (State.STREAMING, Step.REFUSAL): State.STREAMING,
    (State.OUTDATED, Step.REFUSAL): State.CLOSED,
    (State.UNSUBSCRIBING, Step.REFUSAL): State.CLOSED,
    **{(state, Step.PONG): state for state in _SUBSCRIBER},
    **{(state, Step.GOAWAY): State.CLOSED for state in _SUBSCRIBER},
    **{(state, Step.ENDED): State.CLOSED for state in (State.AUTHENTICATING, *_SUBSCRIBER)},
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
