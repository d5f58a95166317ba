"""A Twisted application that serves its own ticks: python embed_server.py [ENDPOINT]."""

import sys
from os import environ
from random import gauss
from typing import Any
from uuid import uuid4

from twisted.internet.endpoints import serverFromString
from twisted.internet.task import LoopingCall, react

from tickstorm.clock import system_clock
from tickstorm.credentials import SharedCredentials
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.history import HistoryLimits
from tickstorm.hub import Hub, HubLimits
from tickstorm.outlet import Outlet
from tickstorm.ticks import Tick


async def main(reactor: Any, endpoint: str = "tcp:8080:interface=127.0.0.1") -> None:
    """Serve ten ticks a second."""
    clock = system_clock(reactor)
    limits = HubLimits(history=HistoryLimits())  # who comes back gets what it missed
    hub: Hub[Outlet] = Hub(uuid4().hex, clock.wall_ns, limits)
    credentials = SharedCredentials(environ["STREAM_USER"], environ["STREAM_PASS"])
    port = await serverFromString(reactor, endpoint).listen(
        TickstormFactory(FanOut(hub, clock), credentials, clock)
    )
    print("listening on", port.getHost(), flush=True)
    await LoopingCall(lambda: hub.publish([Tick("ACME", gauss(100, 1), 5.0)])).start(0.1)


react(main, sys.argv[1:])
