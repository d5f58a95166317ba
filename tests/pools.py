"""A pool in memory: its nurseries, and the workers' end of everything, are the test's."""

import os
import socket
from contextlib import ExitStack, contextmanager, suppress

from adopting import Far, Reactor
from conversation import PASSWORD, USER
from places import Port
from test_reading import counted

from tickstorm.clock import simulated_clock
from tickstorm.heartbeat import SWEEP_INTERVAL
from tickstorm.hub import Hub
from tickstorm.metrics import Metrics
from tickstorm.reading import Reading
from tickstorm.settings import Settings
from tickstorm.ticks import Tick
from tickstorm.workers.handover import take_over
from tickstorm.workers.link import Ready, Report
from tickstorm.workers.nursery_process import Begun
from tickstorm.workers.pool import WorkerPool

GRACE = 3.0
"""Seconds of a drain."""


class Nursery:
    """Asks for workers come here; so do workers, and the news of them, as the test has it."""

    def __init__(self, pool, reactor, take, lost):
        self.pool, self.reactor = pool, reactor
        self.tell, self._lost = take, lost
        self.refuses = False
        self.there = True
        self.closed = False

    def die(self):
        """Its process is gone; its workers are not."""
        self.there = False
        self._lost()

    def tell_of_birth(self, number, pid):
        """Tell of a process that is born; it."""
        process = Process(self.pool, pid)
        self.tell(Begun(number, process))
        return process

    def request(self, spec, link, connections):
        if self.refuses:
            raise OSError("nobody reads")
        assert link.family == socket.AF_UNIX
        taker = socket.socket(fileno=os.dup(connections.fileno()))
        self.pool.hired.append(Hired(self, spec, taker, at=len(self.reactor.adopted)))

    def close(self):
        self.closed = True


class Process:
    """A worker's process, which works when the test has it work."""

    def __init__(self, pool, pid):
        self.pool, self.pid = pool, pid
        pool.processes.append(self)
        self.cpu = 0.0
        self.refuses = False
        self.held = True

    def cpu_seconds(self):
        return self.cpu

    def end(self):
        assert self.held
        if self.refuses:
            raise PermissionError
        self.pool.ended.append(self.pid)

    def close(self):
        self.held = False


class Hired:
    """A worker that was asked for: its end of everything is the test's."""

    def __init__(self, nursery, spec, taker, at):
        self.nursery, self.spec, self._taker, self._at = nursery, spec, taker, at
        self.pid = 0
        self.ids = []
        self.closed = self.lost = False

    @property
    def far(self):
        client = self.nursery.reactor.adopted[self._at]
        if not hasattr(client, "far"):
            client.far = Far(client)
        return client.far

    def begin(self, pid=0):
        """It is born, and serves."""
        self.pid = pid or 1000 + self._at
        self.process = self.nursery.tell_of_birth(self.spec.number, self.pid)
        self.far.say(Ready())
        return self

    def say(self, *messages):
        self.far.say(*messages)

    def heard(self, *kinds):
        return self.far.heard(*kinds)

    @property
    def given_up(self):
        return self.far.given_up

    def take(self):
        """Take the connections that it was handed, and close them; how many these are."""
        before = len(self.ids)
        if self.closed:
            return 0
        with suppress(EOFError):  # nobody hands over any more
            while (handed := take_over(self._taker)) is not None:
                for place, descriptor in enumerate(handed.descriptors):
                    os.close(descriptor)
                    self.ids.append(handed.first_id + place)
        return len(self.ids) - before

    def close(self):
        """Take nothing more that is handed over."""
        self.closed = True
        self._taker.close()

    def die(self):
        """Its process is gone, and with it its end of everything."""
        self.close()
        if not self.lost:
            self.lost = True
            self.far.vanish()


class Pool:
    """A pool on simulated time with a port, nurseries and workers in memory."""

    def __init__(self, *shares, authenticator=None, slots=1, store=None, **settings):
        self.reactor = Reactor()
        self.clock = simulated_clock(self.reactor)
        self.hub = Hub("epoch-1", self.clock.wall_ns, slots=slots)
        named = {
            "username": USER,
            "password": PASSWORD,
            "batch_window": 0.0,
            "max_connections_per_address": 1000,
            **settings,
        }
        self.settings = Settings(**named)
        self.nurseries = []
        self.hired = []
        self.processes = []
        self.ended = []
        self.port, self.auction_port = Port(), Port()
        self.pool = WorkerPool(
            self.settings,
            shares,
            self.hub,
            authenticator,
            {},
            clock=self.clock,
            reactor=self.reactor,
            store=store(self.clock) if store is not None else None,
            make_nursery=self._make_nursery,
        )
        auction_ports = [self.auction_port] if store is not None else []
        self.pool.accept_from([self.port], auction_ports)

    def _make_nursery(self, reactor, take, lost):
        self.nurseries.append(Nursery(self, reactor, take, lost))
        return self.nurseries[-1]

    @property
    def nursery(self):
        return self.nurseries[-1]

    def at(self, number):
        """The worker that was asked for last at a place."""
        return [hired for hired in self.hired if hired.spec.number == number][-1]

    def asked_for(self):
        """The places that workers were asked for, in their order."""
        return [hired.spec.number for hired in self.hired]

    def begin_all(self):
        for hired in self.hired:
            hired.begin()
        return tuple(self.hired)

    def connect(self, count=1):
        """Clients that come."""
        clients = self.port.connect(count)
        self.reactor.turn()
        return clients

    def publish(self, *prices):
        self.hub.publish([Tick("EURUSD", price, 1.0) for price in prices])

    def drain(self):
        """Begin a drain; what is there once it is over."""
        fired = []
        self.pool.stop_accepting()
        self.pool.drain(GRACE, 0.0).addCallback(fired.append)
        return fired

    def close(self):
        """End whatever is left, as a server does: it holds no process then."""
        self.drain()
        for hired in self.hired:
            hired.die()
        self.port.close()
        self.auction_port.close()
        assert [process.pid for process in self.processes if process.held] == []


def report(number=1, **fields):
    """What a worker says that has so much of everything."""
    reading = Reading(number, 2 * number, 3 * number, {"SECOND": number}, counted(number), **fields)
    return Report(reading, cpu_seconds=1.5, resident_bytes=4096)


def still_alive(one, seconds, *workers, step=SWEEP_INTERVAL):
    """Let time pass in which these workers report."""
    for _ in range(round(seconds / step)):
        for worker in workers:
            worker.say(Report(Reading(0, 0, 0, {}, Metrics()), 0.0, 0))
        one.reactor.advance(step)


@contextmanager
def pools():
    """Makes pools, and clears them away."""
    with ExitStack() as stack:

        def pool(*shares, **options):
            one = Pool(*(shares or (50, 50)), **options)
            stack.callback(one.close)
            return one

        yield pool
