"""Latencies counted, and the HDR histogram that they make. Pure.

Counts are kept by value in whole microseconds, of which only the 11 highest bits stand: just what
an HDR histogram of 3 significant digits tells apart, so nothing more is lost when one is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

SIGNIFICANT_DIGITS = 3
_BITS = 11
"""Of a value: 2 * 10^SIGNIFICANT_DIGITS, rounded up to a power of two, has so many."""
_EXACT_BELOW = 1 << _BITS
MAX_US = 3_600_000_000
"""What an HDR histogram here holds at most, an hour; what is longer counts as this."""
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)
HALF_DISTANCE_POINTS = 5
"""Points of a curve each time that the distance to 100 % halves."""

Counts = dict[int, int]
"""How often each value was seen, by rounded microseconds."""


class Summary(NamedTuple):
    """A histogram in a few figures, in milliseconds.

    Attributes:
        total: how many values.
        percentiles: by PERCENTILES.
        max: the highest.
        points: the whole curve, as (percentile, milliseconds).
        encoded: the histogram in microseconds as HdrHistogram's tools read it: V2, compressed, in
            base64.
    """

    total: int
    percentiles: Mapping[float, float]
    max: float
    points: tuple[tuple[float, float], ...]
    encoded: str


def rounded(us: int) -> int:
    """Return a number of microseconds without what HDR's 3 digits do not show; at least 0."""
    if us < _EXACT_BELOW:
        return max(us, 0)
    shift = us.bit_length() - _BITS
    return us >> shift << shift


def add_latency(counts: Counts, us: int, times: int = 1) -> None:
    """Count a value in microseconds; one below 0 counts as 0."""
    value = rounded(us)
    counts[value] = counts.get(value, 0) + times


def add_latencies(counts: Counts, times_ns: Iterable[int], since_ns: int) -> None:
    """Count how long after `since_ns` each of the times was."""
    get, bits = counts.get, _BITS
    for time_ns in times_ns:
        us = (time_ns - since_ns) // 1000
        if us >= _EXACT_BELOW:
            shift = us.bit_length() - bits
            us = us >> shift << shift
        elif us < 0:
            us = 0
        counts[us] = get(us, 0) + 1


def merged(all_counts: Iterable[Counts]) -> Counts:
    """Return the sum of several."""
    total: Counts = {}
    for counts in all_counts:
        for value, times in counts.items():
            total[value] = total.get(value, 0) + times
    return total


def summarise(counts: Counts) -> Summary | None:
    """Return the figures; None for no values.

    Raises:
        ImportError: hdrhistogram is not installed.
    """
    if not counts:
        return None
    histogram = _histogram(counts)
    by_percentile = histogram.get_percentile_to_value_dict(list(PERCENTILES))
    return Summary(
        histogram.get_total_count(),
        {percentile: by_percentile[percentile] / 1e3 for percentile in PERCENTILES},
        histogram.get_max_value() / 1e3,
        tuple(
            (item.percentile_level_iterated_to, item.value_iterated_to / 1e3)
            for item in histogram.get_percentile_iterator(HALF_DISTANCE_POINTS)
        ),
        histogram.encode().decode("ascii"),
    )


def _histogram(counts: Counts) -> HdrHistogram:
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram(1, MAX_US, SIGNIFICANT_DIGITS)
    for value, times in counts.items():
        histogram.record_value(min(value, MAX_US), times)
    return histogram
