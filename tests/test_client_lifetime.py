"""The life of a client: it ends once, with what was given as the reason first."""

import pytest

from tickstorm.client.lifetime import CloseLimits, Lifetime
from tickstorm.errors import TickstormError


class Desk:
    """A client with nothing but its life; its work is told of each end."""

    def __init__(self, on_event=lambda event: None):
        self.idle = True
        self.ends = []
        self.closed = 0
        self.life = Lifetime(None, self, self, on_event, CloseLimits(5.0, RuntimeError))

    def end(self, error):
        self.ends.append(error)

    def close(self):
        self.closed += 1


def test_the_first_reason_is_the_one_that_is_raised():
    desk = Desk()
    desk.life.check()
    first, second = KeyError("first"), KeyError("second")
    desk.life.refuse(first)
    desk.life.end(second)
    for _ in range(2):
        with pytest.raises(KeyError) as raised:
            desk.life.check()
        assert raised.value is first
        assert len(raised.traceback) == 2  # not one longer each time
    assert desk.ends == [second]


def test_what_on_event_raises_ends_all_and_the_line():
    def fail(event):
        raise LookupError(event)

    desk = Desk(fail)
    desk.life.tell("hello")
    (ended,) = desk.ends
    assert isinstance(ended, TickstormError)
    assert isinstance(ended.__cause__, LookupError)
    assert desk.closed == 1
    with pytest.raises(TickstormError):
        desk.life.check()
