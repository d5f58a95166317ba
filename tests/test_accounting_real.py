"""Two hundred clients for half a minute, of whom twenty come and go: each has, or is told of, all.

What each batch was is known from a client of the same stream that always reads, and what those have
together is what was published.
"""

import errno
import socket
import struct
from heapq import heappop, heappush
from itertools import cycle
from random import Random
from time import monotonic
from typing import NamedTuple

import pytest
from accounts import Ledger, Reader
from conversation import SECOND, TICK, subscribe
from publishing import Publisher, quiet
from subscribers import HELLO, Crowd
from test_tap import LOGIN

from tickstorm.subscriptions import Overload

pytestmark = pytest.mark.real

STEADY, UNSTEADY = 180, 20
SECONDS = 30
PAUSE = 0.04
"""Seconds between two requests to publish."""
SYMBOLS = tuple(f"{first}{number}" for first in "AB" for number in range(30))
SMALL = LOGIN | {
    "TICKSTORM_MAX_WRITE_QUEUE": "30",
    "TICKSTORM_SOFT_WRITE_QUEUE_BYTES": "10000",
    "TICKSTORM_TCP_WRITE_BUFFER_BYTES": "4096",
}
"""Queues that are full when a client has not read for a second."""
RESET = struct.pack("ii", 1, 0)
"""To linger for no time: the connection is reset when it is closed (socket(7), SO_LINGER)."""


class Kind(NamedTuple):
    """A stream, and what a SUBSCRIBE says of it."""

    mode: int
    symbols: tuple = ()
    interval_ms: int = 0


KINDS = (Kind(TICK), Kind(TICK, ("A*",)), Kind(SECOND), Kind(0, ("A1", "B*"), 250))


class Line:
    """One connection, whose client reads what came."""

    def __init__(self, connection, unsent):
        self.socket = connection
        self.reader = None
        self.answers = []
        self.end = ""
        self._unsent = unsent

    def write(self):
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except OSError as error:
            self.end = errno.errorcode[error.errno]
        return not self._unsent

    def read(self):
        try:
            while data := self.socket.recv(2**16):
                self.reader.feed(data)
        except BlockingIOError:
            pass
        except OSError as error:
            self.end = errno.errorcode[error.errno]
        else:
            self.end = "closed"


class Customer:
    """A client that always wants the same, over all its connections."""

    def __init__(self, crowd, port, kind, policy):
        self.kind = kind
        self.policy = policy
        self.reader = Reader()
        self.slow = 0
        self._crowd = crowd
        self._port = port
        self.line = None

    @property
    def is_gone(self):
        return self.line is None or bool(self.line.end)

    def come(self):
        """Come, or come back for what was missed."""
        position = self.reader.position(self.kind)
        self.reader.connected()
        self.reader.asks(self.kind, resumes=bool(position))
        mode, symbols, interval_ms = self.kind
        wanted = {"overload": self.policy, "interval_ms": interval_ms, **position}
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", self._port))
        self.line = self._crowd.add(connection, HELLO, subscribe(mode, *symbols, **wanted))
        self.line.reader = self.reader

    def stall(self):
        self._crowd.ignore(self.line)

    def read_on(self):
        self._crowd.heed(self.line)

    def cut(self, by_reset):
        """Vanish, with what is under way."""
        self._crowd.ignore(self.line)
        if by_reset:
            self.line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.line.socket.close()
        self.line = None

    def come_and_go(self, random):
        """Yield for how many seconds to go on as it is before what comes next."""
        while True:
            yield random.uniform(0.2, 1.5)
            if self.is_gone:  # the server has closed on it
                self.slow += 1
                yield random.uniform(0, 0.5)
                self.come()
                continue
            self.stall()
            yield random.uniform(0.2, 5)
            if random.random() < 0.4:
                self.cut(by_reset=random.random() < 0.5)
                yield random.uniform(0, 1)
                self.come()
            else:
                self.read_on()


class Agenda:
    """What customers do next, in the order of its time."""

    def __init__(self, courses):
        self._due = []
        for order, course in enumerate(courses):
            self._put(order, course)

    def turn(self):
        """Have those go on whose time has come."""
        while self._due and self._due[0][0] <= monotonic():
            _, order, course = heappop(self._due)
            self._put(order, course)

    def _put(self, order, course):
        heappush(self._due, (monotonic() + next(course), order, course))


def gather(crowd, port, random):
    """Who is always there, a multiple of each kind, and who is not."""
    kinds = cycle(KINDS)
    steady = [
        Customer(crowd, port, next(kinds), random.choice(list(Overload))) for _ in range(STEADY)
    ]
    unsteady = [
        Customer(crowd, port, random.choice(KINDS), random.choice(list(Overload)))
        for _ in range(UNSTEADY)
    ]
    for customer in (*steady, *unsteady):
        customer.come()
    crowd.until(lambda: all(each.reader.stretch for each in (*steady, *unsteady)), "all are served")
    return steady, unsteady


def publish_on(publisher, crowd, agenda, random):
    over = monotonic() + SECONDS
    while (now := monotonic()) < over:
        publisher.publish(random.choices(SYMBOLS, k=40))
        while monotonic() < now + PAUSE:
            crowd.turn(0.005)
        agenda.turn()


def settle(crowd, steady, unsteady):
    """Let everybody come to where those are who always read, once nothing is published."""
    for customer in unsteady:
        if customer.is_gone:
            customer.come()
        else:
            customer.stall()
            customer.read_on()
    quiet = monotonic() + 1.5  # every bar has ended
    crowd.until(lambda: monotonic() > quiet, "it is quiet")
    ends = {each.kind: each.reader.stretch.next for each in steady}

    def come_back():
        for each in unsteady:
            if each.is_gone:
                each.come()
        return all(each.reader.stretch.next >= ends[each.kind] for each in (*steady, *unsteady))

    crowd.until(come_back, "all have all")


@pytest.mark.parametrize("workers", [0, 2], ids=["alone", "two"])
def test_each_of_many_has_or_is_told_of_everything(tmp_path, workers):
    random = Random(20261121)
    with quiet(tmp_path, workers, SMALL) as server, Crowd(Line) as crowd:
        steady, unsteady = gather(crowd, server.port, random)
        publisher = Publisher(server.port)
        agenda = Agenda([each.come_and_go(random) for each in unsteady])
        publish_on(publisher, crowd, agenda, random)
        settle(crowd, steady, unsteady)
        witnesses, others = steady[: len(KINDS)], [*steady[len(KINDS) :], *unsteady]
        crowd.leave([each.line for each in others])
        later = monotonic() + 1.5  # whatever another was sent, they have too
        crowd.until(lambda: monotonic() > later, "they read on")

        ledger = Ledger()
        for each in witnesses:
            each.reader.stretch.enter(ledger)
        ticks = witnesses[0].reader.stretch
        assert ledger.items(KINDS[0], ticks.first, ticks.next) == publisher.published
        ticks = witnesses[1].reader.stretch
        wanted = [(symbol, price) for symbol, price in publisher.published if symbol[0] == "A"]
        assert ledger.items(KINDS[1], ticks.first, ticks.next) == wanted
        for each in (*witnesses, *others):
            (stretch,) = (*each.reader.finished, each.reader.stretch)
            stretch.check(ledger)
            stretch.check_values(ledger)
        assert [each for each in steady if each.is_gone or each.reader.stretch.gaps] == []
        assert sum(each.reader.recovered for each in unsteady) > UNSTEADY
        assert sum(each.reader.stretch.gaps for each in unsteady) > 0
        assert sum(each.slow for each in unsteady) > 0
        assert server.complaints() == []
