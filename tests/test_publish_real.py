"""Publishing to a real server of two workers: to whoever listens, once, and in order."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from cutting import CuttingProxy
from test_tap import LOGIN
from workers_server import Launched, until

from tickstorm.client import (
    BackoffLimits,
    Mode,
    PublisherLimits,
    Subscribed,
    Tick,
    asyncio_client,
    asyncio_publisher,
)

pytestmark = pytest.mark.real

USER, PASSWORD = LOGIN["STREAM_USER"], LOGIN["STREAM_PASS"]
PUBLISHING = {**LOGIN, "TICKSTORM_PUBLISHERS": f"{USER}:*"}
SECONDS = 60
"""After which a test that waits has failed."""
COMMAND = (sys.executable, "-c", "from tickstorm.cli import main; main(prog_name='tickstorm')")


class Listener:
    """A subscriber to every tick, and what it got: the volumes, which number the ticks."""

    def __init__(self, port, symbols):
        self.subscribed = asyncio.Event()
        self.volumes = []
        self.client = asyncio_client(
            f"127.0.0.1:{port}",
            username=USER,
            password=PASSWORD,
            mode=Mode.TICK,
            symbols=symbols,
            on_event=self._heard,
        )
        self.trouble = []

    def _heard(self, event):
        if isinstance(event, Subscribed):
            self.subscribed.set()
        elif type(event).__name__ != "Authenticated":
            self.trouble.append(event)

    async def until_got(self, count):
        async for batch in self.client:
            self.volumes += [tick.volume for tick in batch.ticks]
            if len(self.volumes) >= count:
                await self.client.close()
                return


def run(*arguments, **options):
    return subprocess.run(
        [*COMMAND, "publish", *arguments],
        env={**os.environ, **LOGIN},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )


@pytest.fixture(scope="module", name="server")
def serve(tmp_path_factory):
    environ = {**PUBLISHING, "TICKSTORM_PUBLISH_RATE": "60000"}
    with Launched(tmp_path_factory.mktemp("server"), environ=environ) as server:
        yield server


def test_a_file_reaches_the_subscribers_of_both_workers(server, tmp_path):
    count = 5000
    file = tmp_path / "day.csv"
    file.write_text("symbol,price,volume\n" + "".join(f"F,1.5,{n}\n" for n in range(count)))

    async def test():
        listeners = [Listener(server.port, ["F"]) for _ in range(2)]
        tasks = [asyncio.create_task(each.until_got(count)) for each in listeners]
        await asyncio.gather(*(each.subscribed.wait() for each in listeners))
        workers = await asyncio.to_thread(
            until, lambda: server.by_worker("connections") == [1, 1], "one on each worker"
        )
        done = await asyncio.to_thread(run, f"127.0.0.1:{server.port}", str(file))
        await asyncio.gather(*tasks)
        return workers, done, listeners

    workers, done, listeners = asyncio.run(asyncio.wait_for(test(), SECONDS))
    assert workers
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("tickstorm: published 5,000 ticks, ")
    for listener in listeners:
        assert (listener.volumes, listener.trouble) == (list(map(float, range(count))), [])


def test_what_a_pipe_has_is_published_at_once(server):
    async def test():
        listener = Listener(server.port, ["P"])
        task = asyncio.create_task(listener.until_got(1))
        await listener.subscribed.wait()
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "publish",
            f"127.0.0.1:{server.port}",
            env={**os.environ, **LOGIN},
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        process.stdin.write(b'{"symbol":"P","price":1.5,"volume":7}\n')
        await task
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
        return listener.volumes, process.returncode, errors.decode()

    volumes, code, errors = asyncio.run(asyncio.wait_for(test(), SECONDS))
    assert (volumes, code) == ([7.0], 130)
    assert errors.startswith("tickstorm: published 1 tick, 1 request, ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("A,x", "standard input, line 3: price 'x' is not a number"),
        ("a,1", "standard input, line 3: symbol 'a' is not 1 to 16 of A-Z 0-9 . _ -"),
    ],
)
def test_a_bad_line_is_one_line(server, line, why):
    done = run(f"127.0.0.1:{server.port}", input=f"symbol,price\nA,1\n{line}\nA,2\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"tickstorm: {why}; 1 tick published before\n"


def test_a_line_that_the_server_refuses_is_one_line(server):
    lines = f"time,symbol,price\n{'now,A,1' + chr(10)}2001-01-01T00:00:00Z,A,2\n"
    done = run(f"127.0.0.1:{server.port}", input=lines)
    assert done.returncode == 1
    assert done.stderr.startswith("tickstorm: standard input, line 3: INVALID_MESSAGE: timestamp ")


def test_times_may_be_left_to_the_server_and_the_format_be_said(server):
    line = '{"symbol":"A","price":1,"time":"2001-01-01T00:00:00Z"}\n'
    done = run(f"127.0.0.1:{server.port}", "--now", input=line)
    assert (done.returncode, done.stderr.startswith("tickstorm: published 1 tick")) == (0, True)
    done = run(f"127.0.0.1:{server.port}", "--now", "--format", "csv", input=line)
    assert done.returncode == 1
    assert done.stderr.startswith("tickstorm: standard input, line 1: not CSV: ")


def test_a_million_ticks_over_ten_cuts_arrive_once_each_and_in_order(server):
    count, cuts = 1_000_000, 10
    limits = PublisherLimits(backoff=BackoffLimits(first=0.05, longest=0.2))

    async def test():
        listener = Listener(server.port, ["M"])
        arriving = asyncio.create_task(listener.until_got(count))
        await listener.subscribed.wait()
        async with (
            CuttingProxy(server.port, cuts=cuts, size=20 * count, seed=7) as proxy,
            asyncio_publisher(
                f"127.0.0.1:{proxy.port}", username=USER, password=PASSWORD, limits=limits
            ) as publisher,
        ):
            published = await publisher.publish(Tick("M", 1.5, float(n)) for n in range(count))
            await arriving
        return listener, published, proxy.cuts

    listener, published, cut = asyncio.run(asyncio.wait_for(test(), 90))
    assert listener.volumes == list(map(float, range(count)))
    assert (listener.trouble, cut) == ([], cuts)
    assert published.ticks == count
    assert published.repeated > 0
