"""Subscribers that do not keep up: what a client does about GAPs, and how one falls behind."""

from conversation import TICK, WireClient, auth, subscribe

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType

MODULUS = 2**32


class ChoosingFeed:
    """A feed whose subscriptions have the policy that the test wants."""

    def __init__(self, feed):
        self._feed = feed
        self.policy = None

    def join(self, subscription, subscriber):
        wanted = subscription._replace(overload=self.policy)
        return self._feed.join(wanted, subscriber)

    def __getattr__(self, name):
        return getattr(self._feed, name)


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
    """A client that streams TICK with a policy, and reads as much as it is told to."""

    def __init__(self, server, feed, policy, snapshot=False):
        self.policy = policy
        feed.policy = policy
        self.client = WireClient(server)
        self.client.send(auth())
        self.client.wire.drain()
        assert self.client.names() == ["ACK"]
        self.client.socket.room = 0 if snapshot else None
        self.client.send(subscribe(TICK, snapshot=snapshot))
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
