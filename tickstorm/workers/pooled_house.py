"""The auctions of a server whose workers serve the bidders: what of them is in the first process.

That is the store, the ticks, and what operators see. The bidders' connections are the pool's, which
sees them off with all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory

from tickstorm.auction.interfaces import IAuctionStore
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.auction.reading import AuctionReading, together
from tickstorm.auction.ticks import Ticks
from tickstorm.metrics import Metrics
from tickstorm.settings import Settings
from tickstorm.ticks import Tick
from tickstorm.workers.acceptor import Unserved

if TYPE_CHECKING:
    from tickstorm.auction.tokens import Tokens


class PooledHouse:
    """Publishes who leads, whichever worker took the bid.

    Args:
        store: keeps the auctions; it is started and stopped with the house.
        publish: the hub's.
        read: returns what the workers say of their bidders.

    Attributes:
        store: as given.
        factory: what each port is to listen with.
    """

    def __init__(
        self,
        store: IAuctionStore,
        publish: Callable[[Iterable[Tick]], object],
        read: Callable[[], AuctionReading],
    ) -> None:
        self.store = store
        self.factory: IProtocolFactory = Unserved()
        self._read = read
        self._metrics = AuctionMetrics()
        store.follow(Ticks(publish, self._metrics))

    def read(self) -> AuctionReading:
        """Return the sum of what the workers said last, and of what is counted here."""
        own = AuctionReading(0, 0, 0, 0, self._metrics, Metrics(), self.store.state)
        return together([own, self._read()])

    def start(self) -> Deferred[None]:
        """Have the store look for its auctions; the result comes after the first try."""
        return self.store.start()

    def stop(self) -> None:
        """Let go of the store, behind the last of the workers."""
        self.store.stop()

    def reload(self, settings: Settings, tokens: Tokens | None) -> None:
        """Nothing is to be done: the pool tells the workers."""

    def stop_accepting(self) -> None:
        """Nothing is to be done: the pool accepts."""

    def drain(self, seconds: float, window: float) -> Deferred[None]:  # noqa: ARG002 - the pool's
        """Nothing is to be done: the pool sees the bidders off."""
        return succeed(None)

    def hasten(self) -> None:
        """Nothing is to be done: the pool tells the workers."""
