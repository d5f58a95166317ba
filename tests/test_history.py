"""History: what is kept of each stream, for how long, and what of it is given to whom."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tickstorm.history import NO_HISTORY, History, HistoryLimits
from tickstorm.ring import ENTRY_BYTES, Ring
from tickstorm.sequences import SEQUENCE_MODULUS, later

NOW_MS = 1_700_000_000_000
AMPLE = HistoryLimits(60.0, 2**30, 2**30, 1000)
A_FRAME = ENTRY_BYTES + 1
"""What a frame of one byte costs."""


class Kept:
    """A history with one ring, and how many batches of it have been sent."""

    def __init__(self, first=1, limits=AMPLE):
        self.history = History(limits)
        self.first = self.next = first
        self.ring = Ring(first % SEQUENCE_MODULUS, NOW_MS)

    def send(self, *frames, at_ms=NOW_MS + 1):
        sequence = self.next % SEQUENCE_MODULUS
        self.history.keep(self.ring, sequence, at_ms, frames)
        self.next += len(frames)
        return self

    def after(self, sequence):
        """What is here behind a batch: frames, or None if not all of that is."""
        replay = self.ring.after(sequence % SEQUENCE_MODULUS, self.next % SEQUENCE_MODULUS)
        if replay is None:
            return None
        assert (replay.next_sequence, replay.complete) == (later(sequence % SEQUENCE_MODULUS), True)
        return list(replay.kept)

    def since(self, start_ms):
        """The number of the first batch since then, all of them, and whether that is all."""
        first, kept, complete = self.ring.since(start_ms, self.next % SEQUENCE_MODULUS)
        return first, list(kept), complete


def test_what_is_kept_unless_it_is_said():
    assert HistoryLimits() == HistoryLimits(60.0, 4 * 2**20, 64 * 2**20, 1000)
    assert NO_HISTORY.seconds == 0


# Behind a batch.


@pytest.mark.parametrize("first", [1, 7, 2**32 - 2], ids=["1", "7", "around"])
def test_behind_each_batch_come_those_that_were_sent_after_it(first):
    kept = Kept(first).send(b"a").send(b"b", b"c").send(b"d")
    behind = [kept.after(first + at) for at in range(-1, 4)]
    assert behind == [[b"a", b"b", b"c", b"d"], [b"b", b"c", b"d"], [b"c", b"d"], [b"d"], []]


@pytest.mark.parametrize("first", [1, 7, 2**32 - 2], ids=["1", "7", "around"])
def test_behind_a_batch_that_was_before_all_that_is_here_or_is_yet_to_come_there_is_no_telling(
    first,
):
    kept = Kept(first).send(b"a").send(b"b")
    assert [kept.after(first + at) for at in (-3, -2, 2, 3, 2**31)] == [None] * 5


@pytest.mark.parametrize("first", [1, 2**32 - 1])
def test_of_a_stream_that_sent_nothing_only_the_place_before_its_first_batch_is_known(first):
    kept = Kept(first)
    assert [kept.after(first + at) for at in (-2, -1, 0)] == [None, [], None]


def test_a_batch_that_went_can_be_gone_on_behind_but_not_before():
    kept = Kept().send(b"a").send(b"b").send(b"c")
    kept.ring.drop_oldest()
    assert [kept.after(sequence) for sequence in (0, 1, 2, 3)] == [None, [b"b", b"c"], [b"c"], []]


def test_when_all_have_gone_the_end_is_still_known():
    kept = Kept().send(b"a", b"b")
    kept.history.forget(kept.ring)
    assert [kept.after(sequence) for sequence in (0, 1, 2, 3)] == [None, None, [], None]


def test_numbers_that_no_batch_had_are_passed_over():
    kept = Kept().send(b"a")
    kept.next += 2
    kept.send(b"d")
    assert [kept.after(sequence) for sequence in range(5)] == [
        [b"a", b"d"],
        [b"d"],
        [b"d"],
        [b"d"],
        [],
    ]


def test_to_look_behind_the_last_of_many_costs_no_look_at_the_others():
    kept = Kept().send(*[b"x"] * 5000)
    looks = Counter()

    class Counting(list):
        def __getitem__(self, at):
            found = super().__getitem__(at)
            looks["entries"] += len(found) if isinstance(at, slice) else 1
            return found

    kept.ring._entries = Counting(kept.ring._entries)
    assert kept.after(4998) == [b"x", b"x"]
    assert looks["entries"] < 25


moves = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 4)),
        st.tuples(st.just("hole"), st.integers(1, 3)),
        st.tuples(st.just("drop"), st.integers(1, 3)),
    ),
    max_size=12,
)


@given(st.sampled_from([1, 5, 2**32 - 6]), moves)
def test_at_each_point_of_any_ring(first, moves):
    kept, sent, known_from = Kept(first), [], first
    for move, count in moves:
        if move == "send":
            frames = [b"%d" % (kept.next + at) for at in range(count)]
            sent += [(kept.next + at, frame) for at, frame in enumerate(frames)]
            kept.send(*frames)
        elif move == "hole":
            kept.next += count
        else:
            for _ in range(min(count, len(sent))):
                known_from = sent.pop(0)[0] + 1
                kept.ring.drop_oldest()
    for sequence in range(first - 3, kept.next + 3):
        is_known = known_from <= sequence + 1 <= kept.next
        expected = [frame for number, frame in sent if number > sequence] if is_known else None
        assert kept.after(sequence) == expected


# Since a time.


def timed():
    """Batches 1 to 4 at 10, 20, 20 and 30 ms after the ring began."""
    kept = Kept()
    kept.send(b"a", at_ms=NOW_MS + 10).send(b"b", b"c", at_ms=NOW_MS + 20)
    return kept.send(b"d", at_ms=NOW_MS + 30)


@pytest.mark.parametrize(
    ("start", "first", "frames", "complete"),
    [
        (-1, 1, [b"a", b"b", b"c", b"d"], False),
        (0, 1, [b"a", b"b", b"c", b"d"], False),
        (1, 1, [b"a", b"b", b"c", b"d"], True),
        (10, 1, [b"a", b"b", b"c", b"d"], True),
        (11, 2, [b"b", b"c", b"d"], True),
        (20, 2, [b"b", b"c", b"d"], True),
        (21, 4, [b"d"], True),
        (30, 4, [b"d"], True),
        (31, 5, [], True),
        (10**9, 5, [], True),
    ],
)
def test_since_a_time_come_the_batches_of_it_and_after_it(start, first, frames, complete):
    assert timed().since(NOW_MS + start) == (first, frames, complete)


@pytest.mark.parametrize(
    ("dropped", "start", "first", "frames", "complete"),
    [
        (1, 10, 2, [b"b", b"c", b"d"], False),
        (1, 11, 2, [b"b", b"c", b"d"], True),
        (2, 20, 3, [b"c", b"d"], False),
        (2, 21, 4, [b"d"], True),
        (4, 30, 5, [], False),
        (4, 31, 5, [], True),
    ],
)
def test_what_went_is_missing_since_any_time_up_to_its_own(dropped, start, first, frames, complete):
    kept = timed()
    for _ in range(dropped):
        kept.ring.drop_oldest()
    assert kept.since(NOW_MS + start) == (first, frames, complete)


def test_a_clock_that_is_set_back_hides_nothing_that_is_missing():
    kept = Kept().send(b"a", at_ms=NOW_MS + 50).send(b"b", at_ms=NOW_MS + 5)
    kept.send(b"c", at_ms=NOW_MS + 7)
    assert kept.since(NOW_MS + 6) == (1, [b"a", b"b", b"c"], True)
    kept.ring.drop_oldest()
    kept.ring.drop_oldest()
    assert kept.since(NOW_MS + 6) == (3, [b"c"], False)


# The bounds.


def test_what_keeping_costs():
    kept = Kept().send(b"12345", b"")
    assert (kept.ring.bytes, kept.history.bytes, len(kept.history)) == (453, 453, 2)
    assert len(kept.ring) == 2


def test_a_stream_beyond_its_bytes_loses_its_own_oldest():
    kept = Kept(limits=AMPLE._replace(stream_bytes=2 * A_FRAME))
    other = Ring(1, NOW_MS)
    kept.history.keep(other, 1, NOW_MS, [b"o"])
    kept.send(b"a", b"b").send(b"c")
    assert [kept.after(sequence) for sequence in (0, 1)] == [None, [b"b", b"c"]]
    assert (kept.ring.bytes, len(other), kept.history.bytes) == (2 * A_FRAME, 1, 3 * A_FRAME)


def test_beyond_all_bytes_the_oldest_of_all_goes_first():
    history = History(AMPLE._replace(total_bytes=3 * A_FRAME))
    rings = {name: Ring(1, NOW_MS) for name in "abc"}
    for at, name in enumerate("abcab"):
        history.keep(rings[name], 1 + at // 3, NOW_MS, [name.encode()])
    assert {name: len(ring) for name, ring in rings.items()} == {"a": 1, "b": 1, "c": 1}
    history.keep(rings["a"], 3, NOW_MS, [b"a"])
    assert {name: len(ring) for name, ring in rings.items()} == {"a": 2, "b": 1, "c": 0}
    assert (history.bytes, len(history)) == (3 * A_FRAME, 3)


def test_a_batch_longer_than_all_that_may_be_kept_is_not():
    for limits in (AMPLE._replace(stream_bytes=300), AMPLE._replace(total_bytes=300)):
        kept = Kept(limits=limits).send(b"a").send(b"x" * 100)
        assert (len(kept.ring), kept.history.bytes, len(kept.history)) == (0, 0, 0)
        assert [kept.after(sequence) for sequence in (1, 2)] == [None, []]


@pytest.mark.parametrize("bound", ["stream_bytes", "total_bytes"])
def test_without_room_nothing_is_kept_but_the_place(bound):
    kept = Kept(limits=AMPLE._replace(**{bound: 0})).send(b"a", b"b")
    assert (kept.history.bytes, len(kept.history)) == (0, 0)
    assert [kept.after(sequence) for sequence in (1, 2)] == [None, []]


def test_what_is_older_than_it_may_be_goes():
    kept = Kept(limits=AMPLE._replace(seconds=0.02))
    for at in (10, 20, 30):
        kept.send(b"x", at_ms=NOW_MS + at)
    lengths = []
    for now in (29, 30, 31, 40, 41, 51):
        kept.history.expire(NOW_MS + now)
        lengths.append(len(kept.ring))
    assert lengths == [3, 3, 2, 2, 1, 0]
    assert (kept.history.bytes, len(kept.history)) == (0, 0)
    kept.history.expire(NOW_MS + 10**6)


def test_a_stream_that_is_forgotten_leaves_the_others_theirs():
    kept, other = Kept().send(b"a", b"b"), Ring(1, NOW_MS)
    kept.history.keep(other, 1, NOW_MS, [b"o"])
    kept.send(b"c")
    kept.history.forget(kept.ring)
    assert (len(kept.ring), kept.ring.bytes, len(other)) == (0, 0, 1)
    assert (kept.history.bytes, len(kept.history)) == (A_FRAME, 1)


class AnyHistory(RuleBasedStateMachine):
    """Whatever is sent: the sums are right, the bounds hold, and what goes is the oldest."""

    LIMITS = HistoryLimits(1.0, 5 * ENTRY_BYTES, 9 * ENTRY_BYTES, 10)

    def __init__(self):
        super().__init__()
        self.history = History(self.LIMITS)
        self.now_ms = NOW_MS
        self.rings = {name: Ring(2**32 - 5, NOW_MS) for name in "ABC"}
        self.next = dict.fromkeys("ABC", 2**32 - 5)
        self.kept = []

    @rule(
        name=st.sampled_from("ABC"),
        sizes=st.lists(st.integers(0, ENTRY_BYTES), min_size=1, max_size=4),
        hole=st.sampled_from([0, 0, 0, 2]),
    )
    def send(self, name, sizes, hole):
        first = later(self.next[name], hole)
        frames = [bytes(size) for size in sizes]
        self.history.keep(self.rings[name], first, self.now_ms, frames)
        self.next[name] = later(first, len(frames))
        self.kept += [
            (name, later(first, at), self.now_ms, frame) for at, frame in enumerate(frames)
        ]
        while self.cost_of(name) > self.LIMITS.stream_bytes:
            self.kept.remove(self.of(name)[0])
        while self.cost_of(*"ABC") > self.LIMITS.total_bytes:
            self.kept.pop(0)

    @rule(ms=st.integers(1, 700))
    def pass_time(self, ms):
        self.now_ms += ms

    @rule()
    def expire(self):
        self.history.expire(self.now_ms)
        self.kept = [entry for entry in self.kept if entry[2] >= self.now_ms - 1000]

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def forget(self, data):
        name = data.draw(st.sampled_from([entry[0] for entry in self.kept]))
        self.history.forget(self.rings[name])
        self.kept = [entry for entry in self.kept if entry[0] != name]

    def of(self, *names):
        return [entry for entry in self.kept if entry[0] in names]

    def cost_of(self, *names):
        return sum(len(entry[3]) + ENTRY_BYTES for entry in self.of(*names))

    @invariant()
    def what_is_kept_is_what_is_to_be(self):
        for name, ring in self.rings.items():
            entries = [(name, *entry) for entry in ring._entries[ring._oldest :]]
            assert entries == self.of(name)

    @invariant()
    def the_sums_are_right(self):
        assert len(self.history) == len(self.kept)
        first = self.history._order[0] if self.kept else None
        assert bool(first) == bool(self.history._order) == bool(self.kept)
        assert first is None or not first.passed_over
        assert self.history.bytes == self.cost_of(*"ABC") <= self.LIMITS.total_bytes
        for name, ring in self.rings.items():
            assert ring.bytes == self.cost_of(name) <= self.LIMITS.stream_bytes
            assert len(ring) == len(self.of(name))

    @invariant()
    def the_end_is_always_known(self):
        for name, ring in self.rings.items():
            last = later(self.next[name], -1)
            replay = ring.after(last, self.next[name])
            assert (replay.next_sequence, list(replay.kept)) == (self.next[name], [])


AnyHistory.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestAnyHistory = AnyHistory.TestCase


def test_what_nobody_listens_to_goes_before_what_is_older():
    history = History(HistoryLimits(60.0, 10**6, 4 * (ENTRY_BYTES + 10)))
    listened, idle = Ring(1, 0), Ring(1, 0)
    history.note_idle(idle)
    history.keep(listened, 1, 0, [bytes(10)] * 2)
    history.keep(idle, 1, 0, [bytes(10)] * 2)
    history.keep(listened, 3, 1, [bytes(10)])
    assert (len(listened), len(idle)) == (3, 1)
    history.keep(listened, 4, 1, [bytes(10)] * 2)
    assert (len(listened), len(idle)) == (4, 0)
    history.keep(idle, 3, 2, [bytes(10)])
    assert (len(listened), len(idle)) == (4, 0)
    history.note_listened(idle)
    history.keep(idle, 4, 2, [bytes(10)])
    assert (len(listened), len(idle)) == (3, 1)
