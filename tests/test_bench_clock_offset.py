"""clock_offset: another clock is told from the same one, and from a slow answer."""

import pytest

from tickstorm.bench.clock_offset import SAME_NS, Exchange, clock_ahead_ns

MS, S = 10**6, 10**9
START = 1_700_000_000 * S


def exchange(ahead, there=MS, back=MS, at=START):
    """One with a server whose clock is ahead by so much, and the times of both ways."""
    return Exchange(at, at + there + back, (at + there + ahead) // MS)


@pytest.mark.parametrize("ahead", [5 * S, -5 * S, 1200 * MS, SAME_NS + 3 * MS, -SAME_NS - 3 * MS])
def test_another_clock(ahead):
    assert abs(clock_ahead_ns([exchange(ahead)]) - ahead) <= MS // 2


@pytest.mark.parametrize("ahead", [0, SAME_NS - MS, -SAME_NS + MS])
def test_a_clock_that_may_be_the_same(ahead):
    assert clock_ahead_ns([exchange(ahead)]) == 0


def test_a_slow_answer_is_no_other_clock():
    assert clock_ahead_ns([exchange(0, there=4 * S, back=0)]) == 0
    assert clock_ahead_ns([exchange(0, there=0, back=4 * S)]) == 0


def test_the_fastest_is_believed():
    exchanges = [exchange(2 * S, there=3 * S), exchange(2 * S), exchange(2 * S, back=S)]
    assert abs(clock_ahead_ns(exchanges) - 2 * S) <= MS // 2


def test_servers_that_do_not_say():
    assert clock_ahead_ns([]) == clock_ahead_ns([Exchange(START, START + MS, 0)]) == 0
