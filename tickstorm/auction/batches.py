"""What waits to be decided, by auction: at most one batch of each is asked for at a time. Pure.

What arrives while a batch is under way is the next one, so that batches are as large as the store
is slow, and the bids of an auction are decided in the order in which they came.
"""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from tickstorm.auction.rule import Answer, Bid
from tickstorm.auction.turns import Turn

_Owner = TypeVar("_Owner")


class Batch(NamedTuple):
    """Bids for one auction, to be decided together.

    Attributes:
        auction_id: that of each bid.
        bids: in the order in which they came; at least one.
        places: where the answer to each belongs.
    """

    auction_id: int
    bids: list[Bid]
    places: list[tuple[Turn, int]]


class Decided(NamedTuple, Generic[_Owner]):
    """A turn whose last answer has come.

    Attributes:
        owner: whose it is.
        bids: how many it has.
        since: when it came, as it was given.
    """

    owner: _Owner
    bids: int
    since: float


class Batches(Generic[_Owner]):
    """Takes turns in, gives batches out, and has the answers put where they belong.

    Args:
        limit: bids of a batch, at least 1.

    Attributes:
        in_flight: how many bids were taken that have no answer yet.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[int, Batch] = {}
        self._under_way: set[int] = set()
        self._turns: dict[Turn, tuple[_Owner, float]] = {}
        self.in_flight = 0

    @property
    def has_ready(self) -> bool:
        """Whether `take_ready` has something to return."""
        return any(id not in self._under_way for id in self._waiting)

    def add(self, owner: _Owner, turn: Turn, now: float) -> None:
        """Take the bids of a turn that have no answer yet; if it misses none, nothing happens."""
        if not turn.missing:
            return
        self.in_flight += turn.missing
        self._turns[turn] = owner, now
        bids, waiting = turn.bids, self._waiting
        for place in turn.undecided():
            bid = bids[place]
            auction_id = bid[0]
            batch = waiting.get(auction_id)
            if batch is None:
                batch = waiting[auction_id] = Batch(auction_id, [], [])
            batch[1].append(bid)
            batch[2].append((turn, place))

    def take_ready(self) -> list[Batch]:
        """Return a batch of each auction that has none under way, and bids that wait."""
        ready = [id for id in self._waiting if id not in self._under_way]
        self._under_way.update(ready)
        return [self._take(auction_id) for auction_id in ready]

    def answer(self, batch: Batch, answers: Sequence[Answer]) -> list[Decided[_Owner]]:
        """Put the answers to a batch where they belong; another of its auction may follow.

        Args:
            batch: as it was taken.
            answers: one to each of its bids.

        Returns:
            the turns that miss nothing any more.
        """
        self._under_way.discard(batch.auction_id)
        self.in_flight -= len(batch.bids)
        decided: list[Turn] = []
        for (turn, place), answer in zip(batch.places, answers, strict=True):
            turn.answer(place, answer)
            if not turn.missing:
                decided.append(turn)
        return [self._decided(turn) for turn in decided]

    def _take(self, auction_id: int) -> Batch:
        batch, limit = self._waiting[auction_id], self._limit
        if len(batch.bids) <= limit:
            del self._waiting[auction_id]
            return batch
        first = Batch(auction_id, batch.bids[:limit], batch.places[:limit])
        del batch.bids[:limit], batch.places[:limit]
        return first

    def _decided(self, turn: Turn) -> Decided[_Owner]:
        owner, since = self._turns.pop(turn)
        return Decided(owner, len(turn.bids), since)
