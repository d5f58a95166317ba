"""Bids in an asyncio application: python bid_asyncio.py [ADDRESS [AUCTION [USER]]]."""

import asyncio
import sys
from decimal import Decimal
from os import environ

from tickstorm.client.auction import asyncio_bidder

LIMIT = Decimal("20.00")


async def main(address: str = "localhost:8081", auction: str = "1", user: str = "42") -> None:
    """Lead as long as that costs no more than LIMIT, to the end of the auction."""
    async with asyncio_bidder(
        address,
        username=environ["STREAM_USER"],
        password=environ["STREAM_PASS"],
        on_event=print,
    ) as bidder:
        async for leader in bidder.watch(int(auction)):
            print(leader, flush=True)
            price = leader.price or Decimal(0)
            if leader.outcome is None and leader.bidder != int(user) and price < LIMIT:
                result = await bidder.bid(int(auction), int(user), min(price + 1, LIMIT))
                print(result.outcome.name, result.minimum, flush=True)


asyncio.run(main(*sys.argv[1:]))
