"""The edge of chaos: connections of a server that misbehaves, in memory and once for real."""

import re
from collections import defaultdict
from ipaddress import ip_network

import pytest
import pytest_twisted
from certificates import authority
from conversation import PASSWORD, TICK, USER, Client, Server, Wire, auth, names, read
from conversation import subscribe as subscription
from dial import NOTHING, ask, client_context, dial, listening, until
from dial import Server as DialedServer
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IStreamClientEndpoint
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.test.iosim import FakeTransport, IOPump
from zope.interface import implementer

from tickstorm.admission import AdmissionLimits
from tickstorm.chaos import DRIP_PAUSE, DRIP_PIECES, ChaosOptions, Fault
from tickstorm.chaotic import ChaoticFactory
from tickstorm.client import (
    Authenticated,
    BackoffLimits,
    ClientLimits,
    Disconnected,
    Gap,
    Garbled,
    Mode,
    Repeated,
    Subscribed,
    twisted_client,
)
from tickstorm.errors import ChecksumFailed
from tickstorm.frames import HEADER_BYTES
from tickstorm.service import TickstormService
from tickstorm.settings import Settings
from tickstorm.ticks import Tick
from tickstorm.transports import awaits_proxy


def chaotic(server, *faults, seed=7, rate=1.0):
    return ChaoticFactory(server.factory, ChaosOptions(frozenset(faults), seed, rate), server.clock)


def publish(server, *prices):
    """Publish each in a batch of its own."""
    for price in prices:
        server.hub.publish([Tick("EURUSD", price, 1.0)])
        server.factory.feed.flush()


def subscribed(server, *faults, **options):
    """A client that streams every tick, with faults, and has read its ACKs."""
    client = Client(chaotic(server, *faults, **options))
    client.send(auth(), subscription(TICK))
    assert client.names() == ["ACK", "ACK"]
    return client


def taken(client):
    """The bytes that came since the last call."""
    data = client.transport.value()
    client.transport.clear()
    return data


def told(logs):
    return [formatEvent(event) for event in logs if event["log_format"].startswith("chaos")]


# The bytes.


def test_a_batch_comes_twice_and_the_log_says_so():
    server = Server()
    client = subscribed(server, Fault.DUP)
    with capturedLogs() as logs:
        publish(server, 1.0, 2.0)
    batches = client.read()
    assert names(batches) == [[1.0], [1.0], [2.0], [2.0]]
    assert told(logs) == [
        f"chaos: connection 1: dup, batch {batch.batch_sequence}" for batch in batches[::2]
    ]


def test_a_batch_does_not_come():
    server = Server()
    plain, client = server.subscribed(TICK), subscribed(server, Fault.GAP)
    publish(server, 1.0)
    assert (plain.names(), client.names()) == ([[1.0]], [])


def test_a_batch_drips():
    server = Server()
    client = subscribed(server, Fault.DRIP)
    publish(server, 1.0)
    pieces = [taken(client)]
    server.reactor.advance(DRIP_PAUSE / 2)
    for _ in range(DRIP_PIECES - 1):
        server.reactor.advance(DRIP_PAUSE)
        pieces.append(taken(client))
    assert list(map(len, pieces[:8])) == [1] * 8
    assert all(pieces)
    assert names(read(b"".join(pieces))) == [[1.0]]


def test_a_delay_holds_up_all_that_is_behind_it():
    server = Server()
    client = subscribed(server, Fault.DELAY)
    publish(server, 1.0)
    client.send(subscription(TICK))
    server.reactor.advance(0.1)
    assert taken(client) == b""
    server.advance(3)
    assert client.names() == [[1.0], "ALREADY_SUBSCRIBED"]


def test_a_cut_ends_within_the_batch_and_all_is_let_go_of():
    server = Server()
    plain, client = server.subscribed(TICK), subscribed(server, Fault.CUT)
    publish(server, 1.0, 2.0)
    cut, whole = taken(client), taken(plain)
    assert whole.startswith(cut)
    assert 0 < len(cut) < len(whole) / 2
    assert (client.closed, client.transport.producer) == (True, None)
    server.factory.drain(1.0)  # it writes, unregisters and closes once more
    assert taken(client) == b""
    client.vanish()
    plain.vanish()
    assert server.left_behind() == {}


def test_the_last_words_wait_for_what_is_held_back():
    server = Server()
    client = subscribed(server, Fault.DELAY)
    publish(server, 1.0)
    server.factory.drain(60.0)
    assert (taken(client), client.closed) == (b"", False)
    server.advance(3, step=0.1)
    assert (client.names(), client.closed) == ([[1.0], "GOAWAY"], True)


def test_a_connection_that_is_lost_leaves_no_timer():
    server = Server()
    client = subscribed(server, Fault.DELAY)
    publish(server, 1.0)
    calls = len(server.reactor.getDelayedCalls())
    client.vanish()
    assert len(server.reactor.getDelayedCalls()) == calls - 1
    assert server.left_behind() == {}


def test_a_full_socket_is_waited_for_as_ever():
    server = Server()
    connection = chaotic(server, Fault.DUP).buildProtocol(None)
    wire = Wire(connection, server.reactor)
    connection.makeConnection(wire.transport)
    wire.socket.inbox += auth() + subscription(TICK)
    wire.turn()
    wire.drain()
    assert names(wire.read()) == ["ACK", "ACK"]
    wire.socket.room = 0
    publish(server, *map(float, range(1, 401)))
    assert len(server.factory.congested) == 1
    wire.drain()
    assert names(wire.read()) == [[1.0 + number // 2] for number in range(800)]
    assert server.factory.congested == set()


# What else it stands before.


def test_it_says_so_when_it_begins_and_runs_the_server_s_timers():
    server = Server()
    server.factory.doStop()
    factory = chaotic(server, Fault.CUT, Fault.DRIP, rate=0.05)
    with capturedLogs() as logs:
        factory.doStart()
        factory.doStart()
    assert [(event["log_level"].name, formatEvent(event)) for event in logs] == [
        (
            "warn",
            "CHAOS: this server misbehaves on purpose, only a client under test should come here "
            "(chaos=drip,cut, seed=7, rate=0.05)",
        )
    ]
    assert len(server.reactor.getDelayedCalls()) == 3
    factory.doStop()
    factory.doStop()
    assert server.reactor.getDelayedCalls() == []


def test_who_may_not_connect_is_told_at_once():
    limits = AdmissionLimits(block=(ip_network("10.0.0.0/8"),))
    server = Server(admission_limits=limits)
    client = Client(chaotic(server, Fault.GAP))
    assert (client.names(), client.closed) == (["NOT_PERMITTED"], True)
    assert not awaits_proxy(client.connection)


def test_a_handshake_of_tls_is_passed_on():
    server = Server()
    client = Client(chaotic(server, Fault.GAP))
    assert IHandshakeListener.providedBy(client.connection)
    client.connection.handshakeCompleted()
    assert sum(server.metrics.tls_handshakes.values()) == 1


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_cut_over_tls_ends_the_connection(tmp_path):
    ca = authority()
    (certificate, key), (trusted, _) = (
        issued.save(tmp_path, name) for name, issued in (("server", ca.issue("server")), ("ca", ca))
    )
    server = DialedServer()
    description = f"tls:0:interface=127.0.0.1:cert={certificate}:key={key}"
    async with listening(description, chaotic(server, Fault.CUT)) as port:
        caller = await dial(port, client_context(trusted))
        assert await ask(caller, 2, auth(), subscription(TICK)) == ["ACK", "ACK"]
        publish(server, 1.0)
        data = b"".join(
            await deferToThread(lambda: list(iter(lambda: caller.socket.recv(1024), b"")))
        )
        assert 0 < len(data) < HEADER_BYTES + int.from_bytes(data[4:8]) + 4
        caller.socket.close()
        await until(lambda: server.left_behind() == NOTHING)
    assert sum(server.metrics.tls_handshakes.values()) == 1


# The project's own client.


@implementer(IStreamClientEndpoint)
class Pumped:
    """Connects to a factory in memory."""

    def __init__(self, factory, reactor):
        self.factory, self.reactor = factory, reactor
        self.pump = None

    def connect(self, factory):
        server, client = self.factory.buildProtocol(None), factory.buildProtocol(None)
        ends = FakeTransport(client, isServer=False), FakeTransport(server, isServer=True)
        self.pump = IOPump(client, server, *ends, debug=False, clock=self.reactor)
        server.makeConnection(ends[1])
        client.makeConnection(ends[0])
        return Deferred()


class Watched:
    """A client of a server that misbehaves, its batches and what it says."""

    def __init__(self, *faults, seed=7, rate=1.0):
        self.server = Server()
        self.events, self.batches = [], []
        chaos = chaotic(self.server, *faults, seed=seed, rate=rate)
        self.endpoint = Pumped(chaos, self.server.reactor)
        client = twisted_client(
            self.server.reactor,
            self.endpoint,
            username=USER,
            password=PASSWORD,
            mode=Mode.TICK,
            on_event=self.events.append,
            clock=self.server.clock,
            random=lambda: 0.5,
        )
        Deferred.fromCoroutine(self._collect(client))
        self.endpoint.pump.flush()
        assert [type(event) for event in self.take()] == [Authenticated, Subscribed]

    async def _collect(self, client):
        async for batch in client:
            self.batches.append(batch)

    def publish(self, *prices):
        publish(self.server, *prices)
        self.advance(5)

    def advance(self, seconds):
        for _ in range(round(seconds / 0.01)):
            self.endpoint.pump.flush()
            self.server.reactor.advance(0.01)

    def take(self):
        events = self.events[:]
        self.events.clear()
        return events

    @property
    def prices(self):
        return [tick.price for batch in self.batches for tick in batch.ticks]


@pytest.mark.parametrize("fault", [Fault.DRIP, Fault.DELAY])
def test_what_is_late_is_no_event(fault):
    watched = Watched(fault)
    watched.publish(1.0, 2.0, 3.0)
    assert (watched.take(), watched.prices) == ([], [1.0, 2.0, 3.0])


def test_a_dup_is_repeated():
    watched = Watched(Fault.DUP)
    watched.publish(1.0, 2.0)
    assert watched.take() == [Repeated(batch.sequence) for batch in watched.batches]
    assert watched.prices == [1.0, 2.0]


def test_a_gap_is_told_by_the_next_batch():
    watched = Watched(Fault.GAP, rate=0.5)
    watched.publish(*map(float, range(1, 21)))
    assert [(batch.sequence, batch.ticks[0].price) for batch in watched.batches] == [
        (number, float(number)) for number in (3, 4, 5, 6, 8, 10, 12, 13)
    ]
    assert watched.take() == [Gap(1, 2), Gap(7, 7), Gap(9, 9), Gap(11, 11)]


ONCE = {"seed": 6, "rate": 0.5}
"""The first batch of the first connection, and not that of the second: there it comes once more."""


def test_a_wrong_checksum_is_garbled_and_it_comes_back():
    watched = Watched(Fault.BADCRC, **ONCE)
    watched.publish(1.0)
    garbled, disconnected, *again = watched.take()
    assert type(garbled) is Garbled
    assert type(garbled.error) is type(disconnected.error) is ChecksumFailed
    assert [type(event) for event in again] == [Authenticated, Subscribed, Gap]
    assert watched.prices == [1.0]  # of the snapshot


def test_a_cut_is_a_disconnection_and_it_comes_back():
    watched = Watched(Fault.CUT, **ONCE)
    watched.publish(1.0)
    disconnected, *again = watched.take()
    assert type(disconnected) is Disconnected
    assert [type(event) for event in again] == [Authenticated, Subscribed, Gap]
    assert watched.prices == [1.0]  # of the snapshot


# For real.

LONGEST = 60.0
"""Seconds after which the test is ended."""
ENOUGH = 300
"""Batches that it is to get through."""
EXPECTED = {Authenticated, Subscribed, Disconnected, Repeated, Gap, Garbled}


async def survive(client, events):
    """Take batches until everything has happened that can, and then some."""
    batches = []
    async for batch in client:
        batches.append(batch)
        if len(batches) >= ENOUGH and {type(event) for event in events} >= EXPECTED:
            return batches
    return batches


def faults_told(logs):
    """The numbers of the batches that had each fault."""
    faults = defaultdict(set)
    for line in told(logs):
        kind, number = re.fullmatch(r"chaos: connection \d+: (\w+), batch (\d+)", line).groups()
        faults[Fault(kind)].add(int(number))
    return faults


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_the_client_survives_every_fault(tmp_path):
    rows = [f"{1_000_000_000 + n / 100:.2f},ACME,{n}" for n in range(1, 10_001)]
    recording = tmp_path / "day.csv"
    recording.write_text("\n".join(["time,symbol,price", *rows, ""]))
    service = TickstormService(
        Settings(
            username=USER,
            password=PASSWORD,
            port=("tcp:0:interface=127.0.0.1",),
            http="",
            source=(f"replay:{recording}:chaos=all:seed=7:rate=0.1",),
        ),
        reactor,
    )
    events = []
    with capturedLogs() as logs:
        service.privilegedStartService()
        service.startService()
        client = twisted_client(
            reactor,
            f"127.0.0.1:{service.ports[0].getHost().port}",
            username=USER,
            password=PASSWORD,
            mode=Mode.TICK,
            on_event=events.append,
            limits=ClientLimits(backoff=BackoffLimits(first=0.05, longest=0.1)),
        )
        try:
            surviving = Deferred.fromCoroutine(survive(client, events))
            batches = await surviving.addTimeout(LONGEST, reactor)
        finally:
            await client.close()
            await service.stopService()

    assert {type(event) for event in events} == EXPECTED
    sequences = [batch.sequence for batch in batches]
    assert sequences == sorted(set(sequences))
    prices = [tick.price for batch in batches for tick in batch.ticks]
    assert prices == sorted(set(prices))
    missing = set(range(sequences[0], sequences[-1])) - set(sequences)
    gaps = {n for gap in events if type(gap) is Gap for n in range(gap.first, gap.last + 1)}
    assert missing <= gaps
    assert gaps & set(sequences) == set()
    injected = faults_told(logs)
    assert set(injected) == set(Fault)
    assert {event.sequence for event in events if type(event) is Repeated} <= injected[Fault.DUP]
    assert missing <= injected[Fault.GAP]  # whatever else was lost came on the next connection
