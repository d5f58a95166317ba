"""Fifo: oldest first, and always as long as what is in it."""

from tickstorm.fifo import Fifo


def test_one_that_nothing_was_added_to_has_nothing_of_its_own():
    one, other, emptied = Fifo(), Fifo(), Fifo()
    emptied.append(b"a")
    emptied.clear()
    assert one._items is other._items is emptied._items
    one.append(b"b")
    assert (list(one), list(other), list(emptied)) == ([b"b"], [], [])


def test_a_fifo_knows_how_long_it_is():
    fifo = Fifo()
    for item in (b"a", b"bb", b"ccc"):
        fifo.append(item)
    assert (len(fifo), fifo.length, list(reversed(fifo))) == (3, 6, [b"ccc", b"bb", b"a"])
    assert (fifo.first, fifo.last) == (b"a", b"ccc")
    assert (fifo.popleft(), fifo.take(4), fifo.length) == (b"a", [b"bb"], 3)
    fifo.clear()
    assert (list(fifo), fifo.length, fifo.take(9)) == ([], 0, [])
