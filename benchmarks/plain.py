"""A server of plain blocking sockets, the yardstick where limit.c has none; a thread, no limits.

    python -m benchmarks.plain PORT rate TICKS_PER_S: one tick at a time, to one subscriber
    python -m benchmarks.plain PORT flood SUBSCRIBERS SECONDS: 1,000-tick batches without a pause

It answers AUTH and SUBSCRIBE without looking at them, encodes as Tickstorm does, and sends.
"""

import socket
import sys
import time
from collections.abc import Sequence
from itertools import count

from benchmarks.flood import Flood, flood_ticks, to_line
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.messages import ack_frame
from tickstorm.records import batch_frame, tick_record
from tickstorm.ticks import Tick

BACKLOG = 4096
READ_BYTES = 65536
LINGER_S = 60.0
"""After the flood: the subscribers read on, and whoever started this ends it."""
PAUSE_S = 0.2
"""From the last subscription to the first batch."""


def batch(ticks: list[Tick], sequence: int) -> bytes:
    """Return a batch of these ticks as of now."""
    now_ns = time.time_ns()
    records = [tick_record(tick._replace(timestamp_ns=now_ns)) for tick in ticks]
    return batch_frame(
        records, timestamp_ms=now_ns // 1_000_000, sequence=sequence, publish_time_ns=now_ns
    )


def accept(listener: socket.socket) -> socket.socket:
    """Return the next connection, once it is subscribed."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    decoder = FrameDecoder()
    for expected in (FrameType.AUTH, FrameType.SUBSCRIBE):
        while decoder.next_frame() is None:
            decoder.feed(connection.recv(READ_BYTES))
        connection.sendall(ack_frame(expected, "", time.time_ns() // 1_000_000))
    return connection


def send_at_rate(listener: socket.socket, ticks_per_s: float) -> None:
    """Send a tick at a time to one subscriber, until it is gone."""
    connection = accept(listener)
    tick = Tick("S1", 100.0, 10.0, 0, 99.99, 100.01, 100, 100)
    for sequence in count(1):
        time.sleep(1 / ticks_per_s)
        connection.sendall(batch([tick], sequence))


def flood(connections: Sequence[socket.socket], seconds: float) -> Flood:
    """Send batches to all subscribers for some seconds."""
    ticks = flood_ticks()
    time.sleep(PAUSE_S)
    began = time.time()
    for sequence in count(1):
        frame = batch(ticks, sequence)
        for connection in connections:
            connection.sendall(frame)
        if time.time() >= began + seconds:
            return Flood(sequence, began, time.time())
    raise AssertionError("count has no end")


def main(port: str, what: str, *numbers: str) -> None:
    """Serve, until there is nothing more to do."""
    with socket.create_server(("127.0.0.1", int(port)), backlog=BACKLOG) as listener:
        if what == "rate":
            send_at_rate(listener, float(numbers[0]))
        else:
            connections = [accept(listener) for _ in range(int(numbers[0]))]
            print(to_line(flood(connections, float(numbers[1]))), flush=True)
            time.sleep(LINGER_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
