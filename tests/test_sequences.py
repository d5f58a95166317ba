"""The numbers of batches: one more each time, and around."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.sequences import SEQUENCE_MODULUS, is_before, later, steps

numbers = st.integers(0, SEQUENCE_MODULUS - 1)


@pytest.mark.parametrize(
    ("sequence", "by", "expected"),
    [(0, 1, 1), (7, 0, 7), (2**32 - 1, 1, 0), (2**32 - 2, 5, 3), (0, -1, 2**32 - 1), (3, -3, 0)],
)
def test_the_number_so_many_batches_later(sequence, by, expected):
    assert later(sequence, by) == expected


def test_the_next_number():
    assert (later(1), later(2**32 - 1)) == (2, 0)


@pytest.mark.parametrize(
    ("sequence", "to", "expected"),
    [(5, 5, 0), (5, 6, 1), (6, 5, 2**32 - 1), (2**32 - 1, 0, 1), (0, 2**32 - 1, 2**32 - 1)],
)
def test_how_many_batches_later_a_number_is(sequence, to, expected):
    assert steps(sequence, to) == expected


@given(numbers, numbers)
def test_so_many_steps_lead_there(sequence, to):
    assert later(sequence, steps(sequence, to)) == to
    assert later(to, -steps(sequence, to)) == sequence


@given(numbers, st.integers(-(2**40), 2**40))
def test_a_number_is_never_out_of_range(sequence, by):
    assert 0 <= later(sequence, by) < SEQUENCE_MODULUS


@pytest.mark.parametrize(
    ("sequence", "other", "expected"),
    [
        (5, 6, True),
        (6, 5, False),
        (5, 5, False),
        (2**32 - 1, 0, True),
        (0, 2**32 - 1, False),
        (0, 2**31 - 1, True),
        (0, 2**31, False),
        (2**31, 0, False),
    ],
)
def test_which_of_two_numbers_comes_first(sequence, other, expected):
    assert is_before(sequence, other) is expected


@given(numbers, numbers)
def test_of_two_numbers_at_most_one_comes_first(sequence, other):
    opposite = steps(sequence, other) in (0, SEQUENCE_MODULUS // 2)
    assert is_before(sequence, other) + is_before(other, sequence) == (not opposite)
