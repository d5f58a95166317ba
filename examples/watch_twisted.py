"""Prints a stream in a Twisted application: python watch_twisted.py [ADDRESS [SYMBOL ...]]."""

import sys
from os import environ
from typing import Any

from twisted.internet.task import react

from tickstorm.client import twisted_client


async def main(reactor: Any, address: str = "localhost:8080", *symbols: str) -> None:
    """Print each tick, and whatever happens to the connection."""
    async with twisted_client(
        reactor,
        address,
        username=environ["STREAM_USER"],
        password=environ["STREAM_PASS"],
        symbols=symbols or None,
        on_event=print,
    ) as client:
        async for batch in client:
            for tick in batch.ticks:
                print(f"{tick.symbol:16} {tick.price:12.4f} {tick.volume:12.2f}", flush=True)


react(main, sys.argv[1:])
