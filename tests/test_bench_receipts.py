"""receipts: what is counted of batches that come, come late, twice or never."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.bench.latencies import rounded
from tickstorm.bench.receipts import (
    MAX_ARRIVALS_KEPT,
    MAX_FRAMES_KEPT,
    MAX_LATE_NS,
    MAX_TIMES_KEPT,
    OVERDUE_NS,
    Receipts,
)
from tickstorm.bench.tally import Tally
from tickstorm.errors import InvalidMessage
from tickstorm.frames import FrameType, encode_frame
from tickstorm.records import batch_frame

S, MS = 10**9, 10**6
START = 1_700_000_000 * S


def frame(sequence, due_ns, publish_ns=None, ticks=1):
    return batch_frame(
        [b"\x0a\x00"] * ticks,
        timestamp_ms=due_ns // MS,
        sequence=sequence,
        publish_time_ns=due_ns if publish_ns is None else publish_ns,
    )


class Setting:
    """Receipts of connections 0 to 3, subscribed half a second before a measured time of 10 s."""

    def __init__(self, period=S, seconds=10, next_sequence=1, connections=4, ahead=0):
        self.tally = Tally()
        self.receipts = Receipts(self.tally, period, 4, ahead)
        self.receipts.measure(START, START + seconds * S)
        for connection in range(connections):
            self.receipts.subscribe(connection, next_sequence, START - S // 2)

    def take(self, connection, frame, now_ns):
        """As the load's loop does."""
        current, last = self.receipts.current, self.receipts.last
        if frame == current.frame and last[connection] is current.seen.before:
            last[connection] = current.seen
            current.append(now_ns)
        else:
            self.receipts.batch(connection, frame, now_ns)

    def second(self, number, late=0, connections=range(4), sequence=None):
        """The batch due at a second, received `late` ns after on each connection in turn."""
        due = START + number * S
        batch = frame(number + 1 if sequence is None else sequence, due)
        for connection in connections:
            self.take(connection, batch, due + late)

    def end(self, seconds=11):
        self.receipts.end(START + seconds * S)
        return self.tally


def counts(**expected):
    return {
        **dict.fromkeys(("gaps", "lost", "repeats", "restarts", "missing", "overdue"), 0),
        **expected,
    }


def wrong(tally):
    return {name: getattr(tally, name) for name in counts()}


def test_all_that_is_due_comes():
    setting = Setting()
    for number in range(12):  # the last two are due after the measured time
        setting.second(number, late=2 * MS)
    tally = setting.end()
    assert (tally.batches, tally.ticks) == (40, 40)
    assert (
        tally.bytes == sum(len(frame(number + 1, START + number * S)) for number in range(10)) * 4
    )
    assert tally.latencies == tally.corrected == {2000: 40}
    assert wrong(tally) == counts()
    assert tally.early == 0


def test_what_was_due_before_the_measured_time_does_not_count():
    setting = Setting(next_sequence=0)
    setting.take(0, frame(0, START - 1), START + 5 * MS)
    setting.take(0, frame(1, START + S - 1), START + S)
    assert setting.end(seconds=2).latencies == {0: 1}


def test_latency_is_from_publishing_and_corrected_from_when_it_was_due():
    setting = Setting(seconds=1)
    setting.take(0, frame(1, START, publish_ns=START + 30 * MS), START + 31 * MS)
    tally = setting.end()
    assert tally.latencies == {1000: 1}
    assert tally.corrected[rounded(31_000)] == 1


def test_a_due_time_that_can_not_be_right_is_the_publish_time():
    setting = Setting(seconds=2)
    early_ns = START + 30 * MS - MAX_LATE_NS - MS
    setting.take(0, frame(1, early_ns, publish_ns=START + 30 * MS), START + 31 * MS)
    setting.take(1, frame(1, START + S, publish_ns=START + 30 * MS), START + 31 * MS)
    assert setting.end().corrected[1000] == 2


def test_a_server_that_is_always_late_by_more_than_a_period():
    setting = Setting(seconds=3)
    late = 1300 * MS
    for number in range(3):
        due = START + number * S
        for connection in range(4):
            batch = frame(number + 1, due, publish_ns=due + late)
            setting.take(connection, batch, due + late + MS)
    tally = setting.end(seconds=5)
    assert tally.latencies == {1000: 12}
    assert tally.corrected == {rounded(1_301_000): 12}
    assert wrong(tally) == counts()


@pytest.mark.parametrize("ahead", [5 * S, -5 * S, 1200 * MS])
def test_a_server_whose_clock_is_another(ahead):
    setting = Setting(ahead=ahead)
    for number in range(12):
        due = START + number * S
        for connection in range(4):
            batch = frame(number + 1, due + ahead, publish_ns=due + ahead + MS)
            setting.take(connection, batch, due + 2 * MS)
    tally = setting.end()
    assert (tally.latencies, tally.corrected) == ({1000: 40}, {2000: 40})
    assert (wrong(tally), tally.early) == (counts(), 0)


def test_a_server_that_does_not_say_when_it_published():
    setting = Setting(seconds=1)
    setting.take(0, frame(1, START + 4 * MS, publish_ns=0), START + 5 * MS)
    assert setting.end(seconds=1).latencies == {1000: 1}


def test_without_a_period_there_is_nothing_to_correct():
    setting = Setting(period=0, connections=1)
    setting.take(0, frame(1, START, publish_ns=START + 1 * MS), START + 2 * MS)
    setting.take(0, frame(2, START + 9 * S), START + 9 * S + MS)
    tally = setting.end()
    assert (tally.latencies, tally.corrected) == ({1000: 2}, {})
    assert wrong(tally) == counts()


def test_a_server_that_stands_still_is_seen_with_all_that_it_left_out():
    setting = Setting()
    setting.second(0, late=MS)
    setting.second(3, late=MS, sequence=2)  # 1 and 2 never come, and no number is left out
    for number in range(4, 11):
        setting.second(number, late=MS, sequence=number - 1)
    tally = setting.end()
    assert tally.latencies == {1000: 8 * 4}
    assert tally.corrected == {1000: 8 * 4, rounded(1_001_000): 4, rounded(2_001_000): 4}
    assert wrong(tally) == counts(missing=8)


def test_a_single_second_that_is_left_out():
    setting = Setting(seconds=3, connections=1)
    setting.second(0, connections=(0,))
    setting.second(2, connections=(0,), sequence=2)
    assert wrong(setting.end()) == counts(missing=1)


def test_late_batches_that_come_together_count_once_each():
    setting = Setting(seconds=3, connections=1)
    for number in range(3):
        setting.take(0, frame(number + 1, START + number * S), START + 3 * S)
    tally = setting.end(seconds=3)
    late = {rounded(1_000_000): 1, rounded(2_000_000): 1, rounded(3_000_000): 1}
    assert tally.latencies == tally.corrected == late
    assert tally.missing == 0


def test_a_hole_in_the_numbers_is_a_loss_and_its_seconds_are_missing():
    setting = Setting()
    setting.second(0)
    setting.second(1, connections=(0, 1, 2))
    setting.second(2, connections=(0, 1, 2))
    for number in range(3, 11):
        setting.second(number)
    tally = setting.end()
    assert wrong(tally) == counts(gaps=1, lost=2, missing=2)
    assert tally.batches == 38


def test_a_hole_right_after_the_subscription():
    setting = Setting(seconds=1, next_sequence=5)
    setting.take(0, frame(7, START), START)
    assert wrong(setting.end(seconds=1)) == counts(gaps=1, lost=2)


def test_without_a_number_in_the_answer_any_is_the_first():
    setting = Setting(seconds=1, next_sequence=None)
    setting.take(0, frame(7, START), START)
    setting.take(0, frame(8, START + S), START + S)
    assert wrong(setting.end(seconds=1)) == counts()


def test_numbers_wrap():
    setting = Setting(seconds=2, next_sequence=2**32 - 1)
    setting.second(0, sequence=2**32 - 1)
    setting.second(1, sequence=0)
    setting.second(2, sequence=1)
    assert wrong(setting.end(seconds=3)) == counts()


def test_a_batch_that_comes_twice_is_a_repeat_and_no_batch():
    setting = Setting(seconds=2)
    setting.second(0)
    setting.second(0, connections=(1,))
    setting.second(1)
    setting.second(2)
    tally = setting.end(seconds=3)
    assert (tally.batches, wrong(tally)) == (8, counts(repeats=1))


def test_a_sequence_that_begins_anew():
    setting = Setting(seconds=2, next_sequence=100_000, connections=1)
    setting.second(0, sequence=100_000, connections=(0,))
    setting.second(1, sequence=1, connections=(0,))
    assert wrong(setting.end(seconds=2)) == counts(restarts=1)


def test_what_never_comes_is_missing_with_the_time_until_the_end():
    setting = Setting()
    setting.receipts.leave(2)
    setting.receipts.leave(3)
    for number in range(11):
        setting.second(number, connections=(0,))
    setting.second(0, connections=(1, 2))  # 2 is gone
    tally = setting.end()
    assert tally.batches == 11
    # Connection 1 lacks seconds 1 to 9; 2 and 3 were subscribed half a second before the start.
    assert wrong(tally) == counts(missing=9 + 10 + 10)
    assert max(tally.corrected) == rounded(10_500_000)


def test_what_is_just_due_at_the_end_is_not_missing_yet():
    setting = Setting()
    setting.second(0)
    for connection in (1, 2, 3):
        setting.receipts.last[connection] = 0
    # An interrupt at 3.5 s: what was due at 1 and 2 is overdue by a second, what was due at 3 not.
    setting.receipts.end(START + 3 * S + OVERDUE_NS // 2)
    assert setting.tally.missing == 2


def test_a_time_from_long_ago_counts_no_more_than_what_is_measured():
    setting = Setting(period=MS)
    setting.receipts.subscribe(0, 1, 0)
    for connection in (1, 2, 3):
        setting.receipts.last[connection] = 0
    assert setting.end().missing == 10_000


def ticks(setting, sequences, connections=range(4)):
    """Batches of TICK, one each tenth of a second from the start."""
    for sequence in sequences:
        at = START + sequence * S // 10
        for connection in connections:
            setting.take(connection, frame(sequence, at), at + MS)


def test_ticks_that_only_others_had_are_overdue():
    setting = Setting(period=0)
    ticks(setting, range(1, 41))
    ticks(setting, range(41, 96), connections=(0, 1))
    setting.receipts.pause(1)
    setting.receipts.leave(3)
    # At 10 s those up to 89 are overdue, and 90 to 95 may still come.
    assert wrong(setting.end(seconds=10)) == counts(overdue=49 + 49)


def test_ticks_from_which_one_never_had_any_are_overdue_from_its_subscription_on():
    setting = Setting(period=0, next_sequence=11)
    ticks(setting, range(11, 21), connections=(0,))
    setting.receipts.subscribe(1, 16, START + 1500 * MS)
    setting.receipts.subscribe(2, None, START)
    setting.receipts.subscribe(3, 21, START + 2 * S)
    assert wrong(setting.end()) == counts(overdue=5)


def test_ticks_are_overdue_over_the_wrap_and_whatever_comes_again():
    setting = Setting(period=0, next_sequence=2**32 - 3, connections=2)
    for number in range(MAX_FRAMES_KEPT + 9):
        at = START + number * S // 100
        setting.take(0, frame((number - 3) % 2**32, at), at + MS)
    setting.take(1, frame(2**32 - 3, START), START + 4 * S)  # one that was forgotten
    assert wrong(setting.end()) == counts(overdue=MAX_FRAMES_KEPT + 8)


def test_how_many_arrivals_are_known_is_bounded():
    setting = Setting(period=0, connections=1)
    for number in range(1, MAX_ARRIVALS_KEPT + 10):
        setting.take(0, frame(number, START + number), START + number)
    assert len(setting.receipts._arrived) == MAX_ARRIVALS_KEPT


def test_ticks_without_numbers_are_neither_twice_nor_overdue():
    setting = Setting(period=0, next_sequence=None)
    for number in range(5):
        for connection in range(4):
            setting.take(connection, frame(0, START + number * S), START + number * S + MS)
    tally = setting.end()
    assert (tally.batches, wrong(tally)) == (20, counts())


def test_when_the_last_batch_came():
    setting = Setting()
    for number in range(4):
        setting.second(number, late=MS)
    assert setting.end().last_received_ns == START + 3 * S + MS


def test_a_paused_connection_takes_nothing():
    setting = Setting(seconds=1)
    setting.second(0, connections=(0,))
    setting.receipts.pause(1)
    setting.second(0, connections=(1,))
    setting.receipts.resume(1)
    setting.second(0, connections=(1,))
    assert setting.end(seconds=1).batches == 2


def test_a_connection_that_ends_in_a_pause_is_not_forgotten():
    setting = Setting()
    for connection in range(4):
        setting.receipts.pause(connection)
    setting.receipts.leave(0)
    assert setting.end().missing == 40


def test_early_batches_are_told():
    setting = Setting(seconds=1)
    setting.second(0, late=-MS)
    tally = setting.end(seconds=1)
    assert (tally.early, tally.latencies) == (4, {0: 4})


def test_a_frame_that_is_none_of_a_batch():
    setting = Setting()
    with pytest.raises(InvalidMessage):
        setting.receipts.batch(0, encode_frame(FrameType.DATA_BATCH, b"\x0a"), START)
    assert not setting.receipts.knows(encode_frame(FrameType.DATA_BATCH, b"\x0a"))


def test_what_is_known_is_bounded():
    setting = Setting(period=0, seconds=1000)
    for number in range(1, 2 * MAX_FRAMES_KEPT):
        setting.take(0, frame(number, START + number), START + number)
    known = [
        setting.receipts.knows(frame(number, START + number))
        for number in range(1, 2 * MAX_FRAMES_KEPT)
    ]
    assert known == [False] * (MAX_FRAMES_KEPT - 1) + [True] * MAX_FRAMES_KEPT
    assert setting.end().batches == 2 * MAX_FRAMES_KEPT - 1


def test_no_batch_keeps_all_before_it():
    setting = Setting(connections=1)
    for number in range(9):
        setting.second(number, connections=(0,))
    seen, chain = setting.receipts.last[0], 0
    while seen is not None:
        seen, chain = seen.before, chain + 1
    assert chain == 2


@given(st.data())
def test_whatever_the_order_nothing_is_counted_twice_or_forgotten(data):
    """Connections bring the same stream, each at its own speed."""
    connections, batches = 4, 12
    setting = Setting(period=0, seconds=1000)
    stream = [frame(number + 1, START + number) for number in range(batches)]
    at = [0] * connections
    while min(at) < batches:
        connection = data.draw(st.sampled_from([c for c in range(connections) if at[c] < batches]))
        for _ in range(data.draw(st.integers(1, batches - at[connection]))):
            setting.take(connection, stream[at[connection]], START + S)
            at[connection] += 1
    tally = setting.end()
    assert tally.batches == sum(tally.latencies.values()) == connections * batches
    assert wrong(tally) == counts()


def test_many_receipts_do_not_pile_up():
    setting = Setting(period=0)
    for number in range(3):
        for _ in range(MAX_TIMES_KEPT):
            setting.receipts.subscribe(0, number + 1, START)
            setting.take(0, frame(number + 1, START + number), START + S)
    assert setting.tally.batches == 2 * MAX_TIMES_KEPT
    assert setting.end().batches == 3 * MAX_TIMES_KEPT
