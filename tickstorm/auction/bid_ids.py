"""The bids that are remembered by their bid_id: the same one again gets its first answer. Pure.

What is forgotten does no harm to money: a bid that once led can't lead again, as the price is no
lower since. It only gets another answer then; the record of the auction has the first.
"""

from collections.abc import Hashable
from struct import Struct
from typing import NamedTuple

from tickstorm.auction.rule import Answer, Outcome, Standing

_ANSWER = Struct("=BQQIQQQQ")


class BidIdLimits(NamedTuple):
    """How long a bid is remembered.

    Attributes:
        keep_ms: for at least so long, and less than twice that, unless too many others follow.
        most: it takes so many others, at the least, before it is forgotten earlier.
    """

    keep_ms: int = 300_000
    most: int = 250_000


class BidIds:
    """Answers by bid, in a young and an old generation: to forget costs nothing for each.

    They are kept as bytes: that is less than half the memory, and nothing that the garbage
    collector goes through again and again, with everybody waiting meanwhile.

    Args:
        limits: how long, and how many.

    Attributes:
        forgotten_early: how many were forgotten before their time, as too many others followed.
    """

    __slots__ = ("_limits", "_old", "_since_ms", "_young", "forgotten_early")

    def __init__(self, limits: BidIdLimits = BidIdLimits()) -> None:
        self._limits = limits
        self._young: dict[Hashable, bytes] = {}
        self._old: dict[Hashable, bytes] = {}
        self._since_ms = 0
        self.forgotten_early = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def expire(self, now_ms: int) -> None:
        """Forget those whose time is over."""
        age_ms = now_ms - self._since_ms
        if age_ms < self._limits.keep_ms:
            return
        self._old = self._young if age_ms < 2 * self._limits.keep_ms else {}
        self._young = {}
        self._since_ms = now_ms

    def answer(self, bid: Hashable) -> Answer | None:
        """Return the answer that a bid had; None if it is not known."""
        packed = self._young.get(bid) or self._old.get(bid)
        return None if packed is None else _unpacked(packed)

    def note(self, bid: Hashable, answer: Answer, now_ms: int) -> None:
        """Remember the answer to a bid."""
        if len(self._young) >= self._limits.most:
            self.forgotten_early += len(self._old)
            self._old, self._young = self._young, {}
            self._since_ms = now_ms
        outcome, cents, standing, retry_after_ms = answer
        self._young[bid] = _ANSWER.pack(outcome, cents, *standing, retry_after_ms)


def _unpacked(packed: bytes) -> Answer:
    outcome, cents, *standing, retry_after_ms = _ANSWER.unpack(packed)
    return Answer(Outcome(outcome), cents, Standing(*standing), retry_after_ms)
