"""When a recording's ticks are due."""

from math import inf

import pytest

from tickstorm.errors import SourceError
from tickstorm.sources.playback import Playback
from tickstorm.ticks import Tick


def tick(second, symbol="A"):
    return Tick(symbol, 1.0, 0.0, round((1_000 + second) * 1e9))


def playback(ticks, speed=1.0, began=50.0):
    return Playback((tick for tick in ticks), speed, began)


@pytest.mark.parametrize(
    ("speed", "due"),
    [
        (1.0, [50.0, 50.0, 52.0, 53.5]),
        (2.0, [50.0, 50.0, 51.0, 51.75]),
        (0.5, [50.0, 50.0, 54.0, 57.0]),
        (inf, [50.0, 50.0, 50.0, 50.0]),
    ],
)
def test_ticks_are_due_at_their_distance_from_the_first(speed, due):
    pass_over = playback([tick(0), tick(0), tick(2), tick(3.5)], speed)
    seen = []
    while pass_over.due_at < inf:
        seen.append(pass_over.due_at)
        assert len(pass_over.take(1000, most=1)) == 1
    assert seen == due


def test_only_what_is_due_is_taken_and_no_more_than_asked_for():
    ticks = [tick(0), tick(0, "B"), tick(1), tick(1, "B"), tick(2)]
    pass_over = playback(ticks)
    assert pass_over.take(49.9, 10) == []
    assert pass_over.take(50.0, 10) == ticks[:2]
    assert pass_over.take(51.5, 1) == ticks[2:3]
    assert pass_over.take(51.5, 10) == ticks[3:4]
    assert pass_over.take(99, 10) == ticks[4:]
    assert (pass_over.take(99, 10), pass_over.due_at, pass_over.error) == ([], inf, None)


def test_one_tick_is_read_ahead():
    read = []

    def reading():
        for second in range(5):
            read.append(second)
            yield tick(second)

    pass_over = Playback(reading(), 1.0, 0.0)
    assert read == [0]
    pass_over.take(1.0, 10)
    assert read == [0, 1, 2]


def test_an_error_comes_after_what_is_before_it():
    def failing():
        yield tick(0)
        yield tick(1)
        raise SourceError("line 4")

    pass_over = Playback(failing(), 1.0, 0.0)
    assert pass_over.error is None
    assert pass_over.take(10, 10) == [tick(0), tick(1)]
    assert (str(pass_over.error), pass_over.due_at) == ("line 4", inf)


def test_nothing_comes_once_it_is_closed():
    closed = []

    def closing():
        try:
            yield tick(0)
            yield tick(1)
        finally:
            closed.append(True)

    pass_over = Playback(closing(), 1.0, 0.0)
    pass_over.close()
    assert (pass_over.take(10, 10), pass_over.due_at, closed) == ([], inf, [True])
