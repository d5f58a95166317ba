"""What a connection asks of whatever feeds it: a place in a stream, and to be let go of it.

The feed is in this process (`tickstorm.fanout.FanOut`) or in another one
(`tickstorm.workers.remote.RemoteFeed`); a connection cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tickstorm.hub import Backfill
from tickstorm.publishing import Accepted, Publication
from tickstorm.stream import Stream, StreamTable
from tickstorm.subscriptions import MAX_SHARED_SUBSCRIPTIONS, Subscription
from tickstorm.ticks import MAX_METADATA_VALUE

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from tickstorm.metrics import Metrics
    from tickstorm.outlet import Outlet
    from tickstorm.past import Past


class Joined(NamedTuple):
    """A place in a stream: its next batch is the first that the subscriber gets.

    Attributes:
        subscription: what was asked for.
        stream: what serves it.
        backfill: what to send before that.
    """

    subscription: Subscription
    stream: Stream[Outlet]
    backfill: Backfill

    def terms(self) -> dict[str, str]:
        """Return what an ACK says of it."""
        backfill = self.backfill
        terms = {
            "epoch": self.stream.epoch,
            "next_sequence": str(backfill.next_sequence),
            **_named(self.subscription.symbols),
        }
        if backfill.recovered is not None:
            terms["recovered"] = "true" if backfill.recovered else "false"
        return terms


@lru_cache(MAX_SHARED_SUBSCRIPTIONS)
def _named(symbols: frozenset[str] | None) -> Mapping[str, str]:
    """Return the symbols in entries that are no longer than one may be."""
    entries: list[str] = []
    for symbol in sorted(symbols or "*"):
        if entries and len(entries[-1]) + len(symbol) < MAX_METADATA_VALUE:
            entries[-1] += f",{symbol}"
        else:
            entries.append(symbol)
    keys = ("symbols", *(f"symbols_{number}" for number in range(2, len(entries) + 1)))
    return dict(zip(keys, entries, strict=True))


class Feed(Protocol):
    """Feeds the connections of one factory."""

    metrics: Metrics
    """Takes what is sent."""

    @property
    def epoch(self) -> str:
        """Names this run of what is fed: publishers' requests are remembered as long as it is."""

    @property
    def streams(self) -> Mapping[int, StreamTable[Outlet]]:
        """The streams that somebody here listens to, by their period in ms."""

    def start(self) -> None:
        """Begin to send.

        Raises:
            RuntimeError: it cannot, as another one does.
        """

    def stop(self) -> None:
        """Send what is pending, and no more after that."""

    def flush(self) -> None:
        """Send what is pending."""

    def join(self, subscription: Subscription, subscriber: Outlet) -> Joined | Deferred[Joined]:
        """Put a subscriber on the stream that serves it, at once or later.

        A Deferred that is cancelled leaves nothing behind, and fails if there is no feed.

        Raises:
            ProtocolError: it cannot be served; the Deferred fails likewise.
        """

    def publish(self, publication: Publication) -> Accepted | Deferred[Accepted]:
        """Publish what a client asks for, at once or later.

        Raises:
            ProtocolError: as `Intake.take` does; the Deferred fails likewise.
        """

    def leave(self, stream: Stream[Outlet], subscriber: Outlet, kept: bool = True) -> None:
        """Take a subscriber off its stream.

        Args:
            stream: that it is on.
            subscriber: who leaves.
            kept: whether it may come back, and what it misses is to be kept for it.
        """

    def send_past(self, subscriber: Outlet, past: Past) -> None:
        """Send one subscriber what comes before the next batch of its stream."""
