"""Cadences: what goes out when, under which number, and how often it is encoded."""

import subprocess
import sys
from collections import Counter
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.cadence import BarCadence, TickCadence
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.sequences import SEQUENCE_MODULUS
from tickstorm.stream import Surroundings
from tickstorm.subscriptions import PERIOD_MS, Mode
from tickstorm.ticks import Tick

START_NS = 1_700_000_000_000_000_000
START_S = START_NS // 10**9
A, B, AB = frozenset("A"), frozenset("B"), frozenset("AB")


class Wall:
    """A wall clock that is set by hand."""

    def __init__(self, now_ns=START_NS):
        self.now_ns = now_ns

    def __call__(self):
        return self.now_ns


class Listener:
    """Keeps the batches that it is given."""

    def __init__(self):
        self.frames = []

    def deliver(self, frame):
        self.frames.append(frame)

    @property
    def batches(self):
        return [opened(frame) for frame in self.frames]

    @property
    def sequences(self):
        return [batch.batch_sequence for batch in self.batches]


def opened(frame):
    decoder = FrameDecoder()
    decoder.feed(frame)
    type, payload = decoder.next_frame()
    assert (type, decoder.pending_bytes) == (FrameType.DATA_BATCH, 0)
    return pb.DataBatch.FromString(payload)


def deliver(emissions):
    for stream, frames in emissions:
        for frame in frames:
            for subscriber in tuple(stream.subscribers):
                subscriber.deliver(frame)


def join(cadence, symbols, *slot):
    """A new listener to the stream of these symbols, and how it leaves."""
    stream = cadence.open(symbols, *slot)
    listener = Listener()
    stream.join(listener)
    return listener, lambda: cadence.streams.leave(stream, listener)


def second_bars(slots=1, wall=None):
    return BarCadence(1000, slots, wall or Wall(), Surroundings(65536))


def tick_cadence(wall=None):
    return TickCadence(wall or Wall(), Surroundings(65536))


def symbols_and_prices(batch):
    return sorted((tick.symbol, tick.price) for tick in batch.ticks)


# Bars, aligned.


def test_a_period_in_whole():
    wall = Wall()
    cadence = second_bars(wall=wall)
    listener, _ = join(cadence, None, 0)
    cadence.add(Tick("A", 2.0, 1.0, START_NS + 1))
    cadence.add(Tick("A", 3.0, 3.0, START_NS + 2_000_000))
    wall.now_ns = START_NS + 1_000_200_300
    deliver(cadence.close(START_S + 1))
    assert listener.batches == [
        pb.DataBatch(
            ticks=[
                pb.Tick(
                    symbol="A",
                    timestamp_ms=START_NS // 10**6 + 2,
                    price=3.0,
                    volume=4.0,
                    mode=pb.SUBSCRIPTION_MODE_SECOND,
                    open=2.0,
                    high=3.0,
                    low=2.0,
                    vwap=2.75,
                    trade_count=2,
                )
            ],
            batch_timestamp_ms=(START_S + 1) * 1000,
            batch_sequence=2,
            schema_version=1,
            publish_time_ns=START_NS + 1_000_200_300,
        )
    ]


@pytest.mark.parametrize("mode", [Mode.SECOND, Mode.MINUTE])
def test_a_batchs_time_is_the_end_of_its_period(mode):
    cadence = BarCadence(PERIOD_MS[mode], 1, Wall(), Surroundings(65536))
    listener, _ = join(cadence, None, 0)
    deliver(cadence.close(1234))
    (batch,) = listener.batches
    assert batch.batch_timestamp_ms == 1234 * PERIOD_MS[mode]
    assert PERIOD_MS == {Mode.SECOND: 1000, Mode.MINUTE: 60_000, Mode.TICK: 0}


def test_a_quiet_period_has_an_empty_batch_with_a_number():
    cadence = second_bars()
    listener, _ = join(cadence, A, 0)
    cadence.add(Tick("A", 1.0))
    deliver(cadence.close(1))
    cadence.add(Tick("B", 1.0))
    deliver(cadence.close(2))
    deliver(cadence.close(3))
    assert [(b.batch_sequence, symbols_and_prices(b)) for b in listener.batches] == [
        (2, [("A", 1.0)]),
        (3, []),
        (4, []),
    ]


def test_each_set_gets_its_symbols_and_nothing_else():
    cadence = second_bars()
    everything, a, ab = (join(cadence, symbols, 0)[0] for symbols in (None, A, AB))
    for symbol, price in (("A", 1.0), ("B", 2.0), ("C", 3.0)):
        cadence.add(Tick(symbol, price))
    deliver(cadence.close(1))
    got = [symbols_and_prices(listener.batches[0]) for listener in (everything, a, ab)]
    bars = [("A", 1.0), ("B", 2.0), ("C", 3.0)]
    assert got == [bars, bars[:1], bars[:2]]


def test_a_batch_is_encoded_once_for_all_its_subscribers():
    cadence = second_bars()
    listeners = [join(cadence, A, 0)[0] for _ in range(100)]
    cadence.add(Tick("A", 1.0))
    emissions = list(cadence.close(1))
    assert [len(frames) for _, frames in emissions] == [1]
    deliver(emissions)
    assert {id(listener.frames[0]) for listener in listeners} == {id(emissions[0].frames[0])}


def calls_of(name, function):
    """How often a function of this name is called while another runs."""
    count = 0

    def profile(frame, event, _):
        nonlocal count
        count += event == "call" and frame.f_code.co_name == name

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("cadence", ["bars", "ticks"])
def test_a_stream_has_one_epoch_that_is_made_once(cadence):
    cadence, slot = (second_bars(), [0]) if cadence == "bars" else (tick_cadence(), [])

    def come():
        for symbols in (A, B, A, B, frozenset("A")):
            join(cadence, symbols, *slot)

    assert calls_of("_digest", come) == len({stream.epoch for stream in cadence.streams}) == 2


def test_a_bar_is_serialised_once_for_all_streams():
    cadence = second_bars()
    for symbols in (None, A, B, AB, frozenset("ABC")):
        join(cadence, symbols, 0)
    for symbol in "ABC":
        for price in (1.0, 2.0):
            cadence.add(Tick(symbol, price))
    assert calls_of("bar_record", lambda: deliver(cadence.close(1))) == 3


def test_a_tick_is_serialised_once_for_all_streams():
    cadence = tick_cadence()
    for symbols in (None, A, AB):
        join(cadence, symbols)

    def publish():
        for symbol in "ABC":
            cadence.add(Tick(symbol, 1.0))
        deliver(cadence.flush())

    assert calls_of("tick_record", publish) == 3


def test_nothing_is_serialised_for_nobody():
    cadence = second_bars()
    cadence.add(Tick("A", 1.0))
    assert calls_of("bar_record", lambda: deliver(cadence.close(1))) == 0
    ticks = tick_cadence()
    assert calls_of("tick_record", lambda: ticks.add(Tick("A", 1.0))) == 0
    assert ticks.pending == 0


def test_a_tick_that_no_stream_wants_is_not_serialised():
    cadence = tick_cadence()
    _, leave = join(cadence, A)
    join(cadence, B)

    def publish():
        for symbol in "ABCC":
            cadence.add(Tick(symbol, 1.0))

    assert (calls_of("tick_record", publish), cadence.pending) == (2, 2)
    leave()
    assert (calls_of("tick_record", publish), cadence.pending) == (1, 3)


@pytest.mark.parametrize("slot", [0, 2])
def test_bars_are_serialised_only_in_a_slot_that_somebody_has(slot):
    cadence = second_bars(slots=4, wall=Wall(0))
    join(cadence, A, slot)
    cadence.add(Tick("A", 1.0))
    for end in (1, 2, 3, 4):
        calls = calls_of("bar_record", partial(close_all, cadence, end, end))
        assert calls == int(end % 4 == slot)


@pytest.mark.parametrize("slots", [1, 4])
def test_only_the_bars_that_its_streams_want_are_made_for_a_slot(slots):
    cadence = second_bars(slots=slots, wall=Wall(0))
    join(cadence, A, 0)
    for symbol in "ABC":
        cadence.add(Tick(symbol, 1.0))
    assert calls_of("bar_record", partial(close_all, cadence, slots, slots)) == 1


def test_the_same_period_gives_the_same_bytes_in_every_process():
    program = """
from tickstorm.cadence import BarCadence
from tickstorm.stream import Surroundings
from tickstorm.ticks import Tick
symbols = [f"S{n}" for n in range(50)]
cadence = BarCadence(1000, 1, lambda: 0, Surroundings(65536))
cadence.open(frozenset(symbols), 0)
for symbol in reversed(symbols):
    cadence.add(Tick(symbol, 1.0))
((_, (frame,)),) = cadence.close(1)
print(frame.hex())
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in "123"
    }
    assert len(outputs) == 1


def test_the_bars_of_a_set_are_in_the_order_of_their_symbols():
    cadence = second_bars()
    listener, _ = join(cadence, frozenset("DACB"), 0)
    for symbol in "CADBE":
        cadence.add(Tick(symbol, 1.0))
    deliver(cadence.close(1))
    assert [tick.symbol for tick in listener.batches[0].ticks] == list("ABCD")


# The numbers of bars.


@pytest.mark.parametrize("slots", [1, 4])
def test_the_first_numbers_leave_room_for_that_of_a_snapshot_before_them(slots):
    cadence = second_bars(slots, Wall(0))
    first = [cadence.open(None, slot).next_sequence for slot in range(slots)]
    assert first == [2, 1, 1, 1][:slots]
    ticks = tick_cadence()
    assert ticks.open(None).next_sequence == 1


def test_every_stream_has_the_number_of_the_round():
    cadence = second_bars()
    early, _ = join(cadence, None, 0)
    deliver(cadence.close(1))
    deliver(cadence.close(2))
    late, _ = join(cadence, A, 0)
    deliver(cadence.close(3))
    assert (early.sequences, late.sequences) == ([2, 3, 4], [4])


@pytest.mark.parametrize("others", [False, True])
def test_back_within_a_period_there_is_no_hole(others):
    cadence = second_bars()
    if others:
        join(cadence, None, 0)
    before, leave = join(cadence, A, 0)
    deliver(cadence.close(1))
    deliver(cadence.close(2))
    leave()
    after, _ = join(cadence, A, 0)
    deliver(cadence.close(3))
    assert (before.sequences, after.sequences) == ([2, 3], [4])


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("missed", [1, 2, 5])
def test_back_after_missed_periods_there_is_their_hole(others, missed):
    cadence = second_bars()
    if others:
        join(cadence, None, 0)
    before, leave = join(cadence, A, 0)
    deliver(cadence.close(1))
    leave()
    for end in range(missed):
        deliver(cadence.close(2 + end))
    after, _ = join(cadence, A, 0)
    deliver(cadence.close(2 + missed))
    assert (before.sequences, after.sequences) == ([2], [3 + missed])


def test_a_round_of_several_batches_moves_everyone_who_comes_later_beyond_them():
    cadence = second_bars()
    everything, leave = join(cadence, None, 0)
    for n in range(2500):
        cadence.add(Tick(f"S{n}", 1.0))
    deliver(cadence.close(1))
    leave()
    again, _ = join(cadence, None, 0)
    deliver(cadence.close(2))
    assert (everything.sequences, again.sequences) == ([2, 3, 4], [5])


def test_who_comes_back_has_a_hole_where_others_were_sent_a_long_round():
    cadence = second_bars()
    join(cadence, None, 0)
    before, leave = join(cadence, A, 0)
    for n in range(2500):
        cadence.add(Tick(f"S{n}", 1.0))
    deliver(cadence.close(1))
    leave()
    after, _ = join(cadence, A, 0)
    deliver(cadence.close(2))
    assert (before.sequences, after.sequences) == ([2], [5])


def test_who_stays_has_no_hole_where_others_were_sent_a_long_round():
    cadence = second_bars()
    join(cadence, None, 0)
    listener, _ = join(cadence, A, 0)
    for end in (1, 2):
        for n in range(2500):
            cadence.add(Tick(f"S{n}", 1.0))
        deliver(cadence.close(end))
    assert listener.sequences == [2, 3]


moves = st.lists(
    st.one_of(
        st.tuples(st.just("close"), st.integers(1, 3)),
        st.tuples(st.just("add"), st.sampled_from("AB")),
        st.tuples(st.just("many"), st.integers(900, 2100)),
        st.tuples(st.just("come"), st.sampled_from([None, A, B])),
        st.tuples(st.just("go"), st.integers(0, 3)),
    ),
    max_size=30,
)


def stays(cadence, moves, turn, slots=1):
    """Play moves; return, of each key, the sequences of one stay after the other."""
    here, history, end = [], {}, 0
    for index, (move, what) in enumerate(moves):
        if move == "close":
            for _ in range(what):
                end += 1
                deliver(turn(cadence, end))
        elif move == "add":
            cadence.add(Tick(what, 1.0))
        elif move == "many":
            for n in range(what):
                cadence.add(Tick(f"S{n}", 1.0))
        elif move == "come":
            slot = (index % slots,) if isinstance(cadence, BarCadence) else ()
            key = (what, *(slot or (0,)))
            alone = key not in {stream.key[:2] for stream in cadence.streams}
            listener, leave = join(cadence, what, *slot)
            here.append(leave)
            if alone:
                history.setdefault((what, *slot), []).append(listener)
        elif here:
            here.pop(what % len(here))()
    return {key: [listener.sequences for listener in all] for key, all in history.items()}


@given(moves, st.sampled_from([1, 4]))
def test_no_number_of_a_bar_stream_is_used_twice(moves, slots):
    cadence = second_bars(slots, Wall(0))
    for history in stays(cadence, moves, lambda c, end: c.close(end), slots).values():
        numbers = [number for stay in history for number in stay]
        assert numbers == sorted(set(numbers))
        for stay in history:
            assert stay == list(range(stay[0], stay[0] + len(stay))) if stay else True


@given(moves)
def test_no_number_of_a_tick_stream_is_used_twice(moves):
    for history in stays(tick_cadence(), moves, lambda c, _: c.flush()).values():
        numbers = [number for stay in history for number in stay]
        assert numbers == sorted(set(numbers))
        for stay in history:
            assert stay == list(range(stay[0], stay[0] + len(stay))) if stay else True


class Ledger:
    """What was published and what each stream sent of it, over all its stays."""

    def __init__(self):
        self.published = Counter()
        self.sent = {}

    def add(self, cadence, symbol):
        cadence.add(Tick(symbol, 1.0))
        self.published[symbol] += 1

    def deliver(self, emissions):
        for stream, frames in emissions:
            batches = [opened(frame) for frame in frames]
            ticks = Counter()
            for batch in batches:
                for tick in batch.ticks:
                    ticks[tick.symbol] += tick.trade_count or 1
            numbers = [batch.batch_sequence for batch in batches]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            if stream.subscribers:
                entry = (numbers, ticks, self.published.copy())
                self.sent.setdefault(stream.key, []).append(entry)

    def check(self, clock_was_set=False):
        """Fail at a number given again, at a tick counted twice, at a loss without a hole.

        Where the clock was set back, a slot's moment may come again before its period is over: then
        its bars have ticks in common.
        """
        for key, entries in self.sent.items():
            for (numbers, _, past), (following, ticks, present) in pairwise(entries):
                assert following[0] > numbers[-1]
                for symbol in key.symbols or present:
                    missed = present[symbol] - past[symbol] - ticks[symbol]
                    assert missed >= 0 or clock_was_set
                    assert following[0] > numbers[-1] + 1 or missed <= 0


def play(cadence, moves, turn, slots=()):
    """Play moves as they are drawn below, and return the ledger of them."""
    ledger, here = Ledger(), []
    for index, (move, what) in enumerate(moves):
        if move == "add":
            ledger.add(cadence, what)
        elif move == "many":
            for n in range(what):
                ledger.add(cadence, f"S{n}")
        elif move == "turn":
            turn(ledger, what)
        elif move == "come":
            symbols, slot = what
            here.append(join(cadence, symbols, *(slots and (slot % len(slots),)))[1])
        elif here:
            here.pop(index * what % len(here))()
    turn(ledger, 1)
    return ledger


events = st.lists(
    st.one_of(
        st.tuples(st.just("turn"), st.integers(1, 30)),
        st.tuples(st.just("add"), st.sampled_from("ABC")),
        st.tuples(st.just("many"), st.sampled_from([1, 1001])),
        st.tuples(
            st.just("come"), st.tuples(st.sampled_from([None, A, B, AB]), st.integers(0, 11))
        ),
        st.tuples(st.just("go"), st.integers(0, 3)),
    ),
    max_size=40,
)


@given(events)
def test_who_gets_ticks_is_sent_none_twice_and_loses_none_without_a_hole(moves):
    cadence = tick_cadence()
    play(cadence, moves, lambda ledger, _: ledger.deliver(cadence.flush())).check()


@given(events, st.sampled_from([1, 3, 4]))
def test_who_gets_bars_is_sent_nothing_twice_and_loses_nothing_without_a_hole(moves, slots):
    cadence = second_bars(slots, Wall(0))
    end = 0

    def turn(ledger, steps):
        nonlocal end
        for _ in range(steps):
            end += 1
            ledger.add(cadence, "A")
            ledger.deliver(cadence.close(end))

    play(cadence, moves, turn, range(slots)).check()


def late(cadence, moves, slots):
    """Play moves in which each turn leaves out steps, and return the ledger of them."""
    end = 0

    def turn(ledger, steps):
        nonlocal end
        end += steps
        ledger.deliver(cadence.close(end))
        for _ in range(slots):
            end += 1
            ledger.add(cadence, "A")
            ledger.deliver(cadence.close(end))

    return play(cadence, moves, turn, range(slots))


@given(events)
def test_aligned_bars_that_were_late_lose_nothing(moves):
    late(second_bars(1, Wall(0)), moves, 1).check()


@given(
    events.map(
        lambda moves: [(move, 1 + what % 4 if move == "turn" else what) for move, what in moves]
    )
)
def test_slots_that_were_less_than_a_round_late_lose_nothing_without_a_hole(moves):
    late(second_bars(4, Wall(0)), moves, 4).check()


@given(events)
@example([("come", (A, 2)), ("turn", 3), ("turn", 7)])
def test_slots_that_were_late_lose_nothing_without_a_hole(moves):
    late(second_bars(4, Wall(0)), moves, 4).check()


@given(events, st.sampled_from([1, 4]), st.lists(st.integers(-40, 40), max_size=5))
def test_no_loss_is_without_a_hole_whatever_the_clock_is_set_to(moves, slots, jumps):
    cadence = second_bars(slots, Wall(0))
    end, waiting = 0, list(jumps)
    for slot in range(slots):
        join(cadence, A, slot)

    def turn(ledger, steps):
        nonlocal end
        end += waiting.pop() if waiting else 0
        for _ in range(steps):
            end += 1
            ledger.add(cadence, "A")
            ledger.deliver(cadence.close(end))

    play(cadence, moves, turn, range(slots)).check(clock_was_set=True)


# Bars, spread.


def close_all(cadence, first, last):
    for end in range(first, last + 1):
        deliver(cadence.close(end))


def test_each_slot_is_sent_at_its_own_moment():
    cadence = second_bars(slots=4, wall=Wall(0))
    listeners = [join(cadence, None, slot)[0] for slot in range(4)]
    close_all(cadence, 1, 9)
    times = [[b.batch_timestamp_ms for b in listener.batches] for listener in listeners]
    assert times == [[1000, 2000], [250, 1250, 2250], [500, 1500], [750, 1750]]


def test_the_slots_of_a_round_share_its_number():
    cadence = second_bars(slots=4, wall=Wall(0))
    listeners = [join(cadence, None, slot)[0] for slot in range(4)]
    close_all(cadence, 1, 3)
    close_all(cadence, 4, 7)
    close_all(cadence, 8, 11)
    assert [listener.sequences for listener in listeners] == [
        [2, 3],
        [1, 2, 3],
        [1, 2, 3],
        [1, 2, 3],
    ]


@pytest.mark.parametrize("begin", range(4))
def test_whoever_comes_between_gets_the_number_of_the_round_of_its_slot(begin):
    cadence = second_bars(slots=4, wall=Wall(0))
    early = [join(cadence, None, slot)[0] for slot in range(4)]
    close_all(cadence, 1, 8 + begin)
    late = [join(cadence, A, slot)[0] for slot in range(4)]
    close_all(cadence, 9 + begin, 16 + begin)
    assert [listener.sequences for listener in late] == [
        listener.sequences[-2:] for listener in early
    ]


def test_each_slots_bars_are_those_of_the_interval_up_to_its_moment():
    cadence = second_bars(slots=4, wall=Wall(0))
    listeners = [join(cadence, None, slot)[0] for slot in range(4)]
    for end in range(1, 13):
        cadence.add(Tick("A", float(end)))
        deliver(cadence.close(end))
    bars = [[(b.ticks[0].open, b.ticks[0].price) for b in each.batches] for each in listeners]
    assert bars == [
        [(1, 4), (5, 8), (9, 12)],
        [(1, 1), (2, 5), (6, 9)],
        [(1, 2), (3, 6), (7, 10)],
        [(1, 3), (4, 7), (8, 11)],
    ]


def test_every_tick_is_in_exactly_one_bar_of_each_slot():
    cadence = second_bars(slots=4, wall=Wall(0))
    listeners = [join(cadence, None, slot)[0] for slot in range(4)]
    for end in range(1, 41):
        cadence.add(Tick("A", 1.0, float(end)))
        deliver(cadence.close(end))
    totals = [sum(tick.volume for b in each.batches for tick in b.ticks) for each in listeners]
    assert totals == [sum(range(1, last + 1)) for last in (40, 37, 38, 39)]


def test_a_slot_that_missed_its_moment_has_a_hole_and_the_number_of_the_others():
    cadence = second_bars(slots=4, wall=Wall(0))
    listeners = [join(cadence, None, slot)[0] for slot in range(4)]
    for end in (1, 2, 4, 5, 6, 7, 8):
        deliver(cadence.close(end))
    assert [listener.sequences for listener in listeners] == [[2, 3], [1, 2], [1, 2], [2]]


def after_a_stall(first, last):
    """Of slots 0 to 3: each bar's number, first and last step, where a tick comes in each step.

    The steps 1 to `first` were closed in time, those up to `last` left out but for a last round.
    """
    cadence = second_bars(slots=4, wall=Wall(0))
    listeners = [join(cadence, None, slot)[0] for slot in range(4)]
    for end in range(1, last + 1):
        cadence.add(Tick("A", float(end), 1.0))
        if end <= first or end > last - 4:
            deliver(cadence.close(end))
    return [
        [
            (b.batch_sequence, int(bar.open), int(bar.price))
            for b in listener.batches
            for bar in b.ticks
            if bar.trade_count == bar.price - bar.open + 1
        ]
        for listener in listeners
    ]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (
            7,
            [
                [(2, 1, 4), (5, 8, 16)],
                [(1, 1, 1), (2, 2, 5), (5, 8, 17)],
                [(1, 1, 2), (2, 3, 6), (4, 8, 14)],
                [(1, 1, 3), (2, 4, 7), (4, 8, 15)],
            ],
        ),
        (
            5,
            [
                [(2, 1, 4), (5, 6, 16)],
                [(1, 1, 1), (2, 2, 5), (5, 6, 17)],
                [(1, 1, 2), (4, 6, 14)],
                [(1, 1, 3), (4, 6, 15)],
            ],
        ),
    ],
)
def test_after_a_stall_of_more_than_a_round_what_is_lost_is_behind_a_hole(first, expected):
    # What came in the steps that were left out is in step 14, the first that ended again.
    assert after_a_stall(first, last=17) == expected


@pytest.mark.parametrize("slot", range(4))
def test_after_a_stall_who_comes_has_the_number_of_who_stayed_and_who_comes_back_a_new_one(slot):
    cadence = second_bars(slots=4, wall=Wall(0))
    early, leave = join(cadence, A, slot)
    stays, _ = join(cadence, B, slot)
    close_all(cadence, 1, 7)
    close_all(cadence, 14, 18)
    leave()
    late, _ = join(cadence, A, slot)
    close_all(cadence, 19, 22)
    assert [*early.sequences, *late.sequences] == stays.sequences


def test_an_aligned_period_that_was_late_has_the_next_number_and_all_that_came():
    cadence = second_bars()
    listener, _ = join(cadence, A, 0)
    for end in (1, 2, 9, 10):
        for _ in range(end):
            cadence.add(Tick("A", 1.0))
        deliver(cadence.close(end))
    got = [(b.batch_sequence, b.ticks[0].trade_count) for b in listener.batches]
    assert got == [(2, 1), (3, 2), (4, 9), (5, 10)]


@pytest.mark.parametrize(
    ("back_to", "expected"),
    [
        (7, [[2, 4, 5], [1, 2, 4], [1, 2, 4], [1, 2, 3, 4]]),
        (5, [[2, 4, 5], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]]),
        (-40, [[2, 3, 4], [1, 2, 3], [1, 2, 3], [1, 2, 3]]),
    ],
)
def test_after_the_clock_was_set_back_the_slots_have_one_number_a_round(back_to, expected):
    cadence = second_bars(slots=4, wall=Wall(0))
    listeners = [join(cadence, A, slot)[0] for slot in range(4)]
    close_all(cadence, 1, 7)
    close_all(cadence, back_to, -(-back_to // 4) * 4 + 4)
    assert [listener.sequences for listener in listeners] == expected


def test_after_a_stall_of_less_than_a_round_the_slots_that_were_left_out_have_a_hole():
    assert after_a_stall(first=7, last=13) == [
        [(2, 1, 4), (4, 8, 12)],
        [(1, 1, 1), (2, 2, 5), (4, 8, 13)],
        [(1, 1, 2), (2, 3, 6), (3, 7, 10)],
        [(1, 1, 3), (2, 4, 7), (3, 8, 11)],
    ]


def test_a_missed_round_does_not_give_its_number_again():
    cadence = second_bars(slots=4, wall=Wall(0))
    before, leave = join(cadence, None, 1)
    deliver(cadence.close(1))
    deliver(cadence.close(5))
    leave()
    after, _ = join(cadence, None, 1)
    deliver(cadence.close(9))
    assert (before.sequences, after.sequences) == ([1, 2], [3])


def test_a_cadence_begins_in_the_slot_that_the_clock_is_in():
    cadence = second_bars(slots=4, wall=Wall(START_NS + 600_000_000))
    first = [cadence.open(None, slot).next_sequence for slot in range(4)]
    assert first == [2, 2, 2, 1]


# Ticks.


def test_a_flush_in_whole():
    cadence = tick_cadence(Wall(START_NS + 1_999_999))
    listener, _ = join(cadence, None)
    cadence.add(Tick("A", 1.0, 2.0, 3))
    cadence.add(Tick("B", 4.0, 5.0, 6))
    assert cadence.pending == 2
    deliver(cadence.flush())
    assert cadence.pending == 0
    mode = pb.SUBSCRIPTION_MODE_TICK
    assert listener.batches == [
        pb.DataBatch(
            ticks=[
                pb.Tick(symbol="A", price=1.0, volume=2.0, timestamp_ns=3, mode=mode),
                pb.Tick(symbol="B", price=4.0, volume=5.0, timestamp_ns=6, mode=mode),
            ],
            batch_timestamp_ms=START_NS // 10**6 + 1,
            batch_sequence=1,
            schema_version=1,
            publish_time_ns=START_NS + 1_999_999,
        )
    ]


def test_a_flush_without_ticks_sends_nothing():
    cadence = tick_cadence()
    listener, _ = join(cadence, None)
    deliver(cadence.flush())
    assert listener.frames == []


def test_a_stream_without_its_symbols_in_a_flush_is_sent_nothing():
    cadence = tick_cadence()
    a, b = join(cadence, A)[0], join(cadence, B)[0]
    cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    cadence.add(Tick("B", 2.0))
    deliver(cadence.flush())
    assert (a.sequences, b.sequences) == ([1], [1])


def test_ticks_keep_their_order_in_every_stream():
    cadence = tick_cadence()
    everything, ab = join(cadence, None)[0], join(cadence, AB)[0]
    for volume, symbol in enumerate("ABCABCA"):
        cadence.add(Tick(symbol, 1.0, float(volume)))
    deliver(cadence.flush())
    assert [tick.volume for tick in everything.batches[0].ticks] == [0, 1, 2, 3, 4, 5, 6]
    assert [tick.volume for tick in ab.batches[0].ticks] == [0, 1, 3, 4, 6]


def test_more_than_a_batch_is_several():
    cadence = tick_cadence()
    everything, a = join(cadence, None)[0], join(cadence, A)[0]
    for n in range(2001):
        cadence.add(Tick("A" if n == 7 else "B", 1.0))
    deliver(cadence.flush())
    assert [(b.batch_sequence, len(b.ticks)) for b in everything.batches] == [
        (1, 1000),
        (2, 1000),
        (3, 1),
    ]
    assert a.sequences == [1]


def test_back_after_a_flush_of_several_batches_the_numbers_go_on_behind_them():
    cadence = tick_cadence()
    before, leave = join(cadence, None)
    for _ in range(2001):
        cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    leave()
    after, _ = join(cadence, None)
    cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    assert (before.sequences, after.sequences) == ([1, 2, 3], [4])


def test_back_before_anything_came_there_is_no_hole():
    cadence = tick_cadence()
    before, leave = join(cadence, A)
    cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    leave()
    after, _ = join(cadence, A)
    cadence.add(Tick("A", 2.0))
    deliver(cadence.flush())
    assert (before.sequences, after.sequences) == ([1], [2])


@pytest.mark.parametrize("others", [False, True])
def test_back_after_a_missed_tick_there_is_a_hole(others):
    cadence = tick_cadence()
    if others:
        join(cadence, B)
    before, leave = join(cadence, A)
    cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    leave()
    cadence.add(Tick("A", 2.0))
    deliver(cadence.flush())
    after, _ = join(cadence, A)
    cadence.add(Tick("A", 3.0))
    deliver(cadence.flush())
    assert before.sequences == [1]
    assert after.sequences[0] > 2


@pytest.mark.parametrize("missed_in_between", ["B", "nothing"])
def test_what_was_pending_when_its_subscriber_left_is_a_hole_once_it_is_gone(missed_in_between):
    cadence = tick_cadence()
    if missed_in_between == "B":
        join(cadence, B)
    before, leave = join(cadence, A)
    cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    cadence.add(Tick("A", 2.0))
    leave()
    deliver(cadence.flush())
    after, _ = join(cadence, A)
    cadence.add(Tick("A", 3.0))
    deliver(cadence.flush())
    assert (before.sequences, [b.ticks[0].price for b in after.batches]) == ([1], [3.0])
    assert after.sequences[0] > 2


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("ticks", [1, 5])
def test_who_comes_back_has_a_hole_where_there_were_ticks_of_other_symbols(others, ticks):
    cadence = tick_cadence()
    if others:
        join(cadence, B)
    before, leave = join(cadence, A)
    cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    leave()
    for _ in range(ticks):
        cadence.add(Tick("B", 1.0))
    deliver(cadence.flush())
    after, _ = join(cadence, A)
    cadence.add(Tick("A", 2.0))
    deliver(cadence.flush())
    assert (before.sequences, after.sequences) == ([1], [3])


@pytest.mark.parametrize("others", [False, True])
def test_who_stays_has_no_hole_where_there_were_ticks_of_other_symbols(others):
    cadence = tick_cadence()
    if others:
        join(cadence, B)
    listener, _ = join(cadence, A)
    for symbol in "ABBCA":
        cadence.add(Tick(symbol, 1.0))
        deliver(cadence.flush())
    assert listener.sequences == [1, 2]


@pytest.mark.parametrize("ticks", [1, 1500])
def test_ticks_that_nobody_wanted_are_one_number_of_the_next_new_stream(ticks):
    cadence = tick_cadence()
    cadence.open(B)
    for _ in range(ticks):
        cadence.add(Tick("A", 1.0))
    assert [cadence.open(key).next_sequence for key in (B, A, None, A)] == [1, 2, 2, 2]
    cadence.add(Tick("C", 1.0))
    deliver(cadence.flush())
    assert cadence.open(AB).next_sequence == 3


def test_back_in_a_stream_that_others_kept_there_is_no_hole():
    cadence = tick_cadence()
    join(cadence, A)
    before, leave = join(cadence, A)
    cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    leave()
    cadence.add(Tick("B", 1.0))
    after, _ = join(cadence, A)
    cadence.add(Tick("A", 2.0))
    deliver(cadence.flush())
    assert (before.sequences, after.sequences) == ([1], [2])


def test_sequences_of_ticks_wrap_for_who_comes_late_as_for_who_stayed():
    cadence = tick_cadence()
    cadence._next_sequence = SEQUENCE_MODULUS - 1
    early, _ = join(cadence, A)
    for _ in range(2):
        cadence.add(Tick("A", 1.0))
        deliver(cadence.flush())
    late, _ = join(cadence, None)
    cadence.add(Tick("A", 1.0))
    deliver(cadence.flush())
    assert (early.sequences, late.sequences) == ([2**32 - 1, 0, 1], [1])


def test_a_stream_opened_again_while_a_flush_is_delivered_has_a_new_number():
    cadence = tick_cadence()
    before, leave = join(cadence, A)
    join(cadence, B)
    cadence.add(Tick("A", 1.0))
    cadence.add(Tick("B", 1.0))
    emissions = cadence.flush()
    deliver([next(emissions)])
    leave()
    after, _ = join(cadence, A)
    deliver(emissions)
    cadence.add(Tick("A", 2.0))
    deliver(cadence.flush())
    assert (before.sequences, after.sequences) == ([1], [2])


def test_a_flush_whose_delivery_fails_does_not_give_its_number_again():
    cadence = tick_cadence()
    before, leave = join(cadence, A)
    cadence.add(Tick("A", 1.0))
    emissions = cadence.flush()
    deliver([next(emissions)])
    emissions.close()  # as when a subscriber raised
    leave()
    after, _ = join(cadence, A)
    cadence.add(Tick("A", 2.0))
    deliver(cadence.flush())
    assert (before.sequences, after.sequences) == ([1], [2])


def test_a_stream_opened_while_bars_are_delivered_begins_with_the_next_round():
    cadence = second_bars()
    first, leave = join(cadence, A, 0)
    second, _ = join(cadence, B, 0)
    emissions = cadence.close(1)
    deliver([next(emissions)])
    leave()
    again, _ = join(cadence, A, 0)
    deliver(emissions)
    deliver(cadence.close(2))
    assert (first.sequences, second.sequences, again.sequences) == ([2], [2, 3], [3])
