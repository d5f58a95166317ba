"""Own intervals: bars of any length from 10 ms to an hour, begun and ended with who wants them."""

from itertools import pairwise

import pytest
from conversation import MINUTE, NOW_MS, SECOND, Server, auth, error, read, subscribe
from hypothesis import example, given, settings
from hypothesis import strategies as st
from listening import AMPLE, KEEPS, Feed
from relaying import Parent, Worker, streams_in
from relaying import wants as asks_for

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.cadence import slot_of, slots_of
from tickstorm.errors import TooManyIntervals
from tickstorm.hub import HubLimits
from tickstorm.subscriptions import MAX_INTERVAL_MS, MIN_INTERVAL_MS, Mode

intervals = st.integers(MIN_INTERVAL_MS, MAX_INTERVAL_MS)
UNNAMED = pb.SUBSCRIPTION_MODE_UNSPECIFIED
SLOTS = [slots for slots in range(1, 1001) if 1000 % slots == 0]
TOO_MANY = "there are 2 intervals beside SECOND and MINUTE already"
TWO = (HubLimits(max_intervals=2),)


# The moments of a period.


@given(intervals, st.sampled_from(SLOTS))
@example(MIN_INTERVAL_MS, 1000)
@example(MAX_INTERVAL_MS, 1000)
@example(3_599_983, 1000)  # a prime
def test_a_period_is_cut_into_whole_milliseconds_and_no_finer_than_a_second(period_ms, slots):
    own = slots_of(period_ms, slots)
    assert 1 <= own <= slots
    assert period_ms % own == 0
    assert own == 1 or period_ms // own >= 1000 // slots
    finer = range(own + 1, min(slots, period_ms * slots // 1000) + 1)
    assert not any(period_ms % number == 0 for number in finer)


@given(st.sampled_from(SLOTS))
def test_a_second_and_a_minute_have_as_many_as_the_hub_and_ticks_have_none(slots):
    assert (slots_of(1000, slots), slots_of(60_000, slots), slots_of(0, slots)) == (slots, slots, 1)


@given(intervals, st.sampled_from(SLOTS))
def test_the_hub_s_moments_are_spread_evenly_over_a_period_s(period_ms, slots):
    own = slots_of(period_ms, slots)
    stand_for = [slot_of(slot, period_ms, slots) for slot in range(slots)]
    assert stand_for == sorted(stand_for)
    assert set(stand_for) == set(range(own))
    counts = [stand_for.count(slot) for slot in range(own)]
    assert max(counts) - min(counts) <= 1


# Their bars.


@settings(max_examples=60, deadline=None)
@given(st.integers(MIN_INTERVAL_MS, 5000) | st.sampled_from([15_000, 3_600_000]))
def test_bars_end_at_whole_intervals_of_the_wall_clock(interval_ms):
    feed = Feed(start=1_000_000_000.25)
    listener = feed.join(interval_ms)
    feed.tick()
    feed.advance(3.5 * interval_ms / 1000, step=interval_ms / 4000)
    ends = [batch.batch_timestamp_ms for batch in listener.batches]
    assert [end % interval_ms for end in ends] == [0] * len(ends)
    assert len(ends) in (3, 4)
    assert all(later - end == interval_ms for end, later in pairwise(ends))
    assert listener.prices == [[1.0], *[[]] * (len(ends) - 1)]
    modes = {tick.mode for batch in listener.batches for tick in batch.ticks}
    assert modes == {pb.SUBSCRIPTION_MODE_SECOND if interval_ms == 1000 else UNNAMED}


@settings(max_examples=40, deadline=None)
@given(st.integers(MIN_INTERVAL_MS, 3000), st.sampled_from([4, 200]), st.integers(0, 3))
def test_in_spread_each_tick_is_in_one_bar_of_each_moment(interval_ms, slots, others):
    feed = Feed(slots=slots)
    listeners = [feed.join(interval_ms) for _ in range(others + 1)]
    for _ in range(20):
        feed.tick()
        feed.advance(0.05, step=0.05)
    feed.advance(2 * interval_ms / 1000, step=0.05)
    for listener in listeners:
        bars = [bar for batch in listener.batches for bar in batch.ticks]
        assert sum(bar.trade_count for bar in bars) == 20
        assert bars[-1].price == 20.0
        slot_ms = interval_ms // slots_of(interval_ms, slots)
        moments = {batch.batch_timestamp_ms % interval_ms for batch in listener.batches}
        assert moments == {listener.joined.stream.key.slot * slot_ms}


def test_one_of_a_second_or_a_minute_is_that_mode():
    server = Server()
    for mode, interval_ms in ((SECOND, 1000), (MINUTE, 60_000), (UNNAMED, 1000), (SECOND, 60_000)):
        server.subscribed(mode, interval_ms=interval_ms)
    assert list(server.hub.bars) == [1000, 60_000]
    assert [len(server.hub.bars[period].streams) for period in (1000, 60_000)] == [1, 1]


# How many there may be.


def refused(client):
    """The answers that a client got: what it had subscribed to was one interval too many."""
    *_, answer = client.read()
    return answer == error(pb.ERROR_CODE_INVALID_SUBSCRIPTION, TOO_MANY, retryable=True)


def test_one_too_many_is_refused_and_another_may_follow():
    server = Server(hub_limits=TWO)
    server.subscribed(UNNAMED, interval_ms=100)
    server.subscribed(UNNAMED, interval_ms=200)
    client = server.connect()
    client.send(auth(), subscribe(UNNAMED, interval_ms=300))
    assert refused(client)
    client.send(subscribe(UNNAMED, interval_ms=200), subscribe(UNNAMED, interval_ms=300))
    assert client.names() == ["ACK", "INVALID_SUBSCRIPTION"]
    server.advance(0.2, step=0.1)
    assert client.names() == [[]]
    assert sorted(server.hub.bars) == [100, 200, 1000, 60_000]


def test_without_any_those_of_a_second_and_a_minute_are_still_there():
    server = Server(hub_limits=(HubLimits(max_intervals=0),))
    client = server.connect()
    client.send(auth(), subscribe(UNNAMED, interval_ms=999), subscribe(UNNAMED, interval_ms=1000))
    assert client.names() == ["ACK", "INVALID_SUBSCRIPTION", "ACK"]


def test_one_that_nobody_has_any_more_makes_room():
    feed = Feed(hub_limits=TWO)
    first = feed.join(100)
    feed.join(200)
    with pytest.raises(TooManyIntervals, match=f"^{TOO_MANY}$"):
        feed.join(300)
    first.leave()
    feed.join(300)
    with pytest.raises(TooManyIntervals):
        feed.join(100)
    assert sorted(feed.hub.bars) == sorted(feed.factory.feed._loops) == [200, 300, 1000, 60_000]


def test_one_that_is_only_kept_makes_room_and_what_is_kept_of_it_goes():
    feed = Feed((HubLimits(max_intervals=2, history=AMPLE),))
    listeners = [feed.join(100), feed.join(200)]
    feed.tick()
    feed.advance(0.2, step=0.1)
    for listener in listeners:
        listener.leave()
    feed.join(300)
    assert sorted(feed.hub.bars) == sorted(feed.factory.feed._loops) == [200, 300, 1000, 60_000]
    assert feed.resume(listeners[1]).recovered is True
    with pytest.raises(TooManyIntervals):
        feed.resume(listeners[0])


def test_one_that_is_listened_to_makes_no_room_though_some_of_its_streams_are_only_kept():
    feed = Feed((HubLimits(max_intervals=1, history=AMPLE),))
    feed.join(100, "A").leave()
    feed.join(100, "B")
    with pytest.raises(TooManyIntervals):
        feed.join(200)
    assert len(feed.hub.bars[100].streams) == 2


# Their beginning and end.


def test_they_end_with_their_last_subscriber_and_so_do_their_timers():
    feed = Feed(hub_limits=())
    idle = len(feed.reactor.getDelayedCalls())
    listeners = [feed.join(interval, "A") for interval in (10, 10, 3_600_000)]
    assert len(feed.reactor.getDelayedCalls()) == idle + 2
    for listener in listeners[1:]:
        listener.leave()
    assert feed.kept() == {"intervals": 1, "loops": 1, "marks": 1, "streams": 1}
    listeners[0].leave()
    assert feed.kept() == {}
    assert len(feed.reactor.getDelayedCalls()) == idle


def test_those_that_are_there_begin_and_stop_with_the_feed():
    feed = Feed(hub_limits=())
    feed.factory.stopFactory()
    listener = feed.join(100)
    feed.advance(1, step=0.1)
    assert (listener.frames, feed.reactor.getDelayedCalls()) == ([], [])
    feed.factory.startFactory()
    feed.advance(0.5, step=0.1)
    assert len(listener.frames) == 5
    feed.factory.stopFactory()
    assert feed.reactor.getDelayedCalls() == []


def test_a_subscription_that_fails_leaves_no_interval(failures):
    feed = Feed(hub_limits=())
    feed.hub.snapshot = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        feed.join(100, snapshot=True)
    assert feed.kept() == {}


@pytest.mark.parametrize("hub_limits", [(), KEEPS], ids=["", "history"])
@pytest.mark.parametrize("slots", [1, 4])
def test_no_number_comes_twice_however_often_one_begins_anew(slots, hub_limits):
    feed = Feed(hub_limits, slots=slots)
    numbers = []
    for seconds in (0.5, 0.1, 0.0, 0.7, 2.0):
        listener = feed.join(100)
        feed.advance(seconds, step=0.025)
        listener.leave()
        if hub_limits:
            feed.advance(700)
        assert feed.kept() == {}
        numbers += listener.sequences
        late = feed.resume(listener)
        assert late.recovered is False
        late.leave()
        if hub_limits:
            feed.advance(700)
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 20


def test_the_first_bar_is_of_the_time_since_somebody_wanted_the_interval():
    feed = Feed()
    feed.advance(0.3, step=0.1)
    feed.tick()
    listener = feed.join(500)
    feed.tick()
    feed.advance(0.2, step=0.1)
    (batch,) = listener.batches
    assert [(bar.trade_count, bar.open) for bar in batch.ticks] == [(1, 2.0)]
    assert batch.batch_timestamp_ms == NOW_MS + 500


# With workers.


@pytest.mark.parametrize("slots", [1, 4])
def test_with_workers_they_are_one_stream_of_the_parent_s(slots):
    parent = Parent(slots=slots)
    workers = [Worker(parent, (0,)), Worker(parent, (0,))]
    subscription = asks_for(Mode.INTERVAL)._replace(interval_ms=500)
    subscribers = [worker.join(subscription)[0] for worker in workers for _ in range(2)]
    for worker in workers:
        worker.pump()
    parent.publish(1.0)
    for _ in range(5):
        parent.reactor.advance(0.25)
        for worker in workers:
            worker.pump()
    batches = [read(b"".join(subscriber.frames)) for subscriber in subscribers]
    assert [len(each) for each in batches] == [2] * 4 if slots == 1 else [3] * 4
    assert all(each == batches[0] for each in batches)
    assert len(parent.fanout.streams[500]) == 1
    late, joining = workers[0].join(subscription)
    assert (joining, late.joined.stream) == (None, subscribers[0].joined.stream)
    workers[0].leave(late)
    for worker, of_worker in zip(workers, (subscribers[:2], subscribers[2:]), strict=True):
        for subscriber in of_worker:
            worker.leave(subscriber)
    for worker in workers:
        worker.pump()
    assert [streams_in(worker.feed) for worker in workers] == [set(), set()]
    assert sorted(parent.hub.bars) == sorted(parent.fanout._loops) == [1000, 60_000]


def test_one_too_many_of_a_worker_s_is_refused_and_leaves_nothing():
    parent = Parent(limits=HubLimits(max_intervals=1))
    worker = Worker(parent)
    kept, _ = worker.join(asks_for(Mode.INTERVAL)._replace(interval_ms=100))
    refusals = []
    for _ in range(2):
        _, joining = worker.join(asks_for(Mode.INTERVAL)._replace(interval_ms=200))
        joining.addErrback(lambda failure: refusals.append(failure.value))
    worker.pump()
    assert [(type(each), each.message, each.retryable) for each in refusals] == [
        (TooManyIntervals, "there are 1 intervals beside SECOND and MINUTE already", True)
    ] * 2
    assert dict(worker.placements.placed) == {1: 1}
    worker.leave(kept)
    worker.pump()
    again, _ = worker.join(asks_for(Mode.INTERVAL)._replace(interval_ms=200))
    worker.pump()
    assert again.joined is not None
    assert sorted(parent.hub.bars) == [200, 1000, 60_000]
