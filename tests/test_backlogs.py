"""Backlogs of one process: what they share, and what each of them has of it."""

from collections import Counter

import pytest
from lagging import FAT, batch, told

from tickstorm.backlogs import Backlogs
from tickstorm.errors import SlowConsumer
from tickstorm.overload import BacklogLimits, Budget
from tickstorm.past import Copies
from tickstorm.subscriptions import Overload

LIMITS = BacklogLimits(
    max_frames=4,
    max_bytes=30_000,
    write_deadline=5.0,
    soft_bytes=10_000,
    lossy_write_deadline=60.0,
)
EUR, USD = "one stream", "another"


class Several:
    """Backlogs that share what those of one process do."""

    def __init__(self, max_bytes=10**6):
        self.losses = Counter()
        self.backlogs = Backlogs(LIMITS, max_bytes, losses=self.losses)

    def conflating(self, stream=EUR):
        return self.backlogs.new(Overload.CONFLATE, stream, 0.0)

    @property
    def budget(self):
        return self.backlogs.budget


def push(backlog, first, last, symbol="A"):
    for number in range(first, last + 1):
        backlog.push(batch(number, (symbol, float(number))))


def all_of(backlog):
    pieces = []
    while backlog:
        pieces.append(backlog.take(1, 0.0))
    return told(b"".join(pieces))


# What each policy does.


@pytest.mark.parametrize(
    ("policy", "beyond"),
    [
        (Overload.CONFLATE, [(1, 4, 4, "conflated"), (5, {"A": 5.0})]),
        (
            Overload.DROP_OLDEST,
            [(1, 1, 1, "dropped"), *((number, {"A": float(number)}) for number in range(2, 6))],
        ),
    ],
)
def test_these_policies_act_at_the_bound(policy, beyond):
    several = Several()
    backlog = several.backlogs.new(policy, EUR, 0.0)
    push(backlog, 1, 4)
    assert backlog.fill == 1.0
    push(backlog, 5, 5)
    assert all_of(backlog) == beyond


def test_who_does_not_choose_is_to_end_at_the_bound():
    backlog = Several().backlogs.new(Overload.DISCONNECT, EUR, 0.0)
    push(backlog, 7, 10)
    with pytest.raises(SlowConsumer, match=r"^more than 4 frames are waiting$"):
        push(backlog, 11, 11)
    assert backlog.unsent() == "batches 7 to 11 were not sent"


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [(Overload.DISCONNECT, 5), (Overload.DROP_OLDEST, 60), (Overload.CONFLATE, 60)],
)
def test_how_long_each_policy_waits(policy, seconds):
    backlog = Several().backlogs.new(policy, EUR, 100.0)
    backlog.check(99.999 + seconds)
    with pytest.raises(SlowConsumer, match=f"^what was written {seconds} s ago is not yet read$"):
        backlog.check(100.0 + seconds)


@pytest.mark.parametrize("policy", Overload)
def test_the_bound_in_bytes_is_for_all_policies(policy):
    backlog = Several().backlogs.new(policy, EUR, 0.0)
    with pytest.raises(SlowConsumer, match=r"^more than 30000 bytes are waiting$"):
        backlog.push(batch(1, *((f"S{at}", 1.0, FAT) for at in range(5))))
    assert backlog.unsent() == "batch 1 was not sent"


@pytest.mark.parametrize("policy", Overload)
def test_the_next_number_is_the_first_that_was_not_told_of(policy):
    backlog = Several().backlogs.new(policy, EUR, 0.0)
    assert backlog.next_sequence() is None
    backlog.push_past(Copies([batch(6, ("A", 1.0), is_snapshot=True)]).past())
    assert (backlog.next_sequence(), backlog.unsent()) == (None, "")
    push(backlog, 7, 9)
    assert backlog.next_sequence() == 7
    if policy is not Overload.DISCONNECT:
        push(backlog, 10, 14)
        assert backlog.next_sequence() == 7


# What those who conflate one stream share.


@pytest.mark.parametrize("start", [0, 2**32 - 4, 2**32 - 8])
def test_each_has_what_it_missed(start):
    several = Several()
    first, second, third = several.conflating(), several.conflating(), several.conflating()
    for number, symbol, backlogs in (
        *((number, "A", (first,)) for number in range(1, 6)),
        *((number, "B", (first, second)) for number in range(6, 11)),
        *((number, "C", (first, second, third)) for number in range(11, 16)),
    ):
        for backlog in backlogs:
            backlog.push(batch((start + number) % 2**32, (symbol, float(number))))
    last, before = ((start + number) % 2**32 for number in (15, 14))
    assert [all_of(backlog) for backlog in (second, third, first)] == [
        [
            ((start + 6) % 2**32, before, 8, "conflated"),
            (last, {"B": 10.0, "C": 15.0}),
        ],
        [((start + 11) % 2**32, before, 4, "conflated"), (last, {"C": 15.0})],
        [
            ((start + 1) % 2**32, before, 12, "conflated"),
            (last, {"A": 5.0, "B": 10.0, "C": 15.0}),
        ],
    ]


def test_who_conflates_first_need_not_be_who_waited_longest():
    several = Several()
    longest, shorter = several.conflating(), several.conflating()
    push(longest, 1, 2, "A")
    for backlog in (shorter, longest):
        push(backlog, 3, 3, "B")
    for backlog in (shorter, longest):  # this batch is too much for both, in their order
        backlog.push(batch(4, ("C", 4.0, FAT), ("D", 4.0, FAT)))
    for backlog in (shorter, longest):
        push(backlog, 5, 5, "B")
    assert all_of(longest) == [
        (1, 4, 2, "conflated"),
        (5, {"A": 2.0, "C": 4.0, "D": 4.0, "B": 5.0}),
    ]
    assert all_of(shorter) == [(3, 4, 1, "conflated"), (5, {"C": 4.0, "D": 4.0, "B": 5.0})]


def test_what_came_while_nobody_conflated_is_not_missing():
    several = Several()
    gone, waiting = several.conflating(), several.conflating()
    push(gone, 1, 5, "A")
    gone.clear()
    push(waiting, 6, 7, "B")
    push(waiting, 8, 10, "C")
    assert all_of(waiting) == [(6, 9, 3, "conflated"), (10, {"B": 7.0, "C": 10.0})]


def test_streams_have_nothing_in_common():
    several = Several()
    one, other = several.conflating(EUR), several.conflating(USD)
    push(one, 1, 5, "A")
    push(other, 1, 5, "B")
    assert all_of(one) == [(1, 4, 4, "conflated"), (5, {"A": 5.0})]
    assert all_of(other) == [(1, 4, 4, "conflated"), (5, {"B": 5.0})]


def test_nothing_is_kept_once_nobody_conflates():
    several = Several()
    backlog = several.conflating()
    push(backlog, 1, 3)
    assert len(several.backlogs._newest) == 0
    push(backlog, 4, 6)
    assert len(several.backlogs._newest) == 1
    del backlog
    assert len(several.backlogs._newest) == 0


def test_all_losses_are_counted_once_they_are_told():
    several = Several()
    for policy in Overload:
        if policy is not Overload.DISCONNECT:
            backlog = several.backlogs.new(policy, EUR, 0.0)
            push(backlog, 1, 9)
    assert several.losses == {}
    assert all_of(backlog)[0] == (1, 5, 5, "dropped")
    assert several.losses == {"dropped": 5}


# The budget.


def test_the_budget_is_what_all_have_queued():
    several = Several()
    one, other = several.conflating(), several.backlogs.new(Overload.DROP_OLDEST, EUR, 0.0)
    for backlog in (one, other):
        backlog.push_rest(b"rest of a frame")
        push(backlog, 1, 9)
    assert several.budget.bytes == one.bytes + other.bytes > 30
    one.take(1, 0.0)
    assert several.budget.bytes == one.bytes + other.bytes
    one.clear()
    assert several.budget.bytes == other.bytes
    all_of_it = other.take(1, 0.0)
    assert all_of_it == b"rest of a frame"
    all_of(other)
    assert several.budget.bytes == one.bytes == other.bytes == 0


def test_what_is_with_the_transport_is_in_the_budget_and_in_no_bound():
    several = Several()
    backlog = several.backlogs.new(Overload.DISCONNECT, EUR, 0.0)
    backlog.note_written(LIMITS.max_bytes)
    push(backlog, 1, 4)
    assert (len(backlog), backlog.fill) == (4, 1.0)
    assert several.budget.bytes == backlog.pending_bytes == backlog.bytes + LIMITS.max_bytes
    taken = backlog.take(10**6, 1.0)
    backlog.note_written(len(taken))
    assert (backlog.bytes, backlog.with_transport) == (0, LIMITS.max_bytes + len(taken))
    backlog.clear()
    assert several.budget.bytes == backlog.pending_bytes == LIMITS.max_bytes + len(taken)
    backlog.note_taken()
    assert several.budget.bytes == backlog.pending_bytes == 0


def test_what_is_with_the_transport_stays_there_whoever_counts_it():
    several = Several()
    one, other = several.conflating(), several.conflating()
    one.note_written(100)
    one.handed_on_at = 7.0
    other.take_over(one)
    assert (one.with_transport, other.with_transport, several.budget.bytes) == (0, 100, 100)
    assert other.handed_on_at == 7.0


def test_a_budget_is_exceeded_beyond_it():
    budget = Budget(100)
    for size, is_exceeded in ((99, False), (100, False), (101, True)):
        budget.bytes = size
        assert budget.is_exceeded is is_exceeded


@pytest.mark.parametrize(
    ("sizes", "going"),
    [
        ({"a": 30, "b": 30, "c": 30}, []),
        ({"a": 50, "b": 10, "c": 41}, ["a"]),
        ({"a": 50, "b": 50, "c": 9, "d": 90}, ["d", "a"]),
        ({"a": 0, "b": 101}, ["b"]),
        ({"a": 12, "b": 11, "c": 38, "d": 38, "e": 2}, ["c"]),
        ({"a": 10, "b": 9, "c": 8, "d": 8, "e": 66}, ["e"]),
        (dict(zip("abcdefghijkl", (10, 9, *[8] * 9, 10), strict=True)), ["a", "l"]),
    ],
)
def test_those_with_the_most_go_until_a_tenth_is_free(sizes, going):
    budget = Budget(100)
    budget.bytes = sum(sizes.values())
    assert budget.surplus(sizes, sizes.get) == going


# The past.


def test_copies_that_many_wait_for_are_in_the_budget_once():
    several = Several()
    copies = Copies([bytes(10_000)] * 10)
    backlogs = [several.backlogs.new(policy, EUR, 0.0) for policy in [*Overload] * 50]
    for backlog in backlogs:
        backlog.push_past(copies.past())
        push(backlog, 1, 1)
    live = len(batch(1, ("A", 1.0)))
    everybody = len(backlogs)
    assert [backlog.bytes for backlog in backlogs] == [100_000 + live] * everybody
    assert several.budget.bytes == 100_000 + everybody * live
    assert {backlog.cost for backlog in backlogs} == {100_000 // everybody + live}
    *others, last = backlogs
    for backlog in others:
        backlog.clear()
    assert several.budget.bytes == last.bytes == last.cost == 100_000 + live
    assert b"".join(iter(lambda: last.take(16_384, 0.0), b"")).startswith(bytes(100_000))
    assert several.budget.bytes == last.bytes == 0


def test_who_shares_what_it_waits_for_stays_longer_than_who_has_it_alone():
    several = Several()
    shared, alone = Copies([bytes(10_000)] * 10), Copies([bytes(10_000)] * 3)
    backlogs = {name: several.conflating() for name in "abcde"}
    for name, backlog in backlogs.items():
        backlog.push_past((alone if name == "c" else shared).past())
    several.budget.max_bytes = 120_000
    going = several.budget.surplus(backlogs, lambda name: backlogs[name].cost)
    assert (several.budget.bytes, going) == (130_000, ["c"])
