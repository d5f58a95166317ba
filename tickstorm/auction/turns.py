"""The order of answers: a connection hears of its bids as it sent them, however they are decided.

The bids of one read are a turn: one list, one write. Pure.
"""

from collections import deque
from collections.abc import Iterator

from tickstorm.auction.rule import Answer, Bid, Outcome
from tickstorm.auction.wire import result_frame


class Turn:
    """The bids of one read, and their answers as they come.

    Args:
        bids: in their order, at least one.

    Attributes:
        bids: as given.
        missing: how many have no answer yet.
    """

    __slots__ = ("_answers", "bids", "missing")

    def __init__(self, bids: list[Bid]) -> None:
        self.bids = bids
        self.missing = len(bids)
        self._answers: list[Answer | None] = [None] * self.missing

    def undecided(self) -> Iterator[int]:
        """Return the places of the bids that have no answer yet."""
        return (place for place, answer in enumerate(self._answers) if answer is None)

    def outcomes(self) -> Iterator[Outcome]:
        """Return what became of those that have an answer."""
        return (answer.outcome for answer in self._answers if answer is not None)

    def answer(self, place: int, answer: Answer) -> None:
        """Take the answer to one bid; only the first one counts."""
        if self._answers[place] is None:
            self._answers[place] = answer
            self.missing -= 1

    def results(self) -> list[bytes]:
        """Return the RESULTs of a turn that misses nothing."""
        return [
            result_frame(bid, answer)
            for bid, answer in zip(self.bids, self._answers, strict=True)
            if answer is not None
        ]


class Turns:
    """The turns of a connection that are not told yet.

    Attributes:
        untold: how many bids they have.
    """

    __slots__ = ("_turns", "untold")

    def __init__(self) -> None:
        self._turns: deque[Turn] = deque()
        self.untold = 0

    def add(self, turn: Turn) -> None:
        """Add the newest."""
        self._turns.append(turn)
        self.untold += len(turn.bids)

    def take(self) -> list[bytes]:
        """Return the RESULTs that can be told: up to the first turn that misses an answer."""
        turns, told = self._turns, []
        while turns and not turns[0].missing:
            turn = turns.popleft()
            self.untold -= len(turn.bids)
            told += turn.results()
        return told

    def clear(self) -> None:
        """Forget all: there is nobody left to tell."""
        self._turns.clear()
        self.untold = 0
