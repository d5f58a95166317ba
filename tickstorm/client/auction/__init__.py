"""The bidder: bids in the auctions of a server, from a Twisted or an asyncio application.

    async with asyncio_bidder("localhost:8081", username="desk", password="secret") as bidder:
        result = await bidder.bid(1, 42, Decimal("12.50"))
        async for leader in bidder.watch(1):
            print(leader.price, leader.bidder)

A bid returns when its RESULT has come. It is sent again when a connection is lost, under the same
number, so that it counts once. `twisted_bidder` is the same on a reactor. Importing this imports
neither framework. `BlockingAuctions` creates and closes auctions, for operators.
"""

from tickstorm.auction.rule import Outcome
from tickstorm.client.auction.bidder import Bidder, BidderEvent, BidderLimits, new_bid_id
from tickstorm.client.auction.bidding import asyncio_bidder, twisted_bidder
from tickstorm.client.auction.results import Leader, Result
from tickstorm.client.auction.watch import Watch
from tickstorm.client.backoff import BackoffLimits
from tickstorm.client.events import Disconnected, Entered, Garbled, ServerError, Silent
from tickstorm.web.blocking_auctions import (
    Auction,
    AuctionRefused,
    AuctionsUnreachable,
    BlockingAuctions,
)

__all__ = [
    "Auction",
    "AuctionRefused",
    "AuctionsUnreachable",
    "BackoffLimits",
    "Bidder",
    "BidderEvent",
    "BidderLimits",
    "BlockingAuctions",
    "Disconnected",
    "Entered",
    "Garbled",
    "Leader",
    "Outcome",
    "Result",
    "ServerError",
    "Silent",
    "Watch",
    "asyncio_bidder",
    "new_bid_id",
    "twisted_bidder",
]
