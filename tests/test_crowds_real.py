"""Crowds: ten thousand at once, tens of thousands that are cut, and one among many that stalls."""

import json
import os
import re
import signal
import socket
import struct
from itertools import cycle, islice, product
from pathlib import Path
from textwrap import dedent

import pytest
from conversation import SECOND, subscribe
from subscribers import EVERY_TICK, HELLO, SOURCES, Crowd
from test_tap import LOGIN
from workers_server import TIMEOUT, Launched, until

from tickstorm.frames import HEADER_BYTES
from tickstorm.open_files import raise_limit
from tickstorm.outlet import PIECE_BYTES

pytestmark = pytest.mark.real

PATIENT = LOGIN | {"TICKSTORM_AUTH_TIMEOUT": "1m", "TICKSTORM_WRITE_DEADLINE": "1m"}
"""A machine that is busy with something else is nobody's fault here."""

alone_and_with_workers = pytest.mark.parametrize("workers", [0, 2], ids=["alone", "two"])


@pytest.fixture(name="crowd")
def gather():
    raise_limit()
    with Crowd() as crowd:
        yield crowd


def refused(metrics):
    """What was turned away or ended, by its reason; nothing where nothing was."""
    counters = ("tickstorm_connections_rejected", "tickstorm_protocol_errors")
    return {n: value for n, value in metrics.items() if value and n.startswith(counters)}


# Ten thousand at once.

AT_ONCE = 10_000
SERVED = (
    "tickstorm_active_connections",
    "tickstorm_connections_opened_total",
    'tickstorm_logins_total{result="accepted"}',
    'tickstorm_subscribers{mode="SECOND"}',
)


def served(metrics):
    """What counts each of those who are served once."""
    return {name: metrics[name] for name in SERVED}


@alone_and_with_workers
def test_all_that_connect_at_once_are_served(tmp_path, crowd, workers):
    source = ("--source", "walk:symbols=3:rate=30")
    with Launched(tmp_path, *source, workers=workers, environ=PATIENT) as server:
        crowd.join(server.port, AT_ONCE, HELLO + subscribe(SECOND))
        crowd.until_streaming()
        assert [c for c in crowd.clients if c.end or c.answers != ["ACK", "ACK"]] == []
        assert crowd.with_holes() == []
        assert server.total() == AT_ONCE
        wanted = dict.fromkeys(SERVED, AT_ONCE)
        # What workers say of themselves may be a second old.
        crowd.until(lambda: served(server.metrics()) == wanted, f"{wanted}")
        assert refused(server.metrics()) == {}
        if workers:
            assert server.by_worker("connections") == [AT_ONCE / workers] * workers
        assert server.complaints() == []


# Connect and cut.

CUT = 60_000
WAVE = 500
"""How many at a time, each time by one that is answered: the kernel's queue is never full."""
TIDE = 4000
"""How many are open at once in the end: the same tide leaves the same free memory in use."""
LEAK_BYTES = 100
"""What a leak of each connection would be: up to half of that is the allocator's."""
SETTLED = 20
"""How often in turn a number has to be the same."""
RESET = struct.pack("ii", 1, 0)
"""To linger for no time: the connection is reset when it is closed (socket(7), SO_LINGER)."""
SAID = (b"", HELLO[: HEADER_BYTES + 3], HELLO, EVERY_TICK)
"""What a client has said when it is cut: nothing, half a login, a login, all there is to say."""
KINDS = tuple(product(SAID, (False, True)))
"""Each of these, and whether its connection is reset."""
COUNTING = dedent(
    '''
    """Has each Python process say, when asked by a signal, what it keeps."""

    import gc, json, os, signal, sys

    def say(*_):
        gc.collect()
        kept = {"blocks": sys.getallocatedblocks(), "objects": len(gc.get_objects())}
        with open(f"{os.environ['KEPT']}.{os.getpid()}", "w") as file:
            file.write(json.dumps(kept) + "\\n")

    signal.signal(signal.SIGUSR2, say)
    '''
)
"""A module that Python imports at its start, by its name (site, sitecustomize)."""


def dial(port, source):
    """A connection from one of this machine's addresses."""
    connection = socket.socket()
    connection.settimeout(TIMEOUT)
    connection.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", port))
    return connection


def cut(connection, by_reset):
    if by_reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def wave(port, source, at_once, size=WAVE):
    """Connections of every kind, which are cut at once, or when the server has seen them."""
    open_ones = []
    for said, by_reset in islice(cycle(KINDS), size):
        connection = dial(port, source)
        if said:
            connection.send(said)
        if at_once:
            cut(connection, by_reset)
        else:
            open_ones.append((connection, by_reset))
    with dial(port, source) as witness:
        witness.sendall(HELLO)
        assert witness.recv(1), "in between others are served"
    for connection, by_reset in open_ones:
        cut(connection, by_reset)


def storm(port, count):
    """So many connections that are cut, every other wave of them at once; at last a tide."""
    for number in range((count - TIDE) // WAVE):
        wave(port, SOURCES[number % len(SOURCES)], number % 2 == 0)
    wave(port, SOURCES[0], at_once=False, size=TIDE)


class Watched:
    """What the processes of a server keep, each by its id."""

    def __init__(self, server, folder):
        self._server = server
        self._folder = folder

    def until_empty(self):
        """Wait until there is no connection on any page."""
        until(lambda: not self._server.total(), "no connection is left")
        until(lambda: not any(self._tables().values()), "no page knows of any")

    def files(self):
        """How many are open, once that has settled: a page that was read takes a moment to go."""
        seen = []

        def settled():
            pids = self._server.processes()
            seen.append({pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in pids})
            return seen[-SETTLED:] == seen[-1:] * SETTLED

        until(settled, "as many files are open as before")
        return seen[-1]

    def uncollectable(self):
        """Objects that the collector gave up on."""
        metrics = self._server.metrics().items()
        return sum(value for name, value in metrics if "gc_objects_uncollectable" in name)

    def anonymous_bytes(self):
        """Memory that is no file's, and so nobody else's; what forks share is counted in each."""
        return sum(map(_anonymous_bytes, self._server.processes()))

    def kept(self):
        """Python's blocks of memory, and the objects that its collector knows, in all."""
        serving = {self._server.process.pid, *self._server.serving()}
        for pid in serving:
            os.kill(pid, signal.SIGUSR2)
        said = [json.loads(until(lambda pid=pid: self._said(pid), "it says")) for pid in serving]
        return {name: sum(each[name] for each in said) for name in ("blocks", "objects")}

    def _said(self, pid):
        path = Path(f"{self._folder}/kept.{pid}")
        if not path.exists() or not (text := path.read_text()).endswith("\n"):
            return ""
        path.unlink()
        return text

    def _tables(self):
        kept = re.compile(
            "tickstorm_(active|congested|queued|streams|subscribers|worker_connections)"
        )
        return {n: value for n, value in self._server.metrics().items() if kept.match(n)}


def _anonymous_bytes(pid):
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))
    return kilobytes * 1024


def growth(server, watched):
    """Bytes that each connection has left behind.

    The allocator's own growth comes and goes: only what is too much is looked at once more. A leak
    is as much each time.
    """
    before, since = watched.anonymous_bytes(), 0
    for more in (CUT - CUT // 3, CUT // 3, CUT // 3):
        storm(server.port, more)
        watched.until_empty()
        since += more
        left = (watched.anonymous_bytes() - before) / since
        if left < LEAK_BYTES / 2:
            break
    return left


@alone_and_with_workers
def test_connections_that_are_cut_leave_nothing_behind(tmp_path, workers):
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    environ = PATIENT | {"PYTHONPATH": str(tmp_path), "KEPT": str(tmp_path / "kept")}
    source = ("--source", "walk:symbols=3:rate=30")
    with Launched(tmp_path, *source, workers=workers, environ=environ) as server:
        watched = Watched(server, tmp_path)
        files = watched.files()
        storm(server.port, CUT // 3)
        watched.until_empty()
        kept = watched.kept()
        assert growth(server, watched) < LEAK_BYTES / 2
        more = {name: count - kept[name] for name, count in watched.kept().items()}
        assert max(more.values()) < CUT / 50, f"{more} more are kept than before"
        assert watched.uncollectable() == 0
        assert watched.files() == files
        assert server.complaints() == []


# One that stalls among many.

OTHERS = 2000
QUEUE_BYTES = 80_000
"""What may wait for a client."""
FAST = ("--source", "walk:symbols=100:rate=500")
"""A hundred ticks a batch, some 5 kB, five times a second."""
NARROW = PATIENT | {
    "TICKSTORM_BATCH_WINDOW": "200ms",
    "TICKSTORM_MAX_WRITE_QUEUE_BYTES": str(QUEUE_BYTES),
    "TICKSTORM_SOFT_WRITE_QUEUE_BYTES": str(QUEUE_BYTES),
    "TICKSTORM_TCP_WRITE_BUFFER_BYTES": "4096",
}


def little_room(port):
    """A connection whose client's kernel takes little that is not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    return connection


def until_ended(server, crowd):
    """The most that was seen waiting for one client, until the server ends one."""
    most = 0
    while not server.said("ended:"):
        (first,) = server.get("/connections?sort=pending&limit=1")["connections"]
        most = max(most, first["pending_bytes"])
        crowd.until_more(1, stalled=1)
    return most


@alone_and_with_workers
def test_one_that_stops_reading_is_ended_and_the_others_lose_nothing(tmp_path, crowd, workers):
    with Launched(tmp_path, *FAST, workers=workers, environ=NARROW) as server:
        crowd.join(server.port, OTHERS // 2)
        stalled = crowd.add(little_room(server.port), EVERY_TICK)
        crowd.join(server.port, OTHERS // 2)
        crowd.until_streaming()
        crowd.ignore(stalled)
        most = until_ended(server, crowd)
        assert 0 < most <= QUEUE_BYTES + PIECE_BYTES  # what its socket was handed waits too
        (line,) = server.said("ended:")
        assert line["message"].endswith(f"SLOW_CONSUMER, more than {QUEUE_BYTES} bytes are waiting")

        crowd.heed(stalled)
        crowd.until(lambda: stalled.end, "it reads its end")
        assert (stalled.end, stalled.answers) == ("closed", ["ACK", "ACK", "SLOW_CONSUMER"])
        crowd.until_more(5)
        assert (crowd.gone(), crowd.with_holes()) == ([stalled], [])
        until(lambda: server.metrics()["tickstorm_slow_consumers_total"] == 1, "it is counted")
        assert refused(server.metrics()) == {
            'tickstorm_protocol_errors_total{code="SLOW_CONSUMER"}': 1
        }
        assert server.complaints() == []
