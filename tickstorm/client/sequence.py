"""Holes in the sequence of batches, over all connections of one subscription.

Numbers rise by one with each batch, wrap at 2^32, and are the stream's own as long as the epoch
stays. So a jump is a loss, also one over a reconnect, and it is told once.
"""

from tickstorm.client.events import Gap, Repeated, Restarted
from tickstorm.sequences import SEQUENCE_MODULUS, is_before
from tickstorm.subscriptions import Position

MAX_REPEATS = 1000
"""How far back a number may lie to count as one seen before. A server that spreads its load gives
neighbouring slots the same number, so that who comes back may see his last one again."""


class SequenceTracker:
    """Knows the number of the next batch, once there was one or the server has said.

    Args:
        position: of the batch before that; None if there was none.
    """

    __slots__ = ("_epoch", "_next")

    def __init__(self, position: Position | None = None) -> None:
        self._epoch = ""
        self._next: int | None = None
        if position is not None:
            self._epoch = position.epoch
            self._next = (position.sequence + 1) % SEQUENCE_MODULUS

    @property
    def position(self) -> Position | None:
        """Behind which batch to go on; None without an epoch.

        What was told as lost lies before it.
        """
        if not self._epoch or self._next is None:
            return None
        return Position(self._epoch, (self._next - 1) % SEQUENCE_MODULUS)

    def subscribed(
        self, epoch: str, next_sequence: int | None, recovered: bool | None = None
    ) -> Gap | Restarted | None:
        """Take in what the server says at the beginning of a connection.

        Args:
            epoch: empty if it does not say. Numbers of two connections are then not compared.
            next_sequence: of the next batch; None if it does not say.
            recovered: whether all comes that is behind the position; None if it does not say.

        Returns:
            What is known of the batches between this connection and the one before. If they are
            not recovered, it is never None.
        """
        begun = self._next is not None
        if epoch and epoch == self._epoch:
            missed = None if next_sequence is None else self._advance(next_sequence)
            if recovered is not False or isinstance(missed, Gap):
                return None if isinstance(missed, Repeated) else missed
        self._epoch, self._next = epoch, next_sequence
        return Restarted() if begun else None

    def received(self, sequence: int) -> Gap | Restarted | Repeated | None:
        """Take in the number of a batch, and return what is wrong with it."""
        wrong = self._advance(sequence)
        if not isinstance(wrong, Repeated):
            self._next = (sequence + 1) % SEQUENCE_MODULUS
        return wrong

    def announced(self, epoch: str, next_sequence: int) -> Gap | None:
        """Take in which batch comes next, as the server says in between.

        Returns:
            Those before it that have not come. A number seen before says nothing: a server that
            spreads its load may repeat it.
        """
        if epoch != self._epoch or self._next is None or not is_before(self._next, next_sequence):
            return None
        gap = Gap(self._next, (next_sequence - 1) % SEQUENCE_MODULUS)
        self._next = next_sequence
        return gap

    def lost(self, told: Gap) -> list[Gap]:
        """Take in which batches do not come, as the server says.

        Returns:
            Those of them that have not come, behind any that it did not tell of.
        """
        expected = self._next
        behind = (told.last + 1) % SEQUENCE_MODULUS
        if expected is None or told.first == expected:
            self._next = behind
            return [told]
        if not is_before(expected, behind):
            return []
        self._next = behind
        if is_before(expected, told.first):
            return [Gap(expected, (told.first - 1) % SEQUENCE_MODULUS), told]
        return [told._replace(first=expected, ticks=None)]

    def _advance(self, sequence: int) -> Gap | Restarted | Repeated | None:
        expected = self._next
        if expected is None or sequence == expected:
            self._next = sequence
            return None
        if (expected - sequence) % SEQUENCE_MODULUS <= MAX_REPEATS:
            return Repeated(sequence)
        self._next = sequence
        if not is_before(expected, sequence):
            return Restarted()
        return Gap(expected, (sequence - 1) % SEQUENCE_MODULUS)
