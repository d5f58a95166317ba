"""Real servers of auctions: processes of `twistd tickstorm`, for as long as a test runs."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from redis_servers import HOST, free_port
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tickstorm.clock import system_clock

TWISTD = Path(sys.executable).with_name("twistd")
SECONDS = 60.0
"""After so long a test that waits has failed."""
HOUR_MS = 3_600_000
LOGIN = "alice:secret"


def surroundings(environ):
    """What a server has in its environment: nothing else that is set for servers."""
    own = {name: value for name, value in os.environ.items() if "TICKSTORM" not in name}
    return {
        **own,
        "STREAM_USER": "alice",
        "STREAM_PASS": "secret",
        "TICKSTORM_AUCTION_USERS": "alice:*",
        "TICKSTORM_AUCTION_RATE_PER_USER": "0",
        "TICKSTORM_AUCTION_RATE_PER_ADDRESS": "0",
        "TICKSTORM_DRAIN_TIMEOUT": "3s",
        **environ,
    }


async def until(holds, what):
    """Wait until something holds, and return it."""
    clock = system_clock(reactor)
    end = clock.monotonic() + SECONDS
    while not (found := holds()):
        assert clock.monotonic() < end, f"not within {SECONDS} s: {what}"
        await deferLater(reactor, 0.01)
    return found


def now_ms():
    """The time on the clock of the wall, which a store in this machine has too."""
    return int(time() * 1000)


class AuctionServer:
    """One process.

    Attributes:
        port: where bidders connect; the same after a restart.
    """

    def __init__(self, folder, environ):
        self.port, self._page = free_port(), free_port()
        self._log = Path(folder, f"{self.port}.log")
        self._environ = surroundings(environ)
        self._folder = folder
        self._process = None
        self.start()

    def start(self):
        """Start it."""
        loopback = f"interface={HOST}"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(TWISTD, "-n", "--pidfile=", "tickstorm", "--port", f"tcp:0:{loopback}"),
                    *("--http", f"tcp:{self._page}:{loopback}"),
                    *("--auction", f"tcp:{self.port}:{loopback}"),
                    *("--source", "walk:symbols=A:rate=20"),  # without one it is not well
                ],
                cwd=self._folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def terminate(self):
        """Tell it to stop."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self):
        """End it at once."""
        self._process.kill()
        self._process.wait()

    async def exit_code(self):
        """Come back with it when the process has ended."""
        return await deferToThread(self._process.wait, SECONDS)

    def complaints(self):
        """What its log has of errors."""
        lines = self._log.read_text().splitlines()
        return [line for line in lines if re.search(r'"level": ?"(error|critical)"', line)]

    def has_said(self, words):
        """Whether these are in its log."""
        return words in self._log.read_text()

    # Its page.

    async def ask(self, path, method="GET"):
        """The status and the text of an answer; not in this thread, which may have to be asked."""
        return await deferToThread(self._ask, path, method)

    async def create(self, id, **terms):
        """Create an auction that is open for an hour unless something else is said."""
        terms = {"id": id, "closes_ms": now_ms() + HOUR_MS, **terms}
        query = "&".join(f"{name}={value}" for name, value in terms.items())
        return await self._change(f"/auctions?{query}")

    async def close(self, id):
        """Close an auction."""
        return await self._change(f"/auctions/close?id={id}")

    async def health(self):
        """How it is, whether it is ready, and how the store is in the numbers."""
        _, health = await self.ask("/health")
        ready, _ = await self.ask("/health/ready")
        _, metrics = await self.ask("/metrics")
        (state,) = re.findall(r"^tickstorm_auction_store_state ([0-9.]+)$", metrics, re.MULTILINE)
        return json.loads(health)["status"], ready, float(state)

    async def in_flight(self):
        """How many bids have no answer yet."""
        _, metrics = await self.ask("/metrics")
        (bids,) = re.findall(r"^tickstorm_auction_in_flight ([0-9.]+)$", metrics, re.MULTILINE)
        return float(bids)

    async def comes_to(self, wanted, reading):
        """Come back when a reading is as wanted."""
        clock = system_clock(reactor)
        end = clock.monotonic() + SECONDS
        while not wanted(found := await reading()):
            assert clock.monotonic() < end, f"{found} for {SECONDS} s"
            await deferLater(reactor, 0.02)
        return found

    async def well(self):
        """Come back when it is, which includes its store."""

        async def status():
            try:
                return await self.health()
            except OSError:
                return None

        await self.comes_to(lambda found: found == ("ok", 200, 0), status)

    async def _change(self, path):
        status, text = await self.ask(path, "POST")
        assert status == 200, text
        return json.loads(text)

    def _ask(self, path, method):
        request = Request(f"http://{HOST}:{self._page}{path}", method=method)
        try:
            with urlopen(request, timeout=SECONDS) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refused:
            return refused.code, refused.read().decode()


@asynccontextmanager
async def serving(count, redis="", **environ):
    """Run servers that are well.

    Args:
        count: how many.
        redis: the URL of what they share; none for memory.
        environ: what else is set.
    """
    if redis:
        environ = {"TICKSTORM_REDIS": redis, "TICKSTORM_REDIS_TIMEOUT": "500ms", **environ}
    with TemporaryDirectory(prefix="tickstorm-auctions-") as folder:
        servers = []
        try:
            servers += [AuctionServer(folder, environ) for _ in range(count)]
            await together(server.well() for server in servers)
            yield servers
        finally:
            for server in servers:
                server.kill()


async def together(coroutines):
    """Wait for all of them."""
    return await gatherResults([Deferred.fromCoroutine(each) for each in coroutines])
