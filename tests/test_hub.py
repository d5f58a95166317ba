"""The hub: all of a publish or nothing of it, and everything exactly once."""

from decimal import Decimal
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_broadcast import calls_of

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import InvalidTick
from tickstorm.frames import (
    MAX_PAYLOAD_BYTES,
    MIN_PAYLOAD_BYTES,
    OVERHEAD_BYTES,
    FrameDecoder,
    FrameType,
)
from tickstorm.hub import Hub, HubLimits
from tickstorm.records import tick_record
from tickstorm.subscriptions import PERIOD_MS, Mode, Subscription
from tickstorm.ticks import Tick

NOW_NS = 1_700_000_000_123_456_789
NOW_MS = NOW_NS // 1_000_000
SECOND = 1_700_000_000
LARGEST = "\N{GRINNING FACE}"

MODES = tuple(PERIOD_MS)


class Listener:
    """Keeps the batches that it is given."""

    def __init__(self):
        self.frames = []

    def deliver(self, frame):
        self.frames.append(frame)

    @property
    def batches(self):
        return [opened(frame) for frame in self.frames]


def opened(frame):
    decoder = FrameDecoder()
    decoder.feed(frame)
    type, payload = decoder.next_frame()
    assert (type, decoder.pending_bytes) == (FrameType.DATA_BATCH, 0)
    return pb.DataBatch.FromString(payload)


def new_hub(limits=HubLimits(), slots=1):
    return Hub("epoch", lambda: NOW_NS, limits, slots)


def deliver(emissions):
    for stream, frames in emissions:
        for frame in frames:
            for subscriber in tuple(stream.subscribers):
                subscriber.deliver(frame)


def join(hub, mode, *symbols):
    subscription = Subscription(mode, frozenset(symbols) or None)
    stream = hub.open(subscription)
    listener = Listener()
    stream.join(listener)
    return listener, stream, subscription


def last_prices(hub):
    subscription = Subscription(Mode.SECOND)
    (frame,) = hub.snapshot(subscription, hub.open(subscription))
    return {tick.symbol: tick.price for tick in opened(frame).ticks}


def state(hub):
    return (
        hub.ticks_published,
        hub.last_publish_ns,
        hub.symbols,
        hub.ticks.pending,
        last_prices(hub),
    )


# Publishing.


def test_what_a_hub_holds_at_most():
    assert HubLimits() == HubLimits(max_symbols=10_000, max_payload_bytes=MAX_PAYLOAD_BYTES)


def test_a_publish_goes_everywhere():
    hub = new_hub()
    listeners = [join(hub, mode)[0] for mode in MODES]
    assert hub.publish([Tick("A", 1.0), Tick("B", 2.0), Tick("A", 3.0)]) == 3
    deliver(hub.bars[1000].close(SECOND + 1))
    deliver(hub.bars[60_000].close(SECOND // 60 + 1))
    deliver(hub.ticks.flush())
    got = [[(t.symbol, t.price) for t in listener.batches[0].ticks] for listener in listeners]
    assert got == [
        [("A", 3.0), ("B", 2.0)],
        [("A", 3.0), ("B", 2.0)],
        [("A", 1.0), ("B", 2.0), ("A", 3.0)],
    ]
    assert state(hub) == (3, NOW_NS, 2, 0, {"A": 3.0, "B": 2.0})


def test_a_tick_without_a_time_gets_the_hubs_and_another_keeps_its_own():
    hub = new_hub()
    listener, _, _ = join(hub, Mode.TICK)
    hub.publish([Tick("A", 1.0), Tick("B", 1.0, timestamp_ns=7_000_001)])
    deliver(hub.ticks.flush())
    times = [(tick.timestamp_ms, tick.timestamp_ns) for tick in listener.batches[0].ticks]
    assert times == [(NOW_MS, NOW_NS), (7, 7_000_001)]


def test_any_iterable_is_taken_once():
    hub = new_hub()
    assert hub.publish(Tick("A", price) for price in (1.0, 2.0)) == 2
    assert hub.publish((Tick("A", 1.0),)) == 1
    assert hub.publish([]) == 0
    assert hub.ticks_published == 3


def test_a_hub_that_has_nothing():
    hub = new_hub()
    assert state(hub) == (0, 0, 0, 0, {})
    assert (hub.epoch, hub.slots) == ("epoch", 1)


@pytest.mark.parametrize("nothing", [[], (), iter(())])
def test_publishing_nothing_is_no_publish(nothing):
    hub = new_hub()
    join(hub, Mode.TICK)
    hub.publish([Tick("A", 1.0)])
    hub._wall_ns = lambda: NOW_NS + 1
    told = []
    hub.on_ticks_pending = lambda: told.append(1)
    assert (hub.publish(nothing), told) == (0, [])
    assert state(hub) == (1, NOW_NS, 1, 1, {"A": 1.0})


@pytest.mark.parametrize("max_payload_bytes", [MIN_PAYLOAD_BYTES - 1, 0, -1])
def test_a_payload_that_is_too_small_for_any_one_tick_is_refused(max_payload_bytes):
    with pytest.raises(ValueError, match=r"^max_payload_bytes is below 32768$"):
        new_hub(HubLimits(max_payload_bytes=max_payload_bytes))


def test_the_largest_tick_fits_into_the_smallest_payload():
    hub = new_hub(HubLimits(max_payload_bytes=MIN_PAYLOAD_BYTES))
    listeners = [join(hub, mode)[0] for mode in MODES]
    metadata = {f"{n:02}" + 62 * LARGEST: 256 * LARGEST for n in range(20)}
    tick = Tick("S" * 16, 1e6, 1e9, 2**63 - 1, 1e6, 1e6, 2**63 - 1, 2**63 - 1, metadata)
    hub.publish([tick] * 2)
    deliver(hub.bars[1000].close(SECOND + 1))
    deliver(hub.bars[60_000].close(SECOND // 60 + 1))
    deliver(hub.ticks.flush())
    got = [[dict(t.metadata) for b in each.batches for t in b.ticks] for each in listeners]
    assert got == [[metadata], [metadata], [metadata] * 2]
    lengths = [len(frame) for each in listeners for frame in each.frames]
    assert max(lengths) <= MIN_PAYLOAD_BYTES + OVERHEAD_BYTES


@pytest.mark.parametrize("slots", [0, -1, -200, 3, 7, 16, 400, 1001, 2000])
def test_slots_that_do_not_divide_a_second_into_milliseconds_are_refused(slots):
    with pytest.raises(ValueError, match=f"^{slots} slots do not divide a second into whole mill"):
        new_hub(slots=slots)


@pytest.mark.parametrize("slots", [1, 2, 5, 8, 200, 1000])
def test_slots_that_divide_a_second_into_milliseconds(slots):
    hub = new_hub(slots=slots)
    assert [cadence.slot_ms * slots for cadence in hub.bars.values()] == [1000, 60_000]


def test_a_hub_owns_what_it_keeps():
    hub = new_hub()
    ticks, _, _ = join(hub, Mode.TICK)
    bars, stream, subscription = join(hub, Mode.SECOND)
    metadata = {"venue": "X"}
    tick = Tick("A", 1.0, metadata=metadata)
    hub.publish([tick])
    metadata["venue"] = "Y" * 300
    metadata[5] = None
    deliver(hub.ticks.flush())
    deliver(hub.bars[1000].close(SECOND + 1))
    snapshot = hub.snapshot(subscription, stream)
    got = [
        dict(tick.metadata)
        for frame in (*ticks.frames, *bars.frames, *snapshot)
        for tick in opened(frame).ticks
    ]
    assert got == [{"venue": "X"}] * 3
    assert (tick.metadata, tick.timestamp_ns) == (metadata, 0)


def test_an_iterable_that_fails_has_no_effect():
    hub = new_hub()

    def failing():
        yield Tick("A", 1.0)
        raise LookupError

    with pytest.raises(LookupError):
        hub.publish(failing())
    assert state(hub) == (0, 0, 0, 0, {})


BAD = {
    "nan": Tick("A", nan),
    "inf": Tick("A", inf),
    "-inf": Tick("A", -inf),
    "negative": Tick("A", -1.0),
    "zero": Tick("A", 0.0),
    "too large": Tick("A", 1_000_000.5),
    "symbol": Tick("a", 1.0),
    "volume": Tick("A", 1.0, volume=nan),
    "bid": Tick("A", 1.0, bid=-1.0),
    "ask": Tick("A", 1.0, ask=inf),
    "bid size": Tick("A", 1.0, bid_size=-1),
    "ask size": Tick("A", 1.0, ask_size=2**63),
    "time": Tick("A", 1.0, timestamp_ns=-1),
    "metadata": Tick("A", 1.0, metadata={"k": "v" * 257}),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_bad_tick_leaves_nothing_of_its_publish(bad, index):
    hub = new_hub()
    calls = []
    hub.on_ticks_pending = lambda: calls.append(hub.ticks.pending)
    listeners = [join(hub, mode)[0] for mode in MODES]
    hub.publish([Tick("A", 5.0)])
    before = state(hub)
    ticks = [Tick(symbol, 1.0) for symbol in ("A", "NEW", "B")]
    ticks.insert(index, bad)
    with pytest.raises(InvalidTick, match=rf"^tick {index}: "):
        hub.publish(ticks)
    assert (state(hub), calls) == (before, [1])
    deliver(hub.bars[1000].close(SECOND + 1))
    deliver(hub.bars[60_000].close(SECOND // 60 + 1))
    deliver(hub.ticks.flush())
    got = [[(t.symbol, t.price) for b in lst.batches for t in b.ticks] for lst in listeners]
    assert got == [[("A", 5.0)]] * 3


NO_TICKS = {
    "symbol None": Tick(None, 1.0),
    "symbol bytes": Tick(b"A", 1.0),
    "price None": Tick("A", None),
    "price string": Tick("A", "1.0"),
    "price Decimal": Tick("A", Decimal("1.5"), 1.0),
    "volume None": Tick("A", 1.0, None),
    "bid_size float": Tick("A", 1.0, bid_size=1.5),
    "timestamp float": Tick("A", 1.0, timestamp_ns=1.7e18),
    "metadata None": Tick("A", 1.0, metadata={"k": None}),
    "metadata list": Tick("A", 1.0, metadata={"k": ["v"]}),
    "metadata surrogate": Tick("A", 1.0, metadata={"k": "\ud800"}),
}


@pytest.mark.parametrize("bad", NO_TICKS.values(), ids=NO_TICKS)
def test_a_tick_of_other_types_leaves_nothing_of_its_publish(bad):
    assert_refused_in_whole(bad)


@pytest.mark.parametrize(
    "bad",
    [None, "A", {"symbol": "A", "price": 1.0}, tuple(Tick("B", 1.0)), Tick],
    ids=["None", "a string", "a dict", "a tuple", "the class"],
)
def test_what_is_no_tick_leaves_nothing_of_its_publish(bad):
    assert_refused_in_whole(bad)


def assert_refused_in_whole(bad):
    hub = new_hub()
    second, _, _ = join(hub, Mode.SECOND)
    ticks, _, _ = join(hub, Mode.TICK)
    with pytest.raises(InvalidTick, match=r"^tick 1: "):
        hub.publish([Tick("NEW", 1.0), bad])
    assert state(hub) == (0, 0, 0, 0, {})
    hub.publish([Tick("A", 2.0)])
    deliver(hub.bars[1000].close(SECOND + 1))
    deliver(hub.ticks.flush())
    got = [[(t.symbol, t.price) for t in lst.batches[0].ticks] for lst in (second, ticks)]
    assert got == [[("A", 2.0)]] * 2


def test_as_many_symbols_as_the_limit_and_no_more():
    hub = new_hub(HubLimits(max_symbols=3))
    hub.publish([Tick(symbol, 1.0) for symbol in "ABA"])
    with pytest.raises(InvalidTick, match=r"^tick 2: D is one more than 3 symbols$"):
        hub.publish([Tick(symbol, 2.0) for symbol in "CAD"])
    assert last_prices(hub) == {"A": 1.0, "B": 1.0}
    hub.publish([Tick(symbol, 3.0) for symbol in "CAC"])
    assert (hub.symbols, last_prices(hub)) == (3, {"A": 3.0, "B": 1.0, "C": 3.0})
    with pytest.raises(InvalidTick, match=r"^tick 0: D is one more than 3 symbols$"):
        hub.publish([Tick("D", 1.0)])
    hub.publish([Tick("A", 4.0)] * 10)
    assert hub.symbols == 3


def test_pending_ticks_are_told_once_a_publish_and_after_all_of_it():
    hub = new_hub()
    told = []
    hub.on_ticks_pending = lambda: told.append((hub.ticks.pending, hub.ticks_published))
    hub.publish([Tick("A", 1.0)])
    assert told == []
    join(hub, Mode.TICK)
    hub.publish([Tick("A", 1.0)] * 3)
    hub.publish([Tick("A", 1.0)] * 2)
    assert told == [(3, 4), (5, 6)]


def test_bars_alone_leave_nothing_pending():
    hub = new_hub()
    told = []
    hub.on_ticks_pending = lambda: told.append(1)
    join(hub, Mode.SECOND)
    hub.publish([Tick("A", 1.0)])
    assert (told, hub.ticks.pending) == ([], 0)


def test_publishing_without_a_listener_for_pending_ticks_is_fine():
    hub = new_hub()
    join(hub, Mode.TICK)
    assert hub.publish([Tick("A", 1.0)]) == 1


# Streams.


def test_a_subscription_is_served_by_the_stream_of_its_mode_and_set():
    hub = new_hub()
    streams = [
        hub.open(Subscription(mode, symbols))
        for mode in MODES
        for symbols in (None, frozenset("A"))
    ]
    assert len(set(map(id, streams))) == 6
    again = [
        hub.open(Subscription(mode, symbols, snapshot=True))
        for mode in MODES
        for symbols in (None, frozenset("A"))
    ]
    assert list(map(id, again)) == list(map(id, streams))


@pytest.mark.parametrize("mode", MODES)
def test_leaving_ends_the_stream_of_that_mode_alone(mode):
    hub = new_hub()
    joined = {each: join(hub, each) for each in MODES}
    listener, stream, _ = joined[mode]
    hub.leave(stream, listener)
    assert {each: len(hub.streams[PERIOD_MS[each]]) for each in MODES} == {
        each: int(each != mode) for each in MODES
    }


@pytest.mark.parametrize("mode", MODES)
def test_a_set_without_symbols_gets_nothing(mode):
    hub = new_hub()
    subscription = Subscription(mode, frozenset())
    stream = hub.open(subscription)
    listener = Listener()
    stream.join(listener)
    hub.publish([Tick("A", 1.0)])
    for cadence in hub.bars.values():
        deliver(cadence.close(SECOND))
    deliver(hub.ticks.flush())
    frames = [*listener.frames, *hub.snapshot(subscription, stream)]
    assert [tick for frame in frames for tick in opened(frame).ticks] == []


def test_slots_are_those_of_the_hub():
    hub = new_hub(slots=4)
    assert [cadence.slot_ms for cadence in hub.bars.values()] == [250, 15_000]
    subscription = Subscription(Mode.SECOND)
    assert [hub.open(subscription, slot).key.slot for slot in range(4)] == [0, 1, 2, 3]


# Snapshots.


def test_a_snapshot_in_whole():
    hub = new_hub()
    _, stream, subscription = join(hub, Mode.MINUTE, "A", "MISSING")
    hub.publish([Tick("A", 1.0), Tick("B", 9.0), Tick("A", 2.0, 3.0, 4_000_000, 1.5, 2.5, 6, 7)])
    assert [opened(frame) for frame in hub.snapshot(subscription, stream)] == [
        pb.DataBatch(
            ticks=[
                pb.Tick(
                    symbol="A",
                    timestamp_ms=4,
                    price=2.0,
                    volume=3.0,
                    bid=1.5,
                    ask=2.5,
                    bid_size=6,
                    ask_size=7,
                    mode=pb.SUBSCRIPTION_MODE_MINUTE,
                )
            ],
            batch_timestamp_ms=NOW_MS,
            batch_sequence=1,
            is_snapshot=True,
            schema_version=1,
            publish_time_ns=NOW_NS,
        )
    ]


def test_a_snapshot_of_nothing_is_one_empty_batch():
    hub = new_hub()
    _, stream, subscription = join(hub, Mode.SECOND, "MISSING")
    (batch,) = [opened(frame) for frame in hub.snapshot(subscription, stream)]
    assert (batch.is_snapshot, len(batch.ticks), batch.batch_sequence) == (True, 0, 1)


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("mode", MODES)
def test_the_first_snapshot_has_a_number_before_the_first_batch_and_not_the_last_of_all(
    mode, slots
):
    hub = new_hub(slots=slots)
    for slot in range(slots):
        subscription = Subscription(mode)
        stream = hub.open(subscription, slot)
        (frame,) = hub.snapshot(subscription, stream)
        assert opened(frame).batch_sequence == stream.next_sequence - 1 in (0, 1)


@pytest.mark.parametrize("mode", MODES)
def test_a_snapshot_is_in_the_order_of_its_symbols_in_every_process(mode):
    hub = new_hub()
    _, stream, subscription = join(hub, mode, *"DACBF")
    hub.publish([Tick(symbol, 1.0) for symbol in "CADBE"])
    (frame,) = hub.snapshot(subscription, stream)
    assert [tick.symbol for tick in opened(frame).ticks] == list("ABCD")


def test_a_snapshot_of_all_is_in_the_order_in_which_they_first_came():
    hub = new_hub()
    _, stream, subscription = join(hub, Mode.TICK)
    hub.publish([Tick(symbol, 1.0) for symbol in "CADCBA"])
    (frame,) = hub.snapshot(subscription, stream)
    assert [tick.symbol for tick in opened(frame).ticks] == list("CADB")


def test_a_long_snapshot_is_several_batches_of_one_number():
    hub = new_hub()
    _, stream, subscription = join(hub, Mode.SECOND)
    hub.publish([Tick(f"S{n}", 1.0) for n in range(2001)])
    deliver(hub.bars[1000].close(SECOND + 1))
    batches = [opened(frame) for frame in hub.snapshot(subscription, stream)]
    assert [(b.is_snapshot, b.batch_sequence, len(b.ticks)) for b in batches] == [
        (True, 4, 1000),
        (True, 4, 1000),
        (True, 4, 1),
    ]


def test_a_snapshot_changes_nothing():
    hub = new_hub()
    listener, stream, subscription = join(hub, Mode.TICK)
    hub.publish([Tick("A", 1.0)])
    before = (stream.next_sequence, hub.ticks.pending)
    hub.snapshot(subscription, stream)
    assert ((stream.next_sequence, hub.ticks.pending), listener.frames) == (before, [])


@pytest.mark.parametrize("mode", MODES)
def test_a_snapshot_encodes_what_has_changed_since_the_last_one_alone(mode):
    hub = new_hub()
    subscription = Subscription(mode)
    hub.publish([Tick(symbol, 1.0) for symbol in "ABC"])
    encoded = []
    for symbols in ("", "", "B", "BC"):
        hub.publish([Tick(symbol, 2.0) for symbol in symbols])
        with calls_of(tick_record) as calls:
            hub.snapshot(subscription, hub.open(subscription))
        encoded.append(calls[tick_record])
    assert encoded == [3, 0, 1, 2]


def test_what_was_encoded_for_one_is_there_for_all_who_want_any_of_it():
    hub = new_hub()
    hub.publish([Tick(symbol, 1.0) for symbol in "ABC"])
    for wanted, expected in ((frozenset("AB"), 2), (None, 1), (frozenset("BC"), 0)):
        subscription = Subscription(Mode.SECOND, wanted)
        with calls_of(tick_record) as calls:
            hub.snapshot(subscription, hub.open(subscription))
        assert calls[tick_record] == expected


def test_to_publish_encodes_nothing_for_those_who_may_want_a_snapshot():
    hub = new_hub()
    join(hub, Mode.SECOND)
    last_prices(hub)
    with calls_of(tick_record) as calls:
        hub.publish([Tick("A", 1.0)] * 3)
    assert calls == {}


@pytest.mark.parametrize("mode", MODES)
def test_snapshots_are_of_what_was_published_last_however_often_one_is_asked_for(mode):
    hub = new_hub()
    subscription = Subscription(mode)
    stream = hub.open(subscription)
    for price in (1.0, 2.0, 2.0, 1.0):
        hub.publish([Tick("A", price, timestamp_ns=int(price * 1e9))])
        for _ in range(2):
            (frame,) = hub.snapshot(subscription, stream)
            (tick,) = opened(frame).ticks
            assert (tick.price, tick.timestamp_ms, tick.mode) == (price, price * 1e3, mode)


symbols = st.sampled_from("ABC")
moves = st.lists(
    st.one_of(
        st.lists(symbols, min_size=1, max_size=5).map(lambda symbols: ("publish", symbols)),
        st.just(("flush", None)),
        st.sampled_from([None, frozenset("A"), frozenset("AB")]).map(lambda s: ("come", s)),
    ),
    max_size=30,
)


@given(moves)
def test_a_snapshot_and_the_batches_after_it_are_everything_exactly_once(moves):
    hub = new_hub()
    published, comers = [], []
    for move, what in moves:
        if move == "publish":
            first = len(published) + 1
            ticks = [Tick(symbol, float(first + n)) for n, symbol in enumerate(what)]
            published += ticks
            hub.publish(ticks)
        elif move == "flush":
            deliver(hub.ticks.flush())
        else:
            deliver(hub.ticks.flush())
            listener, stream, subscription = join(hub, Mode.TICK, *(what or ()))
            snapshot = [opened(frame) for frame in hub.snapshot(subscription, stream)]
            comers.append((listener, what, len(published), snapshot))
    deliver(hub.ticks.flush())
    for listener, wanted, seen, snapshot in comers:
        mine = [tick for tick in published if wanted is None or tick.symbol in wanted]
        late = [tick.price for tick in mine if tick.price > seen]
        last = {tick.symbol: tick.price for tick in mine if tick.price <= seen}
        assert {tick.symbol: tick.price for b in snapshot for tick in b.ticks} == last
        assert [tick.price for b in listener.batches for tick in b.ticks] == late
        numbers = [b.batch_sequence for b in snapshot + listener.batches]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_ticks_that_nobody_sends_do_not_pile_up_and_are_numbered():
    hub = new_hub()
    _, stream, _ = join(hub, Mode.TICK)
    before = stream.next_sequence
    for _ in range(2500):
        hub.publish([Tick("A", 1.0)])
    assert (hub.ticks.pending, stream.next_sequence - before) == (500, 2)
