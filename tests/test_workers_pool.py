"""The pool in memory: workers that come, go and come back, and what they are told meanwhile."""

from dataclasses import replace

import pytest
from conversation import USER
from places import is_closed
from pools import pools, report, still_alive
from relaying import wants
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from tickstorm.credentials import SharedCredentials
from tickstorm.publishing import Accepted, Publication, Publisher, read_right
from tickstorm.serving import WorkerReading
from tickstorm.ticks import Tick
from tickstorm.workers.handover import PortKind
from tickstorm.workers.hiring import FIRST_WAIT, LONGEST_WAIT
from tickstorm.workers.link import (
    AtAddress,
    AtAddresses,
    Drained,
    Emission,
    Join,
    Leaving,
    Load,
    Placed,
    PublishAnswered,
    PublishAsked,
    Reload,
)
from tickstorm.workers.link_end import LIMITS
from tickstorm.workers.silence import BUSY, IDLE, SILENCE
from tickstorm.workers.spec import Ended, WorkerSpec


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


# Workers that come.


def test_every_place_is_asked_for_a_worker_with_all_that_it_needs(pool):
    one = pool(60, 40, slots=500)
    assert [hired.spec for hired in one.hired] == [
        WorkerSpec(number, one.at(number).spec.settings, "epoch-1", slots, 500, False, {}, {})
        for number, slots in ((1, tuple(range(0, 500, 2))), (2, tuple(range(1, 500, 2))))
    ]
    assert [hired.spec.settings.max_connections for hired in one.hired] == [60, 40]
    assert {hired.spec.settings.max_backlog_bytes for hired in one.hired} == {2**27}
    assert {hired.spec.settings.username for hired in one.hired} == {USER}


def test_with_an_authenticator_the_workers_ask_for_logins(pool):
    one = pool(authenticator=SharedCredentials("bob", "his"))
    assert [hired.spec.asks_for_logins for hired in one.hired] == [True, True]


def test_what_a_port_listens_with_is_a_factory(pool):
    assert IProtocolFactory.providedBy(pool().pool.protocol_factory)


def test_who_comes_waits_for_the_first_worker_that_serves(pool):
    one = pool()
    clients = one.connect(3)
    assert one.reactor.readers == set()
    one.at(2).begin()
    one.reactor.turn()
    assert (one.at(1).take(), one.at(2).take()) == (0, 3)
    assert [is_closed(client) for client in clients] == [True] * 3


def test_connections_are_dealt_out_equally(pool):
    one = pool()
    first, second = one.begin_all()
    one.connect(10)
    assert (first.take(), second.take()) == (5, 5)
    first.say(Load(5, 1))
    one.connect(4)
    assert (first.take(), second.take()) == (4, 0)
    assert sorted(first.ids + second.ids) == list(range(1, 15))


def test_a_worker_that_has_room_again_is_offered_what_waits(pool):
    one = pool(1, 1)
    first, _ = one.begin_all()
    one.connect(2)
    one.at(2).die()
    one.connect()
    assert one.reactor.readers == set()  # a worker is on its way
    first.say(Load(1, 0))
    one.reactor.turn()
    assert first.take() == 2


def test_how_each_worker_is(pool):
    one = pool()
    assert one.pool.workers() == [
        WorkerReading(number, 0, False, 0, 0, 0.0, 0) for number in (1, 2)
    ]
    one.at(1).begin(pid=77).say(Load(9, 7), report())
    assert one.pool.workers() == [
        WorkerReading(1, 77, True, 0, 7, 1.5, 4096),
        WorkerReading(2, 0, False, 0, 0, 0.0, 0),
    ]


# Workers that go.


def test_a_worker_that_is_gone_is_ended_and_replaced(pool, logged):
    one = pool()
    first, second = one.begin_all()
    first.say(Load(3, 3), report())
    still_alive(one, 2, second)
    first.die()
    assert one.pool.workers()[0] == WorkerReading(1, 0, False, 1, 0, 0.0, 0)
    one.reactor.advance(FIRST_WAIT)
    assert one.ended == [first.pid]
    assert one.asked_for() == [1, 2, 1]
    assert one.at(1).spec == first.spec
    one.at(1).begin(pid=88)
    assert one.pool.workers()[0] == WorkerReading(1, 88, True, 1, 0, 0.0, 0)
    assert logged() == [
        f"worker 1, process {first.pid}, is gone after 2.0 s: Connection was closed cleanly."
    ]


def test_one_that_ended_by_itself_is_not_ended_and_why_it_did_is_said_once(pool, logged):
    one = pool()
    first, _ = one.begin_all()
    first.die()
    one.nursery.tell(Ended(first.pid, -9))
    one.reactor.advance(FIRST_WAIT)
    assert (one.asked_for(), one.ended) == ([1, 2, 1], [])
    assert logged() == [f"worker 1, process {first.pid}, is gone after 0.0 s: killed by signal 9"]


def test_one_whose_process_is_not_known_yet_is_replaced_too(pool):
    one = pool()
    one.at(1).die()
    one.reactor.advance(FIRST_WAIT)
    assert (one.asked_for(), one.ended) == ([1, 2, 1], [])


def test_meanwhile_the_others_get_everything(pool):
    one = pool()
    first, second = one.begin_all()
    second.say(Join(1, wants(), 0))
    first.die()
    one.publish(1.5)
    assert [type(message) for message in second.heard()] == [Placed, Emission]
    one.connect(4)
    assert second.take() == 4
    one.reactor.advance(FIRST_WAIT)
    one.at(1).begin()
    one.connect(4)
    assert (one.at(1).take(), second.take()) == (4, 0)


def waits_after(one, deaths, first_life=0.0):
    """The seconds before each new worker at a place whose workers die as soon as they are born."""
    still_alive(one, first_life, *one.begin_all())
    waits = []
    for _ in range(deaths):
        one.at(1).die()
        died_at, asked = one.reactor.seconds(), len(one.hired)
        while len(one.hired) == asked and one.reactor.seconds() < died_at + 2 * LONGEST_WAIT:
            still_alive(one, STEP, one.at(2), step=STEP)
        waits.append(one.reactor.seconds() - died_at)
    return waits


STEP = 0.05
EVER_LONGER = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
IN_STEPS = pytest.approx(EVER_LONGER, abs=1.1 * STEP)


def test_after_a_long_life_it_is_replaced_soon_and_then_ever_more_slowly(pool):
    assert waits_after(pool(), 11, first_life=LONGEST_WAIT + 1) == IN_STEPS


def test_one_that_never_lives_long_is_replaced_ever_more_slowly(pool):
    assert waits_after(pool(), 11) == IN_STEPS


def test_each_place_has_a_wait_of_its_own(pool):
    one = pool()
    waits_after(one, 6, first_life=LONGEST_WAIT + 1)
    still_alive(one, LONGEST_WAIT, one.at(1), one.at(2))
    one.at(2).die()
    one.reactor.advance(FIRST_WAIT)
    assert one.asked_for()[-1] == 2


def test_how_a_process_ended_is_said_if_it_was_not_well(pool, logged):
    one = pool()
    one.nursery.tell(Ended(71, 0))
    assert logged() == []
    one.nursery.tell(Ended(72, -9))
    assert logged() == ["process 72 of a worker ended with -9"]


def test_news_of_a_process_that_is_gone_already_are_no_news_of_the_next(pool):
    one = pool()
    first = one.at(1)
    first.die()
    one.nursery.tell_of_birth(1, 71)
    one.reactor.advance(FIRST_WAIT)
    assert one.pool.workers()[0].pid == 0
    one.at(1).begin(pid=72)
    assert one.pool.workers()[0].pid == 72


def test_one_that_begins_when_its_link_is_lost_already_is_ended(pool):
    one = pool()
    one.at(1).die()
    one.reactor.advance(FIRST_WAIT / 2)
    one.pool.stop_accepting()
    one.nursery.tell_of_birth(1, 71)
    assert (one.pool.workers()[0].pid, one.ended) == (0, [71])


def test_so_is_one_in_whose_place_another_was_asked_for(pool, logged):
    one = pool()
    one.at(1).die()
    one.reactor.pump([FIRST_WAIT] * 2)
    one.nursery.tell_of_birth(1, 71)
    one.at(1).begin(pid=72)
    one.nursery.tell(Ended(71, -9))
    assert (one.pool.workers()[0].pid, one.ended) == (72, [71])
    one.at(1).die()
    one.nursery.tell(Ended(72, -11))
    assert "process 72, is gone after 0.1 s: killed by signal 11" in logged()[-1]


def test_one_that_leaves_is_handed_nothing_more_and_replaced_when_it_is_gone(pool):
    one = pool()
    first, second = one.begin_all()
    first.say(Leaving())
    one.connect(4)
    assert second.take() == 4
    assert one.pool.workers()[0].up
    first.say(Drained())
    first.die()
    one.reactor.advance(FIRST_WAIT)
    assert one.asked_for() == [1, 2, 1]
    one.at(1).begin()
    one.connect(4)
    assert one.at(1).take() == 4


# Workers that die while they are handed a connection.


def test_what_was_handed_over_and_not_taken_is_gone_with_its_worker(pool):
    one = pool()
    first, second = one.begin_all()
    clients = one.connect(6)
    first.die()
    assert [is_closed(client) for client in clients].count(True) == 3
    assert second.take() == 3
    one.reactor.advance(FIRST_WAIT)
    one.at(1).begin()
    one.connect(3)
    assert one.at(1).take() == 3  # it has all of its room


@pytest.mark.parametrize("known_first", [True, False])
def test_what_could_not_be_handed_over_goes_to_another(pool, known_first):
    one = pool()
    first, second = one.begin_all()
    first.close()  # which is not known here
    if known_first:
        first.die()
    clients = one.connect(6)
    first.die()
    one.reactor.pass_time(1)
    assert second.take() == 6
    assert [is_closed(client) for client in clients] == [True] * 6


def test_or_waits_for_the_next(pool):
    one = pool(100)
    one.at(1).begin().close()
    clients = one.connect(6)
    one.at(1).die()
    one.reactor.pass_time(2)
    assert not any(map(is_closed, clients))
    one.at(1).begin()
    one.reactor.turn()
    assert (one.at(1).take(), one.at(1).ids) == (6, [1, 2, 3, 4, 5, 6])


def test_who_waits_for_a_worker_is_let_go_when_the_server_stops(pool):
    one = pool(100)
    one.at(1).begin().close()
    (client,) = one.connect()
    one.drain()
    assert is_closed(client)


# Workers that hang.


def test_one_that_says_nothing_any_more_is_replaced(pool, logged):
    one = pool()
    silent, other = one.begin_all()
    still_alive(one, SILENCE, other)
    assert not silent.given_up
    still_alive(one, 1, other)
    assert (silent.given_up, other.given_up) == (True, False)
    silent.die()
    assert one.ended == [silent.pid]
    one.reactor.advance(FIRST_WAIT)
    assert one.asked_for() == [1, 2, 1]
    assert logged()[0] == "worker 1 says nothing any more"


def test_so_is_one_that_never_served(pool):
    one = pool()
    still_alive(one, SILENCE + 1, one.at(2).begin())
    assert [hired.given_up for hired in one.hired] == [True, False]


def test_one_that_reports_in_time_is_kept(pool):
    one = pool(100)
    worker = one.at(1).begin()
    for _ in range(5):
        one.reactor.pump([1.0] * int(SILENCE))
        worker.say(report(0))
    assert not worker.given_up


def at_work(one, seconds, busy, *others):
    """Let time pass in which one works and says nothing; the others report."""
    for _ in range(int(seconds)):
        busy.process.cpu += 0.5
        still_alive(one, 1, *others)


def test_one_that_works_is_kept_though_it_says_nothing_and_reads_nothing(pool, logged):
    one = pool()
    busy, other = one.begin_all()
    busy.say(Join(1, wants(), 0))
    busy.heard()
    busy.far.client.transport.producer.pauseProducing()
    one.publish(1.5)
    at_work(one, SILENCE, busy, other)
    assert logged() == []
    at_work(one, BUSY - SILENCE, busy, other)
    assert logged() == ["worker 1 works, but has said nothing for 8 s"]
    assert not busy.given_up
    busy.far.client.transport.producer.resumeProducing()
    busy.say(report(1))
    one.publish(2.5)
    assert [type(message) for message in busy.heard()] == [Emission] * 2
    still_alive(one, BUSY, busy, other)
    assert (logged()[1:], one.asked_for(), busy.given_up) == ([], [1, 2], False)


def test_meanwhile_nobody_waits_for_it_who_can_be_served_by_another(pool):
    one = pool(50, 2)
    busy, other = one.begin_all()
    at_work(one, SILENCE + 1, busy, other)
    one.connect(3)
    assert (busy.take(), other.take()) == (0, 3)  # who is too many is told so
    busy.say(report(0))
    one.connect(3)
    assert (busy.take(), other.take()) == (3, 0)


def test_when_all_work_who_comes_waits_for_the_first_that_is_heard_of(pool):
    one = pool()
    first, second = one.begin_all()
    for _ in range(int(SILENCE) + 1):
        second.process.cpu += 0.5
        at_work(one, 1, first)
    assert one.reactor.readers == set()
    one.connect(3)
    second.say(report(0))
    one.reactor.turn()
    assert (first.take(), second.take()) == (0, 3)


def test_one_that_works_without_an_end_is_replaced(pool, logged):
    one = pool()
    endless, other = one.begin_all()
    at_work(one, BUSY, endless, other)
    assert not endless.given_up
    at_work(one, 1, endless, other)
    assert (endless.given_up, other.given_up) == (True, False)
    endless.die()
    assert one.ended == [endless.pid]
    assert logged()[:2] == [
        "worker 1 works, but has said nothing for 8 s",
        "worker 1 says nothing any more",
    ]


def test_so_is_one_that_works_for_a_while_and_then_hangs(pool):
    one = pool()
    hanging, other = one.begin_all()
    at_work(one, SILENCE + 1, hanging, other)
    still_alive(one, IDLE - 1, other)
    assert not hanging.given_up
    still_alive(one, 1, other)
    assert hanging.given_up


def test_one_that_reads_nothing_is_replaced_and_keeps_nobody_waiting(pool):
    one = pool()
    stuck, other = one.begin_all()
    for worker in (stuck, other):
        worker.say(Join(1, wants(), 0))
    stuck.far.client.transport.producer.pauseProducing()
    for price in range(1, 6):
        one.publish(float(price))
    assert len(other.heard(Emission)) == 5
    still_alive(one, LIMITS.write_deadline - 1, stuck, other)
    assert not stuck.given_up
    still_alive(one, 1, stuck, other)
    assert (stuck.given_up, other.given_up) == (True, False)


def test_one_that_is_too_far_behind_is_given_up_at_once(pool):
    one = pool()
    stuck, other = one.begin_all()
    for worker in (stuck, other):
        worker.say(Join(1, wants(), 0))
    stuck.far.client.transport.producer.pauseProducing()
    for _ in range(LIMITS.max_frames + 1):
        stuck.far.link.outlet.deliver(b"frame")
    assert stuck.given_up
    one.publish(1.5)
    assert len(other.heard(Emission)) == 1


# Nurseries that go.


def test_without_a_nursery_the_workers_go_on_and_another_is_started(pool, logged):
    one = pool()
    first, second = one.begin_all()
    one.nursery.die()
    one.connect(4)
    assert (first.take(), second.take()) == (2, 2)
    first.die()
    one.reactor.pump([0.01] * 5)
    assert (len(one.nurseries), one.asked_for()) == (1, [1, 2])
    one.reactor.advance(FIRST_WAIT)
    assert (len(one.nurseries), one.asked_for()) == (2, [1, 2, 1])
    assert one.at(1).nursery is one.nursery
    assert "the nursery of the workers is gone: starting another" in logged()
    one.reactor.pump([1.0] * 5)
    assert len(one.hired) == 3


def test_one_that_hangs_is_ended_though_its_nursery_is_gone(pool):
    one = pool()
    silent, other = one.begin_all()
    one.nursery.die()
    still_alive(one, SILENCE + 1, other)
    assert (len(one.nurseries), silent.given_up) == (2, True)
    silent.die()
    assert one.ended == [silent.pid]


def test_a_nursery_that_takes_no_request_is_asked_again_once_it_is_replaced(pool):
    one = pool()
    first, _ = one.begin_all()
    one.nursery.refuses = True
    first.die()
    one.reactor.pump([0.1] * 5)
    assert one.asked_for() == [1, 2]
    one.nursery.die()
    one.reactor.advance(FIRST_WAIT)
    assert one.asked_for() == [1, 2, 1]


def test_a_nursery_that_is_only_slow_is_asked_again(pool):
    one = pool()
    first, second = one.begin_all()
    one.nursery.refuses = True  # as when it has not read the requests before this one
    first.die()
    one.reactor.pump([0.1] * 5)
    one.nursery.refuses = False
    still_alive(one, LONGEST_WAIT, second)
    assert one.asked_for() == [1, 2, 1]


def test_one_that_could_not_be_ended_is_told(pool, logged):
    one = pool()
    first, _ = one.begin_all()
    first.process.refuses = True
    first.die()
    one.reactor.advance(FIRST_WAIT)
    assert f"process {first.pid} could not be ended" in logged()


# Certificates.


def test_every_worker_that_is_there_reads_its_certificates_anew(pool):
    one = pool(30, 30, 30)
    first, second, gone = one.begin_all()
    gone.die()
    files = {"server.crt": b"new"}
    one.pool.reload(one.settings, (30, 30, 30), files)
    third = one.settings.max_backlog_bytes // 3
    own = replace(one.settings, max_connections=30, max_backlog_bytes=third, auction_in_flight=1667)
    assert [worker.heard() for worker in (first, second)] == [[Reload(own, files)]] * 2
    one.reactor.advance(FIRST_WAIT)
    assert (one.at(3).heard(), one.at(3).spec.files) == ([], files)


# Other settings.


def test_every_worker_is_told_its_settings_and_those_that_come_have_them(pool):
    one = pool(30, 30, 30)
    first, second, gone = one.begin_all()
    gone.die()
    settings = replace(one.settings, password="another-1", max_connections=7)
    one.pool.reload(settings, (3, 2, 2), {})
    third = settings.max_backlog_bytes // 3
    owns = [
        replace(settings, max_connections=share, max_backlog_bytes=third, auction_in_flight=1667)
        for share in (3, 2, 2)
    ]
    assert [each.heard() for each in (first, second)] == [[Reload(own, {})] for own in owns[:2]]
    one.reactor.advance(FIRST_WAIT)
    assert one.at(3).spec.settings == owns[2]


def test_from_then_on_a_worker_is_handed_its_new_share(pool):
    one = pool(1)
    (worker,) = one.begin_all()
    one.pool.reload(one.settings, (3,), {})
    one.connect(3)
    assert (worker.take(), [place.room(PortKind.SUBSCRIBERS) for place in one.pool._places]) == (
        3,
        [0],
    )


def test_publishers_are_held_to_the_new_settings(pool):
    one = pool(10)
    (worker,) = one.begin_all()
    one.pool.reload(replace(one.settings, publishers=(read_right("alice:EUR*"),)), (10,), {})
    worker.heard()
    publication = Publication(Publisher("alice", ""), 0, [Tick("EURUSD", 1.5)])
    worker.say(PublishAsked(1, publication))
    assert worker.heard() == [PublishAnswered(1, Accepted(1))]


def test_addresses_are_counted_anew_when_they_begin_to_be_limited(pool):
    one = pool(10, 10, max_connections_per_address=0)
    first, second = one.begin_all()
    first.say(AtAddress("10.0.0.1", 1))
    assert second.heard() == []  # where they are not limited, this is late news
    limited = replace(one.settings, max_connections_per_address=3)
    one.pool.reload(limited, (10, 10), {})
    first.say(AtAddress("10.0.0.1", 2))
    assert second.heard()[1:] == [AtAddress("10.0.0.1", 2)]
    one.pool.reload(one.settings, (10, 10), {})
    one.pool.reload(limited, (10, 10), {})
    second.heard()
    first.die()
    assert second.heard() == []  # it had said of nobody since
    one.reactor.advance(FIRST_WAIT)
    assert one.at(1).spec.elsewhere == {}


def test_another_limit_of_addresses_changes_no_count(pool):
    one = pool(10, 10, max_connections_per_address=3)
    first, second = one.begin_all()
    first.say(AtAddress("10.0.0.1", 2))
    one.pool.reload(replace(one.settings, max_connections_per_address=5), (10, 10), {})
    second.heard()
    first.die()
    assert second.heard() == [AtAddresses({"10.0.0.1": -2})]


def test_the_times_are_named():
    assert (FIRST_WAIT, LONGEST_WAIT) == (0.1, 30.0)
