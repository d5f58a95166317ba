"""Serving: the auctions of one instance, whether its bidders are in this process or in several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IProtocolFactory

    from tickstorm.auction.interfaces import IAuctionStore
    from tickstorm.auction.reading import AuctionReading
    from tickstorm.auction.tokens import Tokens
    from tickstorm.settings import Settings


class AuctionServing(Protocol):
    """Serves the bidders of one instance; `AuctionHouse` is one."""

    @property
    def store(self) -> IAuctionStore:
        """What keeps the auctions."""

    @property
    def factory(self) -> IProtocolFactory:
        """What each port is to listen with."""

    def read(self) -> AuctionReading:
        """Return the numbers of the whole instance, at most some seconds old."""

    def start(self) -> Deferred[None]:
        """Have the store look for its auctions; the result comes after the first try."""

    def stop(self) -> None:
        """Let go of the store, behind the last of the connections."""

    def reload(self, settings: Settings, tokens: Tokens | None) -> None:
        """Be held to other settings, whose `max_connections` is for bidders alone."""

    def stop_accepting(self) -> None:
        """Serve nobody new: the ports are about to stop."""

    def drain(self, seconds: float, window: float) -> Deferred[None]:
        """Close all within `window` seconds, each behind its RESULTs; cut who is left."""

    def hasten(self) -> None:
        """End a drain that is under way at once."""
