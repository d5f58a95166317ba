"""The store in memory: what every store promises, and what becomes of a follower that fails."""

import auction_store_suite as suite
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from tickstorm.auction.book import Book, BookLimits
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.rule import Bid, Outcome

START_MS = 1_700_000_000_000


class Time:
    """A clock that cases can move on."""

    def __init__(self):
        self._clock = Clock()

    def now_ms(self):
        return START_MS + round(self._clock.seconds() * 1000)

    def until(self, now_ms):
        self._clock.advance(max(0, now_ms - self.now_ms()) / 1000)
        return succeed(None)


def make_place():
    time = Time()
    store = MemoryStore(Book(BookLimits(entries=100_000)), time.now_ms)
    return suite.Place([store], time.until, lambda: succeed(None))


def result(coroutine):
    """What a coroutine comes to at once."""
    ended = []
    Deferred.fromCoroutine(coroutine).addBoth(ended.append)
    (end,) = ended
    if hasattr(end, "raiseException"):
        end.raiseException()
    return end


@pytest.mark.parametrize("case", suite.CASES, ids=lambda case: case.__name__)
def test_what_every_store_promises(case):
    result(case(make_place()))


def test_a_follower_that_fails_costs_nobody_an_answer(failures):
    place = make_place()

    class Failing(suite.Follower):
        def moved(self, auction):
            raise RuntimeError("broken")

    other = suite.Follower()
    place.store.follow(Failing())
    place.store.follow(other)

    async def conversation():
        auction = await place.store.create(place.terms())
        (answer,) = await place.store.bid(auction.id, [Bid(auction.id, 7, 500)])
        return answer

    assert result(conversation()).outcome is Outcome.ACCEPTED
    assert len(other.told) == 2
    assert [str(failure) for failure in failures] == ["broken", "broken"]
    failures.clear()
