"""What one subscriber is given of the past: in pieces, and counted once for all who share it."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lagging import batch

from tickstorm.errors import SlowConsumer
from tickstorm.history import History, HistoryLimits
from tickstorm.overload import Budget
from tickstorm.past import NO_PAST, RUN_BYTES, Copies, Past
from tickstorm.ring import Ring

HALF = b"x" * (RUN_BYTES // 2)


def kept(*frames):
    """Frames that a history keeps, its ring, and the history."""
    history, ring = History(HistoryLimits()), Ring(1, 0)
    history.keep(ring, 1, 1, frames)
    return ring.after(0, 1 + len(frames)).kept, ring


def entered(past):
    """A past that is waited for, and the budget that it is counted in."""
    budget = Budget()
    past.enter(budget)
    return past, budget


sizes = st.lists(st.integers(1, 3 * RUN_BYTES), max_size=12)


@given(sizes, st.lists(st.integers(1, 5 * RUN_BYTES), min_size=1, max_size=8))
def test_copies_come_whole_in_pieces_that_fit_and_are_counted_until_then(sizes, rooms):
    frames = [bytes([number]) * size for number, size in enumerate(sizes)]
    past, budget = entered(Copies(frames).past())
    got = []
    while past:
        assert (list(past), len(past)) == (frames[len(got) :], len(frames) - len(got))
        left = sum(sizes[len(got) :])
        assert past.length == past.cost == left <= budget.bytes <= left + RUN_BYTES
        room = rooms[len(got) % len(rooms)]
        piece = past.take(room)
        assert len(piece) == 1 or 0 < sum(map(len, piece)) <= room
        got += piece
    assert (got, past.length, past.cost, budget.bytes) == (frames, 0, 0, 0)
    assert past.take(99) == []


def test_nothing_is_no_past():
    assert Copies().past() is Copies([]).past() is NO_PAST
    assert (len(NO_PAST), NO_PAST.length, NO_PAST.cost, NO_PAST.numbers()) == (0, 0, 0, None)
    NO_PAST.check()
    NO_PAST.clear()


def test_who_takes_it_at_once_is_counted_nowhere():
    past = Copies([HALF] * 5).past()
    assert past.cost == 0
    assert [len(past.take(RUN_BYTES)) for _ in range(4)] == [2, 2, 1, 0]


def test_what_a_history_keeps_costs_nothing_and_copies_behind_it_do():
    keeping, _ = kept(b"a", b"b")
    past, budget = entered(Past([keeping, Copies([b"snapshot"])]))
    assert (len(past), past.length, past.cost, budget.bytes) == (3, 10, 8, 8)
    assert list(past) == [b"a", b"b", b"snapshot"]
    assert [past.take(99) for _ in range(3)] == [[b"a", b"b"], [b"snapshot"], []]
    assert budget.bytes == 0


def test_what_a_history_has_dropped_is_told_and_nothing_behind_it_comes():
    keeping, ring = kept(b"a", b"b")
    past, budget = entered(Past([keeping, Copies([b"snapshot"])]))
    ring.drop_oldest()
    for ask in (past.check, lambda: past.take(99)):
        with pytest.raises(SlowConsumer):
            ask()
    assert (past.length, budget.bytes) == (10, 8)
    past.clear()
    assert (len(past), past.length, budget.bytes) == (0, 0, 0)
    past.check()


def test_more_can_follow():
    past, budget = entered(Copies([b"a"]).past())
    more = Copies([b"b", b"c"]).past()
    more.enter(budget)
    past.extend(more)
    assert (past.take(1), list(past), past.take(99), budget.bytes) == (
        [b"a"],
        [b"b", b"c"],
        [b"b", b"c"],
        0,
    )


def test_the_numbers_are_those_of_the_batches_that_are_left():
    snapshot = batch(9, ("A", 1.0), is_snapshot=True)
    batches = [batch(number, ("A", 1.0)) for number in (2**32 - 1, 0, 1)]
    past = Past([Copies([*batches, snapshot])])
    assert past.numbers() == (2**32 - 1, 1)
    past.take(len(batches[0]))
    assert past.numbers() == (0, 1)
    past.take(len(batches[1]) + len(batches[2]))
    assert (len(past), past.numbers()) == (1, None)
    keeping, _ = kept(*batches)
    assert Past([keeping, Copies([snapshot])]).numbers() == (1, 3)
    assert Past([Copies([snapshot]), keeping]).numbers() == (1, 3)


# What several wait for.


def shared(count, frames):
    copies, budget = Copies(frames), Budget()
    pasts = [copies.past() for _ in range(count)]
    for past in pasts:
        past.enter(budget)
    return pasts, budget


def test_what_several_wait_for_counts_once_as_long_as_one_does():
    (one, other, third), budget = shared(3, [HALF] * 6)
    size = 2 * len(HALF)
    assert budget.bytes == 3 * size
    assert one.take(RUN_BYTES) == other.take(RUN_BYTES) == [HALF] * 2
    assert budget.bytes == 3 * size
    third.take(1)
    assert budget.bytes == 3 * size
    third.take(1)
    assert budget.bytes == 2 * size
    third.clear()
    one.take(RUN_BYTES)
    one.clear()
    assert (budget.bytes, other.length) == (2 * size, 2 * size)
    assert other.take(RUN_BYTES) + other.take(RUN_BYTES) == [HALF] * 4
    assert (budget.bytes, len(budget._waiting)) == (0, 0)


def test_each_has_its_share_of_it():
    (one, other), budget = shared(2, [HALF] * 4)
    size = 2 * len(HALF)
    assert (one.cost, other.cost) == (size, size)
    one.take(RUN_BYTES)
    assert (one.cost, other.cost) == (size // 2, 2 * size)
    one.clear()
    assert (one.cost, other.cost, budget.bytes) == (0, 2 * size, 2 * size)


def test_what_all_have_taken_is_let_go_of_while_the_rest_waits():
    frames = [bytes([number]) * RUN_BYTES for number in range(3)]
    copies = Copies(frames)
    pasts = [copies.past(), copies.past()]
    del copies
    held = [sys.getrefcount(frames[0])]
    for past in pasts:
        past.take(1)
        held.append(sys.getrefcount(frames[0]))
    assert held == [held[0], held[0], held[0] - 1]


@given(
    sizes,
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from([1, 999, RUN_BYTES, 0])), max_size=60),
)
def test_in_any_order_each_has_everything_and_the_sum_is_what_somebody_waits_for(
    sizes, count, moves
):
    frames = [bytes([number]) * size for number, size in enumerate(sizes)]
    pasts, budget = shared(count, frames)
    got = [[] for _ in pasts]
    for number, room in moves:
        who = number % count
        if room:
            got[who] += pasts[who].take(room)
            assert list(pasts[who]) == frames[len(got[who]) :]
        else:
            pasts[who].clear()
            got[who] = frames
        most = max(past.length for past in pasts)
        assert most <= budget.bytes <= most + RUN_BYTES
    for past in pasts:
        while past:
            past.take(RUN_BYTES)
    assert (budget.bytes, len(budget._waiting)) == (0, 0)


def test_who_alone_holds_the_most_goes_and_nobody_else():
    pasts, budget = shared(201, [b"x" * 4000] * 1000)
    slow, *others = pasts
    for other in others:
        while len(other) > 1:
            other.take(RUN_BYTES if len(other) > 8 else 4000)
    budget.max_bytes = budget.bytes - 1
    assert budget.surplus([*others, slow], lambda past: past.cost) == [slow]


def test_who_costs_nothing_is_not_shed_for_it():
    budget = Budget(10)
    budget.bytes = 20
    assert budget.surplus([0, 3, 0], lambda cost: cost) == [3]
