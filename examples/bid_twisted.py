"""Bids in a Twisted application: python bid_twisted.py [ADDRESS [AUCTION [USER]]]."""

import sys
from decimal import Decimal
from os import environ
from typing import Any

from twisted.internet.task import react

from tickstorm.client.auction import twisted_bidder

LIMIT = Decimal("20.00")


async def main(
    reactor: Any, address: str = "localhost:8081", auction: str = "1", user: str = "42"
) -> None:
    """Lead as long as that costs no more than LIMIT, to the end of the auction."""
    async with twisted_bidder(
        reactor,
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


react(main, sys.argv[1:])
