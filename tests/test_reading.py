"""Readings: what several processes say is one sum, and what is gone has still happened."""

import pickle
from collections import Counter
from math import inf

from tickstorm.metrics import LATENCY_BUCKETS_MS, Metrics
from tickstorm.reading import NOTHING, Reading, together


def counted(number):
    """Metrics in which everything is there, and is told apart by a number."""
    metrics = Metrics()
    metrics.connections_opened = number
    metrics.messages_sent = 2 * number
    metrics.bytes_sent = 3 * number
    metrics.slow_consumers = 4 * number
    metrics.slow_warnings = 6 * number
    metrics.ticks_lost.update(dropped=number)
    metrics.tls_failures = 5 * number
    metrics.logins.update(accepted=number)
    metrics.publications.update(accepted=number)
    metrics.resumes.update(recovered=number)
    metrics.rejections.update(too_many=number)
    metrics.protocol_errors.update(INVALID_AUTH=number)
    metrics.tls_handshakes[("TLSv1.3", "some")] += number
    metrics.failures.update(deliver=number)
    metrics.publish_latency_ms.observe(0.2, number)
    return metrics


def as_values(metrics):
    values = dict(vars(metrics))
    histogram = values.pop("publish_latency_ms")
    return values, histogram.bounds, histogram.counts, round(histogram.total, 9)


def reading(number, **fields):
    return Reading(
        connections=number,
        congested=2 * number,
        queued_bytes=3 * number,
        subscribers={"SECOND": number, f"ONLY_{number}": 1},
        metrics=counted(number),
        warned=4 * number,
        **fields,
    )


def test_the_example_leaves_nothing_out():
    values, _, counts, total = as_values(counted(1))
    assert all(values.values())
    assert (sum(counts), total) == (1, 0.2)


def test_readings_add_up():
    total = together([reading(1), reading(10), reading(100)])
    assert total._replace(metrics=None) == Reading(
        111,
        222,
        333,
        Counter(SECOND=111, ONLY_1=1, ONLY_10=1, ONLY_100=1),
        None,
        warned=444,
    )
    assert as_values(total.metrics) == as_values(counted(111))


def test_of_the_sweeps_the_one_that_is_worst_off_counts():
    total = together(
        [
            reading(1, loop_lag_s=0.5, last_sweep_s=100.0),
            reading(1, loop_lag_s=0.1, last_sweep_s=90.0),
            reading(1, loop_lag_s=0.2, last_sweep_s=110.0),
        ]
    )
    assert (total.loop_lag_s, total.last_sweep_s) == (0.5, 90.0)


def test_adding_changes_nothing_that_was_added():
    first, second = reading(1), reading(2)
    together([first, second, NOTHING])
    assert as_values(first.metrics) == as_values(counted(1))
    assert (first.subscribers, second.connections) == ({"SECOND": 1, "ONLY_1": 1}, 2)
    assert as_values(NOTHING.metrics) == as_values(Metrics())


def test_none_at_all_is_nothing():
    total = together([])
    assert total._replace(metrics=None) == NOTHING._replace(metrics=None)
    assert as_values(total.metrics) == as_values(Metrics())


def test_nothing_added_changes_nothing():
    one = reading(7, loop_lag_s=0.5, last_sweep_s=3.0)
    total = together([NOTHING, one, NOTHING])
    assert total._replace(metrics=None) == one._replace(metrics=None)
    assert as_values(total.metrics) == as_values(one.metrics)


def test_of_a_process_that_is_gone_what_has_happened_stays():
    retired = reading(7, loop_lag_s=0.5, last_sweep_s=3.0).retired()
    assert retired._replace(metrics=None) == Reading(0, 0, 0, {}, None, 0.0, inf)
    assert as_values(retired.metrics) == as_values(counted(7))


def test_it_crosses_to_another_process():
    one = reading(7, loop_lag_s=0.5, last_sweep_s=3.0)
    other = pickle.loads(pickle.dumps(one))
    assert other._replace(metrics=None) == one._replace(metrics=None)
    assert as_values(other.metrics) == as_values(one.metrics)
    other.metrics.publish_latency_ms.observe(0.2)
    assert len(other.metrics.publish_latency_ms.counts) == len(LATENCY_BUCKETS_MS) + 1
