"""The factory: who is let in, and what is told of whom."""

from ipaddress import ip_network

import pytest
from conversation import (
    PASSWORD,
    TICK,
    USER,
    Server,
    WireClient,
    auth,
    error,
    heartbeat,
    read,
    subscribe,
)
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.python.failure import Failure

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.admission import AdmissionLimits
from tickstorm.credentials import SharedCredentials
from tickstorm.entrance import MAX_TURNED_AWAY
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.protocol import LINGER

BLOCKED = [error(pb.ERROR_CODE_NOT_PERMITTED, "this address may not connect")]


def server_with(**limits):
    return Server(admission_limits=AdmissionLimits(**limits))


def logged(call, *arguments):
    """The events that a call leaves in the log."""
    events = []
    globalLogPublisher.addObserver(events.append)
    call(*arguments)
    globalLogPublisher.removeObserver(events.append)
    return events


# Who is let in.


def test_no_more_connections_than_so_many():
    server = server_with(max_connections=2)
    inside = [server.connect(), server.connect("10.0.0.2")]
    outside = server.connect("10.0.0.3")
    outside.send(auth())
    assert outside.read() == [
        error(
            pb.ERROR_CODE_OVERLOADED,
            "the server has as many connections as it takes",
            retryable=True,
        )
    ]
    assert (outside.closed, server.metrics.rejections) == (True, {"too_many": 1})
    outside.vanish()
    assert server.connect().closed  # who was turned away has not made room
    inside[0].vanish()
    assert not server.connect().closed
    assert server.metrics.connections_opened == 5


def test_no_more_connections_from_an_address_than_so_many():
    server = server_with(max_connections_per_address=2)
    clients = [server.connect(), server.connect()]
    outside = server.connect()
    assert outside.read() == [
        error(pb.ERROR_CODE_RATE_LIMITED, "too many connections from this address", retryable=True)
    ]
    assert (outside.closed, server.metrics.rejections) == (True, {"too_many_from_address": 1})
    assert not server.connect("10.0.0.2").closed
    clients[0].vanish()
    assert not server.connect().closed


def test_who_is_turned_away_has_not_tried_to_log_in():
    server = server_with(max_connections_per_address=1)
    server.connect()
    server.connect()
    assert server.metrics.logins == {}


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("10.1.2.3", False), ("10.9.0.1", True), ("::ffff:10.1.2.3", False), ("2001:db8::1", True)],
)
def test_blocked_networks(address, allowed):
    server = server_with(block=(ip_network("10.1.0.0/16"), ip_network("2001:db8:1::/48")))
    client = server.connect(address)
    assert client.closed is not allowed
    if not allowed:
        assert client.read() == BLOCKED
        assert server.metrics.rejections == {"blocked": 1}


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("10.1.2.3", True), ("10.9.0.1", False), ("::1", True), ("2001:db8::1", False)],
)
def test_allowed_networks(address, allowed):
    server = server_with(allow=(ip_network("10.1.0.0/16"), ip_network("::1/128")))
    client = server.connect(address)
    assert client.closed is not allowed
    if not allowed:
        assert client.read() == BLOCKED
        assert server.metrics.rejections == {"not_allowed": 1}


def test_block_goes_before_allow():
    server = server_with(allow=(ip_network("10.0.0.0/8"),), block=(ip_network("10.1.0.0/16"),))
    assert (server.connect("10.1.0.1").closed, server.connect("10.2.0.1").closed) == (True, False)


def test_a_peer_without_an_ip_address_is_not_judged_by_networks():
    server = server_with(allow=(ip_network("10.0.0.0/8"),), max_connections_per_address=1)
    clients = [
        server.connect(transport=StringTransport(peerAddress=UNIXAddress("/run/x"))) for _ in "ab"
    ]
    assert [client.closed for client in clients] == [False, False]


def test_who_is_turned_away_is_forgotten_and_was_never_counted_in():
    server = server_with(block=(ip_network("10.1.0.0/16"),))
    for _ in range(20):
        server.connect("10.1.0.1").vanish()
    assert server.left_behind() == {}
    assert server.metrics.protocol_errors == {"NOT_PERMITTED": 20}


def test_who_is_turned_away_and_does_not_go_is_cut():
    server = server_with(block=(ip_network("10.1.0.0/16"),))
    client = server.connect("10.1.0.1")
    server.advance(LINGER + 1)
    assert client.cut


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "wrapped"])
def test_who_is_not_even_told_why_has_given_its_open_file_back_when_the_next_one_comes(wrapped):
    server = server_with(max_connections=0)
    told = [WireClient(server, wrapped=wrapped) for _ in range(MAX_TURNED_AWAY)]
    untold = [WireClient(server, wrapped=wrapped) for _ in range(3)]
    assert [client.closed for client in told] == [False] * MAX_TURNED_AWAY
    assert [client.closed for client in untold] == [True] * 3
    assert len(server.factory.connections) == MAX_TURNED_AWAY
    assert server.metrics.rejections == {"too_many": MAX_TURNED_AWAY + 3}
    server.advance(LINGER + 1)
    assert server.left_behind() == {}


@pytest.mark.parametrize(("verbose", "peers"), [(True, ["10.1.0.1"]), (False, [])])
def test_the_log_tells_who_was_turned_away_if_it_is_verbose(verbose, peers):
    limits = AdmissionLimits(block=(ip_network("10.1.0.0/16"),))
    server = Server(admission_limits=limits, verbose=verbose)
    events = logged(server.connect, "10.1.0.1")
    assert [event["peer"] for event in events] == peers


def test_the_log_tells_who_failed():
    server = Server()
    client = server.connect("10.1.0.1")
    (event,) = logged(client.send, auth(password="x"))
    assert (event["log_level"], event["peer"], event["code"]) == (
        LogLevel.warn,
        "10.1.0.1",
        "INVALID_AUTH",
    )


def test_login_failures_are_those_of_the_address():
    server = server_with(max_login_failures=2, login_failure_window=30.0)
    for _ in range(2):
        server.connect("10.0.0.1").send(auth(password="x"))
    results = {}
    for address in ("10.0.0.1", "10.0.0.2"):
        client = server.connect(address)
        client.send(auth())
        results[address] = client.names()
    assert results == {"10.0.0.1": ["RATE_LIMITED"], "10.0.0.2": ["ACK"]}
    server.advance(30)
    client = server.connect("10.0.0.1")
    client.send(auth())
    assert client.names() == ["ACK"]


def test_login_failures_of_an_ipv6_network_of_64_bits_are_one_hosts():
    server = server_with(max_login_failures=1)
    server.connect("2001:db8::1").send(auth(password="x"))
    results = {}
    for address in ("2001:db8::ffff:1", "2001:db8:0:1::1"):
        client = server.connect(address)
        client.send(auth())
        results[client.connection.address] = client.names()
    assert results == {"2001:db8::ffff:1": ["RATE_LIMITED"], "2001:db8:0:1::1": ["ACK"]}


def test_a_try_that_is_rate_limited_does_not_make_it_longer():
    server = server_with(max_login_failures=1, login_failure_window=30.0)
    server.connect().send(auth(password="x"))
    for _ in range(29):
        server.advance(1)
        client = server.connect()
        client.send(auth(password="x"))
        assert client.names() == ["RATE_LIMITED"]
    server.advance(1)
    client = server.connect()
    client.send(auth())
    assert client.names() == ["ACK"]


def test_the_table_of_failures_is_bounded():
    server = server_with(max_addresses=100)
    for n in range(1000):
        server.connect(f"10.0.{n // 250}.{n % 250}").send(auth(password="x"))
    assert len(server.factory.login_failures) == 100


# Behind a proxy.


class Proxied:
    """A connection behind the PROXY protocol, whose far end is the proxy."""

    def __init__(self, server, address="192.0.2.1"):
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", address, 40000))
        peer = self.transport.getPeer()
        self.protocol = HAProxyWrappingFactory(server.factory).buildProtocol(peer)
        self.protocol.makeConnection(self.transport)

    def send(self, *data):
        self.protocol.dataReceived(b"".join(data))

    def read(self):
        data = self.transport.value()
        self.transport.clear()
        return read(data)


def header(address):
    return f"PROXY TCP4 {address} 198.51.100.1 5000 8080\r\n".encode()


def test_behind_a_proxy_the_clients_address_counts():
    server = server_with(max_connections_per_address=1)
    clients = [Proxied(server) for _ in range(3)]
    assert [client.transport.disconnecting for client in clients] == [False] * 3
    clients[0].send(header("203.0.113.1"), auth())
    clients[1].send(header("203.0.113.2"), auth())
    clients[2].send(header("203.0.113.1"), auth())
    assert [len(client.read()) for client in clients[:2]] == [1, 1]
    assert clients[2].read() == [
        error(pb.ERROR_CODE_RATE_LIMITED, "too many connections from this address", retryable=True)
    ]
    assert [connection.address for connection in server.factory.connections.values()] == [
        "203.0.113.1",
        "203.0.113.2",
        "203.0.113.1",
    ]
    assert [connection.inside for connection in server.factory.connections.values()] == [
        True,
        True,
        False,
    ]
    assert server.factory.door.total == 2


def test_behind_a_proxy_the_proxy_is_not_judged_but_the_client_is():
    server = server_with(allow=(ip_network("203.0.113.0/24"),))
    good, bad = Proxied(server), Proxied(server)
    good.send(header("203.0.113.1"))
    good.send(auth(), subscribe(TICK))
    bad.send(header("198.18.0.1"))
    bad.send(auth())
    assert (len(good.read()), bad.read()) == (2, BLOCKED)


def test_behind_a_proxy_a_header_in_pieces():
    server = Server()
    client = Proxied(server)
    said = header("203.0.113.1") + auth()
    client.send(said[:10])
    for at in range(10, len(said)):
        client.send(said[at : at + 1])
    assert len(client.read()) == 1
    (connection,) = server.factory.connections.values()
    assert connection.address == "203.0.113.1"


def test_behind_a_proxy_failures_count_for_the_client():
    server = server_with(max_login_failures=1)
    for address in ("203.0.113.1", "203.0.113.2"):
        Proxied(server).send(header(address), auth(password="x"))
    client = Proxied(server)
    client.send(header("203.0.113.1"), auth())
    (answer,) = client.read()
    assert answer.code == pb.ERROR_CODE_RATE_LIMITED
    assert len(server.factory.login_failures) == 2


def test_behind_a_proxy_who_is_not_even_told_why_is_not_heard():
    server = server_with(block=(ip_network("10.1.0.0/16"),))
    for _ in range(MAX_TURNED_AWAY):
        server.connect("10.1.0.1")
    client = Proxied(server)
    client.send(header("10.1.0.1"), auth())
    assert (client.transport.disconnected, client.read()) == (True, [])
    assert server.metrics.logins == {}
    assert server.metrics.rejections == {"blocked": MAX_TURNED_AWAY + 1}


def test_behind_a_proxy_that_says_nothing_the_door_is_left_in_order():
    server = server_with(max_connections=1)
    client = Proxied(server)
    assert server.factory.door.total == 1
    server.advance(10)
    assert client.transport.disconnecting
    assert [answer.code for answer in client.read()] == [pb.ERROR_CODE_AUTH_REQUIRED]
    client.protocol.connectionLost(Failure(ConnectionDone()))
    assert server.left_behind() == {}


# The rest.


def test_the_factory_is_quiet_unless_it_is_verbose():
    levels = {}
    for verbose in (False, True):
        client = Server(verbose=verbose).connect()
        client.send(auth())
        levels[verbose] = [event["log_level"].name for event in logged(client.vanish)]
    assert levels == {False: [], True: ["debug"]}


def test_ids_are_never_used_twice():
    server = Server()
    ids = []
    for _ in range(5):
        client = server.connect()
        ids.append(client.connection.id)
        client.vanish()
    assert ids == [1, 2, 3, 4, 5]


def test_timers_run_from_start_to_stop():
    server = Server()
    assert len(server.reactor.getDelayedCalls()) == 3  # a sweep, the second, the minute
    server.factory.stopFactory()
    assert server.reactor.getDelayedCalls() == []


def test_a_factory_that_cannot_start_leaves_no_timer():
    server = Server()
    timers = list(server.reactor.getDelayedCalls())
    second = TickstormFactory(
        FanOut(server.hub, server.clock), SharedCredentials(USER, PASSWORD), server.clock
    )
    with pytest.raises(RuntimeError):
        second.startFactory()
    assert server.reactor.getDelayedCalls() == timers


def test_a_thousand_clients_that_come_and_go_leave_nothing():
    server = Server()
    for n in range(1000):
        client = server.connect(f"10.0.0.{n % 250}")
        if n % 4 == 0:
            client.send(auth(), subscribe(1 + n % 3, f"S{n}"), heartbeat())
        elif n % 4 == 1:
            client.send(b"nonsense")
        elif n % 4 == 2:
            client.send(auth()[: n % 20])
        client.vanish()
    assert server.left_behind() == {}
    assert server.factory.door._by_address == {}
    assert server.metrics.connections_opened == 1000
