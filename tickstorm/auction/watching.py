"""Who watches which auction, and what each still has to hear. Pure.

A watcher never hears of a sequence that is not above the one before, unless that is in doubt, and
one that does not read only of the newest.
"""

from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar

from tickstorm.auction.life import Auction

_Watcher = TypeVar("_Watcher")


class Moved(NamedTuple, Generic[_Watcher]):
    """An auction that has a new leader, and who is to hear of it."""

    auction: Auction
    watchers: list[_Watcher]


class _Watched(Generic[_Watcher]):
    # Those that wait for the first word are known from their request on: what moves meanwhile is
    # not to be missed.

    __slots__ = ("expecting", "newest", "told")

    def __init__(self) -> None:
        self.newest: Auction | None = None
        self.expecting: dict[_Watcher, None] = {}
        self.told: dict[_Watcher, int] = {}  # up to which sequence

    def is_older_than(self, auction: Auction) -> bool:
        newest = self.newest
        return newest is None or newest.standing.sequence < auction.standing.sequence

    def doubt(self) -> None:
        self.newest = None
        self.told = dict.fromkeys(self.told, -1)

    def tell(self, watcher: _Watcher) -> Auction | None:
        if self.newest is not None:
            self.told[watcher] = self.newest.standing.sequence
        return self.newest

    def tell_all(self, auction: Auction) -> list[_Watcher]:
        sequence = auction.standing.sequence
        behind = [watcher for watcher, told in self.told.items() if told < sequence]
        self.told.update(dict.fromkeys(behind, sequence))
        return behind

    def remove(self, watcher: _Watcher) -> None:
        self.expecting.pop(watcher, None)
        self.told.pop(watcher, None)


class Watching(Generic[_Watcher]):
    """Knows who watches.

    Attributes:
        conflated: how often a newer leader took the place of one that was not heard of.
    """

    def __init__(self) -> None:
        self._watched: dict[int, _Watched[_Watcher]] = {}
        self._auctions_of: dict[_Watcher, set[int]] = {}
        self._late: dict[_Watcher, dict[int, None]] = {}
        self._moved: dict[int, None] = {}
        self.conflated = 0

    def __len__(self) -> int:
        """How many watch something."""
        return len(self._auctions_of)

    @property
    def auctions(self) -> Collection[int]:
        """Those that are watched."""
        return self._watched.keys()

    def again(self, watcher: _Watcher, auction_id: int) -> Auction | None:
        """Have somebody hear of an auction that it watches already; None if it does not."""
        watched = self._watched.get(auction_id)
        if watched is None or watcher not in watched.told:
            return None
        self._late.get(watcher, {}).pop(auction_id, None)
        return watched.tell(watcher)

    def expect(self, watcher: _Watcher, auction_id: int) -> bool:
        """Have somebody wait for the first word of an auction; False if it waits already."""
        watched = self._watched.setdefault(auction_id, _Watched())
        if watcher in watched.expecting:
            return False
        watched.expecting[watcher] = None
        self._auctions_of.setdefault(watcher, set()).add(auction_id)
        return True

    def begin(self, watcher: _Watcher, auction: Auction) -> Auction | None:
        """Have who waited watch an auction as it was read, and return the newest of it.

        None if it waits no more.
        """
        watched = self._watched.get(auction.id)
        if watched is None or watcher not in watched.expecting:
            return None
        del watched.expecting[watcher]
        if watched.is_older_than(auction):
            watched.newest = auction
        return watched.tell(watcher)

    def stop(self, watcher: _Watcher, auction_id: int) -> bool:
        """Have somebody watch an auction no more; whether it did, or waited to."""
        auctions = self._auctions_of.get(watcher)
        if auctions is None or auction_id not in auctions:
            return False
        self._remove(watcher, auction_id)
        auctions.discard(auction_id)
        if not auctions:
            del self._auctions_of[watcher]
        self._late.get(watcher, {}).pop(auction_id, None)
        return True

    def leave(self, watcher: _Watcher) -> list[int]:
        """Forget a watcher, and return the auctions that nobody watches any more."""
        auctions = self._auctions_of.pop(watcher, ())
        for auction_id in auctions:
            self._remove(watcher, auction_id)
        self._late.pop(watcher, None)
        return [auction_id for auction_id in auctions if auction_id not in self._watched]

    def note(self, auction: Auction) -> bool:
        """Take note of how an auction stands; whether anybody watches it."""
        watched = self._watched.get(auction.id)
        if watched is None:
            return False
        if watched.newest is None or watched.is_older_than(auction):
            watched.newest = auction
            self._moved[auction.id] = None
        elif not auction.standing.sequence < watched.newest.standing.sequence:
            watched.newest = auction  # nobody else leads: only its close has moved
        return True

    def doubt(self) -> None:
        """Have everybody hear once more of all they watch, whatever is noted of it next.

        A store that has lost its last steps tells of lower sequences than before.
        """
        for watched in self._watched.values():
            watched.doubt()

    def take_moved(self) -> list[Moved[_Watcher]]:
        """Have those hear of auctions who have not heard of their newest leaders."""
        moved, self._moved = self._moved, {}
        found = []
        for watched in map(self._watched.get, moved):
            if watched is None or watched.newest is None:
                continue
            behind = watched.tell_all(watched.newest)
            if behind:
                found.append(Moved(watched.newest, behind))
        return found

    def end(self, auction_id: int) -> list[_Watcher]:
        """Forget an auction, and return who has watched it, or waited to."""
        watched = self._watched.get(auction_id)
        if watched is None:
            return []
        watchers = [*watched.told, *watched.expecting]
        for watcher in watchers:
            self.stop(watcher, auction_id)
        return watchers

    def put_off(self, watcher: _Watcher, auction_id: int) -> None:
        """Have a watcher that does not read hear of an auction later."""
        late = self._late.setdefault(watcher, {})
        self.conflated += auction_id in late
        late[auction_id] = None

    def take_late(self, watcher: _Watcher) -> list[Auction]:
        """Return what a watcher that reads again is to hear."""
        late = self._late.pop(watcher, {})
        heard = [self.again(watcher, auction_id) for auction_id in late]
        return [auction for auction in heard if auction is not None]

    def _remove(self, watcher: _Watcher, auction_id: int) -> None:
        watched = self._watched[auction_id]
        watched.remove(watcher)
        if not watched.told and not watched.expecting:
            del self._watched[auction_id]
