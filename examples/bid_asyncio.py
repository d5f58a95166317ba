"""Bids in an asyncio application: python bid_asyncio.py [ADDRESS [AUCTION [USER]]]."""

import asyncio
import sys
from decimal import Decimal
from os import environ

from tickstorm.client.auction import Outcome, asyncio_bidder

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
            if leader.outcome is not None or leader.bidder == int(user):
                continue
            amount: Decimal | None = (leader.price or Decimal(0)) + 1
            while amount is not None and amount <= LIMIT:
                result = await bidder.bid(int(auction), int(user), amount)
                print(result.outcome.name, result.minimum, flush=True)
                amount = result.minimum if result.outcome is Outcome.TOO_LOW else None


asyncio.run(main(*sys.argv[1:]))
