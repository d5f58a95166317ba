"""Numbers of batches that wrap, compared. Pure.

Of two numbers that one stream had, the one that is less than half of all numbers behind is behind.
"""

from collections.abc import Iterable
from functools import reduce

from tickstorm.sequences import is_before, steps


def ahead(sequence: int, of: int) -> int:
    """Return how many batches a number is ahead of another one; 0 if it is not."""
    return steps(of, sequence) if is_before(of, sequence) else 0


def newest(sequences: Iterable[int]) -> int:
    """Return the number that is behind none of these; 0 stands for no number."""
    return reduce(_newer, sequences, 0)


def _newer(one: int, other: int) -> int:
    if not (one and other):
        return one or other
    return other if is_before(one, other) else one
