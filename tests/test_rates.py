"""Token buckets: nobody takes more than the burst and what flowed in; idle ones cost nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.rates import Rate, TokenBuckets


def test_a_burst_and_then_as_fast_as_it_flows():
    buckets = TokenBuckets(Rate(per_second=10, burst=20))
    assert buckets.take("a", 20, 0.0) == 0.0
    assert buckets.take("a", 1, 0.0) == pytest.approx(0.1)
    assert buckets.take("a", 1, 0.125) == 0.0
    assert buckets.take("a", 5, 0.125) == pytest.approx(0.475)
    assert buckets.take("a", 5, 0.625) == 0.0


def test_what_is_refused_takes_nothing():
    buckets = TokenBuckets(Rate(per_second=1, burst=4))
    assert buckets.take("a", 5, 0.0) == pytest.approx(1.0)
    assert buckets.take("a", 4, 0.0) == 0.0


@pytest.mark.parametrize("now", [0.0, 1e9, 1e12])
def test_a_whole_burst_is_there_at_any_time(now):
    buckets = TokenBuckets(Rate(per_second=3, burst=7))
    assert buckets.take("a", 7, now) == 0.0


def test_each_has_a_bucket():
    buckets = TokenBuckets(Rate(per_second=1, burst=4))
    assert [buckets.take(who, 4, 0.0) for who in "abc"] == [0.0, 0.0, 0.0]
    assert buckets.take("a", 1, 0.0) > 0


def test_a_bucket_holds_no_more_than_the_burst_however_long_it_is_left():
    buckets = TokenBuckets(Rate(per_second=10, burst=20))
    assert buckets.take("a", 20, 0.0) == 0.0
    assert buckets.take("a", 21, 1000.0) > 0
    assert buckets.take("a", 20, 1000.0) == 0.0


def test_the_full_are_forgotten():
    buckets = TokenBuckets(Rate(per_second=1, burst=10), prune_at=4)
    for number in range(4):
        buckets.take(number, 1, 0.0)
    assert len(buckets) == 4
    assert buckets.take("late", 10, 2.0) == 0.0
    assert len(buckets) == 1
    assert buckets.take("late", 10, 2.0) > 0


def test_many_that_are_not_full_are_not_looked_at_each_time():
    buckets = TokenBuckets(Rate(per_second=1, burst=10), prune_at=4)
    for number in range(100):
        assert buckets.take(number, 10, 0.0) == 0.0
    assert len(buckets) == 100
    assert buckets._prune_at >= 64
    assert [buckets.take(number, 1, 0.0) > 0 for number in (0, 99)] == [True, True]


@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0.001, 30)), max_size=60),
    st.floats(0.1, 100),
    st.floats(1, 50),
)
def test_nobody_takes_more_than_the_burst_and_what_flowed_in(takes, per_second, burst):
    buckets = TokenBuckets(Rate(per_second, burst))
    now = taken = 0.0
    for pause, amount in takes:
        now += pause
        wait = buckets.take("a", amount, now)
        if not wait:
            taken += amount
        elif amount <= burst:
            assert TokenBuckets(Rate(per_second, burst)).take("a", amount, now) == 0.0
        assert taken <= (burst + per_second * now) * (1 + 1e-9)
