"""The nursery and its parent's side, without a process: what is asked for, told and refused."""

import errno
import gc
import os
import pickle
import signal
import socket
import sys
from contextlib import closing, suppress
from importlib import import_module

import pytest
from twisted.internet.error import ConnectionLost, ProcessDone, ProcessTerminated
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from tickstorm.settings import Settings
from tickstorm.workers.handover import pair
from tickstorm.workers.nursery import (
    IGNORED,
    Nursery,
    Processes,
    ignore_signals,
    no_handles,
    read_spec,
)
from tickstorm.workers.nursery_process import Begun, NurseryProcess
from tickstorm.workers.spec import (
    BIRTH_DESCRIPTORS,
    Birth,
    Born,
    Ended,
    Unborn,
    WorkerSpec,
    birth_of,
)


def spec(**fields):
    told = {
        "settings": Settings(),
        "epoch": "e",
        "slots": (0,),
        "slots_of_period": 1,
        "asks_for_logins": False,
    }
    return WorkerSpec(**{"number": 3, "elsewhere": {}, "files": {}, **told, **fields})


class System:
    """Processes in memory, as the nursery that forks them sees them."""

    def __init__(self):
        self.next_pid = 101
        self.ended = []
        self.killed = []
        self.refusal = None
        self.handles = {}
        self.processes = Processes(self.fork, self.wait, self.kill, self.open)

    def fork(self):
        if self.refusal is not None:
            raise self.refusal
        self.next_pid += 1
        return self.next_pid - 1

    def wait(self, pid, options):
        assert (pid, options) == (-1, os.WNOHANG)
        if self.ended == [None]:
            raise ChildProcessError
        return self.ended.pop(0) if self.ended else (0, 0)

    def kill(self, pid, how):
        self.killed.append((pid, how))

    def open(self, pid):
        if pid not in self.handles:
            raise OSError(errno.ENOSYS, "Function not implemented")
        return os.dup(self.handles[pid].fileno())


class Stingy(socket.socket):
    """Lets no descriptor through."""

    def sendmsg(self, buffers, ancillary=(), *arguments):
        if any(descriptors for *_, descriptors in ancillary):
            raise OSError(errno.ETOOMANYREFS, "Too many references: cannot splice")
        return super().sendmsg(buffers, ancillary, *arguments)


class Asked:
    """A nursery whose parent is the test."""

    def __init__(self, patience=0.0, end=socket.socket):
        self.system = System()
        self.parent, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.parent.setblocking(False)
        self.handles = []
        theirs = end(fileno=theirs.detach())
        self.nursery = Nursery(theirs, self.system.processes, patience)

    def ask(self, request, descriptors=()):
        socket.send_fds(self.parent, [pickle.dumps(request)], list(descriptors))
        return self.nursery.serve_one()

    def bear(self, number=3, descriptors=BIRTH_DESCRIPTORS, modules=()):
        """Ask for a worker; the other ends of what it is given."""
        pairs = [socket.socketpair() for _ in range(descriptors)]
        assert self.ask(Birth(number, modules), [theirs.fileno() for _, theirs in pairs])
        for ours, theirs in pairs:
            theirs.close()
            ours.setblocking(False)
        return [ours for ours, _ in pairs]

    def told(self):
        """The news; handles that come with them are kept."""
        news = []
        with suppress(BlockingIOError):
            while (received := socket.recv_fds(self.parent, 2**16, 9))[0]:
                news.append(pickle.loads(received[0]))
                self.handles += received[1]
        return news

    def close(self):
        self.parent.close()
        for handle in self.handles:
            os.close(handle)
        self.nursery.close()


@pytest.fixture(name="asked")
def make_asked():
    with closing(Asked()) as asked:
        yield asked


def test_what_not_every_worker_needs_is_loaded_before_the_first_that_does(
    asked, tmp_path, monkeypatch
):
    (tmp_path / "wanted_by_some.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append("wanted_by_some" in sys.modules))
    for _ in range(2):
        asked.bear(modules=("no_such_module_at_all", "wanted_by_some"))
    assert frozen[:1] == [True]
    assert [type(each) for each in asked.told()] == [Born, Born]
    del sys.modules["wanted_by_some"]


@pytest.fixture(name="handle")
def make_handle():
    """What takes the place of a handle, and its other end, which knows when all have closed it."""
    ours, handle = socket.socketpair()
    ours.setblocking(False)
    with ours, handle:
        yield handle, ours


def is_closed(end):
    """Whether nobody has the other end any more."""
    try:
        return end.recv(1) == b""
    except BlockingIOError:
        return False


def all_closed(ends):
    """Whether nobody has the other ends any more."""
    closed = [end.recv(1) == b"" for end in ends]
    for end in ends:
        end.close()
    return all(closed)


# What it does.


def test_a_worker_that_is_born_has_all_it_needs_and_the_nursery_nothing_of_it(asked):
    ends = asked.bear(3)
    assert asked.told() == [Born(3, 101)]
    assert all_closed(ends)  # in memory nobody else has them


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (OSError(11, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
        (OSError(12, "Cannot allocate memory"), "Cannot allocate memory"),
    ],
)
def test_one_that_cannot_be_forked_is_told_and_the_next_one_can(asked, refusal, reason):
    asked.system.refusal = refusal
    ends = asked.bear(3)
    assert asked.told() == [Unborn(3, reason)]
    assert all_closed(ends)
    asked.system.refusal = None
    all_closed(asked.bear(4))
    assert asked.told() == [Born(4, 101)]


@pytest.mark.parametrize("arrived", range(BIRTH_DESCRIPTORS))
def test_nor_can_one_whose_descriptors_did_not_all_arrive(asked, arrived):
    ends = asked.bear(3, descriptors=arrived)
    assert asked.told() == [Unborn(3, "what it needs did not arrive: too many open files")]
    assert all_closed(ends)


@pytest.mark.parametrize(
    ("status", "told"), [(0, 0), (3 << 8, 3), (int(signal.SIGKILL), -9)], ids=str
)
def test_whoever_ends_is_told_with_how(asked, status, told):
    all_closed(asked.bear())
    all_closed(asked.bear())
    asked.system.ended = [(102, status), (101, 0)]
    asked.nursery.tell_of_the_ended()
    assert asked.told() == [Born(3, 101), Born(3, 102), Ended(102, told), Ended(101, 0)]


def test_with_the_news_of_a_birth_comes_a_handle_of_its_process(asked, handle):
    handle, other_end = handle
    asked.system.handles[101] = handle
    all_closed(asked.bear(3))
    handle.close()
    assert asked.told() == [Born(3, 101)]
    assert not is_closed(other_end)
    os.close(asked.handles.pop())
    assert is_closed(other_end)  # the nursery has not kept it


def test_where_it_may_not_come_the_birth_is_told_all_the_same(handle):
    handle, other_end = handle
    with closing(Asked(end=Stingy)) as asked:
        asked.system.handles[101] = handle
        all_closed(asked.bear(3))
        handle.close()
        assert (asked.told(), asked.handles) == ([Born(3, 101)], [])
        assert is_closed(other_end)


def test_a_handle_is_the_system_s():
    handle = Processes().open(os.getpid())
    signal.pidfd_send_signal(handle, 0)
    os.close(handle)


def test_where_the_system_has_none_that_is_as_if_it_had_no_room():
    with pytest.raises(OSError, match="Function not implemented"):
        no_handles(os.getpid())


def test_without_any_child_nothing_is_told(asked):
    asked.system.ended = [None]
    asked.nursery.tell_of_the_ended()
    assert asked.told() == []


def test_it_ends_with_its_parent(asked):
    asked.parent.close()
    assert not asked.nursery.serve_one()


def test_also_when_that_has_not_read_all_of_the_news(asked):
    all_closed(asked.bear())
    asked.parent.close()
    assert not asked.nursery.serve_one()


def test_who_does_not_end_with_the_parent_is_ended(asked):
    for _ in range(3):
        all_closed(asked.bear())
    asked.system.ended = [(102, 0)]
    asked.nursery.tell_of_the_ended()
    asked.parent.close()
    asked.nursery.see_off()
    assert sorted(asked.system.killed) == [(101, signal.SIGKILL), (103, signal.SIGKILL)]


def test_what_is_sent_to_all_is_left_to_the_parent():
    before = {each: signal.getsignal(each) for each in IGNORED}
    try:
        ignore_signals()
        assert {signal.getsignal(each) for each in IGNORED} == {signal.SIG_IGN}
    finally:
        for each, how in before.items():
            signal.signal(each, how)
    assert set(IGNORED) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


# The parent's side.


class Reactor(MemoryReactorClock):
    """Keeps what was to be spawned, and the nursery's end of its socket."""

    refusal = None

    def spawnProcess(self, protocol, executable, args, env, childFDs):  # noqa: N803 - the interface's
        if self.refusal is not None:
            raise self.refusal
        self.protocol, self.args, self.env = protocol, [executable, *args], env
        self.theirs = socket.socket(fileno=os.dup(childFDs[3]))


class Spawned:
    """A parent's side, with the test at the nursery's."""

    def __init__(self):
        self.reactor = Reactor()
        self.taken = []
        self.lost = []
        self.process = NurseryProcess(
            self.reactor, self.taken.append, lambda: self.lost.append("lost")
        )

    @property
    def theirs(self):
        return self.reactor.theirs

    def close(self):
        self.process.close()
        self.theirs.close()


@pytest.fixture(name="spawned")
def make_spawned():
    with closing(Spawned()) as spawned:
        yield spawned


@pytest.fixture(name="logged")
def keep_log():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [(event["log_level"].name, formatEvent(event)) for event in events]
    globalLogPublisher.removeObserver(events.append)


def test_no_code_is_taken_from_the_current_folder(spawned):
    assert spawned.reactor.args == [
        *[sys.executable] * 2,
        "-P",
        "-m",
        "tickstorm.workers",
        "3",
    ]
    folders = spawned.reactor.env["PYTHONPATH"].split(os.pathsep)
    assert folders == [folder for folder in sys.path if folder]


def request(spawned, asked_for):
    """Ask for a worker; what arrives at the nursery."""
    ends = pair()
    with ends[0], ends[1]:
        spawned.process.request(asked_for, *ends)
    return socket.recv_fds(spawned.theirs, 2**16, 9)[:2]


@pytest.mark.parametrize(
    ("settings", "modules"),
    [
        ({}, ()),
        ({"redis": "redis://h"}, ()),
        ({"auction": ("tcp:0",)}, ("tickstorm.auction.house",)),
        (
            {"auction": ("tcp:0",), "redis": "redis://h"},
            (
                "tickstorm.auction.house",
                "tickstorm.auction.stores",
                "tickstorm.auction.redis_connection",
            ),
        ),
    ],
)
def test_what_a_worker_needs_beside_is_named_with_its_birth(settings, modules):
    birth = birth_of(spec()._replace(settings=Settings(**settings)))
    assert birth == Birth(3, modules)
    for module in modules:
        import_module(module)


def test_what_a_worker_is_told_comes_with_its_ends(spawned):
    packet, (told, *ends) = request(spawned, spec())
    assert (pickle.loads(packet), len(ends)) == (Birth(3), 2)
    assert read_spec(told) == spec()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(told)
    for end in ends:
        os.close(end)


def test_and_may_be_any_number_of_bytes(spawned):
    much = spec(elsewhere={f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}": 1 for n in range(100_000)})
    packet, (told, *ends) = request(spawned, much)
    assert (len(packet) < 1000, read_spec(told) == much) == (True, True)
    for end in ends:
        os.close(end)


def test_it_is_not_kept_here(spawned):
    before = os.listdir("/proc/self/fd")
    for descriptor in request(spawned, spec())[1]:
        os.close(descriptor)
    assert os.listdir("/proc/self/fd") == before


def test_one_that_does_not_read_cannot_be_asked(spawned):
    def ask_often():
        ends = pair()
        with ends[0], ends[1]:
            for _ in range(10_000):
                spawned.process.request(spec(), *ends)

    with pytest.raises(BlockingIOError):
        ask_often()


def test_what_it_tells_is_taken(spawned):
    for news in (Born(1, 71), Unborn(2, "why"), Ended(71, 0)):
        spawned.theirs.send(pickle.dumps(news))
        spawned.process.doRead()
    spawned.process.doRead()
    (_, process), *others = spawned.taken
    assert spawned.taken[0] == Begun(1, process)
    assert (process.pid, others) == (71, [Unborn(2, "why"), Ended(71, 0)])


def test_with_the_handle_that_comes_along(spawned, handle):
    handle, other_end = handle
    socket.send_fds(spawned.theirs, [pickle.dumps(Born(1, 71))], [handle.fileno()])
    handle.close()
    spawned.process.doRead()
    ((_, process),) = spawned.taken
    assert not is_closed(other_end)
    process.close()
    assert is_closed(other_end)


def test_it_is_lost_once(spawned):
    spawned.theirs.close()
    spawned.process.doRead()
    assert (spawned.lost, spawned.reactor.readers) == (["lost"], set())
    spawned.process.close()
    assert spawned.lost == ["lost"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (ProcessTerminated(1), [("error", "the nursery of the workers ended with exit code 1")]),
        (
            ProcessTerminated(None, signal=9),
            [("error", "the nursery of the workers ended with signal 9")],
        ),
        (ProcessDone(0), []),
    ],
    ids=["failed", "killed", "well"],
)
def test_how_it_ended_is_said_unless_that_was_well(spawned, logged, reason, said):
    spawned.reactor.protocol.processEnded(Failure(reason))
    assert logged() == said


def test_any_other_end_is_said_as_it_is(spawned, failures):
    spawned.reactor.protocol.processEnded(Failure(ConnectionLost()))
    assert [type(failure) for failure in failures] == [ConnectionLost]
    failures.clear()


def test_where_none_can_be_started_nothing_is_left_of_it():
    reactor = Reactor()
    reactor.refusal = OSError(11, "Resource temporarily unavailable")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="Resource temporarily"):
        NurseryProcess(reactor, None, None)
    assert (os.listdir("/proc/self/fd"), reactor.readers) == (before, set())
