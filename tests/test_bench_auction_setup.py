"""auction_setup: which auctions are created, and which were there."""

from tickstorm.bench.auction_setup import create_missing


class Page:
    """An operators' page with some auctions."""

    def __init__(self, *ids):
        self.ids = set(ids)
        self.asked = 0

    def ask(self, path, method, query):
        self.asked += 1
        assert path == "/auctions"
        if method == "POST":
            assert query["closes_ms"] == 77
            self.ids.add(query["id"])
            return {}
        ids = sorted(id for id in self.ids if id > query["after"])
        return {"auctions": [{"id": id} for id in ids[: query["limit"]]]}


def test_only_those_that_are_missing_are_created():
    page = Page(1, 2, 5, 9)
    create_missing(range(2, 7), 77, page.ask)
    assert (page.ids, page.asked) == ({1, 2, 3, 4, 5, 6, 9}, 1 + 3)


def test_a_long_list_is_asked_for_in_parts():
    page = Page(1, 2, 3, 4, 5, 6, 7)
    create_missing((4, 5, 6), 77, page.ask, at_a_time=2)
    assert (page.ids, page.asked) == (set(range(1, 8)), 2)
