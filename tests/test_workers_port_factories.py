"""What a port's kind puts around its connections, as a worker has it: without the port."""

import gc
import ssl
import sys
from contextlib import suppress

import pytest
from certificates import authority
from dial import client_context
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport

import twisted.plugins
from tickstorm.errors import ConfigError
from tickstorm.tls import TLSServerEndpoint, replace_contexts
from tickstorm.transports import peer_address
from tickstorm.workers.port_factories import port_factory

HEADER = b"PROXY TCP4 10.1.2.3 10.0.0.1 4000 8080\r\n"
TLS = "tls:8080:cert=server.crt:key=server.key"


class Reactor(MemoryReactorClock):
    """One on which nothing may listen."""

    def _refuse(self, *arguments, **named):
        raise AssertionError("the port is the parent's")

    listenTCP = listenUNIX = listenSSL = adoptStreamPort = _refuse


class Echo(Protocol):
    """Says what it read and who said that, and closes: buffers are flushed then."""

    def dataReceived(self, data):
        self.transport.write(peer_address(self.transport).encode() + b": " + data)
        self.transport.loseConnection()


@pytest.fixture(name="files")
def make_files(tmp_path, monkeypatch):
    """The PEM files of a server and of its authority, in the current directory."""
    monkeypatch.chdir(tmp_path)
    ca = authority()
    ca.save(tmp_path, "ca")
    ca.issue("server").save(tmp_path, "server")
    return tmp_path


def made(description):
    """What serves a port, and what it serves in the end."""
    factory = Factory.forProtocol(Echo)
    return port_factory(Reactor(), description, factory), factory


def connected(port):
    """A connection to a port, as its worker adopts it."""
    peer = IPv4Address("TCP", "10.0.0.9", 5000)
    port.factory.doStart()
    protocol = port.factory.buildProtocol(peer)
    transport = StringTransport(peerAddress=peer)
    protocol.makeConnection(transport)
    return protocol, transport


def answer(port, said):
    """What a port answers."""
    protocol, transport = connected(port)
    protocol.dataReceived(said)
    return transport.value()


def answer_over_tls(port, said, before=b""):
    """What a port answers over TLS, which begins after something else."""
    protocol, transport = connected(port)
    come, gone = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context("ca.crt").wrap_bio(come, gone, server_hostname="localhost")
    gone.write(before)

    def take(step):
        for _ in range(4):
            with suppress(ssl.SSLWantReadError):
                return step()
            protocol.dataReceived(gone.read())
            come.write(transport.value())
            transport.clear()
        return pytest.fail("there is no answer")

    take(client.do_handshake)
    client.write(said)
    return take(client.read)


# The kinds.


@pytest.mark.parametrize(
    "description",
    [
        "tcp:8080",
        "tcp6:8080",
        "unix:/somewhere:mode=660",
        "systemd:domain=INET:index=0",
    ],
)
def test_plain_connections_are_served_as_they_are(description):
    port, factory = made(description)
    assert port.factory is factory
    assert answer(port, b"hello") == b"10.0.0.9: hello"


@pytest.mark.parametrize(
    "description",
    ["haproxy:tcp:8080", "haproxy:unix:/somewhere", "haproxy:systemd:domain=INET:index=0"],
)
def test_behind_a_proxy_the_header_comes_first(description):
    port, _ = made(description)
    assert answer(port, HEADER + b"hello") == b"10.1.2.3: hello"


@pytest.mark.parametrize(
    "description",
    [
        TLS,
        "ssl:8080:privateKey=server.key:certKey=server.crt",
        "tls:.",  # Twisted's own: a folder of certificates with the names that they are for
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pyOpenSSL, at Twisted's own kinds
def test_tls_is_spoken(files, description):
    both = (files / "server.crt").read_bytes() + (files / "server.key").read_bytes()
    (files / "localhost.pem").write_bytes(both)
    port, _ = made(description)
    assert answer_over_tls(port, b"hello") == b"10.0.0.9: hello"


@pytest.mark.usefixtures("files")
def test_behind_a_proxy_tls_comes_after_the_header():
    port, _ = made(f"haproxy:{TLS}")
    assert answer_over_tls(port, b"hello", before=HEADER) == b"10.1.2.3: hello"


@pytest.mark.parametrize(
    ("kind", "before"), [("", b""), ("haproxy:", HEADER)], ids=["plain", "proxied"]
)
def test_the_certificate_can_be_read_anew(files, kind, before):
    port, _ = made(kind + TLS)
    assert isinstance(port.endpoint, TLSServerEndpoint)
    ca = authority("Another")
    ca.save(files, "ca")
    ca.issue("server").save(files, "server")
    with pytest.raises(ssl.SSLCertVerificationError):
        answer_over_tls(port, b"hello", before)
    replace_contexts([port.endpoint])
    assert answer_over_tls(port, b"hello", before).endswith(b": hello")


# What cannot be used.


def test_what_no_port_could_be_made_of_is_an_error():
    with pytest.raises(ConfigError, match=r"^'ssl:8080': "):
        made("ssl:8080")


FOREIGN = """
from twisted.internet.defer import fail, succeed
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IStreamServerEndpoint)
class Endpoint:
    def __init__(self, reactor, how):
        self.reactor, self.how = reactor, how

    def listen(self, factory):
        if self.how == "tcp":
            return succeed(self.reactor.listenTCP(1, factory))
        if self.how == "fails":
            return fail(OSError("no such device"))
        return succeed(None)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class Parser:
    prefix = "foreign"

    def parseStreamServer(self, reactor, how, backlog=50):
        return Endpoint(reactor, how)


parser = Parser()
"""


@pytest.fixture(name="foreign")
def install_foreign(tmp_path, monkeypatch):
    """Another package's kind of port."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "foreign_port.py").write_text(FOREIGN)
    monkeypatch.setattr(twisted.plugins, "__path__", [*twisted.plugins.__path__, str(plugins)])
    yield
    sys.modules.pop("twisted.plugins.foreign_port", None)


@pytest.mark.usefixtures("foreign")
def test_another_package_s_kind_that_listens_for_tcp_can_be_shared():
    port, factory = made("foreign:tcp")
    assert port.factory is factory


def complaint(how):
    with pytest.raises(ConfigError) as caught:
        made(f"foreign:{how}")
    return str(caught.value)


@pytest.mark.usefixtures("foreign")
def test_one_that_listens_in_another_way_cannot():
    assert complaint("otherwise") == (
        "'foreign:otherwise': this kind of port cannot be shared by workers"
    )


@pytest.mark.usefixtures("foreign")
def test_one_that_cannot_listen_says_why(failures):
    said = complaint("fails")
    gc.collect()  # a Deferred logs what nobody took when it goes
    logged = list(failures)
    failures.clear()
    assert (said, logged) == ("'foreign:fails': no such device", [])
