"""Slow clients at full size: what one costs the server and the others, and all of them at once."""

from itertools import count, cycle, islice
from pathlib import Path

import pytest
from conversation import TICK, subscribe
from publishing import Publisher, quiet
from subscribers import HELLO, Crowd
from test_tap import LOGIN

from tickstorm.open_files import raise_limit
from tickstorm.overload import BacklogLimits
from tickstorm.subscriptions import Overload

pytestmark = pytest.mark.real

PATIENT = LOGIN | {
    "TICKSTORM_AUTH_TIMEOUT": "1m",
    "TICKSTORM_WRITE_DEADLINE": "1m",
    "TICKSTORM_HISTORY": "0",
    "TICKSTORM_BATCH_WINDOW": "0",
}
"""A machine that is busy is nobody's fault; and nothing is kept but what waits for clients."""
FAT = {f"{number:064}": "v" * 256 for number in range(20)}
"""The metadata of a tick of 6.5 KB."""
LIGHT = HELLO + subscribe(TICK, "L*")


def heavy(policy=0):
    """What a client says that wants the large ticks too."""
    return HELLO + subscribe(TICK, "H*", "L*", overload=policy)


def resident_bytes(pid):
    (kilobytes,) = (
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return kilobytes * 1024


@pytest.fixture(name="crowd")
def gather():
    raise_limit()
    with Crowd() as crowd:
        yield crowd


# One of a thousand.

OTHERS = 999
STREAM_BYTES = 100_000_000
MOST_BYTES = BacklogLimits().max_bytes


class Flood:
    """Publishes large ticks for some, and a small one for everybody now and then.

    Attributes:
        bytes: of the large ones.
        small: how many small ones.
    """

    def __init__(self, publisher, crowd):
        self.bytes = self.small = 0
        self._publisher = publisher
        self._crowd = crowd

    def run(self, size, look=lambda: None):
        """Publish so many bytes, and call `look` now and then."""
        over = self.bytes + size
        for turn in count():
            self._publisher.publish([f"H{number}" for number in range(8)], FAT)
            self.bytes += 8 * sum(len(key) + len(value) for key, value in FAT.items())
            if turn % 20 == 0:
                self._publisher.publish(["L1"])
                self.small += 1
                look()
            self._crowd.turn(0)
            if self.bytes >= over:
                return


@pytest.mark.parametrize("policy", Overload)
def test_one_of_a_thousand_that_stops_reading_costs_no_more_than_its_bound(tmp_path, crowd, policy):
    with quiet(tmp_path, 0, PATIENT) as server:
        (stalled,) = crowd.join(server.port, 1, heavy(policy))
        others = crowd.join(server.port, OTHERS, LIGHT)
        crowd.until(lambda: all(len(c.answers) == 2 for c in crowd.clients), "all are served")
        flood = Flood(Publisher(server.port), crowd)
        flood.run(STREAM_BYTES // 5)  # what the server needs for this at all
        crowd.until(lambda: all(len(c.sequences) == flood.small for c in others), "all have it")

        before = most = resident_bytes(server.process.pid)
        waiting = 0

        def look():
            nonlocal most, waiting
            most = max(most, resident_bytes(server.process.pid))
            waiting = max(waiting, server.metrics()["tickstorm_queued_bytes"])

        crowd.ignore(stalled)
        flood.run(STREAM_BYTES, look)
        look()
        assert most - before < MOST_BYTES * 1.1
        assert 0 < waiting <= MOST_BYTES
        crowd.until(lambda: all(len(c.sequences) == flood.small for c in others), "all have it")
        assert [c for c in others if c.end or c.has_hole()] == []
        slow = server.metrics()["tickstorm_slow_consumers_total"]
        assert slow == (1 if policy is Overload.DISCONNECT else 0)
        assert server.complaints() == []


# All of them.

ALL = 5000
HEAVY = 500
"""Those who want the large ticks, and so have the most waiting."""
TIMES = 40
"""How often is published: what is then to wait is several times as much as may."""
ALL_BYTES = 32 * 2**20
CONGESTED_BYTES = 1400
"""What it takes to have anything waiting at all, Twisted's part included: that is not in those."""
ROOM = 4096
"""For a socket's kernel, at either end."""
NARROW = PATIENT | {
    "TICKSTORM_MAX_BACKLOG_BYTES": str(ALL_BYTES),
    "TICKSTORM_TCP_WRITE_BUFFER_BYTES": str(ROOM),
}
MIDDLING = dict(islice(FAT.items(), 3))
"""The metadata of a tick of 1 KB."""


def join_all(crowd, port):
    """Those who want the large ticks, a part of them with each policy, and then the others."""
    for policy in islice(cycle((*Overload, 0)), HEAVY):
        crowd.join(port, 1, heavy(policy), room=ROOM)
    crowd.until(lambda: all(len(c.answers) == 2 for c in crowd.clients), "they come first")
    crowd.join(port, ALL - HEAVY, LIGHT, room=ROOM)
    crowd.until(lambda: all(len(c.answers) == 2 for c in crowd.clients), "all are served")


def ended(server):
    """The connections that the server has ended, in their order."""
    return [line["connection"] for line in server.said("ended: SLOW_CONSUMER")]


def test_when_all_stop_reading_those_with_the_most_go_and_the_server_lives(tmp_path, crowd):
    with quiet(tmp_path, 0, NARROW) as server:
        join_all(crowd, server.port)
        publisher = Publisher(server.port)
        before = resident_bytes(server.process.pid)
        most = waiting = 0
        for _ in range(TIMES):
            publisher.publish([f"H{number}" for number in range(8)], FAT)
            publisher.publish(["L1"], MIDDLING)
            waiting = max(waiting, server.metrics()["tickstorm_queued_bytes"])
            most = max(most, resident_bytes(server.process.pid))
        assert ALL_BYTES * 0.9 < waiting <= ALL_BYTES
        assert most - before < ALL_BYTES * 1.1 + ALL * CONGESTED_BYTES
        gone = ended(server)
        assert sorted(gone[:HEAVY]) == list(range(1, HEAVY + 1))
        assert HEAVY < len(gone) < ALL

        assert server.get("/health/live")["live"] is True
        assert server.get("/health/ready")["ready"] is True
        with Crowd() as newcomers:
            (new,) = newcomers.join(server.port, 1, LIGHT)
            newcomers.until(lambda: len(new.answers) == 2, "another is served")
            publisher.publish(["L1"])
            newcomers.until(lambda: len(new.sequences) == 1, "and gets what is published")

        def is_settled(client):
            return client.end or len(client.sequences) == TIMES + 1

        crowd.until(lambda: all(map(is_settled, crowd.clients)), "all read on")
        kept = [client for client in crowd.clients if not client.end]
        assert (len(kept), ended(server)) == (ALL - len(gone), gone)
        assert [client for client in kept if client.has_hole()] == []
        assert server.complaints() == []
