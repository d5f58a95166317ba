"""One of many clients that stops reading: the server's memory, and the latency of the others.

    python -m benchmarks.slow --clients 1000 --rounds 7 --seconds 3

In one run the one reads everything and nothing by turns, for each policy. The others get a small
batch each time, whose latency is taken: from the beginning of its fan-out to the return of recv.
"""

import os
import selectors
import socket
import struct
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import NamedTuple

from benchmarks.figures import Unusable
from benchmarks.latency import percentile
from benchmarks.operators_page import page_text, values
from benchmarks.processes import busy_cores
from benchmarks.rows import positive
from benchmarks.runs import MEGABYTE, QUIET_SECONDS
from benchmarks.servers import LOGIN, Server, running, tickstorm
from benchmarks.signals import ending_in_order
from benchmarks.table import disturbance, markdown
from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType, encode_frame
from tickstorm.open_files import raise_limit
from tickstorm.overload import BacklogLimits
from tickstorm.subscriptions import Overload

TICKS_PER_S = 20
"""Of the small stream."""
LARGE_TICKS, LARGE_METADATA = 8, {f"{number:064}": "v" * 256 for number in range(20)}
"""A large batch: so many ticks of 6.5 KB each."""
LARGE_BYTES = LARGE_TICKS * 6500
LARGE_PER_S = 100
SETTLING_S = 1.0
"""At the beginning of each phase, in which nothing is timed."""
LOOK_S = 0.25
"""From one look at the server's memory to the next."""
READ_BYTES = 262_144
LONGEST_WAIT_S = 30.0
_TIME_AT = -12
"""Where a batch frame has its publish_time_ns: before the CRC."""


class Phase(NamedTuple):
    """What was seen while one client read everything, or nothing.

    Attributes:
        p50_ms, p99_ms: the latency of the others.
        memory_bytes: the most that the server had resident.
        queued_bytes: the most that it said was waiting.
    """

    p50_ms: float
    p99_ms: float
    memory_bytes: int
    queued_bytes: float


class Outcome(NamedTuple):
    """What was seen of a policy.

    Attributes:
        reading, stalled: the phases, in their order.
        published_bytes: to the client while it was stalled.
    """

    reading: Sequence[Phase]
    stalled: Sequence[Phase]
    published_bytes: int


def says(*messages: tuple[FrameType, bytes]) -> bytes:
    """Return what a client says: its login, and then these."""
    login = pb.AuthRequest(username=LOGIN["STREAM_USER"], password=LOGIN["STREAM_PASS"])
    frames = [encode_frame(FrameType.AUTH, login.SerializeToString())]
    return b"".join([*frames, *(encode_frame(*message) for message in messages)])


def wants(symbols: str, policy: Overload = Overload.DISCONNECT) -> tuple[FrameType, bytes]:
    """Return a SUBSCRIBE to every tick of some symbols."""
    request = pb.SubscribeRequest(
        mode=pb.SUBSCRIPTION_MODE_TICK,
        symbols=[symbols],
        overload=pb.OverloadPolicy.ValueType(policy),
    )
    return FrameType.SUBSCRIBE, request.SerializeToString()


def dial(port: int, said: bytes) -> socket.socket:
    """Return a connection that has said something."""
    connection = socket.create_connection(("127.0.0.1", port), LONGEST_WAIT_S)
    connection.sendall(said)
    return connection


# The one that stalls, and who publishes to it: a process of its own.


def read_and_stall(port: int, policy: Overload, reads: Event) -> None:
    """Read whatever comes, whenever that is wanted; come back if the server has closed."""
    while True:
        with dial(port, says(wants("H*", policy))) as connection:
            while reads.wait():
                try:
                    if not connection.recv(READ_BYTES):
                        break
                except OSError:
                    break


def large_batch() -> bytes:
    """Return a PUBLISH of large ticks."""
    ticks = [
        pb.Tick(symbol=f"H{number}", price=1.0, volume=1.0, metadata=LARGE_METADATA)
        for number in range(LARGE_TICKS)
    ]
    request = pb.PublishRequest(ticks=ticks)
    return encode_frame(FrameType.PUBLISH, request.SerializeToString())


def other_side(port: int, policy: Overload, orders: Connection) -> None:
    """Publish at an even pace, and have one client read or not, as told; until told None."""
    reads = Event()
    reads.set()
    Thread(target=read_and_stall, args=(port, policy, reads), daemon=True).start()
    batch, published = large_batch(), 0
    with dial(port, says()) as publisher:
        began = time.monotonic()
        while True:
            if orders.poll():
                order = orders.recv()
                if order is None:
                    return
                (reads.set if order else reads.clear)()
                orders.send(published * LARGE_BYTES)
            publisher.sendall(batch)
            published += 1
            publisher.recv(READ_BYTES)  # the ACKs are of no matter
            time.sleep(max(0.0, began + published / LARGE_PER_S - time.monotonic()))


class Stalling:
    """The other side, as it is told what to do.

    Args:
        orders: the way there.
    """

    def __init__(self, orders: Connection) -> None:
        self._orders = orders

    def tell(self, reads: bool) -> int:
        """Have the client read or not, and return how many bytes were published so far."""
        self._orders.send(reads)
        published: int = self._orders.recv()
        return published


@contextmanager
def stalling(port: int, policy: Overload) -> Iterator[Stalling]:
    """Have the other side work as long as the block."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=other_side, args=(port, policy, theirs), daemon=True)
    process.start()
    try:
        yield Stalling(ours)
        ours.send(None)
        process.join(LONGEST_WAIT_S)
    finally:
        process.kill()


# The others.


class Others:
    """Those who get the small batches.

    Args:
        port: where to.
        count: how many.
    """

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._latencies_ms: list[float] = []
        for _ in range(count):
            connection = dial(port, says(wants("SIM*")))
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ, FrameDecoder())

    def listen(self, seconds: float) -> Sequence[float]:
        """Return the latencies of what comes within this time, in milliseconds.

        Raises:
            Unusable: somebody was closed on.
        """
        self._latencies_ms = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for key, _ in self._selector.select(0.01):
                self._take(key.fileobj, key.data)  # type: ignore[arg-type]  # a socket
        return self._latencies_ms

    def close(self) -> None:
        """Let all of them go."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # a socket
        self._selector.close()

    def _take(self, connection: socket.socket, decoder: FrameDecoder) -> None:
        data = connection.recv(READ_BYTES)
        now_ns = time.time_ns()
        if not data:
            raise Unusable("one of those who read was closed on")
        decoder.feed(data)
        while (frame := decoder.next_frame()) is not None:
            if frame.type is FrameType.DATA_BATCH:
                (published_ns,) = struct.unpack("<Q", frame.payload[_TIME_AT + 4 :])
                self._latencies_ms.append((now_ns - published_ns) / 1e6)


# The run.


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has (proc(5), statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def phase(server: Server, pid: int, others: Others, seconds: float) -> Phase:
    """Look at a server for some seconds."""
    latencies: list[float] = []
    memory, queued = 0, 0.0
    began = time.monotonic()
    while (passed := time.monotonic() - began) < SETTLING_S + seconds:
        heard = others.listen(LOOK_S)
        if passed >= SETTLING_S:
            latencies += heard
        memory = max(memory, resident_bytes(pid))
        queued = max(queued, *values(page_text(server), "tickstorm_queued_bytes"))
    return Phase(percentile(latencies, 0.5), percentile(latencies, 0.99), memory, queued)


def run(
    policy: Overload, clients: int, rounds: int, seconds: float, control: bool = False
) -> Outcome:
    """Have one client read and stall by turns.

    Args:
        policy: that client's.
        clients: all of them.
        rounds: how often it does both.
        seconds: of each that are timed.
        control: whether it goes on to read instead, which tells how much chance there is in it.

    Raises:
        Unusable: something was lost that was not to be.
    """
    server = tickstorm(
        "aligned",
        ticks_per_s=TICKS_PER_S,
        TICKSTORM_PUBLISHERS=f"{LOGIN['STREAM_USER']}:H*",
        TICKSTORM_HISTORY="0",
        HEARTBEAT_TIMEOUT="1h",
    )
    reading, stalled, published = [], [], 0
    with running(server) as (pid,), stalling(server.port, policy) as one:
        others = Others(server.port, clients - 1)
        others.listen(2 * SETTLING_S)
        phase(server, pid, others, seconds)  # what the server needs for this at all
        for _ in range(rounds):
            reading.append(phase(server, pid, others, seconds))
            before = one.tell(reads=control)
            stalled.append(phase(server, pid, others, seconds))
            published += one.tell(reads=True) - before
        others.close()
    return Outcome(reading, stalled, published)


def ratios(outcome: Outcome, field: str) -> Sequence[float]:
    """Return how a figure stalled stood to the same one reading, for each round."""
    pairs = zip(outcome.reading, outcome.stalled, strict=True)
    return [getattr(stalled, field) / getattr(reading, field) for reading, stalled in pairs]


def row(policy: Overload, outcome: Outcome) -> list[str]:
    """Return a policy's line of the table."""
    grown = max(p.memory_bytes for p in outcome.stalled) - outcome.reading[0].memory_bytes
    latency = []
    for field in ("p50_ms", "p99_ms"):
        found = ratios(outcome, field)
        latency.append(f"{median(getattr(p, field) for p in outcome.reading):.2f}")
        latency.append(f"{median(getattr(p, field) for p in outcome.stalled):.2f}")
        latency.append(f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})")
    return [
        policy.name,
        f"{outcome.published_bytes / MEGABYTE:.0f} MB",
        f"{max(p.queued_bytes for p in outcome.stalled) / MEGABYTE:.1f} MB",
        f"{grown / MEGABYTE:.1f} MB",
        *latency,
    ]


HEADER = (
    "", "published to it meanwhile", "waited at most", "memory grew by",
    "median, ms: all read", "one stalled", "ratio",
    "99th percentile, ms: all read", "one stalled", "ratio",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each policy, and print a table."""
    parsing = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parsing.add_argument("--clients", type=positive, default=1000, metavar="N")
    parsing.add_argument("--rounds", type=positive, default=7, metavar="N")
    parsing.add_argument("--seconds", type=positive, default=3, metavar="N")
    parsing.add_argument("--policy", choices=Overload.__members__, help="all unless given")
    parsing.add_argument("--control", action="store_true", help="nobody stalls: what chance does")
    options = parsing.parse_args(arguments)
    size = options.clients, options.rounds, options.seconds
    policies = [Overload[options.policy]] if options.policy else list(Overload)
    raise_limit()
    rows, busy = [], []
    try:
        with ending_in_order():
            for policy in policies:
                busy.append(busy_cores(QUIET_SECONDS))
                rows.append(row(policy, run(policy, *size, options.control)))
    except (Unusable, OSError) as reason:
        sys.exit(f"no figure is of use: {reason}")
    print(markdown(HEADER, rows))
    print(f"\nThe bound of one client: {BacklogLimits().max_bytes / MEGABYTE:.1f} MB.")
    print(disturbance(busy))


if __name__ == "__main__":
    main()
