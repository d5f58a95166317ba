"""Sets that name symbols by how they begin: they find what comes later, each symbol once."""

import sys

import pytest
from conversation import subscribe
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import Feed
from test_broadcast import calls_of

from tickstorm.records import bar_record, batch_frame, tick_record
from tickstorm.subscriptions import Mode, decode_subscription
from tickstorm.symbols import without_doubles
from tickstorm.ticks import Tick

MODES = (Mode.TICK, Mode.SECOND, 500)


def symbols_of(listener):
    return [[tick.symbol for tick in batch.ticks] for batch in listener.batches]


@pytest.mark.parametrize("mode", MODES)
def test_a_symbol_that_appears_later_is_in_it_from_its_first_tick_on(mode):
    feed = Feed()
    feed.tick("EURUSD", "GBPUSD")
    listener = feed.join(mode, "EUR*", "XAU", snapshot=True)
    for symbols in (["EURUSD", "GBPUSD"], ["EURGBP", "EU", "XAU"], ["EUR", "XAUX"]):
        feed.tick(*symbols)
        feed.pass_period(mode)
    got = symbols_of(listener)
    assert got[0] == ["EURUSD"]
    # What came before its join is in the bar of the period that was under way then.
    assert got[-3:] == [["EURUSD"], ["EURGBP", "XAU"], ["EUR"]]
    late = feed.join(mode, "EUR*", "XAU", snapshot=True)
    assert symbols_of(late) == [["EUR", "EURGBP", "EURUSD", "XAU"]]


@pytest.mark.parametrize("mode", MODES)
def test_a_set_that_means_nothing_yet_has_empty_batches_until_it_does(mode):
    feed = Feed()
    listener = feed.join(mode, "Z*", snapshot=True)
    feed.tick("A")
    feed.pass_period(mode)
    feed.tick("Z", "ZZ")
    feed.pass_period(mode)
    quiet = [] if mode is Mode.TICK else [[]]
    assert symbols_of(listener) == [[], *quiet, ["Z", "ZZ"]]


def subscription_of(*symbols, mode=1):
    frame = subscribe(mode, *symbols)
    return decode_subscription(frame[8:-4])


@pytest.mark.parametrize(
    "written",
    [
        ("EUR*", "GBPUSD"),
        ("GBPUSD", "EUR*"),
        ("EUR*", "EURUSD", "GBPUSD", "EURO*"),
        ("EUR", "EUR*", "EUR*", "GBPUSD", "GBPUSD"),
    ],
)
def test_the_same_set_written_in_any_way_is_one_stream(written):
    feed = Feed()
    stream = feed.hub.open(subscription_of("EUR*", "GBPUSD"))
    assert feed.hub.open(subscription_of(*written)) is stream


def test_an_asterisk_alone_is_the_stream_of_all():
    feed = Feed()
    assert feed.hub.open(subscription_of("*", "A")) is feed.hub.open(subscription_of())
    assert subscription_of("*").symbols is subscription_of().symbols is None


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("mode", MODES)
def test_many_sets_cost_an_encoding_of_each_symbol_and_no_more(mode, slots):
    feed = Feed(slots=slots)
    sets = [(f"S{number}*", "EUR*", f"T{number}") for number in range(100)]
    listeners = [feed.join(mode, *symbols) for symbols in sets]
    ticks = [Tick(symbol, 1.0) for symbol in ("EURUSD", "EURGBP", "S1", "S11", "T7", "NONE")]
    with calls_of(tick_record, bar_record, batch_frame) as calls:
        feed.hub.publish(ticks)
        feed.pass_period(mode)
    moments = 1 if mode is Mode.TICK else slots
    record = tick_record if mode is Mode.TICK else bar_record
    assert calls[record] <= 5 * moments
    assert calls[tick_record] + calls[bar_record] == calls[record] >= 5
    assert calls[batch_frame] == 100
    assert symbols_of(listeners[1])[0] == (
        ["EURUSD", "EURGBP", "S1", "S11"]
        if mode is Mode.TICK
        else ["EURGBP", "EURUSD", "S1", "S11"]
    )
    assert sorted(symbols_of(listeners[7])[0]) == ["EURGBP", "EURUSD", "T7"]


@pytest.mark.parametrize("mode", [Mode.TICK, Mode.SECOND])
def test_ten_thousand_different_sets_are_a_join_each_and_not_an_encoding_each(mode):
    feed = Feed(hub_limits=())
    for number in range(10_000):
        feed.join(mode, "E*", f"S{number}")
    with calls_of(tick_record, bar_record, batch_frame) as calls:
        feed.tick("EURUSD", "EURGBP")
        feed.pass_period(mode)
    record = tick_record if mode is Mode.TICK else bar_record
    assert calls == {record: 2, batch_frame: 10_000}


def lengths_returned_by(name, function):
    """How long what functions of this name return is, while another runs."""
    lengths = []

    def profile(frame, event, returned):
        if event == "return" and frame.f_code.co_name == name:
            lengths.append(len(returned))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return lengths


@pytest.mark.parametrize("slots", [1, 4])
def test_a_set_costs_what_it_gets_and_not_what_is_known_of_what_it_means(slots):
    feed = Feed(hub_limits=(), slots=slots)
    feed.tick(*(f"S{number}" for number in range(1000)))
    for number in range(40):
        feed.join(Mode.SECOND, "S*", f"T{number}")
    feed.advance(2, step=0.05)
    feed.tick("S7", "S8")
    lengths = lengths_returned_by("meant_by", lambda: feed.advance(1, step=0.05))
    # All that is known once for each moment, to see which bars to make; then each stream's own.
    known = [length for length in lengths if length > 1000]
    assert (len(known), len(lengths)) == (slots, slots + 40)
    assert sum(lengths) - sum(known) <= 40 * 3


def test_a_tick_that_no_beginning_wants_is_not_collected():
    feed = Feed(hub_limits=())
    listener = feed.join(Mode.TICK, "EUR*")
    with calls_of(tick_record) as calls:
        feed.tick("EU", "X", "EUR")
    assert (calls[tick_record], feed.hub.ticks.pending) == (1, 1)
    listener.leave()
    feed.pass_period(Mode.TICK)
    with calls_of(tick_record) as calls:
        feed.tick("EURUSD")
    assert (calls, feed.kept()) == ({}, {})


names = st.text("AB.", min_size=1, max_size=4)
sets = st.lists(names | st.text("AB.", max_size=3).map(lambda name: f"{name}*"), max_size=4)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.lists(names, min_size=1, max_size=5)),
        st.tuples(st.just("join"), sets),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("pass_period"), st.none()),
    ),
    max_size=25,
)


class Room:
    """Those who listen, each with what looking at every tick would give it."""

    def __init__(self, mode):
        self.mode = mode
        self.feed = Feed(hub_limits=())
        self.here = []
        self.gone = []

    def tick(self, symbols):
        for symbol in symbols:
            self.feed.tick(symbol)
            for _, written, expected in self.here:
                if not written or any(matches(symbol, pattern) for pattern in written):
                    expected.append((symbol, float(self.feed.published)))

    def join(self, written):
        self.pass_period()
        wanted = without_doubles(written) or ()
        self.here.append((self.feed.join(self.mode, *wanted), written, []))

    def leave(self, at):
        if self.here:
            self.pass_period()
            self.gone.append(self.here.pop(at % len(self.here)))
            self.gone[-1][0].leave()

    def pass_period(self, _=None):
        self.feed.pass_period(self.mode)

    def close(self):
        while self.here:
            self.leave(0)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MODES), moves)
def test_everybody_gets_what_looking_at_each_tick_would_give(mode, moves):
    room = Room(mode)
    for move, what in moves:
        getattr(room, move)(what)
    room.close()
    for listener, _, expected in room.gone:
        ticks = [tick for batch in listener.batches for tick in batch.ticks]
        if mode is Mode.TICK:
            assert [(tick.symbol, tick.price) for tick in ticks] == expected
        else:
            assert sum(bar.trade_count for bar in ticks) == len(expected)
            assert {bar.symbol: bar.price for bar in ticks} == dict(expected)
            assert all(len(set(each)) == len(each) for each in symbols_of(listener))
    assert room.feed.kept() == {}


def matches(symbol, pattern):
    return symbol == pattern or (pattern.endswith("*") and symbol.startswith(pattern[:-1]))
