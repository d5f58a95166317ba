"""Streams that nobody listens to for a while: kept, numbered on, picked up, and forgotten."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from listening import AMPLE, Feed, wants

from tickstorm.fanout import HOUSEKEEPING_INTERVAL
from tickstorm.hub import HubLimits
from tickstorm.subscriptions import Mode

MODES = (Mode.TICK, Mode.SECOND, Mode.MINUTE, 500)
FIVE_SECONDS = (HubLimits(history=AMPLE._replace(seconds=5.0)),)


@pytest.mark.parametrize("mode", MODES)
def test_one_goes_on_while_nobody_listens_and_is_the_same_for_who_comes_back(mode):
    feed = Feed()
    first = feed.join(mode)
    stream = first.joined.stream
    first.leave()
    assert list(feed.hub.streams[wants(mode).period_ms]) == [stream]
    before = stream.next_sequence
    for _ in range(3):
        feed.tick()
        feed.pass_period(mode)
    assert (stream.next_sequence - before, first.frames) == (3, [])
    again = feed.join(mode)
    assert again.joined.stream is stream
    assert (again.frames, again.joined.backfill.next_sequence) == ([], before + 3)


def test_what_is_only_kept_is_sent_to_nobody_and_counted_as_no_message():
    feed = Feed()
    feed.join().leave()
    feed.tick()
    feed.pass_period(Mode.TICK)
    assert (len(feed.hub.history), feed.metrics.messages_sent) == (1, 0)
    assert feed.hub.ticks.pending == 0


@pytest.mark.parametrize("mode", MODES)
def test_one_that_nobody_has_come_back_to_in_time_is_forgotten(mode):
    feed = Feed(FIVE_SECONDS)
    feed.join(mode, "A", "B*").leave()
    feed.tick()
    feed.advance(5 - HOUSEKEEPING_INTERVAL)
    assert feed.kept()["streams"] == 1
    feed.advance(1)
    assert feed.kept() == {}


@pytest.mark.parametrize("mode", MODES)
def test_one_that_somebody_came_back_to_is_not_forgotten_and_then_has_its_time_anew(mode):
    feed = Feed(FIVE_SECONDS)
    feed.join(mode).leave()
    feed.advance(4)
    again = feed.join(mode)
    feed.advance(10)
    assert feed.kept()["streams"] == 1
    again.leave()
    feed.advance(4)
    assert feed.kept()["streams"] == 1
    feed.advance(2)
    assert feed.kept() == {}


@pytest.mark.parametrize("mode", MODES)
def test_who_comes_back_later_is_told_that_something_is_missing_and_gets_a_snapshot(mode):
    feed = Feed(FIVE_SECONDS)
    first = feed.join(mode, "A")
    feed.tick()
    feed.pass_period(mode)
    first.leave()
    feed.advance(6)
    feed.tick()
    feed.advance(0 if mode is Mode.TICK else 60)
    late = feed.resume(first)
    assert (late.recovered, late.prices) == (False, [[2.0]])
    assert late.joined.backfill.next_sequence > first.sequences[-1] + 1


def test_of_ticks_that_never_came_nothing_is_missing_though_the_stream_is_forgotten():
    feed = Feed(FIVE_SECONDS)
    first = feed.join(Mode.TICK, "A")
    feed.tick()
    feed.pass_period(Mode.TICK)
    first.leave()
    feed.advance(100)
    assert feed.kept() == {}
    late = feed.resume(first)
    feed.tick()
    feed.pass_period(Mode.TICK)
    assert (late.recovered, late.prices, late.sequences) == (True, [[2.0]], [2])


@pytest.mark.parametrize("mode", [Mode.TICK, Mode.SECOND])
def test_so_many_are_kept_and_the_one_left_first_goes_first(mode):
    feed = Feed((HubLimits(history=AMPLE._replace(idle_streams=2)),))
    listeners = [feed.join(mode, symbol) for symbol in "ABC"]
    for at in (1, 0, 2):
        listeners[at].leave()
    streams = feed.hub.streams[wants(mode).period_ms]
    assert [sorted(stream.key.symbols) for stream in streams] == [["A"], ["C"]]
    assert feed.kept()["idle"] == 2
    feed.tick("A", "B")
    feed.pass_period(mode)
    assert [feed.resume(listener).recovered for listener in listeners] == [True, False, True]


def test_one_that_is_listened_to_again_is_not_ended_by_those_that_are_left_later():
    feed = Feed((HubLimits(history=AMPLE._replace(idle_streams=1)),))
    feed.join(Mode.SECOND, "A").leave()
    again = feed.join(Mode.SECOND, "A")
    for symbol in "BCD":
        feed.join(Mode.SECOND, symbol).leave()
    feed.tick()
    feed.pass_period(Mode.SECOND)
    assert again.prices == [[1.0]]
    assert [sorted(stream.key.symbols) for stream in feed.hub.streams[1000]] == [["A"], ["D"]]


def test_the_one_left_first_is_not_one_that_somebody_came_back_to():
    feed = Feed((HubLimits(history=AMPLE._replace(idle_streams=2)),))
    for symbol in "ABAC":
        feed.join(Mode.SECOND, symbol).leave()
    assert [sorted(stream.key.symbols) for stream in feed.hub.streams[1000]] == [["A"], ["C"]]


def test_one_that_is_forgotten_takes_what_is_kept_of_it_along():
    feed = Feed((HubLimits(history=AMPLE._replace(idle_streams=1)),))
    for symbol in "AB":
        listener = feed.join(Mode.TICK, symbol)
        feed.tick(symbol)
        feed.pass_period(Mode.TICK)
        listener.leave()
    assert feed.kept()["batches"] == 1
    feed.tick("A")
    assert (feed.hub.ticks.pending, feed.kept()["marks"]) == (0, 1)


def test_without_a_history_nothing_is_kept():
    feed = Feed(hub_limits=())
    for mode in MODES:
        feed.join(mode, "A*").leave()
    feed.tick()
    assert feed.kept() == {}
    assert not feed.factory.feed._housekeeping.running


def test_the_past_is_let_go_of_while_the_feed_runs_and_no_longer():
    feed = Feed(FIVE_SECONDS)
    feed.join().leave()
    feed.tick()
    feed.factory.stopFactory()
    feed.advance(20)
    assert feed.kept()["batches"] == 1
    feed.factory.startFactory()
    feed.advance(1)
    assert feed.kept() == {}


def test_a_failure_to_let_go_is_counted_and_tried_again(failures):
    feed = Feed(FIVE_SECONDS)
    feed.join().leave()
    expire = feed.hub.expire
    feed.hub.expire = lambda: {}["no"]
    feed.advance(3)
    assert feed.metrics.failures["history"] == 3
    assert [type(failure) for failure in failures] == [KeyError] * 3
    failures.clear()
    feed.hub.expire = expire
    feed.advance(5)
    assert feed.kept() == {}


class AnyLife(RuleBasedStateMachine):
    """Whoever comes and goes, and however the clock is set: streams are those that somebody has or
    had lately, and no number comes twice for one set."""

    def __init__(self):
        super().__init__()
        limits = HubLimits(
            history=AMPLE._replace(seconds=5.0, idle_streams=2, total_bytes=4000), max_intervals=3
        )
        self.feed = Feed((limits,), slots=2)
        self.listeners = []
        self.seen = {}
        self.is_steady = True

    @precondition(lambda self: len(self.listeners) < 6)
    @rule(
        mode=st.sampled_from([Mode.TICK, Mode.SECOND, 500, 30]),
        symbols=st.sampled_from([(), ("A",), ("A*", "B"), ("B*",)]),
    )
    def join(self, mode, symbols):
        self.listeners.append(self.feed.join(mode, *symbols))

    @precondition(lambda self: self.listeners)
    @rule(data=st.data(), resumes=st.booleans())
    def leave(self, data, resumes):
        listener = data.draw(st.sampled_from(self.listeners))
        self.listeners.remove(listener)
        listener.leave()
        self.look(listener)
        if resumes:
            self.listeners.append(self.feed.resume(listener))

    @rule(symbols=st.sampled_from(["A", "B", "AB", "C", "AAAA"]))
    def tick(self, symbols):
        self.feed.tick(*symbols)

    @rule(seconds=st.sampled_from([0.005, 0.25, 1.0, 3.0]))
    def pass_time(self, seconds):
        self.feed.advance(seconds, step=0.05)

    @rule()
    def pass_all_the_time(self):
        self.feed.advance(8.0, step=0.25)

    @rule(seconds=st.sampled_from([-30.0, -0.7, -0.013, 0.02, 0.5, 5.0, 100.0]))
    def set_the_clock(self, seconds):
        self.feed.set_wall_clock(seconds)
        self.is_steady = False

    def look(self, listener):
        """A number comes once, and with the same batch for whoever gets it; none is left out, but
        for moments that the clock has left out."""
        key, epoch = listener.joined.stream.key, listener.joined.stream.epoch
        batches = [batch for batch in listener.batches if not batch.is_snapshot]
        numbers = [batch.batch_sequence for batch in batches]
        assert numbers == sorted(set(numbers))
        if self.is_steady and numbers:
            assert len(numbers) == numbers[-1] - numbers[0] + 1
        for batch in batches:
            place = (key, epoch, batch.batch_sequence)
            assert self.seen.setdefault(place, batch) == batch

    @invariant()
    def bounds_hold(self):
        kept = self.feed.kept()
        assert kept.get("bytes", 0) <= 4000
        streams = [s for table in self.feed.hub.streams.values() for s in table]
        silent = [stream for stream in streams if not stream.subscribers]
        tables = len(self.feed.hub.streams)
        assert len(silent) <= kept.get("idle", 0) <= 2 * tables
        assert kept.get("loops", 0) == kept.get("intervals", 0) <= 3

    def teardown(self):
        for listener in self.listeners:
            self.look(listener)
            listener.leave()
        self.feed.set_wall_clock(10**6)  # what was kept under a clock that is ahead stays till then
        self.feed.advance(8.0, step=0.5)
        assert self.feed.kept() == {}


AnyLife.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyLife = AnyLife.TestCase


@pytest.mark.parametrize(
    ("period_ms", "streams"), [(0, 50), (10, 1), (19, 1), (100, 5), (1000, 50), (60_000, 50)]
)
def test_of_a_short_period_there_are_fewer_as_each_costs_more(period_ms, streams):
    assert AMPLE._replace(idle_streams=50).idle_streams_of(period_ms) == streams


def test_none_are_none():
    assert AMPLE._replace(idle_streams=0).idle_streams_of(10) == 0
