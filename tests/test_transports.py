import struct
from socket import (
    AF_INET6,
    AF_UNIX,
    IPPROTO_TCP,
    SO_KEEPALIVE,
    SO_RCVBUF,
    SO_SNDBUF,
    SOL_SOCKET,
    TCP_NODELAY,
    TCP_NOTSENT_LOWAT,
    socket,
)
from types import SimpleNamespace

import pytest
import pytest_twisted
from certificates import authority
from conversation import auth
from dial import NOTHING, TIMEOUT, Server, ask, client_context, dial, listening, until
from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.haproxy import proxyEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from tickstorm.endpoints import server_endpoint
from tickstorm.transports import (
    SocketOptions,
    awaits_proxy,
    certificate_name,
    peer_address,
    plain_socket,
    set_socket_options,
    share_names,
    tls_parameters,
)

PROXY_V1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 51000 8080\r\n"
PROXY_V1_IPV6 = b"PROXY TCP6 2001:db8::7 ::1 51000 8080\r\n"
PROXY_V1_UNKNOWN = b"PROXY UNKNOWN ffff::1 ffff::2 51000 8080\r\n"
PROXY_V1_EMPTY = b"PROXY TCP4  127.0.0.1 51000 8080\r\n"
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
PROXY_V2 = _V2 + struct.pack(
    ">BBH4s4sHH", 0x21, 0x11, 12, bytes((203, 0, 113, 8)), bytes((127, 0, 0, 1)), 51000, 8080
)
PROXY_V2_LOCAL = _V2 + struct.pack(">BBH", 0x20, 0x00, 0)
PLAIN = ("none", "none")
TLS = ("TLSv1.3", "TLS_AES_256_GCM_SHA384")


@implementer(IHandshakeListener)
class Witness(Protocol):
    """Notes what the transport says when the connection is made, and when the first bytes come."""

    def __init__(self):
        self.heard = Deferred()

    def connectionMade(self):
        set_socket_options(self.transport, SocketOptions(True, 8192, 16384, 4096))
        share_names(self.transport)
        self.made = (awaits_proxy(self.transport), peer_address(self.transport))

    def handshakeCompleted(self):
        pass

    def dataReceived(self, data):
        self.heard.callback(
            (
                peer_address(self.transport),
                certificate_name(self.transport),
                tls_parameters(self.transport),
                data,
            )
        )


class Witnesses(Factory):
    noisy = False

    def __init__(self):
        self.witness = Deferred().addTimeout(TIMEOUT, reactor)

    def buildProtocol(self, addr):
        witness = Witness()
        self.witness.callback(witness)
        return witness


@pytest.fixture(name="files", scope="module")
def make_files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("transports")
    ca = authority()
    return SimpleNamespace(
        ca=ca.save(directory, "ca")[0],
        server=ca.issue("server").save(directory, "server"),
        alice=ca.issue("alice").save(directory, "alice"),
    )


def tls(files):
    certificate, key = files.server
    return (
        f"tls:0:interface=127.0.0.1:cert={certificate}:key={key}"
        f":clientCA={files.ca}:clientAuth=optional"
    )


async def witnessed(port, witnesses, context=None, header=b"", inner=b""):
    caller = await dial(port, context, header)
    caller.send(inner + b"hello")
    witness = await witnesses.witness
    heard = await witness.heard.addTimeout(TIMEOUT, reactor)
    caller.socket.close()
    return witness.made, heard


@pytest.mark.real
@pytest.mark.parametrize(
    ("header", "address"),
    [
        (PROXY_V1, "203.0.113.7"),
        (PROXY_V1_IPV6, "2001:db8::7"),
        (PROXY_V1_UNKNOWN, "127.0.0.1"),
        (PROXY_V1_EMPTY, "unix"),
        (PROXY_V2, "203.0.113.8"),
        (PROXY_V2_LOCAL, "127.0.0.1"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_proxy_header_says_who_the_peer_is(header, address):
    witnesses = Witnesses()
    async with listening("haproxy:tcp:0:interface=127.0.0.1", witnesses) as port:
        made, heard = await witnessed(port, witnesses, header=header)
    assert made == (True, "127.0.0.1")
    assert heard == (address, None, PLAIN, b"hello")


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_plain_connection_is_known_at_once():
    witnesses = Witnesses()
    async with listening("tcp:0:interface=127.0.0.1", witnesses) as port:
        made, heard = await witnessed(port, witnesses)
    assert made == (False, "127.0.0.1")
    assert heard == ("127.0.0.1", None, PLAIN, b"hello")


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_tls_tells_of_its_parameters_and_of_the_client_s_certificate(files):
    witnesses = Witnesses()
    context = client_context(files.ca, files.alice)
    async with listening(tls(files), witnesses) as port:
        made, heard = await witnessed(port, witnesses, context)
    assert made == (False, "127.0.0.1")
    assert heard == ("127.0.0.1", "alice", TLS, b"hello")


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_the_proxy_header_may_come_before_tls(files):
    witnesses = Witnesses()
    context = client_context(files.ca, files.alice)
    async with listening(f"haproxy:{tls(files)}", witnesses) as port:
        made, heard = await witnessed(port, witnesses, context, header=PROXY_V1)
    assert made == (True, "127.0.0.1")
    assert heard == ("203.0.113.7", "alice", TLS, b"hello")


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_the_proxy_header_may_come_within_tls(files):
    witnesses = Witnesses()
    port = await proxyEndpoint(server_endpoint(reactor, tls(files))).listen(witnesses)
    context = client_context(files.ca, files.alice)
    made, heard = await witnessed(port, witnesses, context, inner=PROXY_V2)
    await port.stopListening()
    assert made == (True, "127.0.0.1")
    assert heard == ("203.0.113.8", "alice", TLS, b"hello")


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_unix_socket_s_peer_is_unnamed_and_its_socket_left_alone(tmp_path):
    witnesses = Witnesses()
    async with listening(f"unix:{tmp_path}/socket", witnesses):
        with socket(AF_UNIX) as far:
            far.connect(f"{tmp_path}/socket")
            far.sendall(b"hello")
            witness = await witnesses.witness
            assert await witness.heard.addTimeout(TIMEOUT, reactor) == (
                "unix",
                None,
                PLAIN,
                b"hello",
            )
            assert witness.made == (False, "unix")
            assert not witness.transport.getHandle().getsockopt(SOL_SOCKET, SO_KEEPALIVE)


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_ipv6_is_listened_on_and_told(files):
    witnesses = Witnesses()
    async with listening(r"tcp:0:interface=\:\:1", witnesses) as port:
        with socket(AF_INET6) as far:
            far.connect(("::1", port.getHost().port))
            far.sendall(b"hello")
            witness = await witnesses.witness
            assert (await witness.heard.addTimeout(TIMEOUT, reactor))[0] == "::1"


@pytest.mark.real
@pytest.mark.parametrize("wrapped", [False, True])
@pytest_twisted.ensureDeferred
async def test_the_socket_under_everything_gets_its_options(files, wrapped):
    witnesses = Witnesses()
    description = f"haproxy:{tls(files)}" if wrapped else "tcp:0:interface=127.0.0.1"
    async with listening(description, witnesses) as port:
        caller = await dial(port, header=PROXY_V1 if wrapped else b"")
        transport = (await witnesses.witness).transport
        if wrapped:
            transport = transport.transport.transport
        handle = transport.getHandle()
        assert handle.getsockopt(IPPROTO_TCP, TCP_NODELAY) == 1
        assert handle.getsockopt(SOL_SOCKET, SO_KEEPALIVE) == 1
        assert handle.getsockopt(SOL_SOCKET, SO_RCVBUF) == 2 * 8192  # Linux doubles them
        assert handle.getsockopt(SOL_SOCKET, SO_SNDBUF) == 2 * 16384
        assert handle.getsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 4096
        assert (repr(transport), transport.logPrefix()) == ("tickstorm connection",) * 2
        caller.socket.close()


def test_what_is_no_socket_is_left_alone():
    transport = StringTransport()
    set_socket_options(transport, SocketOptions(True, 8192, 16384))
    share_names(transport)
    assert (awaits_proxy(transport), peer_address(transport)) == (False, "192.168.1.1")
    assert (certificate_name(transport), tls_parameters(transport)) == (None, PLAIN)


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_the_authenticator_is_told_who_stands_behind_the_proxy(files):
    server = Server()
    async with listening(f"haproxy:{tls(files)}", server.factory) as port:
        caller = await dial(port, client_context(files.ca, files.alice), PROXY_V2)
        assert await ask(caller, 1, auth()) == ["ACK"]
        assert server.authenticator.peers == [("203.0.113.8", "alice")]
        assert server.metrics.tls_handshakes == {TLS: 1}
        caller.socket.close()
        await until(lambda: server.left_behind() == NOTHING)


class Descriptor(FileDescriptor):
    """A transport with a socket of its own."""

    def getHandle(self):
        return "the socket"


def test_a_socket_is_written_to_directly_only_if_nothing_wraps_it():
    transport = Descriptor(Clock())
    assert plain_socket(transport) == "the socket"
    transport.TLS = True  # as after startTLS
    assert plain_socket(transport) is None
    assert plain_socket(ProtocolWrapper(WrappingFactory(Factory()), Protocol())) is None
    assert plain_socket(StringTransport()) is None
