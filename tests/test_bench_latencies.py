"""latencies: what is counted, and the histogram of it."""

from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.bench.latencies import (
    MAX_US,
    PERCENTILES,
    add_latencies,
    add_latency,
    merged,
    rounded,
    summarise,
)

values = st.integers(0, MAX_US)


@given(values)
def test_rounding_loses_nothing_that_hdr_would_keep(us):
    histogram = HdrHistogram(1, MAX_US, 3)
    assert rounded(us) == histogram.get_lowest_equivalent_value(us)


def test_below_zero_is_zero():
    assert rounded(-5) == 0
    counts = {}
    add_latencies(counts, [995_000], 1_000_000)
    assert counts == {0: 1}


@given(st.lists(st.integers(-(10**9), 10**13), max_size=50), st.integers(0, 10**9))
def test_many_at_once_are_as_each_alone(times, since):
    together, alone = {}, {}
    add_latencies(together, times, since)
    for time in times:
        add_latency(alone, (time - since) // 1000)
    assert together == alone


def test_a_sum():
    assert merged([{1: 2, 5: 1}, {}, {5: 4}]) == {1: 2, 5: 5}


def test_no_values_are_no_summary():
    assert summarise({}) is None


def test_figures_in_milliseconds():
    summary = summarise(dict.fromkeys(range(1, 1001), 1))
    assert summary.total == 1000
    assert summary.percentiles == {
        50.0: 0.5,
        90.0: 0.9,
        95.0: 0.95,
        99.0: 0.99,
        99.9: 0.999,
        99.99: 1.0,
    }
    assert summary.max == 1.0
    assert summary.points[0] == (0.0, 0.001)
    assert summary.points[-1] == (100.0, 1.0)


@given(st.lists(values, min_size=1, max_size=50))
def test_the_figures_are_those_of_an_hdr_histogram_of_the_values(us):
    counts, histogram = {}, HdrHistogram(1, MAX_US, 3)
    for value in us:
        add_latency(counts, value)
        histogram.record_value(value)
    summary = summarise(counts)
    for percentile in PERCENTILES:
        value = histogram.get_value_at_percentile(percentile)
        assert summary.percentiles[percentile] == value / 1e3
    assert HdrHistogram.decode(summary.encoded).get_total_count() == len(us)


def test_more_than_an_hour_is_an_hour():
    summary = summarise({rounded(MAX_US * 10): 1, 1: 1})
    assert summary.total == 2
    assert 3_600_000 <= summary.max < 3_603_000
