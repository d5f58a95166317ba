"""Prints a stream in an asyncio application: python watch_asyncio.py [ADDRESS [SYMBOL ...]]."""

import asyncio
import sys
from os import environ

from tickstorm.client import asyncio_client


async def main(address: str = "localhost:8080", *symbols: str) -> None:
    """Print each tick, and whatever happens to the connection."""
    async with asyncio_client(
        address,
        username=environ["STREAM_USER"],
        password=environ["STREAM_PASS"],
        symbols=symbols or None,
        on_event=print,
    ) as client:
        async for batch in client:
            for tick in batch.ticks:
                print(f"{tick.symbol:16} {tick.price:12.4f} {tick.volume:12.2f}", flush=True)


asyncio.run(main(*sys.argv[1:]))
