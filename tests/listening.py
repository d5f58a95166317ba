"""Subscribers of a feed without a wire between: what each was given, in its order."""

from conversation import Server

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.history import HistoryLimits
from tickstorm.hub import HubLimits
from tickstorm.subscriptions import Mode, Position, Subscription
from tickstorm.ticks import Tick

AMPLE = HistoryLimits(600.0, 2**22, 2**26, 1000)
KEEPS = (HubLimits(history=AMPLE),)
"""The limits of a hub that keeps what was sent, as `conversation.Server` takes them."""


def wants(mode=Mode.TICK, *symbols, **fields):
    """What a SUBSCRIBE asks for; a whole number for a mode is an interval in milliseconds."""
    wanted = frozenset(symbols) or None
    if isinstance(mode, Mode):
        return Subscription(mode, wanted, **fields)
    return Subscription(Mode.INTERVAL, wanted, interval_ms=mode, **fields)


def opened(frame):
    """The batch in a frame."""
    decoder = FrameDecoder(2**24)
    decoder.feed(frame)
    type, payload = decoder.next_frame()
    assert (type, decoder.pending_bytes) == (FrameType.DATA_BATCH, 0)
    return pb.DataBatch.FromString(payload)


class Listener:
    """One subscriber, from its join on.

    Attributes:
        joined: what it was told.
        frames: all that it got, what it was given of the past first.
    """

    def __init__(self, feed, subscription):
        self.feed = feed
        self.frames = []
        self.own_bytes = 0
        self.joined = feed.join(subscription, self)
        self.frames += self.joined.backfill.past

    def deliver(self, frame):
        self.frames.append(frame)

    def leave(self):
        self.feed.leave(self.joined.stream, self)

    @property
    def recovered(self):
        return self.joined.backfill.recovered

    @property
    def batches(self):
        return [opened(frame) for frame in self.frames]

    @property
    def sequences(self):
        """The numbers of its batches; that of a snapshot is written as text."""
        return [
            str(batch.batch_sequence) if batch.is_snapshot else batch.batch_sequence
            for batch in self.batches
        ]

    @property
    def prices(self):
        """Each batch as the prices in it."""
        return [[tick.price for tick in batch.ticks] for batch in self.batches]

    @property
    def position(self):
        """Where it is: behind the last batch that it got, or before the first."""
        numbers = [each for each in self.sequences if isinstance(each, int)]
        last = numbers[-1] if numbers else self.joined.backfill.next_sequence - 1
        return Position(self.joined.stream.epoch, last)


class Feed(Server):
    """A server of which only the feed is used."""

    def __init__(self, hub_limits=KEEPS, **options):
        super().__init__(hub_limits=hub_limits, **options)
        self.published = 0

    def join(self, mode=Mode.TICK, *symbols, **fields):
        return Listener(self.factory.feed, wants(mode, *symbols, **fields))

    def resume(self, listener, back=0):
        """The same once more, behind its last batch, or so many before that."""
        position = listener.position
        position = position._replace(sequence=(position.sequence - back) % 2**32)
        again = listener.joined.subscription._replace(resume=position, start_time_ms=0)
        return Listener(self.factory.feed, again)

    def tick(self, *symbols):
        """Publish the next price, of each symbol if there are more."""
        for symbol in symbols or ("A",):
            self.published += 1
            self.hub.publish([Tick(symbol, float(self.published), 1.0)])

    def pass_period(self, mode):
        """Let the batch go out that is being collected."""
        if mode is Mode.TICK:
            self.advance(0.005, step=0.005)
        else:
            self.advance(wants(mode).period_ms / 1000, step=0.1)

    def kept(self):
        """What there is of the past, and of who listens: nothing, once nobody does."""
        hub = self.hub
        cadences = [*hub.bars.values(), hub.ticks]
        tables = [cadence.streams for cadence in cadences]
        sizes = {
            "batches": len(hub.history),
            "bytes": hub.history.bytes,
            "streams": sum(map(len, tables)),
            "idle": sum(len(table._idle_since_ms) for table in tables),
            "marks": sum(len(table._marked) for table in tables),
            "intervals": len(hub.bars) - 2,
            "loops": len(self.factory.feed._loops) - 2,
        }
        return {name: size for name, size in sizes.items() if size}
