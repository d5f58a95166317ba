"""Accounts: what a client was sent, held against what was published, batch by batch.

A client follows the rules of docs/protocol.md and no others: it counts numbers, believes a GAP once
the batch behind it has come, and goes on behind the last batch that it has.
"""

from typing import NamedTuple

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.sequences import later, steps

MAX_FRAME = 2**20


class Ledger:
    """What every batch was: the symbols and prices of its ticks, by its stream and number."""

    def __init__(self):
        self._batches = {}

    def add(self, stream, number, items):
        assert (stream, number) not in self._batches, "a number was used twice"
        self._batches[stream, number] = items

    def items(self, stream, first, behind):
        """What there was from one number up to another, which is not in it."""
        numbers = (later(first, step) for step in range(steps(first, behind)))
        return [item for number in numbers for item in self._batches[stream, number]]


class Receipt(NamedTuple):
    """A batch that came, and the GAP before it, if there was one."""

    first: int
    number: int
    gap: pb.GapNotice | None
    items: list


class Stretch:
    """What came of one stream without anything missing that was not told of.

    Args:
        stream: names it.
        epoch: of its numbers.
        first: the number of the first batch.
        snapshot: what the snapshot at its beginning is to be; None if none was asked for.
        given_up: whether the server was told by an UNSUBSCRIBE that nobody comes back to it.
    """

    def __init__(self, stream, epoch, first, snapshot=None, given_up=False):
        self.stream = stream
        self.epoch = epoch
        self.first = self.next = first
        self.ticks = self.lost = self.gaps = 0
        self.values = {}
        self.given_up = given_up
        self._snapshot = snapshot
        self._came = {}
        self._gap = None
        self._receipts = []
        self._dropped = 0

    @property
    def expected(self):
        """The number of the next batch."""
        return self.next if self._gap is None else later(self._gap.last_sequence)

    @property
    def is_whole(self):
        """Whether it began with a snapshot."""
        return self._snapshot is not None

    @property
    def can_go_on(self):
        """Whether nothing would be missing behind its last batch: not so of half a snapshot."""
        return self._snapshot is None or self.next != self.first

    def resumed(self, epoch, next_sequence, given_up=False):
        """Go on, on another connection: a GAP that nothing came behind is void."""
        assert (epoch, next_sequence) == (self.epoch, self.next)
        self.given_up = given_up
        self._gap = None

    def missed(self, gap):
        assert self._gap is None, "a GAP came right behind another"
        assert gap.first_sequence == self.next
        assert steps(gap.first_sequence, gap.last_sequence) < 2**31
        self._gap = gap

    def came(self, batch):
        items = [(tick.symbol, tick.price) for tick in batch.ticks]
        if batch.is_snapshot:
            assert self.next == self.first, "a snapshot came behind a batch"
            assert self._snapshot is not None, "nobody asked for a snapshot"
            self._came.update(items)
            self.values.update(items)
            return
        assert batch.batch_sequence == self.expected
        self._receipts.append(Receipt(self.next, batch.batch_sequence, self._gap, items))
        if self._gap is not None:
            self.gaps += 1
            self.lost += self._gap.ticks_lost
            self._gap = None
        self.next = later(batch.batch_sequence)
        self.ticks += len(items)
        self.values.update(items)

    def enter(self, ledger):
        """Enter every batch that came, as one who has lost nothing."""
        for receipt in self._receipts:
            assert receipt.gap is None
            ledger.add(self.stream, receipt.number, receipt.items)

    def check(self, ledger):
        """Hold what came since the last time against what there was."""
        for receipt in self._receipts:
            self._check(ledger, receipt)
        self._receipts.clear()
        if self.next != self.first and self._snapshot is not None:
            assert self._came == self._snapshot
        due = ledger.items(self.stream, self.first, self.next)
        assert self.ticks + self.lost == len(due)

    def check_values(self, ledger):
        """Hold the last values against what they are to be, once it is checked."""
        due = dict(ledger.items(self.stream, self.first, self.next))
        wrong = {s: price for s, price in due.items() if self.values.get(s) != price}
        assert not wrong or self._dropped, f"{wrong} are right, {self.values} is what came"
        assert len(wrong) <= self._dropped

    def _check(self, ledger, receipt):
        first, number, gap, items = receipt
        own = ledger.items(self.stream, number, later(number))
        if gap is None:
            assert sorted(items) == sorted(own), f"batch {number}: {items} came, {own} was there"
            return
        before = ledger.items(self.stream, first, number)
        if gap.reason == "dropped":
            assert (gap.ticks_lost, sorted(items)) == (len(before), sorted(own))
            self._dropped += gap.ticks_lost
            return
        assert gap.reason == "conflated"
        assert gap.ticks_lost == len(before) + len(own) - len(items)
        assert len(dict(items)) == len(items), "a symbol is in it twice"
        assert set(items) <= set(before + own)


class Asked(NamedTuple):
    """A SUBSCRIBE that is not answered yet."""

    stream: object
    resumes: bool
    snapshot: dict | None
    """What it would be at the moment of asking; None if it is not wanted."""
    was_given_up: bool
    """Whether it resumes what was left with an UNSUBSCRIBE: that need not be kept."""
    given_up: bool = False
    """Whether an UNSUBSCRIBE was sent behind it."""


class Reader:
    """One client, over all its connections.

    Attributes:
        stretch: what it gets at present; None while it has no subscription.
        finished: those that it had before.
        error: what the server said last on this connection.
        recovered, not_recovered: how often it came back to all, and to a snapshot.
        not_kept: how often to a snapshot where it had sent an UNSUBSCRIBE itself, without reading
            the answer.
    """

    def __init__(self):
        self.stretch = None
        self.finished = []
        self.recovered = self.not_recovered = self.not_kept = 0
        self.connected()

    def connected(self):
        """Begin with another connection."""
        self.error = None
        self._asked = []
        self._subscribed = False
        self._decoder = FrameDecoder(MAX_FRAME)

    def asks(self, stream, snapshot=None, resumes=False):
        """Take note of a SUBSCRIBE."""
        was_given_up = resumes and self.stretch.given_up
        self._asked.append(Asked(stream, resumes, snapshot, was_given_up))

    def position(self, stream):
        """The fields of a SUBSCRIBE that goes on with a stream; none if it can only begin anew."""
        stretch = self.stretch
        if stretch is None or stretch.stream != stream or not stretch.can_go_on:
            return {}
        return {"resume_epoch": stretch.epoch, "resume_after_sequence": later(stretch.next, -1)}

    def gives_up(self):
        """Take note of an UNSUBSCRIBE: what comes of its streams is kept for others alone."""
        if self.stretch is not None:
            self.stretch.given_up = True
        self._asked = [asked._replace(given_up=True) for asked in self._asked]

    def feed(self, data):
        self._decoder.feed(bytes(data))
        while (frame := self._decoder.next_frame()) is not None:
            self._read(frame)

    def _read(self, frame):
        assert self.error is None, "something came behind the last words"
        if frame.type is FrameType.ACK:
            self._acknowledged(pb.AckResponse.FromString(frame.payload))
        elif frame.type is FrameType.PONG:
            self._ponged(pb.HeartbeatResponse.FromString(frame.payload))
        elif frame.type is FrameType.ERROR:
            self._failed(pb.ErrorResponse.FromString(frame.payload))
        else:
            assert self._subscribed, "there is no subscription that it could be of"
            if frame.type is FrameType.GAP:
                self.stretch.missed(pb.GapNotice.FromString(frame.payload))
            else:
                assert frame.type is FrameType.DATA_BATCH
                self.stretch.came(pb.DataBatch.FromString(frame.payload))

    def _acknowledged(self, ack):
        if ack.ack_type == FrameType.UNSUBSCRIBE:
            self._subscribed = False
            self._finish()
        elif ack.ack_type == FrameType.SUBSCRIBE:
            self._subscribed = True
            self._begin(self._asked.pop(0), ack.metadata)

    def _begin(self, asked, terms):
        epoch, first = terms["epoch"], int(terms["next_sequence"])
        recovered = terms.get("recovered")
        if asked.resumes and recovered == "true":
            self.recovered += 1
            self.stretch.resumed(epoch, first, asked.given_up)
            return
        self._finish()
        snapshot = asked.snapshot
        if asked.resumes:
            assert recovered == "false"
            self.not_kept += asked.was_given_up
            self.not_recovered += not asked.was_given_up
            assert snapshot is not None
        self.stretch = Stretch(asked.stream, epoch, first, snapshot, asked.given_up)

    def _finish(self):
        if self.stretch is not None:
            self.finished.append(self.stretch)
            self.stretch = None

    def _ponged(self, pong):
        if not self._subscribed:
            assert (pong.next_sequence, pong.epoch) == (0, "")
            return
        assert (pong.next_sequence, pong.epoch) == (self.stretch.expected, self.stretch.epoch)

    def _failed(self, error):
        self.error = error
        words = error.details.split()
        if words[:1] in (["batch"], ["batches"]):
            assert int(words[1]) == self.stretch.expected
