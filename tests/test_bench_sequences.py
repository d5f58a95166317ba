"""sequences: which number is ahead, also over the wrap."""

from tickstorm.bench.sequences import ahead, newest

LAST = 2**32 - 1


def test_ahead():
    assert (ahead(5, 3), ahead(3, 5), ahead(3, 3)) == (2, 0, 0)
    assert (ahead(1, LAST), ahead(LAST, 1)) == (2, 0)


def test_the_newest():
    assert newest([3, 5, 4]) == 5
    assert newest([LAST, 2, LAST - 1]) == 2
    assert (newest([0, 3, 0]), newest([LAST])) == (3, LAST)
    assert newest([0]) == newest([]) == 0
