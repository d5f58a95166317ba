"""What the server counts: plain numbers, cheap enough for the hot path.

The web package turns them into Prometheus metrics when somebody asks.
"""

from bisect import bisect_left
from collections import Counter

LATENCY_BUCKETS_MS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


class Histogram:
    """Counts values by bucket, many equal ones in one step.

    Args:
        bounds: the upper bounds of the buckets, rising; beyond the last is one more.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value that came `times` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def add(self, other: "Histogram") -> None:
        """Count what another one, of the same bounds, has counted."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Metrics:
    """The counters of one server.

    Attributes:
        connections_opened: connections that came, those turned away among them.
        messages_sent: DATA_BATCH frames handed to connections; bytes_sent: their bytes.
        logins: by result: "accepted", or the name of the error code.
        publications: requests to publish, by result: "accepted", "repeated", or the name of the
            error code.
        resumes: subscribers that came back, by what they got: "recovered" is all that they had
            missed, "snapshot" is that instead.
        rejections: connections turned away at the door, by reason.
        protocol_errors: ERROR frames, by the name of their code.
        tls_handshakes: by (version, cipher).
        tls_failures: connections that TLS ended, in their handshake as a rule.
        slow_consumers: connections ended because they did not read.
        slow_warnings: how often one was about to lose something, or to be ended.
        ticks_lost: of slow clients, as they were told, by the reason that the GAP gave.
        publish_latency_ms: from the beginning of a batch's fan-out to a subscriber's write.
        failures: periodic calls that raised, by name.
    """

    def __init__(self) -> None:
        self.connections_opened = 0
        self.messages_sent = 0
        self.bytes_sent = 0
        self.slow_consumers = 0
        self.slow_warnings = 0
        self.ticks_lost: Counter[str] = Counter()
        self.logins: Counter[str] = Counter()
        self.publications: Counter[str] = Counter()
        self.resumes: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()
        self.protocol_errors: Counter[str] = Counter()
        self.tls_handshakes: Counter[tuple[str, str]] = Counter()
        self.tls_failures = 0
        self.publish_latency_ms = Histogram(LATENCY_BUCKETS_MS)
        self.failures: Counter[str] = Counter()

    def add(self, other: "Metrics") -> None:
        """Count what another process has counted."""
        self.connections_opened += other.connections_opened
        self.messages_sent += other.messages_sent
        self.bytes_sent += other.bytes_sent
        self.slow_consumers += other.slow_consumers
        self.slow_warnings += other.slow_warnings
        self.ticks_lost.update(other.ticks_lost)
        self.logins.update(other.logins)
        self.publications.update(other.publications)
        self.resumes.update(other.resumes)
        self.rejections.update(other.rejections)
        self.protocol_errors.update(other.protocol_errors)
        self.tls_handshakes.update(other.tls_handshakes)
        self.tls_failures += other.tls_failures
        self.publish_latency_ms.add(other.publish_latency_ms)
        self.failures.update(other.failures)
