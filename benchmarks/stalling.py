"""The clients of benchmarks.slow: one that stalls, who publishes to it, and all the others."""

import selectors
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Condition, Thread

from benchmarks.figures import Unusable
from benchmarks.servers import LOGIN
from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType, encode_frame
from tickstorm.subscriptions import Overload

LARGE_TICKS, LARGE_METADATA = 8, {f"{number:064}": "v" * 256 for number in range(20)}
"""A large batch: so many ticks of 6.5 KB each."""
LARGE_BYTES = LARGE_TICKS * 6500
LARGE_PER_S = 100
READ_BYTES = 262_144
LONGEST_WAIT_S = 30.0
_TIME_AT = -12
"""Where a batch frame has its publish_time_ns: before the CRC."""


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


class Conduct(Enum):
    """What the one does."""

    READS = "reads"
    STALLS = "stalls"
    IS_AWAY = "is away"


class Told:
    """What the one was last told to do."""

    def __init__(self) -> None:
        self._conduct = Conduct.READS
        self._changed = Condition()

    def tell(self, conduct: Conduct) -> None:
        """Have it do something from now on."""
        with self._changed:
            self._conduct = conduct
            self._changed.notify()

    def next_unless(self, conduct: Conduct) -> Conduct:
        """Return what it is to do, as soon as that is not this."""
        with self._changed:
            self._changed.wait_for(lambda: self._conduct is not conduct)
            return self._conduct


def read_and_stall(port: int, policy: Overload, told: Told) -> None:
    """Read whatever comes, stall, or be away, as told; come back if the server has closed."""
    while True:
        told.next_unless(Conduct.IS_AWAY)
        with dial(port, says(wants("H*", policy))) as connection:
            while told.next_unless(Conduct.STALLS) is Conduct.READS:
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
    """Publish at an even pace, and have one client do as told; until told None."""
    told = Told()
    Thread(target=read_and_stall, args=(port, policy, told), daemon=True).start()
    batch, published = large_batch(), 0
    with dial(port, says()) as publisher:
        began = time.monotonic()
        while True:
            if orders.poll():
                order = orders.recv()
                if order is None:
                    return
                told.tell(order)
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

    def tell(self, conduct: Conduct) -> int:
        """Have the client do something, and return how many bytes were published so far."""
        self._orders.send(conduct)
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
