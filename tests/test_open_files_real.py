"""At the limit of open files: the server goes on, refuses politely, and recovers."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import authority
from subscribers import HELLO, Crowd
from test_tap import LOGIN, LOOPBACK
from workers_server import Launched, until

from tickstorm.open_files import RESERVE, raise_limit

pytestmark = pytest.mark.real

FILES = 400
"""The limit of each process: few, so that it is reached soon."""
ROOM = FILES - RESERVE
ASKED = {"MAX_CONNECTIONS": "1000"}
SOURCE = ("--source", "walk:rate=100")
GROUP = 90
"""How many come at a time to each process: with those still told why not, within its reserve."""
RUSH = 700
"""How many wait for a server that was looking away."""
REJECTED = 'tickstorm_connections_rejected_total{reason="too_many"}'
TLS = "tls:0:interface=127.0.0.1:cert=server.crt:key=server.key"
SILENT = b""
"""What somebody says who does not even begin the handshake, and so cannot take last words."""
WAYS = {
    "plain": (LOOPBACK, HELLO),
    "private": (TLS, SILENT),
    "proxied": (f"haproxy:{TLS}", SILENT),
    "ssl": ("ssl:0:interface=127.0.0.1:certKey=server.crt:privateKey=server.key", SILENT),
}
"""The server's ports, and what who comes there says; in the last both wrappers are Twisted's."""

alone_and_with_workers = pytest.mark.parametrize("workers", [0, 2], ids=["alone", "two"])


class Full:
    """A server without room for one more, and those who took it."""

    def __init__(self, server, crowd):
        self.server = server
        self.crowd = crowd
        self.ports = dict(zip(WAYS, server.ports, strict=True))
        self.plain = self.ports["plain"]
        self.inside = crowd.join(self.plain, ROOM * max(1, server.workers_wanted))
        crowd.until_streaming()

    def assert_undisturbed(self):
        """Those inside miss nothing, and the server says that it is well."""
        before = [len(client.sequences) for client in self.inside]
        self.crowd.until(
            lambda: all(
                len(client.sequences) >= count + 20
                for client, count in zip(self.inside, before, strict=True)
            ),
            "those inside get more",
        )
        assert [c for c in self.inside if c.end or c.has_hole() or len(c.answers) > 2] == []
        assert self.server.get("/health")["status"] == "ok"

    def one_more(self):
        """What one more client is answered first."""
        (client,) = self.crowd.join(self.plain, 1, HELLO)
        self.crowd.until(lambda: client.answers or client.end, "an answer")
        self.crowd.leave([client])
        return client.answers[0] if client.answers else client.end

    def unread(self, way, count):
        """So many more clients that do not read what they are told."""
        clients = self.crowd.join(self.ports[way], count, WAYS[way][1])
        for client in clients:
            self.crowd.ignore(client)
            client.write()
        return clients

    def assert_turned_away(self, count):
        """So many, and no fewer, were counted as turned away."""
        self.crowd.until(
            lambda: self.server.metrics()[REJECTED] == count, f"{count} are turned away"
        )

    def until_reported(self):
        """Wait until what the pages say is younger than the call: workers report once a second."""
        for _ in range(2):  # what comes first may have been under way
            before = self._spent()
            self.crowd.until(
                lambda before=before: all(
                    now != then for now, then in zip(self._spent(), before, strict=True)
                ),
                "every worker has reported",
            )

    def _spent(self):
        return self.server.by_worker("cpu_seconds_total")

    def assert_recovers(self):
        """When one leaves, one more comes in, and takes no more than that one had."""
        self.crowd.leave([self.inside.pop()])
        self.crowd.until(lambda: self.one_more() == "ACK", "there is room for one")


@pytest.fixture(name="full")
def fill(tmp_path, workers):
    raise_limit()
    authority().issue("localhost").save(tmp_path, "server")
    ports = [option for port, _ in WAYS.values() for option in ("--port", port)]
    with (
        Launched(
            tmp_path, *ports, *SOURCE, workers=workers, files=FILES, environ=LOGIN | ASKED
        ) as server,
        Crowd() as crowd,
    ):
        yield Full(server, crowd)


@contextmanager
def looking_away(*pids):
    """Processes that do nothing within the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def waiting_in_kernel(port):
    """How many connections to a port are not accepted yet (proc(5), net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (queues,) = [row[4] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"]
    return int(queues.partition(":")[2], 16)


def limits_of_open_files(pid):
    """The soft and the hard limit of a process."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("Max open files")]
    return tuple(map(int, line.split()[3:5]))


# The start.


@alone_and_with_workers
def test_the_start_says_for_how_many_there_is_room(full, workers):
    (line,) = [line for line in full.server.lines() if line["level"] != "info"]
    assert (line["level"], line["asked"], line["room"]) == ("warn", 1000, len(full.inside))
    assert line["message"] == (
        f"max_connections is 1000, but with the limit of open files there is room for "
        f"{ROOM * max(1, workers)}: raise that limit (ulimit -n, LimitNOFILE=), or have more "
        "workers"
    )


@alone_and_with_workers
def test_a_limit_that_may_be_raised_is_and_then_nothing_is_said(tmp_path, workers):
    allowed = ("prlimit", f"--nofile={RESERVE}:{FILES}")
    asked = {"MAX_CONNECTIONS": str(ROOM * max(1, workers))}
    with Launched(tmp_path, workers=workers, line=allowed, environ=LOGIN | asked) as server:
        assert {limits_of_open_files(pid) for pid in server.processes()} == {(FILES, FILES)}
        assert server.metrics()["process_max_fds"] == FILES
        assert [line for line in server.lines() if line["level"] != "info"] == []


# No room.


@alone_and_with_workers
def test_one_more_is_refused_politely_until_one_leaves(full):
    for _ in range(10):
        assert full.one_more() == "OVERLOADED"
    full.assert_undisturbed()
    full.assert_recovers()
    assert full.server.complaints() == []


@alone_and_with_workers
@pytest.mark.parametrize("way", ["plain", "private"])
def test_it_goes_on_while_ever_more_come_and_do_not_read(full, way):
    server, crowd = full.server, full.crowd
    before = server.open_files()
    group = GROUP * len(before)
    late = []
    for groups in (1, 2, 3):
        late += full.unread(way, group)
        full.assert_turned_away(groups * group)
        assert max(server.open_files()) < FILES
    full.assert_undisturbed()
    full.assert_recovers()
    crowd.leave(late)
    crowd.until(lambda: full.one_more() == "ACK", "there still is room for one")
    until(
        lambda: sum(server.open_files()) == sum(before) - 1,
        "who was turned away holds no file any more",
    )
    assert server.complaints() == []


def rush(full, way):
    """Many clients that come while the server looks away, each process until its turn comes."""
    server = full.server
    workers = server.workers() if server.workers_wanted else []
    with looking_away(*workers):
        with looking_away(server.process.pid):
            full.unread(way, RUSH)
        until(lambda: not waiting_in_kernel(full.ports[way]), "all are accepted")
    full.assert_undisturbed()
    full.until_reported()


@pytest.mark.parametrize(
    ("workers", "way"),
    [*((0, way) for way in WAYS), (1, "plain"), (1, "private")],
)
def test_all_that_come_at_once_are_counted(full, way):
    rush(full, way)
    assert full.server.metrics()[REJECTED] == RUSH
    full.assert_recovers()
    assert full.server.complaints() == []
