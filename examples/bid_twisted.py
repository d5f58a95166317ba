"""Bids in a Twisted application: python bid_twisted.py [ADDRESS [AUCTION [USER]]]."""

import sys
from decimal import Decimal
from os import environ
from typing import Any

from twisted.internet.task import react

from tickstorm.client.auction import Outcome, twisted_bidder

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
            if leader.outcome is not None or leader.bidder == int(user):
                continue
            amount: Decimal | None = (leader.price or Decimal(0)) + 1
            while amount is not None and amount <= LIMIT:
                result = await bidder.bid(int(auction), int(user), amount)
                print(result.outcome.name, result.minimum, flush=True)
                amount = result.minimum if result.outcome is Outcome.TOO_LOW else None


react(main, sys.argv[1:])
