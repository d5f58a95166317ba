"""Gaps: the arithmetic of batch numbers, within a connection and over several."""

import pytest

from tickstorm.client.events import Gap, Repeated, Restarted
from tickstorm.client.sequence import MAX_REPEATS, SequenceTracker
from tickstorm.subscriptions import Position

LAST = 2**32 - 1


def received(numbers, first=None, epoch="e"):
    tracker = SequenceTracker()
    told = [tracker.subscribed(epoch, first)]
    return told + [tracker.received(number) for number in numbers]


def test_numbers_that_rise_by_one_are_complete():
    assert received([7, 8, 9], first=7) == [None] * 4


def test_the_first_number_is_taken_as_it_is_when_the_server_does_not_say():
    assert received([41, 42], epoch="") == [None] * 3


def test_a_jump_is_a_gap_and_is_told_once():
    assert received([3, 7, 8], first=3) == [None, None, Gap(4, 6), None]


def test_a_first_batch_behind_the_announced_one_is_a_gap():
    assert received([12], first=10) == [None, Gap(10, 11)]


@pytest.mark.parametrize(
    ("before", "after", "gap"),
    [
        (LAST, 0, None),
        (LAST, 1, Gap(0, 0)),
        (LAST - 1, 0, Gap(LAST, LAST)),
        (LAST - 2, 2, Gap(LAST - 1, 1)),
        (0, 2**31, Gap(1, 2**31 - 1)),
    ],
)
def test_numbers_wrap(before, after, gap):
    assert received([before, after], first=before) == [None, None, gap]


def test_a_gap_counts_its_batches_over_the_wrap():
    assert [Gap(4, 6).batches, Gap(5, 5).batches, Gap(LAST, 1).batches] == [3, 1, 3]


def test_a_number_seen_before_is_a_repeat_and_moves_nothing():
    assert received([5, 5, 4, 6], first=5) == [None, None, Repeated(5), Repeated(4), None]


def test_a_repeat_over_the_wrap():
    assert received([LAST, 0, LAST, 1], first=LAST) == [None, None, None, Repeated(LAST), None]


def test_a_number_far_back_is_a_sequence_that_began_anew():
    far = 5000 - MAX_REPEATS
    assert received([5000, far, far + 1], first=5000) == [None, None, Restarted(), None]
    assert received([4999, far, 5000], first=4999) == [None, None, Repeated(far), None]


class TestReconnect:
    @pytest.fixture
    def tracker(self):
        tracker = SequenceTracker()
        tracker.subscribed("e", 10)
        tracker.received(10)
        return tracker

    def test_nothing_missed(self, tracker):
        assert tracker.subscribed("e", 11) is None
        assert tracker.received(11) is None

    def test_what_was_missed_in_between_is_told_at_once_and_once(self, tracker):
        assert tracker.subscribed("e", 14) == Gap(11, 13)
        assert tracker.received(14) is None

    def test_another_epoch_is_another_sequence(self, tracker):
        assert tracker.subscribed("f", 3) == Restarted()
        assert tracker.received(4) == Gap(3, 3)

    def test_without_epochs_numbers_are_not_compared(self):
        tracker = SequenceTracker()
        assert tracker.subscribed("", None) is None
        tracker.received(900)
        assert tracker.subscribed("", None) == Restarted()
        assert tracker.received(1) is None

    def test_a_connection_that_never_got_a_number_leaves_nothing_to_compare(self):
        tracker = SequenceTracker()
        tracker.subscribed("", None)
        assert tracker.subscribed("", None) is None

    def test_a_spread_server_may_repeat_the_last_number(self, tracker):
        assert tracker.subscribed("e", 10) is None
        assert tracker.received(10) == Repeated(10)
        assert tracker.received(11) is None

    def test_an_epoch_without_a_number_keeps_what_is_known(self, tracker):
        assert tracker.subscribed("e", None) is None
        assert tracker.received(13) == Gap(11, 12)

    def test_a_higher_number_of_what_is_recovered_is_a_gap_all_the_same(self, tracker):
        assert tracker.subscribed("e", 14, recovered=True) == Gap(11, 13)

    @pytest.mark.parametrize(
        ("epoch", "next_sequence", "told"),
        [
            ("e", 14, Gap(11, 13)),
            ("e", 11, Restarted()),
            ("e", 10, Restarted()),
            ("e", 2**31 + 20, Restarted()),
            ("e", None, Restarted()),
            ("f", 11, Restarted()),
            ("", None, Restarted()),
        ],
    )
    def test_what_is_not_recovered_is_told_whatever_the_numbers(
        self, tracker, epoch, next_sequence, told
    ):
        assert tracker.subscribed(epoch, next_sequence, recovered=False) == told
        assert tracker.received(next_sequence or 900) is None


class TestPosition:
    def test_of_a_new_tracker_there_is_none(self):
        assert SequenceTracker().position is None

    def test_it_is_that_of_the_last_batch_and_of_none_at_all(self):
        tracker = SequenceTracker()
        found = []
        for step in (
            lambda: tracker.subscribed("e", 0),
            lambda: tracker.received(0),
            lambda: tracker.received(5),
            lambda: tracker.received(5),
            lambda: tracker.subscribed("f", None),
            lambda: tracker.received(7),
            lambda: tracker.subscribed("", 9),
        ):
            step()
            found.append(tracker.position)
        assert found == [
            Position("e", LAST),
            Position("e", 0),
            Position("e", 5),
            Position("e", 5),
            None,
            Position("f", 7),
            None,
        ]

    @pytest.mark.parametrize(
        ("epoch", "next_sequence", "told"),
        [("e", 0, None), ("e", 2, Gap(0, 1)), ("f", 0, Restarted())],
    )
    def test_a_tracker_that_goes_on_for_another_one(self, epoch, next_sequence, told):
        tracker = SequenceTracker(Position("e", LAST))
        assert tracker.position == Position("e", LAST)
        assert tracker.subscribed(epoch, next_sequence) == told


class TestTold:
    """What the server tells of what does not come."""

    @pytest.fixture
    def tracker(self):
        return SequenceTracker(Position("e", LAST - 1))

    @pytest.mark.parametrize(
        ("told", "gaps", "position"),
        [
            (Gap(LAST, 2, 7, "dropped"), [Gap(LAST, 2, 7, "dropped")], 2),
            (Gap(1, 2, 7, "dropped"), [Gap(LAST, 0), Gap(1, 2, 7, "dropped")], 2),
            (Gap(LAST - 3, 0, 7, "dropped"), [Gap(LAST, 0, None, "dropped")], 0),
            (Gap(LAST - 3, LAST - 1, 7, "dropped"), [], LAST - 1),
            (Gap(9, 8 + 2**31, 7, "dropped"), [], LAST - 1),
        ],
    )
    def test_a_gap_is_told_once(self, tracker, told, gaps, position):
        assert tracker.lost(told) == gaps
        assert tracker.position == Position("e", position)
        assert tracker.received((position + 1) % 2**32) is None

    def test_a_gap_before_any_number_is_taken_as_it_is(self):
        tracker = SequenceTracker()
        assert tracker.lost(Gap(4, 6, 1, "dropped")) == [Gap(4, 6, 1, "dropped")]
        assert tracker.received(7) is None

    @pytest.mark.parametrize(
        ("epoch", "next_sequence", "gap", "position"),
        [
            ("e", LAST, None, LAST - 1),
            ("e", 0, Gap(LAST, LAST), LAST),
            ("e", 3, Gap(LAST, 2), 2),
            ("e", LAST - 1, None, LAST - 1),
            ("e", LAST - 5000, None, LAST - 1),
            ("f", 3, None, LAST - 1),
        ],
    )
    def test_a_number_announced_in_a_quiet_time(self, tracker, epoch, next_sequence, gap, position):
        assert tracker.announced(epoch, next_sequence) == gap
        assert tracker.announced(epoch, next_sequence) is None
        assert tracker.position == Position("e", position)

    def test_one_announced_before_any_says_nothing(self):
        tracker = SequenceTracker()
        assert tracker.announced("", 7) is None
        assert tracker.received(900) is None
