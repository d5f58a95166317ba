"""Holes in the sequence of batches, over all connections of one subscription.

Numbers rise by one with each batch, wrap at 2^32, and are the stream's own as long as the epoch
stays. So a jump is a loss, also one over a reconnect, and it is told once.
"""

from tickstorm.client.events import Gap, Repeated, Restarted
from tickstorm.sequences import SEQUENCE_MODULUS

MAX_REPEATS = 1000
"""How far back a number may lie to count as one seen before. A server that spreads its load gives
neighbouring slots the same number, so that who comes back may see his last one again."""


class SequenceTracker:
    """Knows the number of the next batch, once there was one or the server has said."""

    __slots__ = ("_epoch", "_next")

    def __init__(self) -> None:
        self._epoch = ""
        self._next: int | None = None

    def subscribed(self, epoch: str, next_sequence: int | None) -> Gap | Restarted | None:
        """Take in what the server says at the beginning of a connection.

        Args:
            epoch: empty if it does not say. Numbers of two connections are then not compared.
            next_sequence: of the next batch; None if it does not say.

        Returns:
            What is known of the batches between this connection and the one before.
        """
        same = bool(epoch) and epoch == self._epoch
        self._epoch = epoch
        if not same:
            restarted = self._next is not None
            self._next = next_sequence
            return Restarted() if restarted else None
        if next_sequence is None:
            return None
        missed = self._advance(next_sequence)
        return None if isinstance(missed, Repeated) else missed

    def received(self, sequence: int) -> Gap | Restarted | Repeated | None:
        """Take in the number of a batch, and return what is wrong with it."""
        wrong = self._advance(sequence)
        if not isinstance(wrong, Repeated):
            self._next = (sequence + 1) % SEQUENCE_MODULUS
        return wrong

    def _advance(self, sequence: int) -> Gap | Restarted | Repeated | None:
        expected = self._next
        if expected is None or sequence == expected:
            self._next = sequence
            return None
        if (expected - sequence) % SEQUENCE_MODULUS <= MAX_REPEATS:
            return Repeated(sequence)
        self._next = sequence
        if (sequence - expected) % SEQUENCE_MODULUS >= SEQUENCE_MODULUS // 2:
            return Restarted()
        return Gap(expected, (sequence - 1) % SEQUENCE_MODULUS)
