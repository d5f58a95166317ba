"""The acceptor: what comes to a port is accepted in bounded turns, or left to the kernel."""

import resource
from contextlib import closing

import pytest
from places import Port, turn
from twisted.internet import unix
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from tickstorm.workers.acceptor import REST, Acceptor, Unserved
from tickstorm.workers.handover import MAX_BATCH


class Accepting:
    """An acceptor at a port, and the sizes of the batches that it has accepted."""

    def __init__(self):
        self.reactor = MemoryReactorClock()
        self.port = Port()
        self.batches = []
        self.acceptor = Acceptor(self.reactor, self.port, self._take)
        self.acceptor.start()

    def _take(self, sockets):
        self.batches.append(len(sockets))
        for each in sockets:
            assert each.getblocking() or each.gettimeout() == 0
            each.close()

    @property
    def reads(self):
        return self.acceptor in self.reactor.readers

    def close(self):
        self.acceptor.close()
        self.port.close()


@pytest.fixture(name="accepting")
def make_accepting():
    with closing(Accepting()) as accepting:
        yield accepting


@pytest.fixture(name="files")
def limit_files():
    """Leaves no file to be opened, for a while."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_port_begins_under_a_name_for_people(tmp_path):
    path, events = str(tmp_path / "port"), []
    port = unix.Port(path, Unserved(), reactor=MemoryReactorClock())
    globalLogPublisher.addObserver(events.append)
    port.startListening()
    globalLogPublisher.removeObserver(events.append)
    port.connectionLost(Failure(ConnectionDone()))
    assert [formatEvent(event) for event in events] == [f"Tickstorm starting on {path!r}"]


def test_a_turn_has_its_bounds(accepting):
    accepting.port.connect(MAX_BATCH + 3)
    turn(accepting.reactor)
    assert accepting.batches == [MAX_BATCH]
    turn(accepting.reactor)
    turn(accepting.reactor)
    assert accepting.batches == [MAX_BATCH, 3]


def test_it_knows_the_family(accepting):
    assert accepting.acceptor.family == accepting.port.addressFamily


def test_starting_and_pausing_twice_changes_nothing(accepting):
    for change, reads in (("start", True), ("pause", False)):
        for _ in range(2):
            getattr(accepting.acceptor, change)()
            assert accepting.reads == reads


def test_without_a_file_left_it_rests_a_while_and_says_so(accepting, files):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    accepting.port.connect(2)
    files()
    turn(accepting.reactor)
    assert (accepting.reads, accepting.batches) == (False, [])
    accepting.acceptor.start()
    assert not accepting.reads
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    accepting.reactor.advance(REST)
    assert accepting.reads
    turn(accepting.reactor)
    assert accepting.batches == [2]


def test_who_is_paused_while_it_rests_stays_paused(accepting, files):
    accepting.port.connect()
    files()
    turn(accepting.reactor)
    accepting.acceptor.pause()
    accepting.reactor.advance(REST)
    assert (accepting.reads, accepting.reactor.getDelayedCalls()) == (False, [])


def test_a_reactor_that_cannot_read_it_stops_it(accepting):
    accepting.acceptor.connectionLost(None)
    assert not accepting.reads
