"""pace: when connections begin, and that heartbeats are an even flow."""

from itertools import islice, pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.bench.pace import EvenPace, HeartbeatWheel, Ramp


def test_without_a_limit_as_many_as_may_be_under_way():
    ramp = Ramp(250, inf, 100, now=5.0)
    assert [ramp.take(5.0, under_way) for under_way in (0, 100, 40, 20, 0)] == [100, 0, 60, 80, 10]
    assert ramp.done


def test_a_ramp_rises_with_the_time():
    ramp = Ramp(100, 8.0, 1000, now=5.0)
    assert [ramp.take(now, 0) for now in (5.0, 5.0625, 5.125, 6.0, 6.0)] == [1, 0, 1, 7, 0]
    assert not ramp.done
    assert ramp.take(1000.0, 0) == 91
    assert ramp.done


def test_more_under_way_than_may_be_is_none_to_begin():
    assert Ramp(10, inf, 5, now=0.0).take(0.0, 7) == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 50)), max_size=50))
def test_a_ramp_never_begins_more_than_there_are(steps):
    ramp = Ramp(30, 7.0, 10, now=0.0)
    taken = 0
    for now, under_way in sorted(steps):
        count = ramp.take(now, under_way)
        assert 0 <= count <= max(0, 10 - under_way)
        taken += count
        assert taken <= min(30, 1 + now * 7.0)


def beats(wheel, first, last, step):
    """The moments of each connection, looking every `step` hundredths of a second."""
    found = {}
    for hundredths in range(first, last, step):
        for connection in wheel.due(hundredths / 100 + 0.005):
            found.setdefault(connection, []).append(hundredths)
    return found


def test_every_connection_has_its_moment_in_every_interval():
    wheel = HeartbeatWheel(2.0, now=1.0)
    for number in range(500):
        wheel.add(number + 1000, number)
    found = beats(wheel, 100, 700, 1)
    assert sorted(found) == list(range(1000, 1500))
    for moments in found.values():
        assert len(moments) == 3
        assert moments[1] - moments[0] == moments[2] - moments[1] == 200


@pytest.mark.parametrize("connections", [10, 100, 1000, 1003])
def test_the_flow_is_even(connections):
    wheel = HeartbeatWheel(1.0, now=0.0)
    for number in range(connections):
        wheel.add(number, number)
    tenths = [len(list(wheel.due(tenth / 10 + 0.099))) for tenth in range(10)]
    assert sum(tenths) == connections
    assert max(tenths) - min(tenths) <= 3


def test_a_stall_is_made_up_for_once():
    wheel = HeartbeatWheel(1.0, now=0.0)
    wheel.add(7, 0)
    assert list(wheel.due(0.0)) == [7]
    assert list(wheel.due(10.5)) == [7]
    assert list(wheel.due(10.9)) == []
    assert list(wheel.due(11.0)) == [7]


def test_time_that_goes_back_is_nothing():
    wheel = HeartbeatWheel(1.0, now=5.0)
    wheel.add(7, 0)
    assert list(wheel.due(5.0)) == [7]
    assert list(wheel.due(4.0)) == []
    assert list(wheel.due(5.0)) == []


def test_what_is_gone_has_no_moment():
    wheel = HeartbeatWheel(1.0, now=0.0)
    wheel.add(7, 0)
    wheel.add(8, 0)
    wheel.discard(7, 0)
    assert list(wheel.due(0.0)) == [8]


def test_an_interval_shorter_than_a_slot():
    wheel = HeartbeatWheel(0.001, now=0.0)
    wheel.add(7, 3)
    assert wheel.slot_seconds == 0.001
    assert list(wheel.due(0.0005)) == [7]
    assert list(wheel.due(0.0015)) == [7]


@given(
    st.floats(0.1, 1e6),
    st.floats(0, 0.999),
    st.integers(0, 10**9),
    st.lists(st.integers(0, 10**7), max_size=10),
)
def test_an_even_pace_has_no_hole_however_it_is_looked_at(per_second, phase, lead_ns, steps):
    start_ns = 10**18
    now_ns = start_ns - lead_ns
    pace = EvenPace(per_second, phase, start_ns, now_ns)
    due = []
    for step in steps:
        now_ns += step
        due += islice(pace.due(now_ns), 10_000)
    interval_ns = 1e9 / per_second
    assert pace.next_ns >= start_ns - lead_ns
    assert all(before <= after for before, after in pairwise(due))
    for place, each in enumerate(due):
        assert abs(each - due[0] - place * interval_ns) <= 256  # as far as a double of 10^18 tells


def test_the_start_is_in_phase():
    assert list(EvenPace(4.0, 0.5, 10**9, 10**9 - 500_000_000).due(2 * 10**9)) == [
        625_000_000,
        875_000_000,
        1_125_000_000,
        1_375_000_000,
        1_625_000_000,
        1_875_000_000,
    ]
