"""Confirmed bids a second: many connections, each with some bids outstanding, over loopback.

A bid counts when its RESULT has come. The bids are encoded beforehand, and most of them are too low
or equal, as most are in an auction that many want; RESULTs are counted by their outcome.
"""

import argparse
import os
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from random import Random
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.servers import START_SECONDS, free_port
from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import bid_frame

RESULT_BYTES = 67
OUTCOME_AT = 18
"""Where in a RESULT its outcome is."""
BLOBS = 4096
"""Different turns of bids; then they come again."""
HOUR_MS = 3_600_000


class Load(NamedTuple):
    """What is sent.

    Attributes:
        connections: at a time.
        pipeline: bids of each without a RESULT.
        auctions: that they are for, at random.
        seconds: how long.
    """

    connections: int
    pipeline: int
    auctions: int
    seconds: float


class Outcomes(NamedTuple):
    """What came of it.

    Attributes:
        outcomes: RESULTs by their outcome.
        seconds: how long it took.
        cpu_s: of the server's process in that time.
        waits_ms: from a turn's sending to its last RESULT, in rising order.
    """

    outcomes: Counter[int]
    seconds: float
    cpu_s: float
    waits_ms: list[float]


def turns(load: Load, random: Random) -> list[bytes]:
    """Return turns of bids, encoded; their amounts are any up to 10,000."""
    return [
        b"".join(
            bid_frame(
                random.randint(1, load.auctions),
                random.randint(1, 2**31),
                random.randint(1, 1_000_000) / 100,
            )
            for _ in range(load.pipeline)
        )
        for _ in range(BLOBS)
    ]


@contextmanager
def serving(cores: str) -> Iterator[tuple[int, int, int]]:
    """A server that takes bids of anybody: its port, that of its page, and its process."""
    port, page = free_port(), free_port()
    environment = {
        **os.environ,
        "STREAM_USER": "bench",
        "STREAM_PASS": "bench",
        "TICKSTORM_AUCTION_AUTH": "off",
        "TICKSTORM_AUCTION_RATE_PER_USER": "0",
        "TICKSTORM_AUCTION_RATE_PER_ADDRESS": "0",
    }
    loopback = "interface=127.0.0.1"
    command = [
        *("taskset", "-c", cores, str(Path(sys.executable).with_name("twistd"))),
        *("-n", "--pidfile=", "tickstorm", "--port", f"tcp:0:{loopback}"),
        *("--auction", f"tcp:{port}:{loopback}", "--http", f"tcp:{page}:{loopback}"),
        *("--source", "walk:rate=1"),
    ]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield port, page, server.pid
    finally:
        server.terminate()
        server.wait()


def create(page: int, count: int) -> None:
    """Create auctions that are open for an hour, as soon as the server is there."""
    closes_ms = int(time.time() * 1000) + HOUR_MS
    give_up_at = time.monotonic() + START_SECONDS
    for id in range(1, count + 1):
        url = f"http://127.0.0.1:{page}/auctions?id={id}&closes_ms={closes_ms}"
        while True:
            try:
                urlopen(Request(url, method="POST"), timeout=START_SECONDS).close()
                break
            except URLError:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.05)


def bid(port: int, pid: int, load: Load) -> Outcomes:
    """Bid as fast as RESULTs come, on all connections."""
    blobs = cycle(turns(load, Random(1)))
    whole = RESULT_BYTES * load.pipeline
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(load.connections):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[client.fileno()] = client
        poll.register(client, select.EPOLLIN)
    missing, sent_at = {}, {}
    outcomes: Counter[int] = Counter()
    waits: list[float] = []
    cpu_s, began = _cpu_s(pid), time.monotonic()
    for number, client in sockets.items():
        client.sendall(next(blobs))
        missing[number], sent_at[number] = whole, time.monotonic()
    ends_at, parts = began + load.seconds, dict.fromkeys(sockets, b"")
    while (now := time.monotonic()) < ends_at:
        for number, _ in poll.poll(0.1):
            client = sockets[number]
            data = parts[number] + client.recv(262_144)
            cut = len(data) % RESULT_BYTES
            parts[number] = data[len(data) - cut :] if cut else b""
            outcomes.update(data[OUTCOME_AT : len(data) - cut : RESULT_BYTES])
            missing[number] -= len(data) - cut
            if missing[number] <= 0:
                waits.append(now - sent_at[number])
                client.send(next(blobs))
                missing[number], sent_at[number] = whole, now
    seconds = time.monotonic() - began
    spent = _cpu_s(pid) - cpu_s
    for client in sockets.values():
        client.close()
    return Outcomes(outcomes, seconds, spent, sorted(wait * 1000 for wait in waits))


def report(load: Load, came: Outcomes) -> str:
    """Return the figures as lines."""
    total = came.outcomes.total()
    by_name = {Outcome(outcome).name: count for outcome, count in came.outcomes.most_common()}
    waits = came.waits_ms
    return "\n".join(
        [
            f"{load.connections} connections, {load.pipeline} bids outstanding each, "
            f"{load.auctions} auctions",
            f"{total / came.seconds:,.0f} confirmed bids a second, {total:,} in all: {by_name}",
            f"{came.cpu_s / came.seconds:.0%} of a core, {came.cpu_s / total * 1e6:.2f} us a bid",
            f"a turn's RESULTs: median {waits[len(waits) // 2]:.1f} ms, "
            f"p99 {waits[len(waits) * 99 // 100]:.1f} ms",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure once, and print it."""
    parsing = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parsing.add_argument("--connections", type=int, default=1000)
    parsing.add_argument("--pipeline", type=int, default=16)
    parsing.add_argument("--auctions", type=int, default=100)
    parsing.add_argument("--seconds", type=float, default=10.0)
    options = parsing.parse_args(arguments)
    load = Load(options.connections, options.pipeline, options.auctions, options.seconds)
    with serving("0") as (port, page, pid):
        create(page, load.auctions)
        os.sched_setaffinity(0, {1})
        print(report(load, bid(port, pid, load)))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
