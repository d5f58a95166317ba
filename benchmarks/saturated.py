"""The whole server, fed as fast as its subscribers take it: the process that `throughput` measures.

    python -m benchmarks.saturated PORT SUBSCRIBERS SECONDS

It publishes the next batch when nobody has any of the one before queued. So it never outruns its
subscribers, and no batch is ever lost to a full queue.
"""

import os
import sys
import time
from dataclasses import replace
from typing import Any

from twisted.internet.task import LoopingCall, deferLater, react

from benchmarks.flood import Flood, flood_ticks, to_line
from tickstorm.config import load
from tickstorm.errors import ConfigError
from tickstorm.factory import TickstormFactory
from tickstorm.hub import Hub
from tickstorm.outlet import Outlet
from tickstorm.service import TickstormService

POLL_S = 0.02
PAUSE_S = 0.2
"""From the last subscription to the first batch."""


class Feed:
    """Publishes batches for some seconds.

    Args:
        hub: takes them.
        factory: has the subscribers.
        seconds: how long.
    """

    def __init__(self, hub: Hub[Outlet], factory: TickstormFactory, seconds: float) -> None:
        self._hub = hub
        self._factory = factory
        self._seconds = seconds
        self._ticks = flood_ticks()
        self._loop = LoopingCall(self._step)
        self._batches = 0
        self._began = 0.0

    async def run(self) -> Flood:
        """Publish, and return what it was once everybody has it."""
        self._began = time.time()
        await self._loop.start(0)
        return Flood(self._batches, self._began, time.time())

    def _step(self) -> None:
        if self._factory.congested:
            return
        if time.time() >= self._began + self._seconds:
            self._loop.stop()
            return
        self._hub.publish(self._ticks)
        self._batches += 1


def subscribers(hub: Hub[Outlet]) -> int:
    """Return how many are subscribed to TICK."""
    return sum(len(stream.subscribers) for stream in hub.ticks.streams)


async def main(reactor: Any, port: str, wanted: str, seconds: str) -> None:
    """Serve until somebody ends the process; the flood begins when all are subscribed."""
    endpoint = f"tcp:{port}:interface=127.0.0.1"
    settings = load(file=None, environ=os.environ, options={"port": [endpoint]})
    service = TickstormService(replace(settings, source=(), http=""), reactor)
    service.startService()
    hub, factory = service.hub, service.factory
    if factory is None:
        raise ConfigError("the flood is for one process: set no workers")
    while subscribers(hub) < int(wanted):
        await deferLater(reactor, POLL_S)
    await deferLater(reactor, PAUSE_S)
    print(to_line(await Feed(hub, factory, float(seconds)).run()), flush=True)
    while True:
        await deferLater(reactor, 1.0)


if __name__ == "__main__":
    react(main, sys.argv[1:])
