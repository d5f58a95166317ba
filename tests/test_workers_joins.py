"""A worker's joins: one answer for all who want the same, and only so many snapshots at once."""

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from relaying import wants

from tickstorm.subscriptions import Mode
from tickstorm.workers.joins import BACKFILLS_UNDER_WAY, JOINS_AN_ANSWER, Joins, wanted
from tickstorm.workers.link import Join, Placed


def placed(request, *frames, more=False):
    return Placed(request, 1, 0, "epoch-1", 1, 1, frames, more=more)


class Asking:
    """Joins, and what the parent was asked and has not answered."""

    def __init__(self):
        self.asked = []
        self.joins = Joins(self.asked.append, count(100))

    def join(self, subscription, slot=0):
        """A subscriber that wants something, and its Deferred."""
        subscriber = object()
        return subscriber, self.joins.wait(wanted(subscription, slot), subscription, subscriber)

    def give_up(self, joined):
        joined.addErrback(lambda _: None)
        joined.cancel()

    def answer(self, at=0):
        """Answer what was asked first; who waited for it."""
        return list(self.joins.answered(placed(self.asked.pop(at).request)).joins)

    def requests(self):
        return [join.request for join in self.asked]


def whole(slot=0):
    return wants(Mode.SECOND, snapshot=True), slot


def one(number):
    return wants(Mode.SECOND, f"S{number}", snapshot=True)


def test_who_wants_the_same_waits_for_one_answer():
    asking = Asking()
    first, second = asking.join(wants())[0], asking.join(wants())[0]
    assert asking.asked == [Join(1, wants(), 0)]
    third, _ = asking.join(wants())
    assert asking.answer() == [first, second, third]
    assert len(asking.joins) == 0


def test_who_wants_another_mode_slot_or_symbol_or_a_snapshot_too_waits_for_another():
    asking = Asking()
    for subscription, slot in (
        (wants(Mode.SECOND), 0),
        (wants(Mode.MINUTE), 0),
        (wants(Mode.SECOND), 1),
        (wants(Mode.SECOND, "A"), 0),
        (wants(Mode.SECOND, "A", snapshot=True), 0),
    ):
        asking.join(subscription, slot)
    assert asking.requests() == [1, 2, 3, 4, 5]


def test_who_comes_after_the_answer_asks_anew():
    asking = Asking()
    asking.join(wants())
    asking.answer()
    asking.join(wants())
    assert asking.requests() == [2]


def test_an_answer_is_for_so_many_at_most():
    asking = Asking()
    subscribers = [asking.join(wants())[0] for _ in range(JOINS_AN_ANSWER + 1)]
    assert asking.requests() == [1, 2]
    last, _ = asking.join(wants())
    assert asking.answer() == subscribers[:-1]
    assert asking.join(wants())[1] is not None
    assert asking.requests() == [2]
    assert asking.answer()[:2] == [subscribers[-1], last]


def test_of_all_symbols_one_snapshot_is_under_way():
    asking = Asking()
    for slot in range(3):
        asking.join(*whole(slot))
    for expected in ([1], [2], [3]):
        assert asking.requests() == expected
        asking.answer()
    assert asking.requests() == []


def test_so_many_small_ones_are_and_the_next_waits_for_any_of_them():
    asking = Asking()
    for number in range(BACKFILLS_UNDER_WAY + 2):
        asking.join(one(number))
    assert len(asking.asked) == BACKFILLS_UNDER_WAY
    asking.answer(at=3)
    assert asking.asked[-1] == Join(BACKFILLS_UNDER_WAY + 1, one(BACKFILLS_UNDER_WAY), 0)
    assert len(asking.asked) == BACKFILLS_UNDER_WAY


def test_nobody_overtakes_who_waits_for_more():
    asking = Asking()
    asking.join(one(1))
    asking.join(*whole())
    asking.join(one(2))
    assert asking.requests() == [1]
    asking.answer()
    assert asking.asked == [Join(2, *whole())]
    asking.answer()
    assert asking.asked == [Join(3, one(2), 0)]


def test_who_wants_no_snapshot_waits_for_nobody_else():
    asking = Asking()
    asking.join(*whole(0))
    asking.join(*whole(1))
    asking.join(wants(Mode.SECOND))
    assert [join.subscription.snapshot for join in asking.asked] == [True, False]


def test_a_part_is_no_answer():
    asking = Asking()
    for slot in (0, 0, 1):
        asking.join(*whole(slot))
    (join,) = asking.asked
    assert asking.joins.answered(placed(join.request, b"one", more=True)) is None
    assert asking.requests() == [1]
    waiting = asking.joins.answered(placed(join.request, b"two"))
    assert (waiting.frames, len(waiting.joins)) == ([b"one", b"two"], 2)
    assert asking.requests() == [1, 2]


def test_what_nobody_wants_any_more_is_not_asked():
    asking = Asking()
    asking.join(*whole(0))
    _, given_up = asking.join(*whole(1))
    asking.join(*whole(2))
    asking.give_up(given_up)
    asking.answer()
    assert [join.slot for join in asking.asked] == [2]


def test_if_it_is_asked_already_it_is_for_whoever_wants_it_next():
    asking = Asking()
    _, given_up = asking.join(*whole())
    asking.give_up(given_up)
    subscriber, _ = asking.join(*whole())
    assert asking.requests() == [1]
    assert asking.answer() == [subscriber]


class AnyOrder(RuleBasedStateMachine):
    """Whoever comes and goes: nobody is forgotten, and no more is under way than may be."""

    def __init__(self):
        super().__init__()
        self.asking = Asking()
        self.waiting = {}

    @rule(
        symbols=st.sampled_from([(), ("A",), ("B",)]),
        slot=st.integers(0, 9),
        snapshot=st.booleans(),
    )
    def join(self, symbols, slot, snapshot):
        subscription = wants(Mode.SECOND, *symbols, snapshot=snapshot)
        subscriber, joined = self.asking.join(subscription, slot)
        self.waiting[subscriber] = joined

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data):
        subscriber = data.draw(st.sampled_from(list(self.waiting)))
        self.asking.give_up(self.waiting.pop(subscriber))

    @precondition(lambda self: self.asking.asked)
    @rule(data=st.data())
    def answer(self, data):
        at = data.draw(st.integers(0, len(self.asking.asked) - 1))
        for subscriber in self.asking.answer(at):
            del self.waiting[subscriber]

    @invariant()
    def so_much_is_under_way(self):
        snapshots = [join for join in self.asking.asked if join.subscription.snapshot]
        everything = [join for join in snapshots if join.subscription.symbols is None]
        assert len(snapshots) <= BACKFILLS_UNDER_WAY
        assert not everything or len(snapshots) == 1

    @invariant()
    def who_waits_is_waited_for(self):
        joins = self.asking.joins
        waiting = [
            each for group in (*joins._asked.values(), *joins._unasked) for each in group.joins
        ]
        assert len(waiting) == len(self.waiting)
        assert set(waiting) == set(self.waiting)
        assert not joins._unasked or self.asking.asked

    def teardown(self):
        while self.asking.asked:
            self.answer_first()
        assert (self.waiting, len(self.asking.joins), self.asking.joins._shared) == ({}, 0, {})

    def answer_first(self):
        for subscriber in self.asking.answer():
            del self.waiting[subscriber]


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase
