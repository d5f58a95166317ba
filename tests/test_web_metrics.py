"""The metrics: exactly what happened on the wire, under names that Prometheus takes."""

import shutil
import subprocess

import pytest
from conversation import (
    TICK,
    USER,
    Server,
    auth,
    epoch_of,
    heartbeat,
    publish,
    subscribe,
)
from listening import KEEPS
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tickstorm import __version__
from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.admission import AdmissionLimits
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.metrics import LATENCY_BUCKETS_MS
from tickstorm.serving import InProcess
from tickstorm.web.health import Health
from tickstorm.web.metrics import ServerCollector, make_registry
from tickstorm.web.observation import Observation

SECOND, MINUTE = pb.SUBSCRIPTION_MODE_SECOND, pb.SUBSCRIPTION_MODE_MINUTE


class Observed:
    """A server, and what its metrics say."""

    def __init__(self, expiry=dict, **options):
        self.server = Server(**options)
        self.observation = Observation(
            self.server.hub,
            InProcess(self.server.factory, self.server.intake, None),
            Health(self.server.clock.monotonic()),
            self.server.clock,
        )
        self.expiry = expiry

    def samples(self):
        collector = ServerCollector(self.observation, self.expiry)
        return {
            (sample.name, *sample.labels.values()): sample.value
            for metric in collector.collect()
            for sample in metric.samples
        }

    def nonzero(self, without=()):
        """What is not 0, but for the histogram and what always is something."""
        return {
            key[0] if len(key) == 1 else key: value
            for key, value in self.samples().items()
            if value and not key[0].startswith(("tickstorm_publish_latency_ms", *without))
        }

    def registry(self):
        return make_registry(self.observation, self.expiry)


ALWAYS = ("tickstorm_build_info", "tickstorm_last_sweep_timestamp", "tickstorm_feed_age")


def batches(data):
    """The DATA_BATCH frames in what a client got: how many, and their bytes."""
    decoder, sizes = FrameDecoder(), []
    decoder.feed(data)
    while (frame := decoder.next_frame()) is not None:
        if frame.type is FrameType.DATA_BATCH:
            sizes.append(len(frame.payload) + 12)
    return len(sizes), sum(sizes)


def test_an_idle_server_counts_nothing():
    assert Observed().nonzero(ALWAYS) == {}


def test_what_is_known_beforehand_begins_at_0():
    samples = Observed().samples()
    assert samples["tickstorm_logins_total", "accepted"] == 0
    assert samples["tickstorm_connections_rejected_total", "blocked"] == 0
    assert samples["tickstorm_protocol_errors_total", "OVERLOADED"] == 0
    assert samples["tickstorm_periodic_call_failures_total", "sweep"] == 0
    assert ("tickstorm_protocol_errors_total", "UNSPECIFIED") not in samples


def test_those_who_resume_are_counted_by_what_they_got():
    observed = Observed()
    for epoch in (epoch_of(), epoch_of(), "another"):
        client = observed.server.connect()
        client.send(auth(), subscribe(TICK, resume_epoch=epoch, resume_after_sequence=0))
        client.read()
    samples = observed.samples()
    results = {result: samples["tickstorm_resumes_total", result] for result in RESUMES}
    assert results == {"recovered": 2, "snapshot": 1}


RESUMES = ("recovered", "snapshot")


def test_publications_are_counted_by_their_result():
    observed = Observed(publishers=[f"{USER}:EUR*"])
    publisher = observed.server.connect()
    requests = [publish(1.0, request_id=1)] * 2, [publish(1.0, symbol="GBPUSD"), publish()]
    publisher.send(auth(client_id="desk"), *requests[0], *requests[1])
    counted = {
        result: value
        for (name, *labels), value in observed.samples().items()
        if name == "tickstorm_publications_total"
        for result in labels
    }
    assert counted == {
        "accepted": 1,
        "repeated": 1,
        "NOT_PERMITTED": 1,
        "INVALID_MESSAGE": 1,
        "RATE_LIMITED": 0,
        "INTERNAL_ERROR": 0,
    }


def test_a_whole_conversation_is_counted():
    observed = Observed(admission_limits=AdmissionLimits(max_connections=5))
    server = observed.server
    reader = server.connect()
    reader.send(auth(), subscribe(SECOND, "EURUSD"))
    other = server.connect()
    other.send(auth(), subscribe(SECOND), subscribe(MINUTE))
    silent = server.connect()
    silent.send(auth(), subscribe())
    wrong = server.connect()
    wrong.send(auth(password="guess"))
    noise = server.connect()
    noise.send(b"GET / HTTP/1.1\r\n\r\n")
    refused = server.connect()
    for client in (wrong, noise, refused):
        client.vanish()
    server.publish(1.5, 1.25)
    server.advance(15)
    reader.send(heartbeat())
    other.send(heartbeat())
    server.advance(6)
    sent = [batches(client.transport.value()) for client in (reader, other, silent)]
    assert [number for number, _ in sent] == [21, 21, 1]
    assert silent.names()[-1] == "HEARTBEAT_TIMEOUT"
    assert observed.nonzero(ALWAYS) == {
        "tickstorm_active_connections": 3,
        "tickstorm_connections_opened_total": 6,
        ("tickstorm_connections_rejected_total", "too_many"): 1,
        ("tickstorm_logins_total", "accepted"): 3,
        ("tickstorm_logins_total", "INVALID_AUTH"): 1,
        ("tickstorm_protocol_errors_total", "INVALID_AUTH"): 1,
        ("tickstorm_protocol_errors_total", "INVALID_MESSAGE"): 1,
        ("tickstorm_protocol_errors_total", "INVALID_SUBSCRIPTION"): 1,
        ("tickstorm_protocol_errors_total", "OVERLOADED"): 1,
        ("tickstorm_protocol_errors_total", "HEARTBEAT_TIMEOUT"): 1,
        "tickstorm_heartbeat_timeouts_total": 1,
        "tickstorm_messages_sent_total": 43,
        "tickstorm_bytes_sent_total": sum(size for _, size in sent),
        "tickstorm_ticks_published_total": 2,
        "tickstorm_symbols": 1,
        ("tickstorm_streams", "SECOND"): 2,
        ("tickstorm_subscribers", "SECOND"): 2,
    }
    assert observed.samples()["tickstorm_publish_latency_ms_count",] == 43


def test_the_queues_of_the_congested_are_added_up():
    observed = Observed()
    clients = [observed.server.subscribed() for _ in range(3)]
    for client in clients[:2]:
        client.transport.producer.pauseProducing()
    observed.server.publish(1.5)
    observed.server.advance(0.005)
    samples = observed.samples()
    assert samples["tickstorm_congested_connections",] == 2
    pending = [client.connection.pending_bytes for client in clients]
    assert pending[0] == pending[1] > pending[2] == 0
    assert samples["tickstorm_queued_bytes",] == sum(pending)


def test_who_is_warned_is_told():
    observed = Observed()
    slow = observed.server.subscribed()
    slow.transport.producer.pauseProducing()
    for _ in range(750):
        observed.server.publish(1.5)
        observed.server.advance(0.005)
    samples = observed.samples()
    assert samples["tickstorm_warned_connections",] == 1
    assert samples["tickstorm_slow_warnings_total",] == 1


def test_what_is_kept_is_told_and_a_stream_that_is_only_kept_is_not_listened_to():
    observed = Observed(hub_limits=KEEPS)
    server = observed.server
    clients = [server.subscribed(0, interval_ms=100), server.subscribed(0, interval_ms=200)]
    clients.append(server.subscribed())
    clients[0].vanish()
    server.publish(1.5)
    server.advance(0.2, step=0.1)
    clients[2].vanish()
    told = {key: value for key, value in observed.nonzero().items() if "_history_" in key}
    history = server.hub.history
    assert told == {
        "tickstorm_history_batches": 4,
        "tickstorm_history_bytes": history.bytes,
    }
    streams = {key: value for key, value in observed.samples().items() if "_streams" in key[0]}
    assert streams == {
        ("tickstorm_streams", "INTERVAL"): 1,
        ("tickstorm_streams", "SECOND"): 0,
        ("tickstorm_streams", "MINUTE"): 0,
        ("tickstorm_streams", "TICK"): 0,
    }


def test_latencies_are_told_by_bucket():
    observed = Observed()
    histogram = observed.server.metrics.publish_latency_ms
    for value, times in ((0.1, 2), (0.3, 3), (5000.0, 1)):
        histogram.observe(value, times)
    samples = observed.samples()
    counts = [
        samples["tickstorm_publish_latency_ms_bucket", bound]
        for bound in [*map(str, LATENCY_BUCKETS_MS), "+Inf"]
    ]
    assert counts == [2, 2, *[5] * 11, 6]
    assert samples["tickstorm_publish_latency_ms_count",] == 6
    assert samples["tickstorm_publish_latency_ms_sum",] == pytest.approx(5001.1)


def test_the_age_of_the_feed():
    observed = Observed()
    assert observed.samples()["tickstorm_feed_age_seconds",] == float("inf")
    observed.server.publish(1.5)
    observed.server.advance(2.5)
    assert observed.samples()["tickstorm_feed_age_seconds",] == 2.5


def test_the_feed_is_never_younger_than_now():
    observed = Observed()
    observed.server.publish(1.5)
    observed.server.hub.last_publish_ns += 10**9  # as after a correction of the wall clock
    assert observed.samples()["tickstorm_feed_age_seconds",] == 0.0


def test_the_last_sweep():
    observed = Observed()
    start = observed.server.clock.monotonic()
    observed.server.reactor.advance(0.5)
    assert observed.samples()["tickstorm_last_sweep_age_seconds",] == 0.5
    observed.server.reactor.advance(2.75)
    observed.server.reactor.advance(0.5)
    samples = observed.samples()
    assert samples["tickstorm_loop_lag_seconds",] == 2.25
    assert samples["tickstorm_last_sweep_age_seconds",] == 0.5
    assert samples["tickstorm_last_sweep_timestamp_seconds",] == start + 3.25


def test_what_has_two_labels_or_comes_from_elsewhere():
    observed = Observed(expiry=lambda: {"cert.pem": 1.9e9})
    metrics = observed.server.metrics
    metrics.tls_handshakes["TLSv1.3", "TLS_AES_256_GCM_SHA384"] += 2
    metrics.failures["sweep"] += 1
    metrics.failures["another"] += 1
    metrics.slow_consumers += 4
    metrics.slow_warnings += 5
    metrics.ticks_lost.update(conflated=6, dropped=7)
    assert observed.nonzero(("tickstorm_last_sweep_timestamp", "tickstorm_feed_age")) == {
        ("tickstorm_build_info", __version__): 1,
        ("tickstorm_tls_handshakes_total", "TLSv1.3", "TLS_AES_256_GCM_SHA384"): 2,
        ("tickstorm_periodic_call_failures_total", "sweep"): 1,
        ("tickstorm_periodic_call_failures_total", "another"): 1,
        "tickstorm_slow_consumers_total": 4,
        "tickstorm_slow_warnings_total": 5,
        ("tickstorm_ticks_lost_total", "conflated"): 6,
        ("tickstorm_ticks_lost_total", "dropped"): 7,
        ("tickstorm_certificate_expiry_timestamp_seconds", "cert.pem"): 1.9e9,
    }


def busy():
    """A server with a sample of every metric."""
    observed = Observed(expiry=lambda: {"cert.pem": 1.9e9})
    observed.server.metrics.tls_handshakes["TLSv1.3", "TLS_AES_256_GCM_SHA384"] += 1
    observed.server.subscribed()
    observed.server.publish(1.5)
    observed.server.advance(1)
    return observed


def test_the_process_and_the_interpreter_are_in_the_same_registry():
    text = generate_latest(busy().registry()).decode()
    for name in ("process_cpu_seconds_total", "python_info", "python_gc_collections_total"):
        assert f"# TYPE {name} " in text


def test_openmetrics_takes_every_metric():
    text = generate_openmetrics(busy().registry()).decode()
    families = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert families["tickstorm_publish_latency_ms"] == "histogram"
    assert families["tickstorm_messages_sent"] == "counter"


@pytest.mark.real
def test_promtool_takes_every_metric():
    if shutil.which("promtool") is None:
        pytest.fail("promtool is missing: apt-get install prometheus", pytrace=False)
    text = generate_latest(busy().registry())
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    # That name is fixed by the dashboards which use it; everything else is as promtool wants it.
    assert (done.stdout + done.stderr).decode().splitlines() == [
        "tickstorm_publish_latency_ms metric names should not contain abbreviated units"
    ]
