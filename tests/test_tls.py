import socket
import ssl
from types import SimpleNamespace

import pytest
import pytest_twisted
from certificates import NOT_AFTER, authority
from conversation import auth, names, subscribe
from cryptography.hazmat.primitives.asymmetric import rsa
from dial import NOTHING, Server, ask, client_context, dial, listening, until
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from tickstorm.endpoints import server_endpoint
from tickstorm.errors import ConfigError
from tickstorm.overload import BacklogLimits
from tickstorm.protocol import LINGER
from tickstorm.ticks import Tick
from tickstorm.tls import TLSSettings, certificate_expiry, server_context
from tickstorm.transports import SocketOptions

TLS12 = ssl.TLSVersion.TLSv1_2


@pytest.fixture(name="files", scope="module")
def make_files(tmp_path_factory):
    """The paths of the PEM files of everybody in these tests."""
    directory = tmp_path_factory.mktemp("tls")
    root, strangers, clients = authority("Root"), authority("Strangers"), authority("Clients")
    middle = root.issue("Middle", authority=True)
    desk, floor = clients.issue("Desk", authority=True), clients.issue("Floor", authority=True)
    issued = {
        "root": root.save(directory, "root"),
        "server": middle.issue("server").save(directory, "server", middle),
        "clients": clients.save(directory, "clients"),
        "desk": desk.save(directory, "desk"),
        "alice": clients.issue("alice").save(directory, "alice"),
        "expired": clients.issue("late", expired=True).save(directory, "expired"),
        "trader": desk.issue("trader").save(directory, "trader", desk),
        "visitor": floor.issue("visitor").save(directory, "visitor", floor),
        "newer_root": strangers.save(directory, "newer-root"),
        "newer": strangers.issue("server").save(directory, "newer"),
        "stranger": strangers.issue("alice").save(directory, "stranger"),
    }
    return SimpleNamespace(**issued)


def description(files, rest=""):
    certificate, key = files.server
    return f"tls:0:interface=127.0.0.1:cert={certificate}:key={key}{rest}"


async def talk(files, rest, **client):
    """What a client gets for its AUTH, and the server that it talked to, once it is gone."""
    server = Server()
    async with listening(description(files, rest), server.factory) as port:
        got = await attempt(port, client_context(files.root[0], **client))
        await until(lambda: server.left_behind() == NOTHING)
        assert port.factory.protocols == {}
    return got, server


async def attempt(port, context):
    try:
        caller = await dial(port, context)
        got = await ask(caller, 1, auth())
        caller.socket.close()
    except (ssl.SSLError, ConnectionError) as error:
        return type(error)
    return got


def refused(got, server):
    """Whether a client got no further: in TLS 1.3 it may see that only when it reads."""
    return (
        (got == [] or issubclass(got, ssl.SSLError | ConnectionError))
        and server.metrics.tls_handshakes == {}
        and server.metrics.tls_failures == 1
        and server.authenticator.peers == []
    )


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_tls_1_3_is_spoken_and_counted(files):
    got, server = await talk(files, "")
    assert got == ["ACK"]
    assert server.metrics.tls_handshakes == {("TLSv1.3", "TLS_AES_256_GCM_SHA384"): 1}
    assert server.authenticator.peers == [("127.0.0.1", None)]


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_the_chain_is_shown_so_that_the_root_is_enough_to_trust(files):
    async with listening(description(files), Server().factory) as port:
        caller = await dial(port, client_context(files.root[0]))
        assert caller.socket.getpeercert()["issuer"] == ((("commonName", "Middle"),),)
        caller.socket.close()


@pytest.mark.real
@pytest.mark.parametrize("how", ["require", "optional"])
@pytest_twisted.ensureDeferred
async def test_a_certificate_s_name_reaches_the_authenticator(files, how):
    rest = f":clientCA={files.clients[0]}:clientAuth={how}"
    got, server = await talk(files, rest, identity=files.alice)
    assert got == ["ACK"]
    assert server.authenticator.peers == [("127.0.0.1", "alice")]


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_who_shows_no_certificate_is_let_in_where_it_is_optional(files):
    got, server = await talk(files, f":clientCA={files.clients[0]}:clientAuth=optional")
    assert got == ["ACK"]
    assert server.authenticator.peers == [("127.0.0.1", None)]


@pytest.mark.real
@pytest.mark.parametrize("rest", ["", ":clientAuth=require"])
@pytest_twisted.ensureDeferred
async def test_who_shows_no_certificate_is_refused_where_it_is_required(files, rest):
    assert refused(*await talk(files, f":clientCA={files.clients[0]}{rest}"))


@pytest.mark.real
@pytest.mark.parametrize("how", ["require", "optional"])
@pytest.mark.parametrize("who", ["stranger", "expired"])
@pytest_twisted.ensureDeferred
async def test_a_certificate_that_is_not_good_is_refused(files, how, who):
    rest = f":clientCA={files.clients[0]}:clientAuth={how}"
    assert refused(*await talk(files, rest, identity=getattr(files, who)))


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_an_intermediate_authority_stands_for_its_own_alone(files):
    rest = f":clientCA={files.desk[0]}"
    got, server = await talk(files, rest, identity=files.trader)
    assert (got, server.authenticator.peers) == (["ACK"], [("127.0.0.1", "trader")])
    assert refused(*await talk(files, rest, identity=files.visitor))


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_tls_1_2_is_refused_unless_it_is_allowed(files):
    assert refused(*await talk(files, "", at_most=TLS12))
    got, server = await talk(files, ":min=1.2", at_most=TLS12)
    assert got == ["ACK"]
    assert server.metrics.tls_handshakes == {("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"): 1}


@pytest.mark.real
@pytest.mark.parametrize(
    "cipher", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES256-CCM"]
)
@pytest_twisted.ensureDeferred
async def test_a_weak_cipher_of_tls_1_2_is_refused(files, cipher):
    assert refused(*await talk(files, ":min=1.2", at_most=TLS12, ciphers=cipher))


@pytest.mark.real
@pytest.mark.parametrize("version", [TLS12, ssl.TLSVersion.TLSv1_3])
@pytest_twisted.ensureDeferred
async def test_no_session_is_resumed(files, version):
    context = client_context(files.root[0], at_most=version)
    server = Server()
    async with listening(description(files, ":min=1.2"), server.factory) as port:
        first = await dial(port, context)
        assert await ask(first, 1, auth()) == ["ACK"]
        second = await deferToThread(resume, port, context, first.socket.session)
        assert second.session_reused is False
        for open_socket in (first.socket, second):
            open_socket.close()


def resume(port, context, session):
    plain = socket.create_connection(("127.0.0.1", port.getHost().port), 5)
    return context.wrap_socket(plain, server_hostname="localhost", session=session)


def test_nothing_is_compressed_or_renegotiated_and_idle_connections_have_no_buffers(files):
    context = server_context(TLSSettings(*map(str, files.server)))
    options, modes = context.set_options(0), context.set_mode(0)
    assert options & SSL.OP_NO_COMPRESSION
    assert options & SSL.OP_NO_RENEGOTIATION
    assert options & SSL.OP_NO_TICKET
    assert modes & SSL.MODE_RELEASE_BUFFERS
    assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_whole_conversation_over_tls(files):
    server = Server()
    async with listening(description(files), server.factory) as port:
        caller = await dial(port, client_context(files.root[0]))
        assert await ask(caller, 2, auth(), subscribe()) == ["ACK", "ACK"]
        server.hub.publish([Tick("EURUSD", 1.5), Tick("GBPUSD", 2.5)])
        assert await ask(caller, 1) == [[1.5, 2.5]]
        caller.socket.close()
        await until(lambda: server.left_behind() == NOTHING)


def client_hello():
    """The first bytes of a handshake."""
    far = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    far.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        far.do_handshake()
    return far.bio_read(65536)


@pytest.mark.real
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest_twisted.ensureDeferred
async def test_a_client_that_cuts_within_the_handshake_leaves_nothing_behind(files, share):
    hello = client_hello()
    server = Server()
    async with listening(description(files), server.factory) as port:
        caller = await dial(port)
        caller.send(hello[: round(len(hello) * share)])
        await until(lambda: server.left_behind() == (1, 0, 1, 1, 0))
        caller.socket.close()
        await until(lambda: server.left_behind() == NOTHING)
        assert port.factory.protocols == {}
        assert server.metrics.tls_handshakes == {}


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_what_is_not_tls_is_refused(files):
    server = Server()
    async with listening(description(files), server.factory) as port:
        caller = await dial(port)
        caller.send(auth())
        await until(lambda: server.left_behind() == NOTHING)
        caller.socket.close()


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_handshake_that_never_comes_is_cut(files):
    server = Server()
    async with listening(description(files), server.factory) as port:
        caller = await dial(port)
        await until(lambda: server.left_behind() == (1, 0, 1, 1, 0))
        server.scheduler.pump([1.0] * 11)
        assert server.metrics.protocol_errors == {"AUTH_REQUIRED": 1}
        assert server.left_behind() == (1, 0, 1, 1, 0)
        server.scheduler.pump([1.0] * 7)
        await until(lambda: server.left_behind() == NOTHING)
        assert server.metrics.slow_consumers == 0
        caller.socket.close()


class Crowded(Server):
    """A server over TLS, with one client that streams and does not read yet."""

    def __init__(self, **limits):
        super().__init__(
            backlog_limits=BacklogLimits(**limits),
            socket_options=SocketOptions(send_buffer_bytes=4096),
        )
        self.published = 0

    async def crowd(self, port, files):
        self.caller = await dial(port, client_context(files.root[0]))
        assert await ask(self.caller, 2, auth(), subscribe()) == ["ACK", "ACK"]

    async def publish_until(self, holds):
        while not holds():
            assert self.published < 20_000, "it never came to that"
            for _ in range(100):
                self.published += 1
                self.hub.publish([Tick("EURUSD", self.published, metadata={"pad": "x" * 200})] * 20)
            await until(lambda: True)


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_client_that_falls_behind_and_catches_up_misses_nothing(files):
    server = Crowded(max_frames=10**6, max_bytes=10**9)
    async with listening(description(files), server.factory) as port:
        await server.crowd(port, files)
        await server.publish_until(lambda: server.factory.congested)
        for _ in range(100):
            server.published += 1
            server.hub.publish([Tick("EURUSD", server.published)])
        batches = await deferToThread(server.caller.ask, server.published)
        assert [batch.ticks[0].price for batch in batches] == [*range(1, server.published + 1)]
        await until(lambda: not server.factory.congested)
        server.hub.publish([Tick("EURUSD", 0.5)])
        assert await ask(server.caller, 1) == [[0.5]]
        assert server.metrics.slow_consumers == 0
        server.caller.socket.close()


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_client_that_takes_nothing_is_cut(files):
    server = Crowded(max_frames=10**6, max_bytes=10**9, write_deadline=3.0)
    async with listening(description(files), server.factory) as port:
        await server.crowd(port, files)
        await server.publish_until(lambda: server.factory.congested)
        server.scheduler.pump([1.0] * 5)
        assert server.metrics.protocol_errors == {"SLOW_CONSUMER": 1}
        assert server.left_behind() == (1, 0, 2, 1, 0)  # looked at as one to be cut, and as it was
        server.scheduler.pump([1.0] * (int(LINGER) + 2))
        await until(lambda: server.left_behind() == NOTHING)
        assert server.metrics.slow_consumers == 1
        server.caller.socket.close()


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_client_with_too_much_waiting_is_told_and_closed(files):
    server = Crowded(max_frames=50)
    async with listening(description(files), server.factory) as port:
        await server.crowd(port, files)
        await server.publish_until(lambda: server.metrics.slow_consumers)
        *batches, last = await deferToThread(server.caller.rest)
        server.caller.socket.close()
        assert names([last]) == ["SLOW_CONSUMER"]
        assert [batch.ticks[0].price for batch in batches] == [*range(1, len(batches) + 1)]
        assert 0 < len(batches) < server.published
        await until(lambda: server.left_behind() == NOTHING)
        assert server.metrics.slow_consumers == 1


def test_the_expiry_of_a_certificate_is_told(files, tmp_path):
    assert certificate_expiry(str(files.server[0])) == NOT_AFTER.timestamp()
    with pytest.raises(ConfigError, match=r"^cert: cannot read '.*/none': No such file"):
        certificate_expiry(str(tmp_path / "none"))


@pytest.mark.real
@pytest_twisted.ensureDeferred
async def test_a_new_context_serves_the_connections_to_come(files):
    server = Server()
    endpoint = server_endpoint(reactor, description(files))
    port = await endpoint.listen(server.factory)
    before = await dial(port, client_context(files.root[0]))
    endpoint.connections.context = server_context(TLSSettings(*map(str, files.newer)))
    after = await dial(port, client_context(files.newer_root[0]))
    assert await ask(before, 1, auth()) == ["ACK"]
    assert await ask(after, 1, auth()) == ["ACK"]
    for caller in (before, after):
        caller.socket.close()
    await port.stopListening()


def test_a_certificate_that_openssl_refuses_is_one_error(files, tmp_path):
    weak = authority().issue("weak", key=rsa.generate_private_key(65537, 1024))
    with pytest.raises(ConfigError, match=r"^cert: '.*/weak.crt' is refused: .*key too small"):
        server_context(TLSSettings(*map(str, weak.save(tmp_path, "weak"))))
