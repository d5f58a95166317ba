"""Real sockets: what only the kernel can show. Time is simulated still, so nothing waits for it."""

import gc
import os
import socket
from contextlib import asynccontextmanager, suppress

import pytest
import pytest_twisted
from conversation import (
    PASSWORD,
    START,
    USER,
    auth,
    heartbeat,
    names,
    read,
    subscribe,
)
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Clock as Scheduler
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.admission import AdmissionLimits
from tickstorm.clock import simulated_clock
from tickstorm.credentials import SharedCredentials
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.frames import HEADER_BYTES, OVERHEAD_BYTES
from tickstorm.hub import Hub
from tickstorm.overload import BacklogLimits
from tickstorm.protocol import LINGER
from tickstorm.ticks import Tick
from tickstorm.transports import SocketOptions

pytestmark = pytest.mark.real
real = pytest_twisted.ensureDeferred

TCP = "tcp:0:interface=127.0.0.1"
SECOND, TICK = pb.SUBSCRIPTION_MODE_SECOND, pb.SUBSCRIPTION_MODE_TICK
PATIENCE = 10.0
"""Seconds after which a test gives up on what should have come long since."""


class Server:
    """A server that listens, on a clock of its own."""

    def __init__(self, **options):
        self.scheduler = Scheduler()
        self.scheduler.advance(START)
        clock = simulated_clock(self.scheduler)
        self.hub = Hub("epoch-1", clock.wall_ns)
        self.factory = TickstormFactory(
            FanOut(self.hub, clock, 0), SharedCredentials(USER, PASSWORD), clock, **options
        )
        self.metrics = self.factory.metrics
        self.port = None

    def publish(self, *prices):
        self.hub.publish([Tick("EURUSD", price, 1.0) for price in prices])

    def publish_much(self):
        """Publish a batch of about 45 KB."""
        self.publish(*[1.0] * 1000)

    def connect(self, receive_buffer=0):
        """A client by hand; what the kernel accepts for the server waits for the reactor."""
        address = self.port.getHost()
        if hasattr(address, "port"):
            client = socket.socket()
            where = ("127.0.0.1", address.port)
        else:
            client = socket.socket(socket.AF_UNIX)
            where = address.name
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(PATIENCE)
        client.connect(where)
        return client

    async def subscribed(self, **options):
        client = self.connect(**options)
        client.sendall(auth() + subscribe(TICK))
        assert await receive(client, 2) == ["ACK", "ACK"]
        return client

    @property
    def connections(self):
        return list(self.factory.connections.values())


@asynccontextmanager
async def listening(description=TCP, **options):
    """A server on a free port, which has stopped and let go of everything behind the block."""
    server = Server(**options)
    server.port = await serverFromString(reactor, description).listen(server.factory)
    try:
        yield server
    finally:
        await maybeDeferred(server.port.stopListening)
        emptied = server.factory.drain(1.0)
        await turns(20)
        server.scheduler.advance(1.0)
        await emptied


async def turns(count=1):
    """Let the reactor turn."""
    for _ in range(count):
        await deferLater(reactor, 0, lambda: None)


async def until(condition):
    """Let the reactor turn until something holds."""
    give_up_at = reactor.seconds() + PATIENCE
    while not condition():
        assert reactor.seconds() < give_up_at, "it did not come to that"
        await deferLater(reactor, 0.001, lambda: None)


def _read_frames(client, count):
    data = b""
    for _ in range(count):
        head = _read_exactly(client, HEADER_BYTES)
        size = int.from_bytes(head[4:]) + OVERHEAD_BYTES - HEADER_BYTES
        data += head + _read_exactly(client, size)
    return data


def _read_exactly(client, size):
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        assert more, "the connection ended"
        data += more
    return data


def _read_all(client):
    data = b""
    while more := client.recv(65536):
        data += more
    return data


async def receive(client, count):
    """The names of the next so many messages."""
    return names(read(await deferToThread(_read_frames, client, count)))


async def receive_all(client):
    """The messages until the server closes."""
    return read(await deferToThread(_read_all, client))


# A plain client.


@real
async def test_a_conversation_over_tcp():
    async with listening() as server:
        client = server.connect()
        client.sendall(auth())
        assert await receive(client, 1) == ["ACK"]
        client.sendall(subscribe(SECOND, "EURUSD") + heartbeat(1))
        assert await receive(client, 2) == ["ACK", "PONG"]
        server.publish(1.0, 2.0)
        server.scheduler.advance(1.0)
        assert await receive(client, 1) == [[2.0]]
        client.sendall(b"\0" * 8)
        (error,) = await receive_all(client)
        assert error.code == pb.ERROR_CODE_INVALID_MESSAGE
        await until(lambda: not server.connections)
        client.close()


@real
async def test_a_conversation_one_byte_at_a_time():
    async with listening() as server:
        client = server.connect()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in auth() + subscribe(TICK) + heartbeat(1):
            client.send(bytes([byte]))
            await turns()
        assert await receive(client, 3) == ["ACK", "ACK", "PONG"]
        client.close()


@real
async def test_a_conversation_over_a_unix_socket(tmp_path):
    async with listening(f"unix:{tmp_path}/ticks.sock") as server:
        client = await server.subscribed()
        server.publish(1.0)
        assert await receive(client, 1) == [[1.0]]
        assert [connection.address for connection in server.connections] == ["unix"]
        client.close()
        await until(lambda: not server.connections)


@real
async def test_socket_options_reach_the_kernel():
    options = SocketOptions(keepalive=True, send_buffer_bytes=32_768, receive_buffer_bytes=16_384)
    async with listening(socket_options=options) as server:
        client = await server.subscribed()
        (connection,) = server.connections
        handle = connection._transport.getHandle()
        assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 32_768
        # Linux doubles what it is asked for.
        assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in (32_768, 65_536)
        assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) in (16_384, 32_768)
        client.close()


@real
async def test_behind_a_proxy_the_clients_address_counts():
    limits = AdmissionLimits(max_login_failures=1)
    async with listening(f"haproxy:{TCP}", admission_limits=limits) as server:
        header = "PROXY TCP4 203.0.113.{} 127.0.0.1 5000 8080\r\n"
        answers = {}
        for host, password in ((1, "wrong"), (1, PASSWORD), (2, PASSWORD)):
            client = server.connect()
            client.sendall(header.format(host).encode() + auth(password=password))
            answers.setdefault(host, []).extend(await receive(client, 1))
            client.close()
        assert answers == {1: ["INVALID_AUTH", "RATE_LIMITED"], 2: ["ACK"]}
        await until(lambda: not server.connections)
        assert server.factory.door.total == 0


# Who does not read.


async def stalled(server):
    """A subscriber that reads nothing and whose socket is full, and one that reads."""
    client = await server.subscribed(receive_buffer=4096)
    (connection,) = server.connections
    while not server.factory.congested:
        server.publish_much()
    assert server.factory.congested == {connection}
    return client, connection


@real
async def test_a_client_that_catches_up_gets_every_frame_whole():
    async with listening() as server:
        client, connection = await stalled(server)
        for price in range(1, 50):
            server.publish(float(price))
        assert connection.pending_bytes > 0
        sent = server.metrics.messages_sent
        got = await receive(client, sent)
        assert got[-49:] == [[float(price)] for price in range(1, 50)]
        await until(lambda: not server.factory.congested)
        assert connection.pending_bytes == 0
        server.publish(99.0)
        assert await receive(client, 1) == [[99.0]]
        client.close()


@real
async def test_a_heartbeat_of_a_congested_client_is_answered_ahead_of_its_queue():
    async with listening() as server:
        client, _ = await stalled(server)
        server.publish(7.0)
        sent = server.metrics.messages_sent
        client.sendall(heartbeat(3))
        await turns(20)
        assert server.connections
        got = await receive(client, sent + 1)
        assert "PONG" in got[:-1]
        assert got[-1] == [7.0]
        client.close()


@real
async def test_a_slow_consumer_is_told_and_ends_while_others_are_served():
    limits = BacklogLimits(max_bytes=200_000)
    async with listening(backlog_limits=limits) as server:
        client, _ = await stalled(server)
        other = await server.subscribed()
        while not server.metrics.slow_consumers:
            server.publish(5.0)
            server.publish_much()
            batches = await receive(other, 2)
            assert batches[0] == [5.0]
        *_, last = await receive_all(client)
        assert last.code == pb.ERROR_CODE_SLOW_CONSUMER
        assert last.message == "more than 200000 bytes are waiting"
        await until(lambda: len(server.connections) == 1)
        server.publish(6.0)
        assert await receive(other, 1) == [[6.0]]
        client.close()
        other.close()


@real
async def test_a_client_that_never_reads_again_is_cut():
    async with listening(backlog_limits=BacklogLimits(write_deadline=2.0)) as server:
        client, _ = await stalled(server)
        server.scheduler.pump([1.0] * 2)
        assert server.metrics.protocol_errors == {"SLOW_CONSUMER": 1}
        await turns(20)
        assert len(server.connections) == 1  # it may still take its last words
        server.scheduler.pump([1.0] * (int(LINGER) + 1))
        await until(lambda: not server.connections)
        client.close()


@real
async def test_a_client_that_sends_and_never_reads_is_bounded():
    async with listening() as server:
        client = server.connect(receive_buffer=4096)
        client.sendall(auth())
        client.setblocking(False)
        said = unsaid = b"".join(heartbeat(n) for n in range(2000))
        await until(lambda: server.connections)
        give_up_at = reactor.seconds() + PATIENCE
        while server.connections and not server.metrics.slow_consumers:
            assert reactor.seconds() < give_up_at
            with suppress(BlockingIOError):
                unsaid = unsaid[client.send(unsaid) :] or said
            await turns()
        assert server.metrics.protocol_errors == {"SLOW_CONSUMER": 1}
        client.close()


# Who resets.


def reset(client):
    """Close as a crash does: with an RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()


@real
async def test_clients_that_reset_during_a_fan_out_take_nobody_along():
    async with listening() as server:
        clients = [await server.subscribed() for _ in range(20)]
        for client in clients[::2]:
            reset(client)
        server.publish(1.0)  # before the reactor has seen any of it
        server.publish(2.0)
        for client in clients[1::2]:
            assert await receive(client, 2) == [[1.0], [2.0]]
        await until(lambda: len(server.connections) == 10)
        assert server.factory.congested == set()
        for client in clients[1::2]:
            client.close()
        await until(lambda: not server.connections)
        assert len(server.hub.ticks.streams) == 0


@real
async def test_the_last_words_arrive_though_the_client_still_talks():
    async with listening() as server:
        client = await server.subscribed()
        client.sendall(b"nonsense" + bytes(300_000))
        assert names(await receive_all(client))[0] == "INVALID_MESSAGE"
        client.close()
        await until(lambda: not server.connections)


async def come_and_go(server, count):
    expected = server.metrics.connections_opened + count
    for n in range(count):
        client = server.connect()
        client.sendall((auth() + subscribe(TICK) + heartbeat())[: n * 7])
        if n % 3 == 0:
            await turns(3)
            server.publish(1.0)
        (reset if n % 2 else socket.socket.close)(client)
        await turns()
    await until(lambda: server.metrics.connections_opened == expected and not server.connections)


@real
async def test_two_hundred_that_come_and_go_leave_nothing():
    async with listening() as server:
        await come_and_go(server, 20)
        descriptors, objects = _open_descriptors(), _connection_objects()
        await come_and_go(server, 200)
        assert server.factory.door.total == 0
        assert (len(server.factory._wheel), server.factory.congested) == (0, set())
        assert len(server.hub.ticks.streams) == 0
        assert (_open_descriptors(), _connection_objects()) == (descriptors, objects)


def _open_descriptors():
    gc.collect()  # what other tests have dropped
    return len(os.listdir("/proc/self/fd"))


def _connection_objects():
    gc.collect()
    ours = ("Connection", "Session", "Outlet", "Backlog", "FrameDecoder", "Server")
    return sorted(
        type(thing).__name__
        for thing in gc.get_objects()
        if type(thing).__name__ in ours and "tickstorm" in type(thing).__module__
    )


# What a delivery costs.


class CountingSocket:
    """A socket that counts its sends."""

    def __init__(self, inner):
        self.inner = inner
        self.sends = 0

    def send(self, data):
        self.sends += 1
        return self.inner.send(data)

    def __getattr__(self, name):
        return getattr(self.inner, name)


@real
async def test_one_system_call_for_each_frame_delivered():
    async with listening() as server:
        clients = [await server.subscribed() for _ in range(10)]
        sockets = []
        for connection in server.connections:
            counting = CountingSocket(connection._transport.socket)
            connection._transport.socket = counting
            connection._outlet._socket = counting
            sockets.append(counting)
        for price in range(1, 101):
            server.publish(float(price))
        assert sum(each.sends for each in sockets) == 1000 == server.metrics.messages_sent
        for client in clients:
            assert await receive(client, 100) == [[float(price)] for price in range(1, 101)]
            client.close()


@real
async def test_drain_over_tcp_tells_everybody():
    async with listening() as server:
        clients = [await server.subscribed() for _ in range(5)]
    for client in clients:
        assert names(await receive_all(client)) == ["GOAWAY"]
        client.close()


@real
async def test_drain_over_tcp_flushes_what_is_queued_for_a_slow_client():
    async with listening() as server:
        client, connection = await stalled(server)
        for price in range(1, 50):
            server.publish(float(price))
        assert connection.pending_bytes > 0
        sent = server.metrics.messages_sent
        emptied = server.factory.drain(60.0)
        got = names(await receive_all(client))
        got.remove("GOAWAY")
        assert (len(got), got[-49:]) == (sent, [[float(price)] for price in range(1, 50)])
        client.close()
        await emptied
