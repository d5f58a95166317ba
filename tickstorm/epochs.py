"""Epochs: one word for a stream's run of numbers, so that a number is taken for no other's. Pure.

A word is made of the server's run, of the slot where there are several, and of a digest of what the
stream is: `4e23eb5fb427.a0c113ee`, `4e23eb5fb427-17.a0c113ee`. It is the same in every process, and
two streams of a run have the same one by chance alone, once in some thousand million.
"""

import re
from hashlib import blake2s

from tickstorm.stream import StreamKey
from tickstorm.subscriptions import MAX_EPOCH

DIGEST_BYTES = 4
MAX_SLOT_DIGITS = 3
MAX_RUN = MAX_EPOCH - len("-.") - MAX_SLOT_DIGITS - 2 * DIGEST_BYTES
"""Characters of a run whose epochs are not too long for a client to send back."""

_SLOT = re.compile(r"[0-9]{1,3}")


class Epochs:
    """Those of the streams of one cadence.

    Args:
        run: names the server's run of numbers.
        slots: of the period.
    """

    __slots__ = ("_run", "_slots")

    def __init__(self, run: str, slots: int = 1) -> None:
        self._run = run
        self._slots = slots

    def of(self, key: StreamKey) -> str:
        """Return the epoch of a stream."""
        return f"{self._beginning(key.slot)}.{_digest(key)}"

    def slot_named(self, epoch: str) -> int | None:
        """Return the slot of which an epoch is, of whatever stream; None if it is of no such."""
        beginning = epoch.rpartition(".")[0]
        named = beginning.rpartition("-")[2]
        slot = int(named) if self._slots > 1 and _SLOT.fullmatch(named) else 0
        return slot if slot < self._slots and beginning == self._beginning(slot) else None

    def _beginning(self, slot: int) -> str:
        return self._run if self._slots == 1 else f"{self._run}-{slot}"


def _digest(key: StreamKey) -> str:
    symbols = "*" if key.symbols is None else ",".join(sorted(key.symbols))
    text = f"{key.period_ms} {symbols}"
    return blake2s(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
