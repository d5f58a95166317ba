"""What a subscriber gets of the past: all that it asks for, nothing twice, or a word that it can't.

Here the hub's backfill stands with the fan-out that joins to it what is live.
"""

import pytest
from conversation import START, epoch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import AMPLE, Feed

from tickstorm.hub import HubLimits
from tickstorm.subscriptions import Mode, Position

NOW_MS = round(START * 1000)
MODES = (Mode.TICK, Mode.SECOND, Mode.MINUTE, 500)


def snapshot_of(listener):
    """The prices in the snapshots that it got."""
    return {
        tick.symbol: tick.price
        for batch in listener.batches
        if batch.is_snapshot
        for tick in batch.ticks
    }


# To resume.


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("mode", MODES)
def test_what_was_missed_comes_first_and_then_what_is_live(mode, slots):
    feed = Feed(slots=slots)
    first = feed.join(mode)
    for _ in range(2):
        feed.tick()
        feed.pass_period(mode)
    first.leave()
    for _ in range(3):
        feed.tick()
        feed.pass_period(mode)
    second = feed.resume(first)
    feed.tick()
    feed.pass_period(mode)
    assert second.recovered is True
    assert second.joined.backfill.next_sequence == first.sequences[-1] + 1
    assert [*first.prices, *second.prices] == [[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]
    numbers = [*first.sequences, *second.sequences]
    assert numbers == list(range(numbers[0], numbers[0] + 6))


@pytest.mark.parametrize("back", range(5))
def test_one_goes_on_wherever_it_was(back):
    feed = Feed()
    watching = feed.join()
    for _ in range(5):
        feed.tick()
        feed.pass_period(Mode.TICK)
    feed.tick()
    again = feed.resume(watching, back=back)
    feed.tick()
    feed.pass_period(Mode.TICK)
    assert watching.prices == [[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]]
    assert again.prices == watching.prices[-2 - back :]
    assert (again.recovered, again.frames) == (True, watching.frames[-2 - back :])


def test_ticks_that_are_being_collected_go_out_before_and_come_once():
    feed = Feed()
    watching = feed.join()
    feed.tick()
    feed.pass_period(Mode.TICK)
    feed.tick()
    late = feed.resume(watching)
    feed.tick()
    feed.pass_period(Mode.TICK)
    assert watching.prices == [[1.0], [2.0], [3.0]]
    assert (late.recovered, late.prices) == (True, [[2.0], [3.0]])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("epoch", "by"),
    [
        ("epoch-0.{digest}", 0),
        ("", 0),
        ("epoch-1.{digest}", 1),
        ("epoch-1.{digest}", -3),
        ("epoch-1.{digest}", 2**31),
        ("epoch-1-0.{digest}", 0),
        ("epoch-1", 0),
        ("epoch-1.", 0),
        ("epoch-1.01234567", 0),
    ],
)
def test_what_cannot_be_gone_on_from_is_told_and_a_snapshot_follows(mode, epoch, by):
    feed = Feed()
    watching = feed.join(mode)
    feed.tick("A", "B")
    feed.pass_period(mode)
    digest = watching.position.epoch.rpartition(".")[2]
    position = Position(epoch.format(digest=digest), (watching.position.sequence + by) % 2**32)
    late = feed.join(mode, resume=position)
    next_sequence = late.joined.backfill.next_sequence
    feed.tick("B")
    feed.pass_period(mode)
    assert (late.recovered, snapshot_of(late)) == (False, {"A": 1.0, "B": 2.0})
    assert next_sequence == watching.sequences[0] + 1
    assert late.sequences == [str(next_sequence - 1), next_sequence]
    assert late.prices[-1] == [3.0]


def test_when_too_much_was_missed_the_snapshot_is_of_what_was_published_up_to_now():
    limits = HubLimits(history=AMPLE._replace(stream_bytes=1000))
    feed = Feed((limits,))
    watching = feed.join()
    gone = feed.join()
    gone.leave()
    for _ in range(10):
        feed.tick()
        feed.pass_period(Mode.TICK)
    feed.tick()
    late = feed.resume(gone)
    feed.tick()
    feed.pass_period(Mode.TICK)
    assert (late.recovered, late.prices) == (False, [[11.0], [12.0]])
    assert watching.prices[-2:] == late.prices
    in_time = feed.resume(watching, back=1)
    assert (in_time.recovered, in_time.prices) == (True, [[12.0]])


def test_who_resumes_gets_no_snapshot_beside_what_it_missed():
    feed = Feed()
    first = feed.join(snapshot=True)
    feed.tick()
    feed.pass_period(Mode.TICK)
    again = feed.resume(first)
    assert (again.recovered, again.frames) == (True, [])
    assert feed.resume(first, back=1).prices == [[1.0]]


def test_who_asks_for_nothing_of_the_past_is_told_nothing_of_it():
    feed = Feed()
    assert (feed.join().recovered, feed.join(snapshot=True).recovered) == (None, None)


@pytest.mark.parametrize("slot", range(4))
def test_in_spread_one_comes_back_to_the_moment_that_it_had(slot):
    feed = Feed(slots=4)
    everybody = [feed.join(Mode.SECOND) for _ in range(4)]
    gone = everybody[slot]
    feed.tick()
    feed.advance(2, step=0.25)
    gone.leave()
    feed.advance(1.5, step=0.25)
    again = feed.resume(gone)
    assert again.joined.stream.epoch == gone.joined.stream.epoch == epoch_of(Mode.SECOND, slot=slot)
    assert (again.joined.stream.key.slot, again.recovered) == (slot, True)
    feed.advance(1, step=0.25)
    numbers = [*gone.sequences, *again.sequences]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [tick for prices in (*gone.prices, *again.prices) for tick in prices] == [1.0]


def test_in_spread_those_of_a_server_that_is_gone_share_the_moments_again():
    feed = Feed(slots=4)
    old = Position(epoch_of(Mode.SECOND, slot=2, run="epoch-0"), 17)
    slots = [feed.join(Mode.SECOND, resume=old).joined.stream.key.slot for _ in range(8)]
    assert slots == [0, 1, 2, 3] * 2


# Without a history.


@pytest.mark.parametrize("mode", MODES)
def test_without_a_history_one_can_go_on_if_nothing_was_missed(mode):
    feed = Feed(hub_limits=())
    watching = feed.join(mode)
    first = feed.join(mode)
    feed.tick()
    feed.pass_period(mode)
    first.leave()
    again = feed.resume(first)
    assert (again.recovered, again.frames) == (True, [])
    late = feed.resume(first, back=1)
    assert (late.recovered, snapshot_of(late)) == (False, {"A": 1.0})
    feed.tick()
    feed.pass_period(mode)
    assert again.sequences == watching.sequences[1:]


def test_without_a_history_what_nobody_listened_to_is_missing_and_told():
    feed = Feed(hub_limits=())
    first = feed.join(Mode.TICK, "A")
    feed.tick()
    feed.pass_period(Mode.TICK)
    first.leave()
    again = feed.resume(first)
    assert (again.recovered, again.frames) == (True, [])
    again.leave()
    feed.tick()
    late = feed.resume(first)
    assert (late.recovered, snapshot_of(late)) == (False, {"A": 2.0})


def test_without_a_history_there_is_nothing_since_any_time():
    feed = Feed(hub_limits=())
    feed.tick()
    late = feed.join(start_time_ms=NOW_MS, snapshot=True)
    assert (late.recovered, late.sequences) == (False, ["1"])


# Since a time.


def times(listener):
    """When its batches went out, in milliseconds since the start."""
    return [batch.batch_timestamp_ms - NOW_MS for batch in listener.batches]


@pytest.mark.parametrize(
    ("start", "first", "recovered"),
    [
        *((-100, 1, False), (0, 1, False), (1, 1, True), (15, 1, True), (16, 2, True)),
        *((31, 2, True), (46, 3, True), (47, 5, True), (10**7, 5, True)),
    ],
)
def test_in_ticks_since_a_time_come_the_batches_that_went_out_then_or_later(
    start, first, recovered
):
    feed = Feed(batch_window=1 / 256)
    watching = feed.join()
    for _ in range(3):
        feed.advance(3 / 256, step=1 / 256)
        feed.tick()
        feed.advance(1 / 256)
    feed.tick()
    late = feed.join(start_time_ms=NOW_MS + start)
    feed.tick()
    feed.advance(1 / 256)
    assert times(watching) == [15, 31, 46, 46, 50]
    assert (late.recovered, late.joined.backfill.next_sequence) == (recovered, first)
    assert late.frames == watching.frames[first - 1 :]
    assert watching.sequences == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("start", "count", "recovered"),
    [
        *((0, 3, False), (1, 3, True), (1000, 3, True), (1001, 2, True)),
        *((3000, 1, True), (3001, 0, True)),
    ],
)
def test_in_bars_since_a_time_come_those_that_ended_then_or_later(start, count, recovered):
    feed = Feed()
    watching = feed.join(Mode.SECOND)
    for _ in range(3):
        feed.tick()
        feed.advance(1)
    feed.tick()
    feed.advance(0.4)
    late = feed.join(Mode.SECOND, start_time_ms=NOW_MS + start)
    feed.tick()
    feed.advance(0.6)
    assert times(watching) == [1000, 2000, 3000, 4000]
    assert late.frames == watching.frames[-count - 1 :]
    assert [tick.trade_count for tick in late.batches[-1].ticks] == [2]
    assert late.recovered is recovered


def test_the_snapshot_stands_behind_what_is_kept_and_has_its_last_number():
    feed = Feed()
    feed.join()
    for _ in range(2):
        feed.tick("A", "B")
        feed.pass_period(Mode.TICK)
    feed.tick("B")
    late = feed.join(start_time_ms=NOW_MS + 1, snapshot=True)
    feed.tick("A")
    feed.pass_period(Mode.TICK)
    assert late.sequences == [1, 2, 3, "3", 4]
    assert late.prices == [[1.0, 2.0], [3.0, 4.0], [5.0], [3.0, 5.0], [6.0]]
    assert (late.recovered, late.joined.backfill.next_sequence) == (True, 1)


def test_a_stream_that_nobody_had_before_has_nothing_since_any_time():
    feed = Feed()
    feed.join(Mode.TICK, "B")
    feed.tick("A")
    feed.pass_period(Mode.TICK)
    late = feed.join(Mode.TICK, "A", start_time_ms=NOW_MS + 1)
    assert (late.recovered, late.frames) == (False, [])


@pytest.mark.parametrize("start", [0, -5])
def test_no_time_is_no_question(start):
    feed = Feed()
    feed.join()
    feed.tick()
    feed.pass_period(Mode.TICK)
    late = feed.join(start_time_ms=start)
    assert (late.recovered, late.frames) == (None, [])


def test_who_resumes_and_names_a_time_too_goes_on():
    feed = Feed()
    watching = feed.join()
    for _ in range(3):
        feed.tick()
        feed.pass_period(Mode.TICK)
    late = feed.join(resume=Position(epoch_of(), 2), start_time_ms=NOW_MS)
    assert (late.recovered, late.frames) == (True, watching.frames[2:])


# Whatever happens.

moves = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.sampled_from(["A", "B", "C"])),
        st.tuples(st.just("pass"), st.sampled_from([0.002, 0.005, 0.3, 1.0, 2.5])),
        st.tuples(st.just("leave"), st.none()),
        st.tuples(st.just("resume"), st.none()),
    ),
    max_size=40,
)
FEW = HubLimits(history=AMPLE._replace(seconds=2.0, stream_bytes=3000))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([Mode.TICK, Mode.SECOND, 100]),
    st.sampled_from([(), ("A",), ("A", "B*")]),
    st.sampled_from([1, 5]),
    moves,
)
def test_each_tick_is_in_what_is_got_once_or_what_is_missing_is_told(mode, symbols, slots, moves):
    feed = Feed((FEW,), slots=slots, batch_window=0.005)
    feed.advance(0.55, step=0.05)
    listener, since, got = feed.join(mode, *symbols), 0, 0
    for move, what in moves:
        if move == "tick":
            feed.tick(what)
            since += not symbols or what in ("A", "B")[: len(symbols)]
        elif move == "pass":
            feed.advance(what, step=0.01 if what < 1 else 0.05)
        else:
            listener.leave()
        if move == "resume":
            got += ticks_in(listener)
            listener = feed.resume(listener)
            if not listener.recovered:
                feed.advance(2.0, step=0.05)  # the bars have ended that began before
                since, got = 0, -ticks_in(listener)
    if listener not in listener.joined.stream.subscribers:
        return
    feed.advance(2.0, step=0.05)
    assert got + ticks_in(listener) == since


def ticks_in(listener):
    """How many ticks its batches are of."""
    return sum(
        tick.trade_count or 1
        for batch in listener.batches
        if not batch.is_snapshot
        for tick in batch.ticks
    )
