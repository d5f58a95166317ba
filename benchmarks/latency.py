"""Publish to receive: one subscriber in TICK mode with a batch window of 0."""

import socket
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.figures import Asked, Bound, Figure, Unusable
from benchmarks.rows import Row, run_row
from benchmarks.runs import Size, in_turn
from benchmarks.servers import LOGIN, Server, free_port, running, tickstorm
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools
from tickstorm.client.messages import (
    decode_batch,
    heartbeat_frame,
    login_frame,
    subscription_frame,
)
from tickstorm.frames import Frame, FrameDecoder, FrameType
from tickstorm.messages import Login
from tickstorm.subscriptions import Mode, Subscription

TICKS_PER_S = 100
WARM_UP = TICKS_PER_S
"""Batches that are not counted."""
LONGEST_WAIT_S = 5.0
READ_BYTES = 65536
P50 = Asked(Bound(300, "µs"), Bound(150, "µs"))
P99 = Asked(Bound(1000, "µs"))

LIMITED_BY = (
    "The tick's way through the hub, with its bars, its record and its frame, takes 12 µs, of "
    "which the yardstick has the encoding too (5 µs); one turn of the reactor and the layers of "
    "calls around it are the rest of the difference. What both have is the kernel's way to the "
    "subscriber and its waking up."
)


class Latency(NamedTuple):
    """From a tick's publication to its receipt, in microseconds."""

    p50_us: float
    p99_us: float


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that this part of the values is below."""
    ranked = sorted(values)
    return ranked[min(int(part * len(ranked)), len(ranked) - 1)]


def received(connection: socket.socket) -> Iterator[tuple[Frame, int]]:
    """Yield the frames that come, with the nanoseconds since the Unix epoch of their receipt."""
    decoder = FrameDecoder()
    while True:
        data = connection.recv(READ_BYTES)
        now_ns = time.time_ns()
        if not data:
            raise Unusable("the server closed the connection")
        decoder.feed(data)
        while (frame := decoder.next_frame()) is not None:
            yield frame, now_ns


def receive(port: int, batches: int) -> list[float]:
    """Subscribe, and return the latency of each batch in microseconds.

    Exact means: the numbers of the batches have no hole.

    Raises:
        Unusable: a batch is missing, or something else came.
    """
    with socket.create_connection(("127.0.0.1", port), LONGEST_WAIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        frames = received(connection)
        login = Login(LOGIN["STREAM_USER"], LOGIN["STREAM_PASS"])
        for request in (login_frame(login), subscription_frame(Subscription(Mode.TICK))):
            connection.sendall(request)
            if next(frames)[0].type is not FrameType.ACK:
                raise Unusable("the server did not acknowledge")
        return _latencies(connection, frames, batches)


def _latencies(
    connection: socket.socket, frames: Iterator[tuple[Frame, int]], batches: int
) -> list[float]:
    latencies: list[float] = []
    expected = None
    for frame, now_ns in frames:
        if frame.type is not FrameType.DATA_BATCH:
            continue
        batch = decode_batch(frame.payload, now_ns)
        if expected not in {None, batch.sequence}:
            raise Unusable(f"batch {batch.sequence} came where {expected} was due")
        expected = batch.sequence + 1
        latencies += [(now_ns - tick.timestamp_ns) / 1e3 for tick in batch.ticks]
        if len(latencies) >= batches:
            break
        if batch.sequence % TICKS_PER_S == 0:
            connection.sendall(heartbeat_frame(now_ns // 1_000_000, batch.sequence))
    return latencies


def plain() -> Server:
    """Return the yardstick."""
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.plain", str(port), "rate", str(TICKS_PER_S))
    return Server("plain sockets", port, command)


def whole() -> Server:
    """Return Tickstorm without a batch window."""
    return tickstorm("aligned", ticks_per_s=TICKS_PER_S, TICKSTORM_BATCH_WINDOW="0")


def latency(server: Server, seconds: int) -> Latency:
    """Run a server, and measure.

    Raises:
        Unusable: something was lost.
    """
    with running(server):
        timed = receive(server.port, WARM_UP + seconds * TICKS_PER_S)[WARM_UP:]
    return Latency(percentile(timed, 0.5), percentile(timed, 0.99))


def measure(tools: Tools, size: Size, judged: bool) -> Section:  # noqa: ARG001 - as every row
    """Measure pairs of plain sockets and Tickstorm."""
    rounds = in_turn(
        [
            lambda: latency(plain(), size.seconds),
            lambda: latency(whole(), size.seconds),
        ],
        size.pairs,
    )
    plain_runs, ours = zip(*rounds.taken, strict=True)
    figures = [
        Figure(name, "µs", _field(ours, field), _field(plain_runs, field), asked, 0)
        for name, field, asked in (
            ("publish to receive, median", "p50_us", P50),
            ("publish to receive, 99th percentile", "p99_us", P99),
        )
    ]
    return Section(
        "Latency: publish to receive, one subscriber in TICK mode",
        f"With a batch window of 0, {TICKS_PER_S} ticks a second: from the moment the hub takes "
        f"a tick to the return of the subscriber's recv. Beside it is a loop of blocking sockets "
        f"in Python that encodes and sends; limit.c has no TICK. No batch is missing, by its "
        f"number. {counted(size.pairs, 'pair')} of runs of {size.seconds} s.",
        figures_table(figures, "plain sockets", judged),
        LIMITED_BY,
        "python -m benchmarks.latency",
        rounds.busy,
    )


def _field(runs: Sequence[Latency], field: str) -> list[float]:
    return [getattr(run, field) for run in runs]


ROW = Row("latency", measure, Size(1, 10, 3), Size(1, 3, 1))

if __name__ == "__main__":
    run_row(ROW, __doc__)
