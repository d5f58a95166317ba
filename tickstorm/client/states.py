"""Where a conversation stands, and what leads where. Pure.

SUBSCRIBER and PUBLISHER are the whole of each kind: a step that is not in its table is one error.
"""

from collections.abc import Mapping
from enum import Enum, auto, unique

from tickstorm.errors import InvalidMessage
from tickstorm.frames import FrameType


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
    PUBLISHING = auto()
    CLOSED = auto()


@unique
class Step(Enum):
    """What moves a conversation: an answer of the server's, another wish, or the end."""

    LOGIN_ACKNOWLEDGED = auto()
    SUBSCRIPTION_ACKNOWLEDGED = auto()
    UNSUBSCRIPTION_ACKNOWLEDGED = auto()
    PUBLICATION_ACKNOWLEDGED = auto()
    PUBLICATION_REFUSED = auto()
    BATCH = auto()
    GAP = auto()
    PONG = auto()
    REFUSAL = auto()
    """An ERROR after which the connection goes on, unless it answers what is wanted now."""
    CHANGE = auto()
    """This side wants another subscription instead."""
    GOAWAY = auto()
    ENDED = auto()


Transitions = Mapping[tuple[State, Step], State]

_SUBSCRIBING = (State.SUBSCRIBING, State.STREAMING, State.OUTDATED, State.UNSUBSCRIBING)

SUBSCRIBER: Transitions = {
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
    (State.OUTDATED, Step.REFUSAL): State.SUBSCRIBING,
    (State.UNSUBSCRIBING, Step.REFUSAL): State.CLOSED,
    **{(state, Step.PONG): state for state in _SUBSCRIBING},
    **{(state, Step.GOAWAY): State.CLOSED for state in _SUBSCRIBING},
    **{(state, Step.ENDED): State.CLOSED for state in (State.AUTHENTICATING, *_SUBSCRIBING)},
}
"""Of the conversation of a subscriber."""

PUBLISHER: Transitions = {
    (State.AUTHENTICATING, Step.LOGIN_ACKNOWLEDGED): State.PUBLISHING,
    (State.PUBLISHING, Step.PUBLICATION_ACKNOWLEDGED): State.PUBLISHING,
    (State.PUBLISHING, Step.PUBLICATION_REFUSED): State.PUBLISHING,
    (State.PUBLISHING, Step.PONG): State.PUBLISHING,
    (State.AUTHENTICATING, Step.ENDED): State.CLOSED,
    (State.PUBLISHING, Step.ENDED): State.CLOSED,
}
"""Of the conversation of a publisher."""

_ACKNOWLEDGED = {
    int(FrameType.AUTH): Step.LOGIN_ACKNOWLEDGED,
    int(FrameType.SUBSCRIBE): Step.SUBSCRIPTION_ACKNOWLEDGED,
    int(FrameType.UNSUBSCRIBE): Step.UNSUBSCRIPTION_ACKNOWLEDGED,
    int(FrameType.PUBLISH): Step.PUBLICATION_ACKNOWLEDGED,
}


def acknowledged(request: int) -> Step:
    """Return which step the ACK of a request is.

    Args:
        request: the type of its frame, as the server says it.

    Raises:
        InvalidMessage: no request is of that type.
    """
    step = _ACKNOWLEDGED.get(request)
    if step is None:
        raise InvalidMessage(f"an ACK of request {request}, which was not made")
    return step


def next_state(transitions: Transitions, state: State, step: Step) -> State:
    """Return where `step` leads from `state`.

    Raises:
        InvalidMessage: there is no such transition; the error names both.
    """
    following = transitions.get((state, step))
    if following is None:
        raise InvalidMessage(f"{step.name} is not expected while {state.name}")
    return following
