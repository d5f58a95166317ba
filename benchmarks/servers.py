"""The servers under load: how each is started, and when it is ready."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice, takewhile
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from benchmarks.figures import Unusable
from benchmarks.yardsticks import Tools
from tickstorm.bars import Bar
from tickstorm.bench.server_process import descendants, processes
from tickstorm.frames import OVERHEAD_BYTES
from tickstorm.records import bar_record, batch_frame
from tickstorm.subscriptions import Mode
from tickstorm.ticks import Tick

ROOT = Path(__file__).resolve().parent.parent
LOGIN = {"STREAM_USER": "bench", "STREAM_PASS": "bench"}
START_SECONDS = 20.0
STOP_SECONDS = 20.0
LIMIT_SECONDS = 3600
"""After this limit.c ends by itself, should nobody end it."""
PROCESSES_BESIDE_WORKERS = 2
"""Tickstorm's parent, and the one that forks the workers."""
SETTLE_SECONDS = 0.5
"""What a worker has to get ready, once its process is there."""
EARLY = 60
"""A batch's number in the first two minutes of a stream: no run is longer."""
_LISTENING = "0A"
_TRAILER_BYTES = 11
"""Of a batch of limit.c: key and length of its one tick, key and value of publish_time_ns."""


class Server(NamedTuple):
    """A server that can be started.

    Attributes:
        name: as the tables have it.
        port: where it will listen, on loopback.
        command: starts it.
        copies: how many times the command is to run.
        listeners: how many sockets listen once it is ready.
        processes: how many processes it has then, at least, those that it started among them.
        environment: beside the present one.
        page: the port of its operators' page; 0 if there is none.
        output: the file that takes its standard output; None drops it.
    """

    name: str
    port: int
    command: tuple[str, ...]
    copies: int = 1
    listeners: int = 1
    processes: int = 1
    environment: Mapping[str, str] = MappingProxyType({})
    page: int = 0
    output: Path | None = None


def batch_bytes() -> int:
    """Return the size of nearly every frame that a subscriber of the walk's one symbol gets.

    A volume of one lot, and a batch's number of another length, are a byte off.
    """
    bar = Bar(Tick("SIM1", 100.0, 1000.0, time.time_ns(), 99.99, 100.01, 1000, 1000))
    now_ns = time.time_ns()
    frame = batch_frame(
        [bar_record(bar, Mode.SECOND)],
        timestamp_ms=now_ns // 1_000_000,
        sequence=EARLY,
        publish_time_ns=now_ns,
    )
    return len(frame)


def limit(tools: Tools, delivery: str, processes: int = 1) -> Server:
    """Return limit.c, with batches of the size that Tickstorm's have."""
    port = free_port()
    tick_bytes = batch_bytes() - OVERHEAD_BYTES - _TRAILER_BYTES
    command = (str(tools.limit), str(port), delivery, str(tick_bytes), str(LIMIT_SECONDS))
    return Server("limit.c", port, command, processes, processes, processes)


def tickstorm(delivery: str, workers: int = 1, ticks_per_s: int = 10, **environment: str) -> Server:
    """Return the whole server, with one symbol and every feature as it comes."""
    port, page = free_port(), free_port()
    command = (
        str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "tickstorm",
        "--port", f"tcp:{port}:interface=127.0.0.1",
        "--http", f"tcp:{page}:interface=127.0.0.1",
        "--source", f"walk:symbols=1:rate={ticks_per_s}",
        "--delivery", delivery,
        "--log-level", "warn",
        *(("--workers", str(workers)) if workers > 1 else ()),
    )  # fmt: skip
    processes = workers + PROCESSES_BESIDE_WORKERS if workers > 1 else 1
    return Server(
        "Tickstorm", port, command, processes=processes, environment=environment, page=page
    )


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listeners(table: Iterable[str], port: int) -> int:
    """Count who listens on a port.

    Args:
        table: the lines of /proc/net/tcp; those that listen stand first.
        port: the one in question.
    """
    rows = takewhile(lambda row: row[3] == _LISTENING, map(str.split, islice(table, 1, None)))
    return sum(int(row[1].rpartition(":")[2], 16) == port for row in rows)


@contextmanager
def running(server: Server) -> Iterator[Sequence[int]]:
    """Run a server until the block ends; the ids of all its processes, once it is ready.

    Raises:
        Unusable: it ends, or does not come to listening.
    """
    with ExitStack() as stack:
        copies = [stack.enter_context(started(server)) for _ in range(server.copies)]
        yield _await_ready(server, copies)


@contextmanager
def started(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """Have a server's command run as long as the block, ready or not."""
    with (
        (server.output or Path(os.devnull)).open("wb") as output,
        subprocess.Popen(
            server.command,
            env={**os.environ, **LOGIN, "PYTHONPATH": str(ROOT), **server.environment},
            stdout=output,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _await_ready(server: Server, copies: Sequence[subprocess.Popen[bytes]]) -> Sequence[int]:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if any(copy.poll() is not None for copy in copies):
            raise Unusable(f"{server.name} ended before it was ready: {' '.join(server.command)}")
        pids = descendants(processes(), [copy.pid for copy in copies])
        if len(pids) >= server.processes and _listeners_now(server.port) >= server.listeners:
            if server.processes > server.copies:
                time.sleep(SETTLE_SECONDS)
            return pids
        time.sleep(0.05)
    raise Unusable(f"{server.name} is not ready after {START_SECONDS:g} s")


def _listeners_now(port: int) -> int:
    with Path("/proc/net/tcp").open() as table:
        return listeners(table, port)
