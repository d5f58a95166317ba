"""Goes on where it was when it ended: python resume_asyncio.py FILE [ADDRESS [SYMBOL ...]]."""

import asyncio
import json
import sys
from os import environ
from pathlib import Path

from tickstorm.client import Mode, Position, asyncio_client


def load(file: Path) -> Position | None:
    """Return what was saved; None if that is nothing."""
    return Position(*json.loads(file.read_text())) if file.exists() else None


def save(file: Path, position: Position) -> None:
    """Write a position so that the file always has a whole one."""
    beside = file.with_name(f"{file.name}.new")
    beside.write_text(json.dumps(position))
    beside.replace(file)


async def main(name: str, address: str = "localhost:8080", *symbols: str) -> None:
    """Print each tick behind the position in a file, and keep that up to date."""
    file = Path(name)
    async with asyncio_client(
        address,
        username=environ["STREAM_USER"],
        password=environ["STREAM_PASS"],
        mode=Mode.TICK,
        symbols=symbols or None,
        resume_from=load(file),
        on_event=print,
    ) as client:
        async for batch in client:
            for tick in batch.ticks:
                print(f"{batch.sequence:10} {tick.symbol:16} {tick.price:12.4f}", flush=True)
            if client.position is not None:
                save(file, client.position)


asyncio.run(main(*sys.argv[1:]))
