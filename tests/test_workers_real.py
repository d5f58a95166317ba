"""`twistd tickstorm --workers`: every kind of port, the pages, logins and limits, and the end."""

import os
import signal
import socket
import ssl
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from certificates import NOT_AFTER, authority
from conversation import auth, heartbeat
from dial import client_context
from subscribers import EVERY_TICK, HELLO, Crowd
from test_tap import ACTIVATED, LOGIN, LOOPBACK, in_use
from workers_server import TIMEOUT, Launched, until

pytestmark = pytest.mark.real

TLS = "tls:0:interface=127.0.0.1:cert=server.crt:key=server.key"
PROXY = b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 8080\r\n"
PROXIED = "203.0.113.7"
"""The client's address in that header."""


def save_certificates(folder):
    """What TLS needs: the server's, and the authority that its clients trust."""
    trusted = authority()
    trusted.issue("localhost").save(folder, "server")
    trusted.save(folder, "trusted")


def over_tcp(port, folder):
    return socket.create_connection(("127.0.0.1", port), TIMEOUT)


def over_tcp6(port, folder):
    return socket.create_connection(("::1", port), TIMEOUT)


def over_tls(port, folder):
    context = client_context(folder / "trusted.crt")
    return context.wrap_socket(over_tcp(port, folder), server_hostname="localhost")


def over_unix(port, folder):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(folder / "ticks.sock"))
    return connection


def through_proxy(port, folder):
    connection = over_tcp(port, folder)
    connection.sendall(PROXY)
    return connection


def tls_through_proxy(port, folder):
    context = client_context(folder / "trusted.crt")
    return context.wrap_socket(through_proxy(port, folder), server_hostname="localhost")


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


WAYS = {
    "tcp": (LOOPBACK, over_tcp, "127.0.0.1"),
    "tls": (TLS, over_tls, "127.0.0.1"),
    "unix": ("unix:ticks.sock", over_unix, "unix"),
    "proxied": (f"haproxy:{LOOPBACK}", through_proxy, PROXIED),
    "proxied-tls": (f"haproxy:{TLS}", tls_through_proxy, PROXIED),
    **({"tcp6": (r"tcp6:0:interface=\:\:1", over_tcp6, "::1")} if has_ipv6() else {}),
}
"""Each kind of port: what it is called, how a client comes, and as whom."""


# Ports.


@pytest.fixture(name="many_ports", scope="module")
def serve_on_many_ports(tmp_path_factory):
    """A server with every kind of port, and a crowd that stays as long as it."""
    folder = tmp_path_factory.mktemp("ports")
    save_certificates(folder)
    options = [option for port, _, _ in WAYS.values() for option in ("--port", port)]
    with Launched(folder, *options) as server, Crowd() as crowd:
        yield server, crowd


def sockets(pid):
    """How many sockets a process has."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was something that is closed by now
            found += os.readlink(entry).startswith("socket:")
    return found


def converse(server, crowd, connect, peer):
    """The whole conversation on four connections: each of two workers has two of them."""
    before = [sockets(pid) for pid in server.workers()]
    clients = [crowd.add(connect(), EVERY_TICK) for _ in range(4)]
    crowd.until_streaming(clients)
    assert [sockets(pid) for pid in server.workers()] == [count + 2 for count in before]
    for client in clients:
        client.say(heartbeat(1))
    crowd.until(lambda: all(len(client.answers) == 3 for client in clients), "a PONG for each")
    assert [client.answers for client in clients] == [["ACK", "ACK", "PONG"]] * 4
    assert [client for client in clients if client.end or client.has_hole()] == []
    rows = server.get("/connections")["connections"]
    assert [row["peer"] for row in rows[-4:]] == [peer] * 4


@pytest.mark.parametrize("way", WAYS)
def test_workers_serve_every_kind_of_port(many_ports, way):
    server, crowd = many_ports
    port = server.ports[list(WAYS).index(way)]
    _, connect, peer = WAYS[way]
    converse(server, crowd, lambda: connect(port, server.folder), peer)


@pytest.mark.parametrize("way", ["tcp", "proxied"])
def test_workers_serve_a_socket_that_systemd_has_opened(tmp_path, way):
    kind, connect, peer = WAYS[way]
    with socket.create_server(("127.0.0.1", 0)) as opened:
        number, port = opened.fileno(), opened.getsockname()[1]
        description = kind.replace(LOOPBACK, "systemd:domain=INET:name=ticks")
        line = (sys.executable, "-c", ACTIVATED, str(number))
        with (
            Launched(tmp_path, "--port", description, line=line, pass_fds=[number]) as server,
            Crowd() as crowd,
        ):
            converse(server, crowd, lambda: connect(port, tmp_path), peer)
            assert server.end() == -signal.SIGTERM


# What the pages say of them all.


@pytest.fixture(name="four", scope="module")
def serve_with_four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    with Launched(folder, "--source", "walk:rate=20", workers=4) as server:
        yield server


@pytest.fixture(name="crowd")
def make_crowd(four):
    """A crowd that has the four workers to itself."""
    until(lambda: not four.total(), "the last crowd is gone")
    with Crowd() as crowd:
        yield crowd


def assert_spread(server, crowd, count):
    """So many are connected, and each worker has a quarter of them, give or take a tenth."""
    crowd.until(
        lambda: sum(server.by_worker("connections")) == count == server.total(), "it is known"
    )
    low, high = 0.9 * count / 4, 1.1 * count / 4
    assert [each for each in server.by_worker("connections") if not low <= each <= high] == []


def test_connections_are_spread_equally_however_many_leave(four, crowd):
    crowd.join(four.port, 1000, HELLO)
    assert_spread(four, crowd, 1000)
    crowd.leave(crowd.clients[::4] + crowd.clients[1::4])  # most likely all those of two workers
    until(lambda: sum(four.by_worker("connections")) == 500, "it is known who left")
    crowd.join(four.port, 500, HELLO)
    assert_spread(four, crowd, 1000)
    assert sockets(four.process.pid) < 100  # the parent holds none of them


def test_metrics_and_health_speak_for_all(tmp_path):
    every_tick = 'tickstorm_subscribers{mode="TICK"}'
    sums = {
        every_tick: 30,
        'tickstorm_streams{mode="TICK"}': 1,
        "tickstorm_active_connections": 30,
        "tickstorm_connections_opened_total": 30,
        'tickstorm_logins_total{result="accepted"}': 30,
    }
    with Launched(tmp_path, workers=4) as server, Crowd() as crowd:
        crowd.join(server.port, 30)
        crowd.until_streaming()
        received = sum(len(client.sequences) for client in crowd.clients)
        crowd.until(lambda: server.metrics()[every_tick] == 30, "all workers have reported")
        metrics = server.metrics()
        assert {name: metrics[name] for name in sums} == sums
        crowd.until(
            lambda: server.metrics()["tickstorm_messages_sent_total"] >= received,
            "what was received is counted",
        )
        assert sorted(server.by_worker("connections")) == [7, 7, 8, 8]
        assert server.by_worker("up") == [1] * 4
        assert server.by_worker("restarts_total") == [0] * 4
        assert all(server.by_worker("resident_memory_bytes"))
        health = server.get("/health")
        assert (health["status"], health["reasons"], health["connections"]) == ("ok", [], 30)


def test_every_connection_is_on_one_page(four, crowd):
    staying = crowd.join(four.port, 25)
    passing = crowd.join(four.port, 8)
    crowd.until_streaming()
    seen, after = [], 0
    while rows := four.get(f"/connections?limit=7&after={after}")["connections"]:
        assert len(rows) <= 7
        seen += [row["id"] for row in rows]
        after = seen[-1]
        crowd.leave([passing.pop()] if passing else [])
    assert seen == sorted(set(seen))
    left = four.get("/connections")
    still = {row["id"] for row in left["connections"]}
    assert len(staying) <= left["total"] == len(still)
    assert still <= set(seen)


# Logins and limits.

CHECKER = """
import os

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(ICredentialsChecker)
class Checker:
    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials):
        if credentials.password != b"%d" % os.getpid():
            raise UnauthorizedLogin
        return credentials.username


@implementer(IPlugin, ICheckerFactory)
class Kind:
    authType = "process"
    authHelp = argStringFormat = ""
    credentialInterfaces = Checker.credentialInterfaces

    def generateChecker(self, arguments):
        return Checker()


kind = Kind()
"""
"""A plugin of cred's, `--auth process`: the password is the id of the process that checks it."""


def settle(server):
    """Wait until every worker has heard what any of them has told by now.

    A link keeps the order. So with the first answer to a question to all the parent has heard it,
    and with the second one the others have.
    """
    for _ in range(2):
        server.total()


def answered(crowd, server, *frames, source):
    """What one more client is answered first, after everything before it is known everywhere."""
    settle(server)
    (client,) = crowd.join(server.port, 1, *frames, source=source)
    crowd.until(lambda: client.answers or client.end, "an answer")
    return client.answers[0] if client.answers else client.end


def test_logins_are_checked_in_the_parent_and_failures_count_everywhere(tmp_path):
    plugins = tmp_path / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "process_checker.py").write_text(CHECKER)
    environ = {"PYTHONPATH": str(tmp_path)}
    with (
        Launched(tmp_path, "--auth", "process", workers=4, environ=environ) as server,
        Crowd() as crowd,
    ):
        right, wrong = auth("bob", str(server.process.pid)), auth("bob", "1")
        for password, source, told in (
            (right, "127.0.0.2", ["ACK"] * 4),
            (wrong, "127.0.0.3", ["INVALID_AUTH"] * 10),
            (wrong, "127.0.0.3", ["RATE_LIMITED"] * 4),
            (right, "127.0.0.3", ["RATE_LIMITED"] * 4),
            (right, "127.0.0.2", ["ACK"] * 4),
        ):
            assert [answered(crowd, server, password, source=source) for _ in told] == told
        assert (server.errors, server.complaints()) == ("", [])


def test_limits_hold_for_all_workers_together(tmp_path):
    limits = {"MAX_CONNECTIONS": "6", "TICKSTORM_MAX_CONNECTIONS_PER_ADDRESS": "3"}
    with Launched(tmp_path, environ={**LOGIN, **limits}) as server, Crowd() as crowd:

        def come(source):
            return answered(crowd, server, HELLO, source=source)

        def come_in(source):
            # Who has just left takes up room until the worker tells of it, some moments later.
            until(lambda: come(source) == "ACK", "there is room")

        assert [come("127.0.0.2") for _ in range(4)] == ["ACK"] * 3 + ["RATE_LIMITED"]
        for _ in range(3):
            come_in("127.0.0.3")
        assert [come("127.0.0.4") for _ in range(3)] == ["OVERLOADED"] * 3
        crowd.leave(crowd.clients[:1])
        come_in("127.0.0.4")
        assert [come("127.0.0.4") for _ in range(3)] == ["OVERLOADED"] * 3
        refused = [client for client in crowd.clients if client.answers != ["ACK"]]
        crowd.until(lambda: all(client.end for client in refused), "who was refused is gone")
        assert {client.end for client in refused} == {"closed"}
        assert server.total() == 6


def test_the_connections_of_a_lost_worker_count_no_more(tmp_path):
    limit = {"TICKSTORM_MAX_CONNECTIONS_PER_ADDRESS": "4"}
    with Launched(tmp_path, environ={**LOGIN, **limit}) as server, Crowd() as crowd:
        crowd.join(server.port, 4, source="127.0.0.2")
        crowd.until_streaming()
        os.kill(server.workers()[0], signal.SIGKILL)
        server.until_said("serves", times=3)
        crowd.until(lambda: len(crowd.gone()) == 2, "its clients are cut")
        # The new worker has none: with these, the next ones come to both in turn.
        crowd.until_streaming(crowd.join(server.port, 2, source="127.0.0.3"))
        got = [answered(crowd, server, HELLO, source="127.0.0.2") for _ in range(4)]
        assert got == ["ACK"] * 2 + ["RATE_LIMITED"] * 2


# Certificates, read anew.


def shown(server):
    """The certificates that new connections to the first port are shown: some at every process."""
    context = client_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before = [sockets(pid) for pid in server.serving()]
    certificates = set()
    with ExitStack() as connections:

        def all_have_shown():
            plain = connections.enter_context(over_tcp(server.port, None))
            connection = connections.enter_context(context.wrap_socket(plain))
            certificates.add(connection.getpeercert(binary_form=True))
            now = [sockets(pid) for pid in server.serving()]
            return all(more > less for more, less in zip(now, before, strict=True))

        until(all_have_shown, "every process has a new connection")
    return certificates


def pem_to_der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def expiry(server, certificate="server.crt"):
    name = f'tickstorm_certificate_expiry_timestamp_seconds{{certificate="{certificate}"}}'
    return server.metrics()[name]


def test_certificates_are_read_anew_by_every_worker(tmp_path):
    save_certificates(tmp_path)
    first = pem_to_der(tmp_path / "server.crt")
    with Launched(tmp_path, "--port", TLS, workers=2) as server, Crowd() as crowd:
        for _ in range(10):
            crowd.add(over_tls(server.port, tmp_path), EVERY_TICK)
        crowd.until_streaming()
        assert (shown(server), expiry(server)) == ({first}, NOT_AFTER.timestamp())

        later = authority().issue("localhost", expired=True)
        later.save(tmp_path, "server")
        second = pem_to_der(tmp_path / "server.crt")
        server.process.send_signal(signal.SIGHUP)
        server.until_said("the certificates are read anew")
        until(lambda: shown(server) == {second}, "every worker shows it")
        assert expiry(server) == later.certificate.not_valid_after_utc.timestamp()

        (tmp_path / "server.crt").write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        line = server.until_said("nothing is reloaded, all stays as it was")
        assert line["level"] == "error"
        assert line["message"].endswith(": cert: 'server.crt' is not a certificate in PEM")
        assert shown(server) == {second}
        assert expiry(server) == later.certificate.not_valid_after_utc.timestamp()

        crowd.until_more()
        assert (crowd.gone(), crowd.with_holes()) == ([], [])
        assert (server.errors, server.complaints()) == ("", [line["message"]])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_certificate_of_one_port_leaves_the_others_as_they_were(tmp_path, workers):
    save_certificates(tmp_path)
    authority().issue("localhost").save(tmp_path, "other")
    ports = ("--port", TLS, "--port", TLS.replace("server", "other"))
    with Launched(tmp_path, *ports, workers=workers) as server:
        before = shown(server)
        authority().issue("localhost").save(tmp_path, "server")
        (tmp_path / "other.crt").write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        server.until_said("nothing is reloaded, all stays as it was")
        assert shown(server) == before


def test_a_bad_certificate_does_not_keep_a_worker_from_being_replaced(tmp_path):
    save_certificates(tmp_path)
    with Launched(tmp_path, "--port", TLS) as server:
        before = shown(server)
        (tmp_path / "server.crt").write_text("nonsense")
        os.kill(server.workers()[0], signal.SIGKILL)
        until(lambda: server.said("serves")[2:] or server.said("is gone after")[1:], "it is born")
        assert len(server.said("is gone after")) == 1
        assert shown(server) == before


# The beginning and the end.


def test_nothing_is_left_behind(tmp_path):
    ports = ("--port", LOOPBACK, "--port", "unix:ticks.sock")
    with Launched(tmp_path, *ports) as server, Crowd() as crowd:
        for _ in range(2):
            crowd.add(over_tcp(server.port, tmp_path), EVERY_TICK)
            crowd.add(over_unix(None, tmp_path), EVERY_TICK)
        crowd.until_streaming()
        assert server.end() == -signal.SIGTERM
        server.until_gone()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["errors", "log"]
        assert (server.errors, server.complaints()) == ("", [])
        with socket.create_server(("127.0.0.1", server.port)):  # it is free again
            pass


def test_a_port_in_use_is_one_line_and_leaves_no_process(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        used = f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"
        server = Launched(tmp_path, "--port", used)
        assert server.process.wait(TIMEOUT) == 1
        assert (server.errors, server.processes()) == (in_use(used, None), {})


def test_a_stop_before_the_workers_are_there(tmp_path):
    server = Launched(tmp_path)
    try:
        server.until_said("listening for operators")
        assert server.end() == -signal.SIGTERM
        server.until_gone()
        assert (server.errors, server.complaints()) == ("", [])
    finally:
        server.close()
