"""The auctions' numbers as Prometheus metrics, beside those of the stream."""

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tickstorm.admission import Rejection
from tickstorm.auction.reading import AuctionReading
from tickstorm.auction.rule import Outcome
from tickstorm.errors import ErrorCode
from tickstorm.web.metrics import counters, from_zero, histogram

_OUTCOMES = [outcome for outcome in Outcome if outcome < Outcome.SOLD]
_LOGIN_RESULTS = ("accepted", ErrorCode.INVALID_AUTH.name, ErrorCode.RATE_LIMITED.name)


class AuctionCollector(Collector):
    """Collects the metrics of one server's auctions.

    Args:
        read: returns their numbers.
    """

    def __init__(self, read: Callable[[], AuctionReading]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it is now."""
        reading = self._read()
        yield from _bids(reading)
        yield from _watchers(reading)
        yield from _connections(reading)


def _bids(reading: AuctionReading) -> Iterator[Metric]:
    metrics = reading.metrics
    yield counters(
        "tickstorm_auction_bids",
        "Bids that were answered.",
        "outcome",
        {outcome.name: metrics.outcomes[outcome] for outcome in _OUTCOMES},
    )
    yield histogram(
        "tickstorm_auction_decision_seconds",
        "From a bid's coming to its answer.",
        metrics.decision_seconds,
    )
    yield histogram("tickstorm_auction_batch_bids", "Bids decided at a time.", metrics.batch_bids)
    yield GaugeMetricFamily(
        "tickstorm_auction_in_flight", "Bids without an answer.", reading.in_flight
    )
    yield GaugeMetricFamily(
        "tickstorm_auction_reading_paused",
        "Connections that are not read until there is room for their bids.",
        reading.paused,
    )
    yield counters(
        "tickstorm_auction_store_errors",
        "Batches that the store has not answered.",
        "kind",
        from_zero(("StoreUnavailable", "AnswerLost", "other"), metrics.store_errors),
    )
    yield GaugeMetricFamily(
        "tickstorm_auction_store_state",
        "How the store does: 0 well, 1 asked whether it is back, 2 left alone for a moment.",
        reading.state.value,
    )


def _watchers(reading: AuctionReading) -> Iterator[Metric]:
    metrics = reading.metrics
    yield GaugeMetricFamily(
        "tickstorm_auction_watchers",
        "Connections that watch an auction.",
        reading.watchers,
    )
    yield counters(
        "tickstorm_auction_updates",
        "UPDATEs: sent, and replaced by a newer one before a slow client was sent it.",
        "result",
        from_zero(("sent", "conflated"), metrics.updates),
    )
    yield CounterMetricFamily(
        "tickstorm_auction_ticks_withheld",
        "Leading bids that are no ticks.",
        metrics.ticks_withheld,
    )


def _connections(reading: AuctionReading) -> Iterator[Metric]:
    edge = reading.edge
    yield GaugeMetricFamily(
        "tickstorm_auction_connections",
        "Open connections of bidders.",
        reading.connections,
    )
    yield CounterMetricFamily(
        "tickstorm_auction_connections_opened",
        "Connections of bidders that came, those turned away among them.",
        edge.connections_opened,
    )
    yield counters(
        "tickstorm_auction_connections_rejected",
        "Connections of bidders turned away at the door.",
        "reason",
        from_zero((rejection.value for rejection in Rejection), edge.rejections),
    )
    yield counters(
        "tickstorm_auction_logins",
        "Logins of bidders that were answered.",
        "result",
        from_zero(_LOGIN_RESULTS, edge.logins),
    )
    yield counters(
        "tickstorm_auction_errors",
        "ERROR frames sent.",
        "code",
        from_zero((code.name for code in ErrorCode if code), edge.protocol_errors),
    )
    yield CounterMetricFamily(
        "tickstorm_auction_slow_consumers",
        "Connections of bidders ended because they did not read.",
        edge.slow_consumers,
    )
