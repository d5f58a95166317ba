"""The end of a pool in memory: workers that see their clients off, and those that do not."""

import pytest
from pools import GRACE, pools, report, still_alive
from relaying import wants
from test_reading import as_values, counted
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from tickstorm.emptying import HASTE
from tickstorm.workers.ending import LAST_GRACE
from tickstorm.workers.hiring import FIRST_WAIT, LONGEST_WAIT
from tickstorm.workers.link import Drain, Drained, Emission, Hasten, Join, Leaving
from tickstorm.workers.silence import SILENCE


@pytest.fixture(name="pool")
def make_pool():
    """Makes pools, and clears them away."""
    with pools() as make:
        yield make


@pytest.fixture(name="logged")
def keep_log():
    """What is said from a warning on, as text."""
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [formatEvent(each) for each in events if each["log_level"] >= LogLevel.warn]
    globalLogPublisher.removeObserver(events.append)


def test_a_drain_sees_everybody_off_and_is_over_when_the_last_worker_is(pool):
    one = pool()
    first, second = one.begin_all()
    over = one.drain()
    assert [worker.heard() for worker in (first, second)] == [[Drain(GRACE, 0.0)]] * 2
    first.say(Leaving(), Drained())
    first.die()
    assert (over, one.nursery.closed) == ([], False)
    second.die()
    assert (over, one.nursery.closed) == ([None], True)
    assert (one.reactor.getDelayedCalls(), one.reactor.readers) == ([], set())


def test_whoever_drains_it_hears_of_its_end(pool):
    one = pool()
    first, second = one.begin_all()
    over = [one.drain(), one.drain()]
    first.die()
    assert over == [[], []]
    second.die()
    assert over == [[None], [None]]
    assert (one.reactor.getDelayedCalls(), one.reactor.readers) == ([], set())


def test_who_hears_of_its_end_may_start_it_again(pool):
    one = pool()
    one.begin_all()
    one.pool.stop_accepting()
    over = one.pool.drain(GRACE, 0.0)
    over.addCallback(lambda _: one.pool.accept_from([one.port]))
    also = one.drain()
    for worker in one.hired[:2]:
        worker.die()
    assert (also, one.nurseries[0].closed, one.nursery.closed) == ([None], True, False)
    assert one.asked_for() == [1, 2, 1, 2]


def test_a_hub_that_breaks_down_at_its_end_keeps_nobody_waiting(pool, failures):
    one = pool()
    for worker in one.begin_all():
        worker.say(Join(1, wants(), 0))
    over = one.drain()
    one.hub.leave = one.hub.ticks.flush = broken
    for worker in one.hired:
        worker.die()
    assert (over, one.nursery.closed) == ([None], True)
    assert [str(failure) for failure in failures] == ["broken"] * 3
    del one.hub.leave, one.hub.ticks.flush
    failures.clear()


def broken(*_):
    raise ValueError("broken")


def test_what_was_collected_goes_out_before_it(pool):
    one = pool(batch_window=0.005)
    worker, _ = one.begin_all()
    worker.say(Join(1, wants(), 0))
    one.publish(1.5)
    worker.heard()
    one.drain()
    assert [type(message) for message in worker.heard()] == [Emission, Drain]


def test_while_it_lasts_nothing_is_handed_over(pool):
    one = pool()
    one.begin_all()
    one.pool.drain(GRACE, 0.0)
    one.connect(3)
    one.reactor.pass_time(1)
    assert [worker.take() for worker in one.hired] == [0, 0]


def test_who_does_not_end_in_time_is_ended(pool, logged):
    one = pool()
    first, second = one.begin_all()
    over = one.drain()
    first.die()
    one.reactor.pump([0.5] * int(2 * (GRACE + LAST_GRACE) - 1))
    assert not second.given_up
    one.reactor.advance(0.5)
    assert (second.given_up, one.ended) == (True, [second.pid])
    second.die()
    assert over == [None]
    assert logged() == ["worker 2 does not end by itself"]


def test_one_that_is_hastened_is_told_to_all_and_ends_who_hangs(pool, logged):
    one = pool()
    first, second = one.begin_all()
    one.pool.stop_accepting()
    over = []
    one.pool.drain(60.0, 48.0).addCallback(over.append)
    one.pool.hasten()
    told = [Drain(60.0, 48.0), Hasten()]
    assert [worker.heard() for worker in (first, second)] == [told] * 2
    first.die()
    one.reactor.pump([0.5] * int(2 * (HASTE + LAST_GRACE) - 1))
    assert not second.given_up
    one.reactor.advance(0.5)
    assert (second.given_up, over) == (True, [])
    second.die()
    assert over == [None]
    assert one.reactor.getDelayedCalls() == []


def test_there_is_nothing_to_hasten_without_a_drain(pool):
    one = pool()
    first, second = one.begin_all()
    one.pool.hasten()
    assert [worker.heard() for worker in (first, second)] == [[], []]


def test_so_is_who_hangs_while_the_others_have_time(pool):
    one = pool()
    first, second = one.begin_all()
    one.nursery.die()
    one.pool.stop_accepting()
    over = []
    one.pool.drain(10 * SILENCE, 0.0).addCallback(over.append)
    still_alive(one, SILENCE + 1, second)
    assert (first.given_up, second.given_up) == (True, False)
    for worker in (first, second):
        worker.die()
    assert (over, one.ended) == ([None], [first.pid])


def test_a_drain_without_any_worker_is_over_at_once(pool):
    one = pool()
    for worker in one.hired:
        worker.die()
    assert one.drain() == [None]
    assert one.nursery.closed


@pytest.mark.parametrize("seconds", [0.0, FIRST_WAIT, LONGEST_WAIT])
def test_nobody_comes_back_during_or_after_it(pool, seconds):
    one = pool()
    first, second = one.begin_all()
    first.die()
    over = one.drain()
    one.reactor.advance(seconds)
    second.die()
    one.nursery.die()
    one.reactor.advance(LONGEST_WAIT)
    assert (one.asked_for(), len(one.nurseries)) == ([1, 2], 1)
    assert over == [None]


def test_nor_does_a_nursery(pool):
    one = pool()
    one.begin_all()
    one.nursery.die()
    one.drain()
    one.reactor.advance(LONGEST_WAIT)
    assert len(one.nurseries) == 1


def test_after_it_another_start_is_as_the_first(pool):
    one = pool()
    for worker in one.begin_all():
        worker.say(report(1))
    one.drain()
    for worker in one.hired:
        worker.die()
    one.pool.accept_from([one.port])
    assert (one.asked_for(), len(one.nurseries)) == ([1, 2, 1, 2], 2)
    for worker in one.hired[2:]:
        worker.begin()
    one.connect(4)
    assert (one.at(1).take(), one.at(2).take()) == (2, 2)
    assert as_values(one.pool.read().metrics) == as_values(counted(2))
    assert [worker.restarts for worker in one.pool.workers()] == [0, 0]


def test_the_grace_is_named():
    assert LAST_GRACE == 2.0
