"""Conflation: exact from wherever on somebody takes part, and wherever he is cut off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lagging import FAT, batch, told

from tickstorm.batches import Batch
from tickstorm.conflation import Conflation, NewestTicks
from tickstorm.sequences import later, steps
from tickstorm.ticks import MAX_TICKS_PER_BATCH

SYMBOLS = [f"S{number}" for number in range(9)]
ticks = st.tuples(st.sampled_from(SYMBOLS), st.booleans())
some = st.sets(st.integers(0, 3))
scripts = st.lists(st.tuples(st.lists(ticks, max_size=6), some, some), min_size=1, max_size=25)
"""The ticks of each batch (large ones are a quarter of what fits), who begins to conflate with it,
and who takes what there is behind it."""


class Published:
    """Batches of one stream, and what was in each: prices rise, so that each tick is told apart."""

    def __init__(self, first):
        self.next = first
        self._items = {}
        self._price = 0

    def publish(self, row):
        items = []
        for symbol, is_large in row:
            self._price += 1
            items.append((symbol, float(self._price), *([FAT] if is_large else [])))
        number, self.next = self.next, later(self.next)
        self._items[number] = [item[:2] for item in items]
        return Batch(batch(number, *items))

    def items(self, first, behind):
        numbers = (later(first, at) for at in range(steps(first, behind)))
        return [item for number in numbers for item in self._items[number]]

    def check(self, first, conflated):
        """Hold what comes from a number on against what there was, with a cut behind each of it."""
        values, wanted = {}, dict(self.items(first, self.next))
        for gap, each in conflated:
            begin = first
            if gap is not None:
                assert gap.first_sequence == first
                assert gap.reason == "conflated"
                first = later(gap.last_sequence)
            assert each.sequence == first
            first = later(first)
            lost = gap.ticks_lost if gap is not None else 0
            assert each.ticks + lost == len(self.items(begin, first))
            values |= told(each.frame)[0][1]
            assert values | dict(self.items(first, self.next)) == wanted
        assert (first, values) == (self.next, wanted)


@given(scripts, st.sampled_from([1, 2**32 - 3]))
def test_nothing_is_missing_behind_any_batch_that_comes(script, first):
    newest, published, taking_part = NewestTicks(), Published(first), {}
    for row, begin, take in script:
        each = published.publish(row)
        for who in begin - taking_part.keys():
            taking_part[who] = each.sequence, Conflation(newest)
        for _, conflation in taking_part.values():
            conflation.add(each)
        for who in take & taking_part.keys():
            began, conflation = taking_part.pop(who)
            most, most_bytes = len(conflation), conflation.queued_bytes
            conflated = conflation.close()
            assert len(conflated) <= most
            assert sum(len(batch) for _, batch in conflated) <= most_bytes
            published.check(began, conflated)


@given(scripts, st.integers(1, 6))
def test_whoever_comes_with_what_has_waited_makes_no_difference_to_others(script, waited):
    newest, published = NewestTicks(), Published(1)
    late, early = Conflation(newest), Conflation(newest)
    waiting = [published.publish(row) for row, _, _ in script]
    for each in waiting[waited:]:
        late.add(each)
    early.begin(waiting)
    published.check(1, early.close())
    if waiting[waited:]:
        published.check(1 + waited, late.close())


def wide(published, symbols):
    return published.publish([(f"W{number}", False) for number in symbols])


@pytest.mark.parametrize("rounds", [1, 2, 50])
def test_a_wide_stream_is_no_more_than_its_symbols_however_long_it_goes_on(rounds):
    newest, published = NewestTicks(), Published(1)
    conflation = Conflation(newest)
    per_batch = 400
    for _ in range(rounds):
        for first in range(0, 4000, per_batch):
            conflation.add(wide(published, range(first, first + per_batch)))
    assert len(newest.runs) <= 2 * 4000 // MAX_TICKS_PER_BATCH + 1
    conflated = conflation.close()
    assert sum(each.ticks for _, each in conflated) == 4000
    published.check(1, conflated)


def test_a_batch_that_nothing_can_be_joined_with_comes_whole():
    newest, published = NewestTicks(), Published(1)
    conflation = Conflation(newest)
    large = [
        published.publish([(symbol, True) for symbol in SYMBOLS[at : at + 4]]) for at in (0, 4)
    ]
    for each in (*large, published.publish([("S0", False)])):
        conflation.add(each)
    first, (gap, last) = conflation.close()
    assert first == (None, large[0])  # with the old tick of S0
    assert (gap, last.sequence, last.ticks) == ((2, 2, 0, "conflated"), 3, 5)
