"""What is read of a ring: all that was there when it began, or a word that some of it is gone."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tickstorm.errors import SlowConsumer
from tickstorm.history import History, HistoryLimits
from tickstorm.ring import ENTRY_BYTES, NO_LONGER_KEPT, Ring
from tickstorm.sequences import later

AMPLE = HistoryLimits(60.0, 2**30, 2**30, 1000)


class Looked(list):
    """A list that counts how many of its items were looked at."""

    looks = 0

    def __getitem__(self, at):
        found = super().__getitem__(at)
        self.looks += len(found) if isinstance(at, slice) else 1
        return found


def kept(*frames, first=1, limits=AMPLE):
    """A history, and a ring that has these."""
    history, ring = History(limits), Ring(first, 0)
    history.keep(ring, first, 1, frames)
    return history, ring


def behind(ring, sequence, next_sequence):
    return ring.after(sequence, next_sequence).kept


def test_it_is_taken_in_pieces_of_at_least_one_frame():
    _, ring = kept(b"a", b"bb", b"ccc", b"d", b"eeeee")
    reading = behind(ring, 0, 6)
    pieces, states = [], []
    while reading:
        states.append((len(reading), reading.length, reading.numbers(), next(iter(reading))))
        pieces.append(reading.take(4))
    assert pieces == [[b"a", b"bb"], [b"ccc", b"d"], [b"eeeee"]]
    assert states == [
        (5, 12, (1, 5), b"a"),
        (3, 9, (3, 5), b"ccc"),
        (1, 5, (5, 5), b"eeeee"),
    ]
    assert (len(reading), reading.length, reading.numbers(), reading.take(4)) == (0, 0, None, [])


def test_what_comes_later_is_not_of_it():
    history, ring = kept(b"a", b"b")
    reading = behind(ring, 0, 3)
    history.keep(ring, 3, 1, [b"c"])
    assert (reading.take(99), reading.take(99)) == ([b"a", b"b"], [])


@pytest.mark.parametrize("first", [5, 2**32 - 2])
def test_numbers_that_no_batch_had_are_passed_over(first):
    history, ring = kept(b"a", first=first)
    history.keep(ring, later(first, 3), 1, [b"d", b"e"])
    reading = behind(ring, later(first, -1), later(first, 5))
    assert reading.numbers() == (first, later(first, 4))
    assert reading.take(1) == [b"a"]
    assert reading.numbers() == (later(first, 3), later(first, 4))
    assert reading.take(99) == [b"d", b"e"]


def test_what_is_dropped_behind_it_is_no_matter_and_what_is_dropped_before_it_is_told():
    _, ring = kept(b"a", b"b", b"c", b"d")
    reading = behind(ring, 0, 5)
    assert reading.take(2) == [b"a", b"b"]
    ring.drop_oldest()
    ring.drop_oldest()
    reading.check()
    assert reading.take(1) == [b"c"]
    ring.drop_oldest()
    ring.drop_oldest()
    for ask in (reading.check, lambda: reading.take(9), lambda: list(reading)):
        with pytest.raises(SlowConsumer, match=NO_LONGER_KEPT):
            ask()
    assert (len(reading), reading.length, reading.numbers()) == (1, 1, (4, 4))


def test_a_ring_that_is_forgotten_has_nothing_more_to_read():
    history, ring = kept(b"a", b"b")
    reading, done = behind(ring, 0, 3), behind(ring, 0, 3)
    done.take(9)
    history.forget(ring)
    history.keep(ring, 3, 1, [b"c", b"d"])
    with pytest.raises(SlowConsumer):
        reading.take(9)
    done.check()
    assert done.take(9) == []
    assert behind(ring, 2, 5).take(9) == [b"c", b"d"]


def test_a_piece_costs_a_look_at_what_it_is_wherever_that_is():
    _, ring = kept(*[b"x"] * 13_000)
    for _ in range(4000):
        ring.drop_oldest()
    reading = behind(ring, 4000, 13_001)
    ring._entries = Looked(ring._entries)
    most = 0
    while reading:
        before = ring._entries.looks
        reading.take(10)
        most = max(most, ring._entries.looks - before)
    assert most < 15


def test_what_was_dropped_is_let_go_of():
    _, ring = kept(*[b"x" * 1000] * 1000)
    sizes = []
    while ring:
        ring.drop_oldest()
        assert sum(bool(entry.frame) for entry in ring._entries) == len(ring)
        sizes.append(len(ring._entries) - 2 * len(ring))
    assert max(sizes) <= 0


class AnyReading(RuleBasedStateMachine):
    """Whoever reads, while others are sent more and the oldest goes."""

    LIMITS = HistoryLimits(1.0, 12 * ENTRY_BYTES, 10**6, 10)

    def __init__(self):
        super().__init__()
        self.next = 2**32 - 7
        self.history, self.ring = History(self.LIMITS), Ring(self.next, 0)
        self.sent = {}
        self.readings = []

    @rule(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5), hole=st.sampled_from([0, 3]))
    def send(self, sizes, hole):
        first = later(self.next, hole)
        frames = [bytes([size % 251]) * size for size in sizes]
        self.history.keep(self.ring, first, 1, frames)
        self.sent.update((later(first, at), frame) for at, frame in enumerate(frames))
        self.next = later(first, len(frames))

    @rule()
    def forget(self):
        self.history.forget(self.ring)

    @rule(back=st.integers(1, 40))
    def begin(self, back):
        replay = self.ring.after(later(self.next, -back), self.next)
        if replay is not None:
            wanted = (later(self.next, step) for step in range(1 - back, 0))
            numbers = [number for number in wanted if number in self.sent]
            self.readings.append((replay.kept, numbers))

    @precondition(lambda self: self.readings)
    @rule(data=st.data(), at_most=st.integers(1, 700))
    def take(self, data, at_most):
        reading, left = data.draw(st.sampled_from(self.readings))
        here = {entry.sequence for entry in self.ring._entries[self.ring._oldest :]}
        if left and left[0] not in here:
            with pytest.raises(SlowConsumer):
                reading.take(at_most)
            return
        taken = reading.take(at_most)
        assert taken == [self.sent[number] for number in left[: len(taken)]]
        assert bool(taken) == bool(left)
        assert len(taken) == 1 or sum(map(len, taken)) <= at_most
        del left[: len(taken)]

    @invariant()
    def it_is_known_what_is_left(self):
        for reading, left in self.readings:
            assert len(reading) == len(left)
            assert reading.length == sum(len(self.sent[number]) for number in left)
            assert reading.numbers() == ((left[0], left[-1]) if left else None)


AnyReading.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestAnyReading = AnyReading.TestCase
