"""Publishes ticks from an asyncio application: python publish_asyncio.py [ADDRESS [SYMBOL]]."""

import asyncio
import sys
from os import environ
from random import gauss

from tickstorm.client import Tick, asyncio_publisher


async def main(address: str = "localhost:8080", symbol: str = "ACME") -> None:
    """Publish ten ticks a second, and print whatever happens to the connection."""
    async with asyncio_publisher(
        address,
        username=environ["STREAM_USER"],
        password=environ["STREAM_PASS"],
        on_event=print,
    ) as publisher:
        while True:
            await publisher.publish([Tick(symbol, gauss(100, 1), 5.0)])
            print(f"{publisher.totals.ticks} published", flush=True)
            await asyncio.sleep(0.1)


asyncio.run(main(*sys.argv[1:]))
