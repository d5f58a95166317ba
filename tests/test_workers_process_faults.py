"""A worker that cannot begin, whose report fails, or that has slept, and what is heard of it."""

import socket
from contextlib import closing

import pytest
from adopting import Reactor
from conversation import PASSWORD, USER
from test_workers_process import Parent
from twisted.logger import formatEvent, globalLogPublisher

from tickstorm.clock import simulated_clock
from tickstorm.settings import Settings
from tickstorm.workers.link import AtAddresses, LinkDecoder, Load, Report
from tickstorm.workers.link_end import LIMITS, STALL
from tickstorm.workers.process import LAST_WORDS, REPORT_INTERVAL, begin
from tickstorm.workers.spec import WorkerSpec


@pytest.fixture(name="parent")
def make_parent():
    """Makes parents, and clears them away."""
    made = []

    def parent(**options):
        made.append(Parent(**options))
        return made[-1]

    yield parent
    for each in made:
        each.close()


# It cannot begin.


def begun(**settings):
    """What comes of a worker's beginning, and what it has said."""
    settings = {"username": USER, "password": PASSWORD, **settings}
    spec = WorkerSpec(3, Settings(**settings), "e", (0,), 1, False, {}, {})
    reactor = Reactor()
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        worker = begin(spec, reactor, simulated_clock(reactor), theirs)
        ours.setblocking(False)
        try:
            said = list(LinkDecoder().receive(ours.recv(2**20)))
        except BlockingIOError:
            said = []
    return worker, said


def test_one_that_cannot_begin_tells_why(tmp_path, failures):
    files = f"cert={tmp_path}/gone.crt:key={tmp_path}/gone.key"
    worker, (said,) = begun(port=(f"tls:1:{files}",))
    assert worker is None
    assert (said.level, said.text) == ("critical", "worker 3 cannot begin")
    assert "gone.crt" in said.fields["traceback"]
    assert failures == []  # there is no log of its own yet


def test_one_that_can_says_nothing():
    worker, said = begun(port=("tcp:1",))
    assert (worker.factory.connections, said) == ({}, [])


# Its report fails.


def test_a_report_that_fails_is_logged_and_counted_and_the_next_one_comes(parent, failures):
    one = parent()
    one.link.heard()
    read, one.worker.factory.read = one.worker.factory.read, None
    one.reactor.advance(REPORT_INTERVAL)
    assert [type(failure) for failure in failures] == [TypeError]
    failures.clear()
    one.worker.factory.read = read
    one.link.heard()
    one.reactor.advance(REPORT_INTERVAL)
    load, report = one.link.heard()
    assert (type(load), type(report)) == (Load, Report)
    assert report.reading.metrics.failures == {"report": 1}


def test_an_orphan_ends_though_it_does_not_report(parent):
    one = parent()
    client = one.client()
    one.worker._reports.stop()
    one.link.vanish()
    assert client.names() == ["SHUTTING_DOWN"]
    one.reactor.advance(LAST_WORDS)
    client.vanish()
    one.reactor.advance(0)
    assert one.ended


def test_it_says_once_that_its_parent_is_gone(parent):
    events = []
    one = parent()
    one.worker.drain(1.0, 0.0)
    globalLogPublisher.addObserver(events.append)
    one.link.vanish()
    globalLogPublisher.removeObserver(events.append)
    assert [formatEvent(event) for event in events if "parent" in formatEvent(event)] == []


# It has slept.


def test_a_worker_that_has_slept_itself_does_not_give_its_parent_up(parent):
    one = parent()
    one.link.client.transport.producer.pauseProducing()
    one.reactor.advance(REPORT_INTERVAL)
    one.reactor.advance(LIMITS.write_deadline + STALL)
    assert not one.link.given_up
    one.reactor.advance(REPORT_INTERVAL)
    assert one.link.given_up


# Another worker is gone.


def test_the_addresses_of_one_that_is_gone_have_room_again(parent):
    one = parent(max_connections_per_address=2, elsewhere={"10.0.0.7": 2, "10.0.0.8": 2})
    one.link.say(AtAddresses({"10.0.0.7": -2, "10.0.0.8": -1}))
    assert [client.names() for client in one.connect(3, "10.0.0.7")] == [[], [], ["RATE_LIMITED"]]
    assert [client.names() for client in one.connect(2, "10.0.0.8")] == [[], ["RATE_LIMITED"]]
