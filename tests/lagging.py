"""Subscribers that do not keep up: what a client does about GAPs, and how one falls behind."""

from conversation import TICK, WireClient, auth, subscribe

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.records import batch_frame, tick_record
from tickstorm.ticks import Tick

MODULUS = 2**32
FAT = {f"{number:064}": "v" * 256 for number in range(20)}
"""The metadata of a tick of 6.5 KB: a few of them are more than a batch has room for."""


def batch(sequence, *ticks, is_snapshot=False):
    """A frame with some ticks: ("A", 1.0), or ("A", 1.0, FAT)."""
    return batch_frame(
        [
            tick_record(Tick(symbol, price, 1.0, sequence * 10**9, metadata=dict(*rest)))
            for symbol, price, *rest in ticks
        ],
        timestamp_ms=sequence * 1000,
        sequence=sequence,
        publish_time_ns=sequence * 10**9,
        is_snapshot=is_snapshot,
    )


def told(data):
    """What a client is told by some frames: of a batch its number and prices, of a GAP all."""
    decoder = FrameDecoder(2**20)
    decoder.feed(data)
    found = []
    while (frame := decoder.next_frame()) is not None:
        found.append(_told(frame))
    assert decoder.pending_bytes == 0, "a frame was cut"
    return found


def _told(frame):
    if frame.type is FrameType.GAP:
        gap = pb.GapNotice.FromString(frame.payload)
        return (gap.first_sequence, gap.last_sequence, gap.ticks_lost, gap.reason)
    assert frame.type is FrameType.DATA_BATCH
    found = pb.DataBatch.FromString(frame.payload)
    prices = {tick.symbol: tick.price for tick in found.ticks}
    return ("snapshot" if found.is_snapshot else found.batch_sequence, prices)


class Account:
    """What a client makes of what it reads: every number is a batch, or told of as missing."""

    def __init__(self, expected):
        self.expected = expected
        self.ticks = 0
        self.lost = {"conflated": 0, "dropped": 0}
        self.gaps = []
        self.newest = {}
        self.snapshots = 0
        self.pongs = []
        self.error = None

    def read(self, frame):
        if frame.type is FrameType.GAP:
            self._gap(pb.GapNotice.FromString(frame.payload))
        elif frame.type is FrameType.DATA_BATCH:
            self._batch(pb.DataBatch.FromString(frame.payload))
        elif frame.type is FrameType.PONG:
            self.pongs.append(self.expected)
        else:
            assert frame.type is FrameType.ERROR
            self.error = pb.ErrorResponse.FromString(frame.payload)

    def _gap(self, gap):
        assert gap.first_sequence == self.expected
        assert (gap.last_sequence - gap.first_sequence) % MODULUS < MODULUS // 2
        self.expected = (gap.last_sequence + 1) % MODULUS
        self.lost[gap.reason] += gap.ticks_lost
        self.gaps.append((gap.first_sequence, gap.last_sequence, gap.ticks_lost, gap.reason))

    def _batch(self, batch):
        for tick in batch.ticks:  # prices rise in these tests, so that each tick is told apart
            assert tick.price > self.newest.get(tick.symbol, 0.0)
            self.newest[tick.symbol] = tick.price
        if batch.is_snapshot:
            self.snapshots += 1
            return
        assert batch.batch_sequence == self.expected
        self.expected = (self.expected + 1) % MODULUS
        self.ticks += len(batch.ticks)


class Lagging:
    """A client that streams TICK with a policy, and reads as much as it is told to.

    Args:
        server: in memory.
        policy: its own.
        snapshot: whether it wants one.
        stuck: whether it reads nothing from its login on; else from its first batch on.
    """

    def __init__(self, server, policy, snapshot=False, stuck=False):
        self.policy = policy
        self.client = WireClient(server, room=0 if stuck else None)
        self.client.send(auth())
        self.client.send(subscribe(TICK, snapshot=snapshot, overload=policy))
        self.connection = self.client.connection
        self._decoder = FrameDecoder(2**20)
        self.stream = self.connection.stream
        self.account = Account(self.stream.next_sequence)
        self.client.socket.room = 0
        self.asked = []

    def take(self, room):
        """Let the socket take so many bytes more, and read what came of it."""
        self.client.wire.take(room)
        self.client.socket.room = 0
        self.read()

    def drain(self):
        self.client.wire.drain()
        self.client.socket.room = 0
        self.read()

    def read(self):
        taken = self.client.socket.taken
        self._decoder.feed(bytes(taken))
        taken.clear()
        while (frame := self._decoder.next_frame()) is not None:
            if frame.type is not FrameType.ACK:
                self.account.read(frame)

    @property
    def is_alive(self):
        return self.stream is self.connection.stream

    @property
    def was_cut(self):
        return not self.is_alive and self.account.error is None

    @property
    def is_congested(self):
        return self.is_alive and self.client.transport.producer is not None
