"""The pool in memory: what it makes of losses, how each is told, and that it always tries again."""

import errno
import os

import pytest
from conversation import START
from pools import GRACE, pools, report, still_alive
from relaying import wants
from twisted.logger import formatEvent, globalLogPublisher

from tickstorm.heartbeat import SWEEP_INTERVAL
from tickstorm.workers.handover import PortKind
from tickstorm.workers.hiring import FIRST_WAIT, LONGEST_WAIT, next_wait
from tickstorm.workers.link import (
    AtAddress,
    AtAddresses,
    Drained,
    Join,
    Leaving,
    Load,
)
from tickstorm.workers.link_end import LIMITS, STALL
from tickstorm.workers.silence import SILENCE
from tickstorm.workers.spec import Ended, Unborn

NO_ROOM = OSError(errno.EMFILE, "Too many open files")


@pytest.fixture(name="pool")
def make_pool():
    """Makes pools, and clears them away."""
    with pools() as make:
        yield make


@pytest.fixture(name="logged")
def keep_log():
    """What is said, but for who serves, as level and text."""
    events = []
    globalLogPublisher.addObserver(events.append)

    def said():
        lines = [(event["log_level"].name, formatEvent(event)) for event in events]
        events.clear()
        return [(level, text) for level, text in lines if not text.endswith(" serves")]

    yield said
    globalLogPublisher.removeObserver(events.append)


def restarts(one):
    return [worker.restarts for worker in one.pool.workers()]


def test_one_whose_streams_cannot_be_left_is_replaced_all_the_same(pool, logged, failures):
    one = pool()
    first, second = one.begin_all()
    first.say(Join(1, wants(), 0), AtAddress("10.0.0.1", 2))
    second.heard()

    def leave(*_):
        raise ValueError("broken")

    one.hub.leave = leave
    first.die()
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()
    assert second.heard() == [AtAddresses({"10.0.0.1": -2})]
    one.reactor.advance(FIRST_WAIT)
    assert (one.asked_for(), restarts(one)) == ([1, 2, 1], [1, 0])
    assert logged()[0] == ("critical", "something is left of worker 1")


# How a loss is told.


@pytest.mark.parametrize(
    ("status", "how"), [(-9, "killed by signal 9"), (1, "exit code 1"), (0, "exit code 0")]
)
@pytest.mark.parametrize("told_first", [True, False])
def test_a_loss_is_told_with_how_its_process_ended(pool, logged, status, how, told_first):
    one = pool()
    first, second = one.begin_all()
    still_alive(one, 2, first, second)
    if told_first:
        one.nursery.tell(Ended(first.pid, status))
        first.die()
    else:
        first.die()
        assert logged() == []
        one.nursery.tell(Ended(first.pid, status))
    text = f"worker 1, process {first.pid}, is gone after 2.0 s: {how}"
    assert logged() == [("error", text)]
    one.reactor.advance(FIRST_WAIT)
    assert (logged(), one.ended, restarts(one)) == ([], [], [1, 0])


def test_one_whose_end_is_not_told_soon_is_ended(pool, logged):
    one = pool()
    first, _ = one.begin_all()
    first.die()
    one.reactor.advance(0.9 * FIRST_WAIT)
    assert one.ended == []
    one.reactor.advance(0.2 * FIRST_WAIT)
    assert one.ended == [first.pid]
    ((level, text),) = logged()
    assert (level, "is gone after 0.0 s" in text) == ("error", True)
    one.nursery.tell(Ended(first.pid, -9))  # that was the pool itself
    assert logged() == []


def test_the_next_process_of_the_same_id_is_another(pool, logged):
    one = pool()
    one.at(1).begin(pid=71).die()
    one.reactor.pump([FIRST_WAIT] * 2)
    assert one.ended == [71]  # it was gone already, and nothing is told of it
    logged()
    one.at(1).begin(pid=71)
    one.nursery.tell(Ended(71, -9))
    one.at(1).die()
    assert logged() == [("error", "worker 1, process 71, is gone after 0.1 s: killed by signal 9")]


def test_one_that_was_born_and_ended_within_moments_is_told_as_what_it_was(pool, logged):
    one = pool()
    one.at(1).die()
    one.nursery.tell_of_birth(1, 71)
    one.nursery.tell(Ended(71, 1))
    assert logged() == [("error", "worker 1, process 71, is gone after 0.0 s: exit code 1")]


def test_one_that_was_given_up_is_told_as_that_and_ended_at_once(pool, logged):
    one = pool()
    silent, other = one.begin_all()
    still_alive(one, SILENCE + SWEEP_INTERVAL, other)
    silent.die()
    assert one.ended == [silent.pid]
    one.nursery.tell(Ended(silent.pid, -9))
    assert logged() == [
        ("error", "worker 1 says nothing any more"),
        (
            "error",
            f"worker 1, process {silent.pid}, is gone after {SILENCE + SWEEP_INTERVAL:.1f} s: "
            "it says nothing any more",
        ),
    ]


def test_one_that_was_told_to_end_and_has_is_no_loss(pool, logged):
    one = pool()
    first, second = one.begin_all()
    still_alive(one, 3, first, second)
    first.say(Leaving(), Drained())
    first.die()
    one.nursery.tell(Ended(first.pid, 0))
    text = f"worker 1, process {first.pid}, is gone after 3.0 s: it was told to end"
    assert (logged(), restarts(one)) == ([("info", text)], [0, 0])
    one.reactor.advance(FIRST_WAIT)
    assert (one.asked_for(), one.ended) == ([1, 2, 1], [])


def test_one_that_was_told_to_end_and_died_meanwhile_is(pool):
    one = pool()
    first, _ = one.begin_all()
    first.say(Leaving())
    first.die()
    one.nursery.tell(Ended(first.pid, -11))
    assert restarts(one) == [1, 0]


# While the server stops.


def test_from_the_stop_on_nobody_who_ends_is_a_loss(pool, logged):
    one = pool()
    first, second = one.begin_all()
    one.pool.stop_accepting()  # sources are being stopped, which takes time
    for worker in (first, second):
        worker.say(Leaving(), Drained())
        worker.die()
        one.nursery.tell(Ended(worker.pid, 0))
    one.reactor.pump([1.0] * 3)
    assert (logged(), restarts(one), one.asked_for()) == ([], [0, 0], [1, 2])
    over = []
    one.pool.drain(GRACE, 0.0).addCallback(over.append)
    assert over == [None]


def test_a_loss_before_it_is_told_and_not_replaced(pool, logged):
    one = pool()
    first, _ = one.begin_all()
    first.die()
    one.pool.stop_accepting()
    assert [level for level, _ in logged()] == ["error"]
    assert one.ended == [first.pid]
    one.reactor.advance(LONGEST_WAIT)
    assert one.asked_for() == [1, 2]


# This process hangs.


def test_what_this_process_has_slept_through_is_no_silence(pool):
    one = pool()
    workers = one.begin_all()
    still_alive(one, 3, *workers)
    one.reactor.advance(10 * SILENCE)
    assert [worker.given_up for worker in workers] == [False, False]
    workers[0].say(report(0))  # it was written long ago
    still_alive(one, SILENCE - 2 * SWEEP_INTERVAL, workers[0])
    assert [worker.given_up for worker in workers] == [False, False]
    still_alive(one, SWEEP_INTERVAL, workers[0])
    assert [worker.given_up for worker in workers] == [False, True]


def test_nor_is_it_time_that_a_worker_had_for_reading(pool):
    one = pool(100)
    worker = one.at(1).begin()
    worker.say(Join(1, wants(), 0))
    worker.far.client.transport.producer.pauseProducing()
    one.publish(1.5)
    one.reactor.advance(LIMITS.write_deadline + STALL + 2)
    assert not worker.given_up
    still_alive(one, 1, worker)  # what was queued could be written meanwhile, and was not
    assert worker.given_up


# Workers that cannot be had.


def test_one_that_could_not_be_forked_is_told_and_asked_for_again(pool, logged):
    one = pool()
    one.at(2).begin()
    one.nursery.tell(Unborn(1, "Cannot allocate memory"))
    one.at(1).die()
    text = "is gone after 0.0 s: it could not begin: Cannot allocate memory"
    assert logged() == [("error", f"worker 1, process 0, {text}")]
    one.reactor.advance(FIRST_WAIT)
    one.at(1).die()
    one.nursery.tell(Unborn(1, "Cannot allocate memory"))
    assert logged() == [("error", f"worker 1, process 0, {text}")]
    one.reactor.advance(FIRST_WAIT)
    assert one.asked_for() == [1, 2, 1]
    one.reactor.advance(FIRST_WAIT)
    assert one.asked_for() == [1, 2, 1, 1]


def test_where_a_link_cannot_be_had_it_is_tried_again(pool, logged):
    one = pool()
    first, second = one.begin_all()
    first.die()
    one.nursery.tell(Ended(first.pid, -9))
    logged()
    one.reactor.refusal = NO_ROOM
    for wait in (0.1, 0.2, 0.4, 0.8):
        still_alive(one, wait, second, step=wait)
        text = "worker 1 cannot be had now: [Errno 24] Too many open files"
        assert logged() == [("error", text)]
    one.reactor.refusal = None
    asked = len(one.hired)
    one.reactor.advance(1.6)
    assert [hired.spec.number for hired in one.hired[asked:]] == [1]
    assert one.at(1).begin().take() == 0


def test_nothing_is_left_open_of_one_that_cannot_be_had(pool):
    one = pool(100)
    one.at(1).begin().die()
    one.nursery.refuses = True
    before = os.listdir("/proc/self/fd")
    one.reactor.advance(FIRST_WAIT)
    assert os.listdir("/proc/self/fd") == before


def test_who_comes_is_turned_away_when_the_missing_one_is_not_to_be_had(pool):
    one = pool(1, 1)
    first, second = one.begin_all()
    one.connect(2)
    for worker in (first, second):
        worker.take()
        worker.say(Load(1, 1))
    one.nursery.refuses = True
    second.die()
    one.connect()
    assert first.take() == 0  # another is on its way
    for wait in (0.1, 0.2, 0.4):
        still_alive(one, wait, first, step=wait)
    assert one.reactor.readers == set()
    still_alive(one, 0.8, first, step=0.8)  # the next one is due in 1.6 s
    one.reactor.turn()
    assert first.take() == 1


def test_so_is_who_comes_while_the_missing_one_dies_again_and_again(pool):
    one = pool(1, 1)
    first, _ = one.begin_all()
    one.connect(2)
    first.take()
    first.say(Load(1, 1))
    for wait in (0.1, 0.2, 0.4, 0.8):
        one.at(2).die()
        one.reactor.turn()
        assert one.reactor.readers == set()
        still_alive(one, wait, first, step=wait)
    one.at(2).die()
    one.connect()
    assert first.take() == 1


# Nurseries.


class Unwilling:
    """Starts a nursery only now and then."""

    def __init__(self, one):
        self.one = one
        self.refusals = 0
        self.tried_at = []

    def __call__(self, *arguments):
        self.tried_at.append(self.one.reactor.seconds() - START)
        if self.refusals:
            self.refusals -= 1
            raise NO_ROOM
        return self.one._make_nursery(*arguments)


@pytest.fixture(name="unwilling")
def make_unwilling(pool):
    one = pool()
    unwilling = Unwilling(one)
    one.pool._hiring._make_nursery = unwilling
    return unwilling


def test_one_that_cannot_be_started_is_tried_again_ever_more_slowly(unwilling, logged):
    one = unwilling.one
    workers = one.begin_all()
    unwilling.refusals = 4
    one.nursery.die()
    for _ in range(40):
        still_alive(one, 0.1, *workers, step=0.1)
    assert unwilling.tried_at == pytest.approx([0.1, 0.3, 0.7, 1.5, 3.1])
    assert logged() == [
        ("error", "the nursery of the workers is gone: starting another"),
        *[("error", "no nursery of workers can be started: [Errno 24] Too many open files")] * 4,
    ]
    assert len(one.nurseries) == 2
    workers[0].die()
    one.reactor.advance(FIRST_WAIT)
    assert one.asked_for() == [1, 2, 1]


def test_so_is_one_that_ends_as_soon_as_it_is_started(unwilling):
    one = unwilling.one
    workers = one.begin_all()
    for _ in range(40):
        if one.nursery.there:
            one.nursery.die()
        still_alive(one, 0.1, *workers, step=0.1)
    assert unwilling.tried_at == pytest.approx([0.1, 0.3, 0.7, 1.5, 3.1])


def test_none_is_started_while_the_server_stops(unwilling):
    one = unwilling.one
    one.begin_all()
    one.nursery.die()
    one.pool.stop_accepting()
    one.reactor.advance(LONGEST_WAIT)
    assert unwilling.tried_at == []


@pytest.mark.parametrize(
    ("wait", "lived", "then"),
    [
        (0.0, 0.0, 0.1),
        (0.1, 5.0, 0.2),
        (20.0, 30.0, 30.0),
        (30.0, 0.0, 30.0),
        (30.0, 30.1, 0.1),
    ],
)
def test_waits(wait, lived, then):
    assert next_wait(wait, lived) == then


# How many from one address.


def test_the_addresses_of_a_loss_are_one_message_however_many_they_are(pool):
    one = pool(30, 30, 30)
    first, second, third = one.begin_all()
    addresses = [f"10.0.{number >> 8}.{number & 255}" for number in range(1000)]
    first.say(*[AtAddress(address, 1) for address in addresses], AtAddress(addresses[0], 1))
    for worker in (second, third):
        worker.heard()
    first.die()
    gone = dict.fromkeys(addresses, -1) | {addresses[0]: -2}
    assert [worker.heard() for worker in (second, third)] == [[AtAddresses(gone)]] * 2


def test_where_none_are_counted_nobody_is_told(pool):
    one = pool()
    first, second = one.begin_all()
    first.die()
    assert second.heard() == []


def test_an_address_that_nobody_comes_from_any_more_is_forgotten(pool):
    one = pool()
    first, second = one.begin_all()
    first.say(AtAddress("a", 1), AtAddress("b", 1), AtAddress("a", -1))
    second.die()
    one.reactor.advance(FIRST_WAIT)
    assert one.at(2).spec.elsewhere == {PortKind.SUBSCRIBERS: {"b": 1}}


def test_a_place_that_is_lost_again_before_the_first_loss_is_explained_holds_no_process(pool):
    one = pool(100)
    one.nursery.die()
    one.reactor.pass_time(0.05, step=0.02)
    one.reactor.advance(0.05)
    first = one.hired[0].begin()
    first.die()
    one.reactor.advance(0.05)
    assert first.process.held
    one.hired[-1].die()
    assert not first.process.held
