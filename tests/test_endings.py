"""Every kind of end: it comes once, takes nobody along, and leaves nothing in any table."""

import ssl
from contextlib import suppress

import pytest
from certificates import authority
from conversation import (
    TICK,
    USER,
    Server,
    Wire,
    WireClient,
    auth,
    heartbeat,
    names,
    publish,
    read,
    subscribe,
)
from test_joining_later import later_server
from test_logins import Slow
from test_publications import slowly
from twisted.internet.error import ConnectionLost

from tickstorm.errors import MessageTooLarge, ShuttingDown
from tickstorm.protocol import LINGER
from tickstorm.publications import MAX_UNANSWERED
from tickstorm.states import State
from tickstorm.tls import TLSConnections, TLSSettings, WholeWritesTLSFactory, server_context


def test_a_connection_reset_in_a_fan_out_ends_once_and_alone():
    server = Server(batch_window=0)
    broken = WireClient(server)
    broken.send(auth(), subscribe(TICK))
    other = server.subscribed(TICK)
    broken.socket.broken = True
    server.publish(1.0)
    server.publish(2.0)
    assert other.names() == [[1.0], [2.0]]
    broken.wire.turn()
    assert (broken.wire.lost, broken.closed) == (1, True)
    assert set(server.factory.connections.values()) == {other.connection}
    assert server.factory.congested == set()


def test_a_connection_that_does_not_close_is_cut():
    server = Server()
    client = server.connect()
    client.send(heartbeat())
    server.advance(LINGER - 1)
    assert (client.closed, client.cut) == (True, False)
    server.advance(2)
    assert client.cut
    client.vanish()
    assert server.left_behind() == {}


STATES = {
    State.AWAITING_AUTH: lambda client: None,
    State.AUTHENTICATED: lambda client: client.send(auth()),
    State.STREAMING: lambda client: client.send(auth(), subscribe(TICK)),
    State.CLOSED: lambda client: client.send(heartbeat()),
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_a_lost_connection_leaves_nothing_in_any_table(state):
    server = Server()
    client = server.connect()
    STATES[state](client)
    assert client.connection._session.state is state
    client.vanish(ConnectionLost)
    assert server.left_behind() == {}
    before = dict(server.metrics.protocol_errors)
    server.publish(1.0)
    server.advance(60)
    assert server.metrics.protocol_errors == before


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_the_deadline_of_one_that_is_gone_is_infinite(state):
    client = Server().connect()
    STATES[state](client)
    client.vanish()
    assert client.connection.deadline == float("inf")


def test_a_lost_connection_that_was_congested_leaves_nothing():
    server = Server(batch_window=0)
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.socket.room = 0
    server.publish(1.0)
    assert server.factory.congested == {client.connection}
    client.vanish()
    assert server.left_behind() == {}


def test_fail_after_the_end_is_nothing():
    server = Server()
    client = server.connect()
    client.connection.fail(ShuttingDown("once"))
    client.connection.fail(ShuttingDown("twice"))
    assert client.names() == ["SHUTTING_DOWN"]
    assert server.metrics.protocol_errors == {"SHUTTING_DOWN": 1}


def test_fail_after_the_connection_is_lost_is_nothing():
    server = Server()
    client = server.connect()
    client.vanish()
    client.connection.fail(ShuttingDown("to nobody"))
    assert (client.read(), server.metrics.protocol_errors) == ([], {})


def test_a_client_has_five_seconds_to_take_the_last_words():
    assert LINGER == 5.0


# Of those that are not read.


@pytest.fixture(name="files", scope="module")
def make_files(tmp_path_factory):
    """The paths of a certificate and of its key."""
    issued = authority().issue("server")
    return [str(path) for path in issued.save(tmp_path_factory.mktemp("tls"), "server")]


class TLSClient:
    """The far end of a connection over TLS, without a socket."""

    def __init__(self, server, files):
        connections = TLSConnections(server_context(TLSSettings(*files)))
        factory = WholeWritesTLSFactory(connections, False, server.factory, server.reactor)
        protocol = factory.buildProtocol(None)
        self.wire = Wire(protocol, server.reactor)
        protocol.makeConnection(self.wire.transport)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.come, self.gone = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.come, self.gone)
        self.do(self.tls.do_handshake)

    def do(self, step, *arguments):
        """Take a step, as often as it asks for what the server says."""
        for _ in range(4):
            with suppress(ssl.SSLWantReadError):
                return step(*arguments)
            self.exchange()
        return pytest.fail("the server says nothing")

    def exchange(self):
        """Bring to each side what the other one has said."""
        self.wire.socket.inbox += self.gone.read()
        while self.wire.socket.inbox and self.wire.transport in self.wire.reactor.readers:
            self.wire.turn()
        self.wire.drain()
        self.come.write(self.wire.socket.taken)
        self.wire.socket.taken.clear()

    def send(self, *frames):
        self.tls.write(b"".join(frames))
        self.exchange()

    def take_leave(self):
        """Answer the end of the server's TLS with that of one's own, behind a few more frames.

        Returns:
            what the server's last words were.
        """
        heard = b"".join(iter(lambda: self.do(self.tls.read), b""))
        self.send(heartbeat(), heartbeat())
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.exchange()
        return names(read(heard))[-1]


def asks_for_much(files):
    server = Server(publishers=(f"{USER}:*",))
    slowly(server)
    client = TLSClient(server, files)
    client.send(auth(), *[publish(1.0)] * MAX_UNANSWERED)
    return server, client


def waits_for_its_place(files):
    server, _ = later_server()
    client = TLSClient(server, files)
    client.send(auth(), subscribe(TICK))
    return server, client


def waits_in_vain(files):
    server, feed = later_server()
    client = TLSClient(server, files)
    client.send(auth(), subscribe(TICK))
    server.reactor.callLater(1, feed.fail, MessageTooLarge("it is"))
    return server, client


def waits_for_its_login(files):
    server = Server(Slow())
    client = TLSClient(server, files)
    client.send(auth())
    return server, client


@pytest.mark.parametrize(
    ("begin", "last_words"),
    [
        (asks_for_much, "HEARTBEAT_TIMEOUT"),
        (waits_for_its_place, "INTERNAL_ERROR"),
        (waits_in_vain, "MESSAGE_TOO_LARGE"),
        (waits_for_its_login, "INTERNAL_ERROR"),
    ],
)
@pytest.mark.parametrize("drained", [False, True])
def test_who_is_not_read_is_heard_out_at_the_end(begin, last_words, drained, files):
    server, client = begin(files)
    assert client.wire.transport not in server.reactor.readers
    (connection,) = server.factory.connections.values()
    if drained:
        server.factory.drain(60.0)
    while not connection.is_over:
        server.advance(1)
    assert client.take_leave() == ("SHUTTING_DOWN" if drained else last_words)
    assert (client.wire.lost, server.left_behind()) == (1, {})
