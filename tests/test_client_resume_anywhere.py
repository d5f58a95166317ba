"""A server that keeps some batches and cuts anywhere: each comes once and in order, or is told.

The server is a model that speaks the bytes itself. It numbers its batches over the wrap, keeps the
last few, leaves some out with or without a word, is started anew, and sends its clients away; what
it sends is delivered in pieces of any size, and lost from any byte on. The client is also replaced
by another one that goes on at its position.
"""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import LOGIN_ACK, Desk, result

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.client import ClientLimits, Gap, Garbled, Position, Restarted, Subscribed
from tickstorm.frames import FrameType, encode_frame
from tickstorm.messages import ack_frame
from tickstorm.records import batch_frame

KEPT = 6
"""Batches that the server can send again."""
FIRST = 2**32 - 3
"""The number of the first batch of each epoch: the wrap is near."""
NUMBERS = 2**32


def number(place):
    """The number of the batch at a place of its epoch, whose first one is at 0."""
    return (FIRST + place) % NUMBERS


def place(number):
    return (number - FIRST + NUMBERS // 2) % NUMBERS - NUMBERS // 2


def data_batch(run, at, is_snapshot=False, merged=1):
    return batch_frame(
        [],
        timestamp_ms=run,
        sequence=number(at),
        publish_time_ns=merged,
        is_snapshot=is_snapshot,
    )


class RingServer:
    """The model: its numbers, what it keeps, and what it sent that has not been delivered."""

    def __init__(self):
        self.connection = None
        self.wire = bytearray()
        self.run = 0
        self.left_out = set()
        self.begin()

    def begin(self):
        """Start anew: another epoch."""
        self.run += 1
        self.places = 0
        self.ring = deque(maxlen=KEPT)
        self.next_place = None  # of the connection's next batch; None while it has no subscription

    def accept(self, connection):
        self.connection = connection
        self.wire.clear()
        self.next_place = None

    def cut(self):
        if self.connection is not None:
            self.connection.lose()
        self.connection = self.next_place = None

    def read(self):
        if self.connection is None:
            return
        if self.connection.transport.disconnecting or self.connection.transport.disconnected:
            self.cut()
            return
        for frame in self.connection.heard():
            if frame.type is FrameType.AUTH:
                self.wire += LOGIN_ACK
            elif frame.type is FrameType.SUBSCRIBE:
                self.subscribe(pb.SubscribeRequest.FromString(frame.payload))
            elif frame.type is FrameType.HEARTBEAT and self.next_place is not None:
                self.pong()

    def subscribe(self, request):
        asked = place(request.resume_after_sequence) + 1 if request.resume_epoch else self.places
        oldest = self.places - len(self.ring)
        known = request.resume_epoch in ("", f"e{self.run}")
        recovered = known and oldest <= asked <= self.places
        if request.snapshot or not recovered:
            self.left_out.update((self.run, at) for at in range(self.places))
        self.next_place = asked if recovered else self.places
        terms = {"epoch": f"e{self.run}", "next_sequence": str(number(self.next_place))}
        if request.resume_epoch:
            terms["recovered"] = str(recovered).lower()
        self.wire += ack_frame(FrameType.SUBSCRIBE, "", 5, terms)
        if request.snapshot or not recovered:
            self.wire += data_batch(self.run, self.places - 1, is_snapshot=True)
        for at in range(self.next_place, self.places):
            self.wire += data_batch(self.run, at)
        self.next_place = self.places

    def pong(self):
        response = pb.HeartbeatResponse(next_sequence=number(self.next_place), epoch=f"e{self.run}")
        self.wire += encode_frame(FrameType.PONG, response.SerializeToString())

    def publish(self, count, how):
        """Publish, and send what comes of it: all, the newest, or nothing; with a word or not."""
        first = self.places
        for at in range(first, first + count):
            self.places += 1
            self.ring.append(at)
            if how == "sent" and self.next_place is not None:
                self.wire += data_batch(self.run, at)
        if self.next_place is None:
            return
        self.next_place = self.places
        if how != "sent":
            self.left_out.update((self.run, at) for at in range(first, self.places))
        if how in ("dropped", "conflated"):
            if count > 1:
                self.gap(first, self.places - 2, how)
            merged = count if how == "conflated" else 1
            self.wire += data_batch(self.run, self.places - 1, merged=merged)

    def gap(self, first, last, reason):
        notice = pb.GapNotice(
            first_sequence=number(first), last_sequence=number(last), ticks_lost=1, reason=reason
        )
        self.wire += encode_frame(FrameType.GAP, notice.SerializeToString())

    def send_away(self):
        if self.next_place is not None:
            notice = pb.GoAway(retry_after_ms=1_000, reason="deploy")
            self.wire += encode_frame(FrameType.GOAWAY, notice.SerializeToString())
            self.next_place = None

    def deliver(self, size):
        if self.connection is None or self.connection.reading_paused:
            return
        piece = bytes(self.wire[:size])
        del self.wire[:size]
        self.connection.say(piece)


class Account:
    """What a client was given and told, by the epoch's number and the batch's place."""

    def __init__(self):
        self.given, self.told, self.firsts, self.anew = [], [], {}, set()
        self.merged, self.conflated = {}, {}
        self.run = 0

    def hear(self, event):
        assert not isinstance(event, Garbled)
        if isinstance(event, Subscribed):
            self.run = int(event.epoch[1:])
            self.firsts.setdefault(self.run, place(event.next_sequence))
        elif isinstance(event, Restarted):
            self.anew.add(self.run)
        elif isinstance(event, Gap):
            at = place(event.first)
            self.told += [(self.run, at + offset) for offset in range(event.batches)]
            if event.reason == "conflated":
                self.conflated[self.run, at + event.batches] = event.batches + 1

    def take(self, batch):
        if not batch.is_snapshot:
            self.given.append((batch.timestamp_ms, place(batch.sequence)))
            self.merged[self.given[-1]] = batch.publish_time_ns

    def go_back(self):
        """Forget what was told beyond the last batch: another client goes on there."""
        last = self.given[-1] if self.given else (0, 0)
        self.told = [entry for entry in self.told if entry < last]
        self.firsts = {run: first for run, first in self.firsts.items() if run <= last[0]}
        self.anew = {run for run in self.anew if run <= last[0]}
        self.conflated = {at: count for at, count in self.conflated.items() if at <= last}

    def check(self, server):
        assert self.given == sorted(set(self.given))
        assert not set(self.given) & set(self.told)
        assert len(self.told) == len(set(self.told))
        for run, first in self.firsts.items():
            places = sorted(at for found, at in [*self.given, *self.told] if found == run)
            assert places == list(range(first, first + len(places)))
        for at, count in self.conflated.items():
            assert self.merged.get(at) == count
        assert self.anew == set(self.firsts) - {min(self.firsts)}
        assert set(self.told) <= server.left_out
        assert self.firsts[server.run] + len(places) == server.places


class Scene:
    """The server and its client, and what may happen to them."""

    def __init__(self):
        self.server = RingServer()
        self.account = Account()
        self.open(None)

    def open(self, position):
        self.desk = Desk(
            on_event=self.account.hear,
            limits=ClientLimits(max_queued_batches=3),
            resume_from=position,
        )
        self.waiting = self.desk.take()

    def settle(self):
        self.server.read()
        if self.desk.endpoint.dialed:
            self.server.accept(self.desk.endpoint.accept())
            self.server.read()

    def consume(self, count):
        for _ in range(count):
            if not self.waiting.called:
                return
            batch = result(self.waiting)
            self.account.take(batch)
            if not batch.is_snapshot:
                position = Position(f"e{batch.timestamp_ms}", batch.sequence)
                assert self.desk.client.position == position
            self.waiting = self.desk.take()

    def replace(self):
        """End the client, with all that it has not handed out, and begin another one."""
        if self.waiting.called:
            self.account.take(result(self.waiting))
        else:
            self.waiting.cancel()
            result(self.waiting)
        self.desk.client.close()
        self.server.cut()
        self.account.go_back()
        self.open(self.desk.client.position)

    def wait(self, seconds):
        """Let time pass, and whatever was said then be heard and answered."""
        self.desk.clock.advance(seconds)
        for _ in range(3):
            self.settle()
            self.server.deliver(10_000)

    def do(self, action, *arguments):
        match action:
            case "publish":
                self.server.publish(*arguments)
            case "deliver":
                self.server.deliver(*arguments)
            case "consume":
                self.consume(*arguments)
            case "wait":
                self.wait(*arguments)
            case "cut":
                self.server.cut()
            case "send away":
                self.server.send_away()
            case "restart":
                self.server.cut()
                self.server.begin()
            case "replace":
                self.replace()
        self.settle()

    def recover(self):
        """Let everything come that comes, and a heartbeat tell what does not."""
        for _ in range(200):
            self.do("consume", 100)
            self.do("wait", 1.0)
        self.do("wait", 14.0)
        self.do("consume", 100)


publishing = st.tuples(
    st.just("publish"),
    st.integers(1, 4),
    st.sampled_from(["sent", "sent", "dropped", "conflated", "left out"]),
)
delivering = st.tuples(st.just("deliver"), st.integers(1, 400) | st.just(10_000))
consuming = st.tuples(st.just("consume"), st.integers(1, 5))
waiting = st.tuples(st.just("wait"), st.sampled_from([0.3, 14.0, 31.0]))
incidents = st.sampled_from([("cut",), ("send away",), ("restart",), ("replace",)])
actions = st.one_of(
    publishing, publishing, delivering, delivering, consuming, waiting, waiting, incidents
)


@settings(max_examples=300, deadline=None)
@given(st.lists(actions, min_size=20, max_size=80))
def test_each_batch_comes_once_and_in_order_or_is_told(script):
    scene = Scene()
    scene.do("wait", 0.0)
    for action in script:
        scene.do(*action)
    scene.recover()
    scene.account.check(scene.server)
