"""The client over the server, both in memory, cut inside of what belongs together.

That is a snapshot of several frames, and a GAP with the batch behind it.
"""

from itertools import pairwise

import pytest
from accounts import Ledger, Stretch
from conversation import NOW_MS, TICK, Server, WireClient, epoch_of
from lagging import FAT
from scripted import Desk
from twisted.internet.defer import Deferred

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.client import Batch, Disconnected, Gap, Mode, Overload, Position, Subscribed
from tickstorm.credentials import SharedCredentials
from tickstorm.frames import HEADER_BYTES, OVERHEAD_BYTES, FrameType, encode_frame
from tickstorm.history import HistoryLimits
from tickstorm.hub import MIN_PAYLOAD_BYTES, HubLimits
from tickstorm.overload import BacklogLimits
from tickstorm.ticks import Tick

SYMBOLS = tuple(f"S{number}" for number in range(12))
"""Four of them fill a frame: their ticks are FAT."""
KEEPS = HubLimits(
    max_payload_bytes=MIN_PAYLOAD_BYTES, history=HistoryLimits(3600.0, 10**9, 10**9, 10)
)


class Scene:
    """A server, and a client of its ticks, over as many connections as it takes.

    Attributes:
        asked: each SUBSCRIBE of the client.
        told: its events and batches, in order.
        last: the price of each symbol.
    """

    def __init__(self, **request):
        self.server = Server(
            SharedCredentials("ann", "secret"),
            batch_window=0,
            hub_limits=(KEEPS,),
            backlog_limits=BacklogLimits(soft_bytes=20_000),
        )
        self.stream = self.server.hub.ticks.open(None)
        self.ledger = Ledger()
        self.last = {}
        self.asked = []
        self.told = []
        self._price = 0.0
        self.desk = Desk(mode=Mode.TICK, on_event=self.told.append, **request)
        self._consuming = Deferred.fromCoroutine(self._consume())

    async def _consume(self):
        async for batch in self.desk.client:
            self.told.append(batch)

    @property
    def batches(self):
        """The number and the prices of each, and whether it is a snapshot."""
        return [
            (each.sequence, {tick.symbol: tick.price for tick in each.ticks}, each.is_snapshot)
            for each in self.told
            if isinstance(each, Batch)
        ]

    def publish(self, *symbols):
        """Publish a tick of each, which is one batch."""
        ticks = []
        for symbol in symbols:
            self._price += 1
            ticks.append(Tick(symbol, self._price, 1.0, metadata=FAT))
            self.last[symbol] = self._price
        items = [(tick.symbol, tick.price) for tick in ticks]
        self.ledger.add(self.stream, self.stream.next_sequence, items)
        self.server.hub.publish(ticks)

    def come(self):
        """Let the client connect and subscribe; the answer is waiting then."""
        self._near = self.desk.endpoint.accept()
        self._far = WireClient(self.server)
        self._say()
        self.hear()

    def stall(self):
        """Let the client's machine take nothing more."""
        self._far.socket.room = 0

    def go_on(self):
        """Let it take everything."""
        self._far.wire.drain()

    @property
    def waiting(self):
        """What the server has sent that the client has not read."""
        return bytes(self._far.socket.taken)

    def hear(self, size=None):
        """Let the client read so much of what is waiting, or all of it, and answer."""
        piece = self.waiting[:size]
        del self._far.socket.taken[: len(piece)]
        self._near.say(piece)
        self._say()

    def cut(self):
        """Lose the connection, and what was waiting, and let the client connect again."""
        self._far.wire.cut()
        self._near.lose()
        lost = self.told[-1]
        assert isinstance(lost, Disconnected)
        self.desk.clock.advance(lost.retry_in)
        self.come()

    def _say(self):
        for frame in self._near.heard():
            if frame.type is FrameType.SUBSCRIBE:
                self.asked.append(pb.SubscribeRequest.FromString(frame.payload))
            self._far.send(encode_frame(frame.type, frame.payload))
            self.server.reactor.advance(0)  # a past that is asked for anew has its own turn


def frames(data):
    """The type of each frame, and where it begins and ends."""
    found, begin = [], 0
    while begin < len(data):
        end = begin + OVERHEAD_BYTES + int.from_bytes(data[begin + 4 : begin + 8])
        found.append((FrameType(data[begin + 3]), begin, end))
        begin = end
    assert begin == len(data)
    return found


# A snapshot.

ANEW = pb.SubscribeRequest(mode=TICK, snapshot=True)
AGO = NOW_MS - 1000
BEGINNINGS = {
    "first": ({"snapshot": True}, [ANEW]),
    "not recovered": (
        {"resume_from": Position("another", 7)},
        [pb.SubscribeRequest(mode=TICK, resume_epoch="another", resume_after_sequence=7)],
    ),
    "behind a past": (
        {"snapshot": True, "start_time_ms": AGO},
        [pb.SubscribeRequest(mode=TICK, snapshot=True, start_time_ms=AGO)],
    ),
}


def begun(beginning):
    """One whose client is to get a snapshot of three frames, and where those begin and end."""
    scene = Scene(**BEGINNINGS[beginning][0])
    for at in range(0, len(SYMBOLS), 4):
        scene.publish(*SYMBOLS[at : at + 4])
    scene.come()
    ends = [end for _, _, end in frames(scene.waiting)]
    assert scene.asked == BEGINNINGS[beginning][1]
    return scene, ends[-4:]


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("frame", range(3))
@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 1.0])
def test_a_snapshot_that_was_cut_is_asked_for_anew(beginning, frame, part):
    scene, ends = begun(beginning)
    begin, end = ends[frame : frame + 2]
    scene.hear(begin + round(part * (end - begin)))
    before = len(scene.batches)
    assert before == frame + (part == 1.0) + 3 * (beginning == "behind a past")
    scene.cut()
    assert scene.asked[1:] == [ANEW]
    scene.hear()
    came = scene.batches[before:]
    assert [(number, is_snapshot) for number, _, is_snapshot in came] == [(3, True)] * 3
    assert dict(item for _, prices, _ in came for item in prices.items()) == scene.last
    scene.publish("S0")
    scene.hear()
    assert scene.batches[before + 3 :] == [(4, {"S0": 13.0}, False)]
    scene.cut()
    behind = {"resume_epoch": epoch_of(), "resume_after_sequence": 4}
    assert scene.asked[2:] == [pb.SubscribeRequest(mode=TICK, **behind)]


# A GAP.


def behind(policy):
    """One whose client has fallen behind, and may read all that is left for it."""
    scene = Scene(overload=policy)
    scene.come()
    scene.hear()
    scene.stall()
    for _ in range(3):
        for symbol in SYMBOLS:
            scene.publish(symbol)
    scene.go_on()
    return scene


def pairs(data):
    """Where each GAP begins, and the batch behind it begins and ends."""
    found = frames(data)
    return [
        (begin, end, batch_end)
        for (kind, begin, end), (_, _, batch_end) in pairwise(found)
        if kind is FrameType.GAP
    ]


def account_of(scene):
    """What the client was told, held against what there was."""
    account = None
    for each in scene.told:
        if isinstance(each, Subscribed) and account is None:
            account = Stretch(scene.stream, each.epoch, each.next_sequence)
        elif isinstance(each, Subscribed):
            account.resumed(each.epoch, each.next_sequence)
        elif isinstance(each, Gap):
            account.missed(notice(each))
        elif isinstance(each, Batch):
            account.came(on_the_wire(each))
    account.check(scene.ledger)
    return account


def notice(gap):
    return pb.GapNotice(
        first_sequence=gap.first, last_sequence=gap.last, ticks_lost=gap.ticks, reason=gap.reason
    )


def on_the_wire(batch):
    ticks = [pb.Tick(symbol=tick.symbol, price=tick.price) for tick in batch.ticks]
    return pb.DataBatch(ticks=ticks, batch_sequence=batch.sequence, is_snapshot=batch.is_snapshot)


@pytest.mark.parametrize(("policy", "gaps"), [(Overload.CONFLATE, 4), (Overload.DROP_OLDEST, 1)])
def test_a_gap_whose_batch_was_cut_off_counts_for_nothing(policy, gaps):
    waiting = behind(policy).waiting
    places = pairs(waiting)
    assert len(places) == gaps
    for begin, batch_begin, batch_end in places:
        for place in (*range(begin, batch_begin + HEADER_BYTES + 1), batch_end - 1, batch_end):
            scene = behind(policy)
            assert scene.waiting == waiting
            scene.hear(place)
            check_after_a_cut(scene)


def check_after_a_cut(scene):
    got = scene.batches[-1][0]
    told = [each for each in scene.told if isinstance(each, Gap)]
    scene.cut()
    (again,) = scene.asked[1:]
    assert (again.resume_epoch, again.resume_after_sequence) == (epoch_of(), got)
    scene.hear()
    scene.publish("S0")
    scene.hear()
    account = account_of(scene)
    assert [each for each in scene.told if isinstance(each, Gap)] == told
    assert account.expected == account.next == scene.stream.next_sequence
    account.check_values(scene.ledger)
