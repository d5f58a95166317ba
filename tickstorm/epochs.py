"""Epochs: one word for a stream's run of numbers, so that a number is taken for no other's. Pure.

A word is made of the server's run, of the slot where there are several, and of a digest of what the
stream is: `4e23eb5fb427.a0c113ee`, `4e23eb5fb427-17.a0c113ee`. It is the same in every process, and
two streams of a run have the same one by chance alone, once in some thousand million.
"""

from hashlib import blake2s

from tickstorm.stream import StreamKey
from tickstorm.subscriptions import MAX_EPOCH

DIGEST_BYTES = 4
MAX_SLOT_DIGITS = 3
MAX_RUN = MAX_EPOCH - len("-.") - MAX_SLOT_DIGITS - 2 * DIGEST_BYTES
"""Characters of a run whose epochs are not too long for a client to send back."""


class Epochs:
    """Those of the streams of one cadence.

    Args:
        run: names the server's run of numbers.
        slots: of the period.
    """

    __slots__ = ("_beginnings", "_slot_of")

    def __init__(self, run: str, slots: int = 1) -> None:
        self._beginnings = [run] if slots == 1 else [f"{run}-{slot}" for slot in range(slots)]
        self._slot_of = {beginning: slot for slot, beginning in enumerate(self._beginnings)}

    def of(self, key: StreamKey) -> str:
        """Return the epoch of a stream."""
        return f"{self._beginnings[key.slot]}.{_digest(key)}"

    def slot_named(self, epoch: str) -> int | None:
        """Return the slot of which an epoch is, of whatever stream; None if it is of no such."""
        return self._slot_of.get(epoch.rpartition(".")[0])


def _digest(key: StreamKey) -> str:
    symbols = "*" if key.symbols is None else ",".join(sorted(key.symbols))
    text = f"{key.period_ms} {symbols}"
    return blake2s(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
