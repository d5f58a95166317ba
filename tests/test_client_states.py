"""What leads where in a conversation: both tables, whole."""

from itertools import product

import pytest

from tickstorm.client.states import PUBLISHER, SUBSCRIBER, State, Step, acknowledged, next_state
from tickstorm.errors import InvalidMessage
from tickstorm.frames import FrameType

TABLES = pytest.mark.parametrize("table", [SUBSCRIBER, PUBLISHER], ids=["subscriber", "publisher"])


@TABLES
@pytest.mark.parametrize(("state", "step"), list(product(State, Step)))
def test_the_whole_table(table, state, step):
    if (state, step) in table:
        assert next_state(table, state, step) is table[state, step]
        return
    with pytest.raises(InvalidMessage, match=f"{step.name} is not expected while {state.name}"):
        next_state(table, state, step)


@TABLES
def test_each_state_is_reached_and_can_be_ended_and_the_end_is_final(table):
    left, reached = {state for state, _ in table}, set(table.values())
    assert left | {State.CLOSED} == reached | {State.AUTHENTICATING}
    assert [state for state in left if table[state, Step.ENDED] is not State.CLOSED] == []
    assert State.CLOSED not in left


def test_both_kinds_have_only_their_beginning_and_their_end_in_common():
    subscriber, publisher = (
        {state for state, _ in table} | set(table.values()) for table in (SUBSCRIBER, PUBLISHER)
    )
    assert subscriber & publisher == {State.AUTHENTICATING, State.CLOSED}
    assert subscriber | publisher == set(State)


REQUESTS = {
    FrameType.AUTH: Step.LOGIN_ACKNOWLEDGED,
    FrameType.SUBSCRIBE: Step.SUBSCRIPTION_ACKNOWLEDGED,
    FrameType.UNSUBSCRIBE: Step.UNSUBSCRIPTION_ACKNOWLEDGED,
    FrameType.PUBLISH: Step.PUBLICATION_ACKNOWLEDGED,
}


@pytest.mark.parametrize(("request_type", "step"), REQUESTS.items())
def test_what_an_ack_is_of(request_type, step):
    assert acknowledged(int(request_type)) is step


@pytest.mark.parametrize("other", [0, 255, *sorted(set(FrameType) - REQUESTS.keys())])
def test_an_ack_of_what_is_no_request(other):
    with pytest.raises(InvalidMessage, match=f"an ACK of request {int(other)}, which was not made"):
        acknowledged(int(other))
