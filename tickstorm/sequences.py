"""The numbers of a stream's batches: they rise by one, and the last is followed by 0. Pure."""

SEQUENCE_MODULUS = 2**32
"""How many numbers there are."""


def later(sequence: int, steps: int = 1) -> int:
    """Return the number so many batches later; before, if `steps` is below 0."""
    return (sequence + steps) % SEQUENCE_MODULUS


def steps(sequence: int, to: int) -> int:
    """Return how many batches later `to` is, 0 to 2^32 - 1."""
    return (to - sequence) % SEQUENCE_MODULUS


def is_before(sequence: int, other: int) -> bool:
    """Whether a number comes before another one of its stream, by less than half of all."""
    return 0 < (other - sequence) % SEQUENCE_MODULUS < SEQUENCE_MODULUS // 2
