"""auction_setup: which auctions are created, and which were there."""

from types import SimpleNamespace

from tickstorm.bench.auction_setup import create_missing


class Auctions:
    """A server's auctions."""

    def __init__(self, *ids):
        self.ids = set(ids)
        self.asked = 0

    def create(self, *, closes_ms, id):
        self.asked += 1
        assert closes_ms == 77
        self.ids.add(id)

    def list(self, after, limit):
        self.asked += 1
        return [SimpleNamespace(id=id) for id in sorted(self.ids) if id > after][:limit]


def test_only_those_that_are_missing_are_created():
    auctions = Auctions(1, 2, 5, 9)
    create_missing(range(2, 7), 77, auctions)
    assert (auctions.ids, auctions.asked) == ({1, 2, 3, 4, 5, 6, 9}, 1 + 3)


def test_a_long_list_is_asked_for_in_parts():
    auctions = Auctions(1, 2, 3, 4, 5, 6, 7)
    create_missing((4, 5, 6), 77, auctions, at_a_time=2)
    assert (auctions.ids, auctions.asked) == (set(range(1, 8)), 2)
