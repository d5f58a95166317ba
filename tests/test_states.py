"""The states of a conversation: every step of the table, and every step beside it."""

from itertools import product

import pytest

from tickstorm.errors import (
    AlreadyAuthenticated,
    AuthRequired,
    InvalidMessage,
    NotSubscribed,
    ProtocolError,
)
from tickstorm.frames import FrameType
from tickstorm.states import TRANSITIONS, State, Step, next_state

INPUTS = (*FrameType, *Step)

TABLE = {
    ("AWAITING_AUTH", "AUTH"): "AUTHENTICATING",
    ("AWAITING_AUTH", "FAILED"): "CLOSED",
    ("AUTHENTICATING", "LOGIN_ACCEPTED"): "AUTHENTICATED",
    ("AUTHENTICATING", "FAILED"): "CLOSED",
    ("AUTHENTICATED", "SUBSCRIBE"): "SUBSCRIBING",
    ("AUTHENTICATED", "HEARTBEAT"): "AUTHENTICATED",
    ("SUBSCRIBING", "SUBSCRIPTION_ACCEPTED"): "STREAMING",
    ("SUBSCRIBING", "REFUSED"): "AUTHENTICATED",
    ("SUBSCRIBING", "FAILED"): "CLOSED",
    ("AUTHENTICATED", "FAILED"): "CLOSED",
    ("STREAMING", "SUBSCRIBE"): "STREAMING",
    ("STREAMING", "HEARTBEAT"): "STREAMING",
    ("AUTHENTICATED", "PUBLISH"): "AUTHENTICATED",
    ("STREAMING", "PUBLISH"): "STREAMING",
    ("STREAMING", "FAILED"): "CLOSED",
    ("STREAMING", "UNSUBSCRIBE"): "AUTHENTICATED",
    ("AUTHENTICATED", "REFUSED"): "AUTHENTICATED",
    ("STREAMING", "REFUSED"): "STREAMING",
    **{(state.name, "LOST"): "CLOSED" for state in State},
}


def refusal(state, input):
    if state is State.AWAITING_AUTH and isinstance(input, FrameType):
        return AuthRequired
    if state in {State.AUTHENTICATED, State.STREAMING} and input is FrameType.AUTH:
        return AlreadyAuthenticated
    if state is State.AUTHENTICATED and input is FrameType.UNSUBSCRIBE:
        return NotSubscribed
    return InvalidMessage


def test_the_table_is_the_conversation():
    assert {(s.name, i.name): following.name for (s, i), following in TRANSITIONS.items()} == TABLE


@pytest.mark.parametrize(("state", "input"), list(product(State, INPUTS)))
def test_each_state_and_input(state, input):
    following = TABLE.get((state.name, input.name))
    if following is not None:
        assert next_state(state, input) is State[following]
        return
    with pytest.raises(ProtocolError) as caught:
        next_state(state, input)
    assert type(caught.value) is refusal(state, input)
    assert caught.value.message == (
        "there is no subscription"
        if type(caught.value) is NotSubscribed
        else f"{input.name} is not allowed while {state.name}"
    )
