"""Workers that are killed, hang or are told to go, their nursery and their parent: who notices."""

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest
from conversation import SECOND, subscribe
from subscribers import HELLO, Crowd
from test_tap import LOGIN
from workers_server import TIMEOUT, Launched, counters_that_fell, until

pytestmark = pytest.mark.real

WORKERS = 3
EACH = 100
"""Subscribers of each worker, of each kind."""
SOURCE = ("--source", "walk:rate=20")
EVERY_SECOND = HELLO + subscribe(SECOND)
SERVED = ["ACK", "ACK"]
"""What a subscriber is answered beside its batches."""
TOLD = [*SERVED, "GOAWAY"]
"""What one is answered that is seen off."""


@pytest.fixture(name="server")
def serve(tmp_path):
    with Launched(tmp_path, *SOURCE, "--delivery", "spread", workers=WORKERS) as server:
        yield server


@pytest.fixture(name="crowd")
def subscribe_to_ticks(server):
    """The same number of subscribers on each worker, who get every tick."""
    with Crowd() as crowd:
        crowd.join(server.port, WORKERS * EACH)
        crowd.until_streaming()
        yield crowd


def until_cut(crowd, clients=EACH):
    """Wait until so many have ended."""
    crowd.until(lambda: len(crowd.gone()) >= clients, f"{clients} are cut")


def until_replaced(server, crowd, victim):
    """Wait until another serves in the place of a process, and return what is said of its loss."""

    def losses():
        return [line for line in server.said("is gone after") if line["pid"] == victim]

    (lost,) = crowd.until(losses, "its loss is told")
    crowd.until(lambda: server.by_worker("up") == [1] * WORKERS, "all serve again")
    crowd.until(lambda: victim not in server.processes(), "the old process is gone")
    assert len(server.workers()) == WORKERS
    assert server.said("serves")[-1]["worker"] == lost["worker"]
    return lost


def until_opened(server, crowd, connections):
    """Wait until the metrics count so many connections, those of lost workers too."""
    name = "tickstorm_connections_opened_total"
    crowd.until(lambda: server.metrics()[name] == connections, f"{connections} are counted")


def restarts_of(worker):
    """The count of each worker's restarts, if only this one ever had any."""
    return [number == worker for number in range(1, WORKERS + 1)]


def assert_others_missed_nothing(crowd, gone=EACH):
    """So many have ended; all others had every batch, and get more."""
    crowd.until_more(batches=1)
    assert len(crowd.gone()) == gone
    assert crowd.with_holes() == []


# A worker is lost.


def test_only_the_clients_of_a_killed_one_notice_and_it_is_back_at_once(server, crowd):
    crowd.join(server.port, WORKERS * EACH, EVERY_SECOND)
    crowd.until_streaming()
    until_opened(server, crowd, 2 * WORKERS * EACH)
    seen = [server.metrics()]
    victim = server.workers()[1]
    os.kill(victim, signal.SIGKILL)
    until_cut(crowd, 2 * EACH)
    assert [client.answers for client in crowd.gone()] == [SERVED] * 2 * EACH

    def another_serves():
        seen.append(server.metrics())
        return len(server.said("serves")) > WORKERS

    crowd.until(another_serves, "another serves")
    lost = until_replaced(server, crowd, victim)
    assert lost["reason"] == "killed by signal 9"
    assert server.complaints() == [lost["message"]]
    assert server.by_worker("restarts_total") == restarts_of(lost["worker"])
    assert len(server.said("serves")) == WORKERS + 1

    crowd.join(server.port, 2 * EACH)
    crowd.until(lambda: server.by_worker("connections") == [2 * EACH] * 3, "they fill it again")
    until_opened(server, crowd, 2 * (WORKERS + 1) * EACH)
    assert_others_missed_nothing(crowd, gone=2 * EACH)
    seen.append(server.metrics())
    assert [fell for pair in pairwise(seen) if (fell := counters_that_fell(*pair))] == []


def test_one_that_is_told_to_stop_sees_its_clients_off_and_is_replaced(server, crowd):
    victim = server.workers()[0]
    os.kill(victim, signal.SIGTERM)
    until_cut(crowd)
    assert [client.answers for client in crowd.gone()] == [TOLD] * EACH
    assert {client.end for client in crowd.gone()} == {"closed"}
    lost = until_replaced(server, crowd, victim)
    assert lost["reason"] == "it was told to end"
    assert server.complaints() == []
    assert server.by_worker("restarts_total") == restarts_of(None)
    assert_others_missed_nothing(crowd)


# A worker hangs.


def test_one_that_hangs_is_replaced_and_left_out_of_the_pages_until_then(server, crowd):
    victim = server.workers()[1]
    os.kill(victim, signal.SIGSTOP)
    page = server.get("/connections?limit=1")
    assert (page["total"], page["workers_without_answer"]) == ((WORKERS - 1) * EACH, 1)
    crowd.until_more(batches=1, stalled=EACH)
    until_cut(crowd)
    lost = until_replaced(server, crowd, victim)
    assert lost["reason"] == "it says nothing any more"
    assert server.by_worker("restarts_total") == restarts_of(lost["worker"])
    assert_others_missed_nothing(crowd)


WORKS_WHEN_TOLD = """
import os, signal

def work(*_):
    while not os.path.exists("enough"):
        pass

signal.signal(signal.SIGUSR2, work)
"""
"""A process that is sent SIGUSR2 does nothing but work until there is a file of that name."""
WITHOUT_HANDLES = "import os; vars(os).pop('pidfd_open', None)"
"""As on a system that has none."""


def customised(folder, program):
    """The environment of a server that runs this at the start of each of its processes."""
    (folder / "sitecustomize.py").write_text(program)
    return {**LOGIN, "PYTHONPATH": str(folder)}


def test_one_that_works_and_so_says_nothing_is_not_taken_for_one_that_hangs(tmp_path):
    environ = customised(tmp_path, WORKS_WHEN_TOLD)
    with Launched(tmp_path, *SOURCE, environ=environ) as server, Crowd() as crowd:
        crowd.join(server.port, 2 * EACH)
        crowd.until_streaming()
        before = server.workers()
        os.kill(before[0], signal.SIGUSR2)
        crowd.until(lambda: server.said("has said nothing for 8 s"), "its silence is noticed")
        (tmp_path / "enough").touch()
        crowd.until_more(batches=1)
        assert (server.workers(), server.complaints()) == (before, [])
        assert (crowd.gone(), crowd.with_holes()) == ([], [])


@pytest.mark.parametrize("program", ["", WITHOUT_HANDLES], ids=["handle", "id"])
def test_a_stop_ends_one_that_hangs_though_its_nursery_is_gone(tmp_path, program):
    environ = {**customised(tmp_path, program), "TICKSTORM_DRAIN_TIMEOUT": "0"}
    with Launched(tmp_path, environ=environ) as server:
        replace_nursery(server)
        victim = server.workers()[0]
        os.kill(victim, signal.SIGSTOP)
        assert server.end() == -signal.SIGTERM
        server.until_gone()


# The nursery is lost.


def replace_nursery(server):
    """Kill it, and wait for another."""
    old = server.nursery()
    os.kill(old, signal.SIGKILL)
    until(lambda: server.nursery() not in (None, old), "there is a new nursery")


def test_the_others_serve_without_a_nursery_and_a_new_one_replaces_the_lost(server, crowd):
    first, second, third = server.workers()
    os.kill(server.nursery(), signal.SIGSTOP)  # so that none is born meanwhile
    os.kill(first, signal.SIGKILL)
    until_cut(crowd)
    until(lambda: 0 in server.by_worker("up"), "it is told")
    number = server.by_worker("up").index(0) + 1
    health = server.get("/health")
    assert (health["status"], health["reasons"]) == ("degraded", [f"worker {number} is down"])
    assert server.get("/health/ready")["ready"] is False
    assert server.get("/health/live")["live"] is True
    crowd.until_streaming(crowd.join(server.port, EACH))

    replace_nursery(server)
    crowd.until(lambda: server.get("/health")["status"] == "ok", "all is well again")
    assert {second, third} < set(server.workers())
    assert_others_missed_nothing(crowd)

    os.kill(second, signal.SIGKILL)
    gone = EACH + EACH + EACH // 2  # who came in between went to both
    until_cut(crowd, gone)
    until_replaced(server, crowd, second)
    assert_others_missed_nothing(crowd, gone)


# The parent is lost.


def test_with_the_parent_everything_ends_and_clients_are_told(server, crowd):
    server.process.kill()
    until_all_are_seen_off(server, crowd)


# All are told to stop.


def to_parent(server, how):
    os.kill(server.process.pid, how)


def to_all(server, how):
    os.killpg(server.process.pid, how)


def until_all_are_seen_off(server, crowd):
    """Wait until no client is connected, and no process left."""
    until_cut(crowd, WORKERS * EACH)
    assert [client.answers for client in crowd.clients] == [TOLD] * WORKERS * EACH
    assert {client.end for client in crowd.clients} == {"closed"}
    assert crowd.with_holes() == []
    server.until_gone()


@pytest.mark.parametrize(
    ("send", "how"),
    [(to_parent, signal.SIGTERM), (to_all, signal.SIGINT), (to_all, signal.SIGTERM)],
    ids=["terminated", "interrupted", "all-terminated"],
)
def test_every_client_of_every_worker_is_seen_off(server, crowd, send, how):
    send(server, how)
    until_all_are_seen_off(server, crowd)
    assert server.process.wait(TIMEOUT) == -how
    assert (server.errors, server.complaints()) == ("", [])


def test_an_interrupt_at_the_start_is_no_error(tmp_path):
    server = Launched(tmp_path)
    try:
        nursery = until(server.nursery, "there is a nursery")
        until(lambda: is_loading(nursery), "it loads")
        os.kill(nursery, signal.SIGSTOP)  # so that it is not done before the parent runs
        assert server.get("/health/live")["live"] is True
        to_all(server, signal.SIGINT)
        to_all(server, signal.SIGCONT)
        assert server.process.wait(TIMEOUT) == -signal.SIGINT
        server.until_gone()
        assert (server.errors, server.complaints()) == ("", [])
    finally:
        server.close()


def is_loading(nursery):
    """Whether it has begun to load what workers need: this is neither the first nor the last."""
    entry = Path(f"/proc/{nursery}")
    started = "tickstorm.workers" in (entry / "cmdline").read_text()
    return started and "/cryptography/" in (entry / "maps").read_text()
