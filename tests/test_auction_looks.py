"""Looks: how many are under way, and in which order."""

from functools import partial

from twisted.internet.defer import Deferred, succeed

from tickstorm.auction.looks import Looks


class Store:
    """Is asked, and answers when it is told to."""

    def __init__(self):
        self.asked = {}

    def look(self, name):
        self.asked[name] = Deferred()
        return self.asked[name]

    def answer(self, name):
        self.asked.pop(name).callback(None)


def test_only_some_are_under_way_and_the_others_follow_in_their_order():
    store, looks = Store(), Looks(at_once=2)
    for name in "abcde":
        looks.take(partial(store.look, name))
    assert list(store.asked) == ["a", "b"]
    store.answer("b")
    assert list(store.asked) == ["a", "c"]
    store.answer("a")
    store.answer("c")
    assert list(store.asked) == ["d", "e"]
    store.answer("e")
    store.answer("d")
    looks.take(partial(store.look, "f"))
    assert list(store.asked) == ["f"]


def test_many_that_are_over_at_once_go_no_deeper_than_one():
    store, looks, count = Store(), Looks(at_once=1), []
    looks.take(partial(store.look, "first"))
    for number in range(10_000):
        looks.take(lambda number=number: count.append(number) or succeed(None))
    assert count == []
    store.answer("first")
    assert count == list(range(10_000))


def test_one_that_breaks_is_not_waited_for():
    store, looks = Store(), Looks(at_once=1)
    looks.take(partial(store.look, "first"))
    looks.take(partial(store.look, "second"))
    store.asked.pop("first").errback(RuntimeError("broken"))
    assert list(store.asked) == ["second"]
