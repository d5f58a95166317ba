"""The breaker: the whole table, and when to try again."""

from itertools import product

import pytest

from tickstorm.auction.breaker import (
    TRANSITIONS,
    Breaker,
    BreakerInput,
    BreakerLimits,
    BreakerState,
    IllegalStep,
)

CLOSED, PROBING, OPEN = BreakerState.CLOSED, BreakerState.PROBING, BreakerState.OPEN
LIMITS = BreakerLimits(failures=3, first=0.1, longest=0.5)


def make(random=lambda: 1.0):
    return Breaker(LIMITS, random)


def step(breaker, input):
    if input is BreakerInput.ANSWERED:
        breaker.answered()
    elif input is BreakerInput.LOST:
        breaker.lost(0.0)
    else:
        breaker.waited()


def in_state(state):
    breaker = make()
    breaker.state = state
    return breaker


@pytest.mark.parametrize(("state", "input"), list(product(BreakerState, BreakerInput)))
def test_the_table_is_all_there_is(state, input):
    breaker = in_state(state)
    following = TRANSITIONS.get((state, input))
    if following is None:
        with pytest.raises(IllegalStep, match=f"{input.value} while {state.name}"):
            step(breaker, input)
        assert breaker.state is state
    else:
        step(breaker, input)
        assert breaker.state is following


def test_it_begins_with_a_try():
    assert make().state is PROBING
    assert make().wait_left(5.0) == LIMITS.first


def test_so_many_failures_in_a_row_open_it():
    breaker = make()
    breaker.answered()
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.answered()
    assert breaker.state is CLOSED
    for state in (CLOSED, CLOSED, OPEN):
        breaker.failed(0.0)
        assert breaker.state is state


def test_each_wait_is_twice_as_long_up_to_the_longest():
    breaker = make()
    waits = []
    for now in range(6):
        breaker.lost(float(now))
        waits.append(breaker.wait_left(float(now)))
        breaker.waited()
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5, 0.5])
    breaker.answered()
    assert breaker.wait_left(9.0) == 0.0
    breaker.lost(10.0)
    assert breaker.wait_left(10.0) == pytest.approx(0.1)


def test_a_wait_is_drawn_from_its_upper_half():
    for drawn, wait in ((0.0, 0.05), (0.5, 0.075)):
        breaker = make(lambda drawn=drawn: drawn)
        breaker.lost(10.0)
        assert breaker.wait_left(10.0) == pytest.approx(wait)
        assert breaker.wait_left(10.02) == pytest.approx(wait - 0.02)
        assert breaker.wait_left(11.0) == 0.0
