"""Publishes ticks from a Twisted application: python publish_twisted.py [ADDRESS [SYMBOL]]."""

import sys
from os import environ
from random import gauss
from typing import Any

from twisted.internet.task import deferLater, react

from tickstorm.client import Tick, twisted_publisher


async def main(reactor: Any, address: str = "localhost:8080", symbol: str = "ACME") -> None:
    """Publish ten ticks a second, and print whatever happens to the connection."""
    async with twisted_publisher(
        reactor,
        address,
        username=environ["STREAM_USER"],
        password=environ["STREAM_PASS"],
        on_event=print,
    ) as publisher:
        while True:
            await publisher.publish([Tick(symbol, gauss(100, 1), 5.0)])
            print(f"{publisher.totals.ticks} published", flush=True)
            await deferLater(reactor, 0.1)


react(main, sys.argv[1:])
