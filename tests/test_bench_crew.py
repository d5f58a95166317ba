"""crew: what its processes tell, and when there is nothing more to wait for."""

from multiprocessing import Pipe

import pytest

from tickstorm.bench.crew import Member
from tickstorm.bench.jobs import Progress, Stop, together
from tickstorm.bench.tally import Tally


@pytest.fixture(name="pair")
def make_pair():
    """A member without a process, and the other end of its pipe."""
    ours, theirs = Pipe()
    with ours, theirs:
        yield Member(None, ours), theirs


def test_one_without_connections_ends_nothing_while_another_has_some():
    ready, deserted = Progress(5, 1, ready=True), Progress(5, 0, ready=True, deserted=True)
    assert together([ready, deserted]) == Progress(10, 1, ready=True, deserted=False)
    assert together([deserted, deserted]) == Progress(10, 0, ready=True, deserted=True)
    assert together([ready, Progress(3, 0, ready=False)]) == Progress(8, 1, ready=False)


def test_what_a_member_tells(pair):
    member, there = pair
    assert member.progress == Progress(0, 0, ready=False)
    there.send(Progress(5, 0, ready=True))
    member.hear()
    assert (member.progress, member.gone) == (Progress(5, 0, ready=True), False)
    there.send(Tally(subscribed=5))
    member.hear()
    assert (member.tally, member.gone) == (Tally(subscribed=5), True)
    assert member.progress == Progress(5, 0, ready=True, deserted=True)


def test_nothing_is_awaited_of_one_that_died(pair):
    member, there = pair
    there.send(Progress(3, 0, ready=False))
    member.hear()
    there.close()
    member.hear()
    assert (member.gone, member.tally) == (True, None)
    assert member.progress == Progress(3, 0, ready=True, deserted=True)
    member.tell(Stop())
