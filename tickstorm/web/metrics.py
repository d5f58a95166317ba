"""The server's numbers as Prometheus metrics, made from its plain counters when somebody asks.

The five names that dashboards of the first servers use are kept as they were; every other name
follows Prometheus' own rules. A label whose values are known beforehand begins at 0, so that the
first event is seen as a rise.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from twisted.web.iweb import IRequest

from tickstorm import __version__
from tickstorm.admission import Rejection
from tickstorm.conflation import CONFLATED
from tickstorm.errors import ErrorCode
from tickstorm.hub import Hub
from tickstorm.metrics import Histogram, Metrics
from tickstorm.outlet import Outlet
from tickstorm.queues import DROPPED
from tickstorm.reading import Reading
from tickstorm.serving import WorkerReading
from tickstorm.subscriptions import Mode, mode_of
from tickstorm.web.observation import Observation
from tickstorm.web.pages import Answer, Reply
from tickstorm.web.process import ProcessCollector

CertificateExpiry = Callable[[], Mapping[str, float]]
"""Returns when each certificate expires, by its file's name: seconds since the Unix epoch."""

_OPENMETRICS = b"application/openmetrics-text"
_LOGIN_RESULTS = ("accepted", ErrorCode.INVALID_AUTH.name, ErrorCode.RATE_LIMITED.name)
_PUBLICATION_RESULTS = (
    "accepted",
    "repeated",
    ErrorCode.INVALID_MESSAGE.name,
    ErrorCode.NOT_PERMITTED.name,
    ErrorCode.RATE_LIMITED.name,
    ErrorCode.INTERNAL_ERROR.name,
)
_REJECTIONS = tuple(rejection.value for rejection in Rejection)
_ERROR_CODES = tuple(code.name for code in ErrorCode if code is not ErrorCode.UNSPECIFIED)
_PERIODIC_CALLS = ("sweep", "SECOND", "MINUTE", "deliver")


class ServerCollector(Collector):
    """Collects one server's metrics.

    Args:
        observation: the server.
        certificate_expiry: when its certificates expire.
    """

    def __init__(self, observation: Observation, certificate_expiry: CertificateExpiry) -> None:
        self._observation = observation
        self._certificate_expiry = certificate_expiry

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it is now."""
        yield InfoMetricFamily("tickstorm_build", "What runs.", {"version": __version__})
        reading = self._observation.read()
        yield from _connections(reading)
        yield from _traffic(reading.metrics)
        yield from _backlog(reading)
        yield from self._feed(reading)
        yield from self._timers(reading)
        yield from _workers(self._observation.workers())
        yield gauges(
            "tickstorm_certificate_expiry_timestamp_seconds",
            "When a certificate expires.",
            "certificate",
            self._certificate_expiry(),
        )

    def _feed(self, reading: Reading) -> Iterator[Metric]:
        hub = self._observation.hub
        yield CounterMetricFamily(
            "tickstorm_ticks_published", "Ticks taken in.", hub.ticks_published
        )
        yield GaugeMetricFamily("tickstorm_symbols", "Symbols that had a tick.", hub.symbols)
        yield GaugeMetricFamily(
            "tickstorm_feed_age_seconds",
            "Time since the last tick; +Inf before the first.",
            self._observation.feed_age(),
        )
        yield gauges(
            "tickstorm_streams",
            "Streams that somebody listens to.",
            "mode",
            from_zero((mode.name for mode in Mode), _streams(hub)),
        )
        yield GaugeMetricFamily(
            "tickstorm_history_bytes", "What is kept of sent batches.", hub.history.bytes
        )
        yield GaugeMetricFamily(
            "tickstorm_history_batches", "How many batches are kept.", len(hub.history)
        )
        yield gauges(
            "tickstorm_subscribers",
            "Connections that listen to a stream.",
            "mode",
            from_zero((mode.name for mode in Mode), reading.subscribers),
        )

    def _timers(self, reading: Reading) -> Iterator[Metric]:
        sweep_age = self._observation.sweep_age(reading)
        yield GaugeMetricFamily(
            "tickstorm_loop_lag_seconds", "How late the last sweep began.", reading.loop_lag_s
        )
        yield GaugeMetricFamily(
            "tickstorm_last_sweep_age_seconds",
            "Time since the last sweep; before the first, since the start.",
            sweep_age,
        )
        yield GaugeMetricFamily(
            "tickstorm_last_sweep_timestamp_seconds",
            "When that was.",
            self._observation.clock.wall_ns() / 1e9 - sweep_age,
        )
        yield counters(
            "tickstorm_periodic_call_failures",
            "Periodic calls that raised.",
            "call",
            from_zero(_PERIODIC_CALLS, reading.metrics.failures),
        )


def _connections(reading: Reading) -> Iterator[Metric]:
    metrics = reading.metrics
    yield GaugeMetricFamily(
        "tickstorm_active_connections", "Open connections.", reading.connections
    )
    yield CounterMetricFamily(
        "tickstorm_connections_opened",
        "Connections that came, those turned away among them.",
        metrics.connections_opened,
    )
    yield counters(
        "tickstorm_connections_rejected",
        "Connections turned away at the door.",
        "reason",
        from_zero(_REJECTIONS, metrics.rejections),
    )
    yield counters(
        "tickstorm_logins",
        "Logins that were answered.",
        "result",
        from_zero(_LOGIN_RESULTS, metrics.logins),
    )
    yield counters(
        "tickstorm_publications",
        "Requests to publish that were answered.",
        "result",
        from_zero(_PUBLICATION_RESULTS, metrics.publications),
    )
    yield counters(
        "tickstorm_resumes",
        "Subscribers that came back, by what they got.",
        "result",
        from_zero(("recovered", "snapshot"), metrics.resumes),
    )
    yield counters(
        "tickstorm_protocol_errors",
        "ERROR frames sent.",
        "code",
        from_zero(_ERROR_CODES, metrics.protocol_errors),
    )
    yield CounterMetricFamily(
        "tickstorm_heartbeat_timeouts",
        "Connections ended because nothing was heard from them.",
        metrics.protocol_errors[ErrorCode.HEARTBEAT_TIMEOUT.name],
    )
    yield _tls_handshakes(metrics)
    yield CounterMetricFamily(
        "tickstorm_tls_failures",
        "Connections that TLS ended, in their handshake as a rule.",
        value=metrics.tls_failures,
    )


def _tls_handshakes(metrics: Metrics) -> Metric:
    family = CounterMetricFamily(
        "tickstorm_tls_handshakes", "TLS handshakes completed.", labels=("version", "cipher")
    )
    for parameters, count in metrics.tls_handshakes.items():
        family.add_metric(parameters, count)
    return family


def _traffic(metrics: Metrics) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "tickstorm_messages_sent",
        "DATA_BATCH frames handed to connections.",
        metrics.messages_sent,
    )
    yield CounterMetricFamily("tickstorm_bytes_sent", "Bytes of those frames.", metrics.bytes_sent)
    yield histogram(
        "tickstorm_publish_latency_ms",
        "Milliseconds from the beginning of a batch's fan-out to a subscriber's write.",
        metrics.publish_latency_ms,
    )


def _backlog(reading: Reading) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "tickstorm_congested_connections", "Connections with a queue.", reading.congested
    )
    yield GaugeMetricFamily(
        "tickstorm_queued_bytes",
        "Bytes that wait: in those queues, or handed to a socket that has not taken them.",
        reading.queued_bytes,
    )
    yield GaugeMetricFamily(
        "tickstorm_warned_connections",
        "Connections that are about to lose something, or to be ended.",
        reading.warned,
    )
    yield CounterMetricFamily(
        "tickstorm_slow_warnings", "How often one came to that.", reading.metrics.slow_warnings
    )
    yield counters(
        "tickstorm_ticks_lost",
        "Ticks that slow clients did not get, as they were told.",
        "reason",
        from_zero((CONFLATED, DROPPED), reading.metrics.ticks_lost),
    )
    yield CounterMetricFamily(
        "tickstorm_slow_consumers",
        "Connections ended because they did not read.",
        reading.metrics.slow_consumers,
    )


def _workers(workers: Sequence[WorkerReading]) -> Iterator[Metric]:
    by_number = {str(worker.number): worker for worker in workers}
    yield gauges(
        "tickstorm_worker_up",
        "Whether a worker serves.",
        "worker",
        {number: int(worker.up) for number, worker in by_number.items()},
    )
    yield counters(
        "tickstorm_worker_restarts",
        "How often a worker had to be replaced.",
        "worker",
        {number: worker.restarts for number, worker in by_number.items()},
    )
    yield gauges(
        "tickstorm_worker_connections",
        "Open connections of a worker.",
        "worker",
        {number: worker.connections for number, worker in by_number.items()},
    )
    yield counters(
        "tickstorm_worker_cpu_seconds",
        "User and system CPU time that a worker's present process has spent.",
        "worker",
        {number: worker.cpu_seconds for number, worker in by_number.items()},
    )
    yield gauges(
        "tickstorm_worker_resident_memory_bytes",
        "Resident memory of a worker's process, with what it shares with others.",
        "worker",
        {number: worker.resident_bytes for number, worker in by_number.items()},
    )


def make_registry(
    observation: Observation, certificate_expiry: CertificateExpiry
) -> CollectorRegistry:
    """Return a registry of the server's metrics, the process's and the interpreter's."""
    registry = CollectorRegistry()
    registry.register(ServerCollector(observation, certificate_expiry))
    registry.register(ProcessCollector())
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def metrics_reply(registry: CollectorRegistry) -> Reply:
    """Return what answers with the metrics: as OpenMetrics to who takes it, else as plain text."""

    def reply(request: IRequest) -> Answer:
        # prometheus_client's own choice of format fails on a version that is no number.
        if _OPENMETRICS in (request.getHeader(b"Accept") or b""):
            body = openmetrics.generate_latest(registry)
            return Answer(body, openmetrics.CONTENT_TYPE_LATEST)
        return Answer(generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)

    return reply


def _streams(hub: Hub[Outlet]) -> Mapping[str, int]:
    streams: Counter[str] = Counter()
    for period_ms, table in hub.streams.items():
        streams[mode_of(period_ms).name] += sum(1 for stream in table if stream.subscribers)
    return streams


def from_zero(known: Iterable[str], counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts, and 0 for each of those known beforehand that has none."""
    return {**dict.fromkeys(known, 0), **counts}


def counters(name: str, text: str, label: str, counts: Mapping[str, float]) -> Metric:
    """Return counters with one label."""
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def gauges(name: str, text: str, label: str, numbers: Mapping[str, float]) -> Metric:
    """Return gauges with one label."""
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, number in numbers.items():
        family.add_metric((value,), number)
    return family


def histogram(name: str, text: str, counted: Histogram) -> Metric:
    """Return a histogram."""
    bounds = [*map(str, counted.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(counted.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=counted.total)
