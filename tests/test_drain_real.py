"""A server that is told to stop, of one process and of several: what is on the wire then."""

import signal
import socket

import pytest
from conversation import SECOND, TICK, subscribe
from subscribers import EVERY_TICK, HELLO, Crowd
from test_tap import LOGIN, LOOPBACK
from test_workers_real import TLS, over_tcp, over_tls, save_certificates
from workers_server import TIMEOUT, Launched, until

pytestmark = pytest.mark.real

SOURCE = ("--source", "walk:rate=50:symbols=2")
EVERY_SECOND = HELLO + subscribe(SECOND)
EACH = 10
"""Clients of each kind."""


def launched(folder, *options, drain="5s", **ways):
    environ = {**LOGIN, "TICKSTORM_DRAIN_TIMEOUT": drain, **ways.pop("environ", {})}
    return Launched(folder, *SOURCE, *options, environ=environ, **ways)


@pytest.mark.parametrize(
    ("workers", "port", "connect"),
    [(0, LOOPBACK, over_tcp), (2, LOOPBACK, over_tcp), (0, TLS, over_tls), (2, TLS, over_tls)],
    ids=["tcp", "tcp-workers", "tls", "tls-workers"],
)
def test_clients_are_told_and_closed_one_after_the_other(tmp_path, workers, port, connect):
    save_certificates(tmp_path)
    with launched(tmp_path, "--port", port, workers=workers) as server, Crowd() as crowd:
        extended = [crowd.add(connect(server.port, tmp_path), EVERY_TICK) for _ in range(EACH)]
        others = [crowd.add(connect(server.port, tmp_path), EVERY_SECOND) for _ in range(EACH)]
        crowd.until_streaming()
        number = server.port
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not server.get("/health/ready")["ready"], "it is not ready")
        crowd.until(lambda: all(len(client.answers) == 3 for client in extended), "a GOAWAY")
        assert [client.end for client in extended].count("") > EACH // 2
        until(lambda: refused(number), "nobody new is accepted")
        crowd.until(lambda: len(crowd.gone()) == 2 * EACH, "all are closed")

        assert {tuple(client.answers) for client in extended} == {("ACK", "ACK", "GOAWAY")}
        assert {tuple(client.answers) for client in others} == {("ACK", "ACK", "SHUTTING_DOWN")}
        assert {client.end for client in crowd.clients} == {"closed"}
        # What each got last says when it was closed: there are 50 ticks a second.
        last = sorted(client.sequences[-1] for client in extended)
        assert len(set(last)) > EACH // 2
        assert last[-1] - last[0] > 40
        assert crowd.with_holes() == []
        waits = [client.waits_ms for client in extended]
        assert [len(each) for each in waits] == [1] * EACH
        assert [each for (each,) in waits if not 500 <= each < 5500] == []
        assert max(waits)[0] - min(waits)[0] > 1000
        assert [each for client in others for each in client.waits_ms if each >= 1500] == []
        assert server.process.wait(TIMEOUT) == -signal.SIGTERM
        server.until_gone()
        assert (server.errors, server.complaints()) == ("", [])


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("workers", [0, 2])
def test_when_the_last_client_leaves_it_is_over(tmp_path, workers):
    with launched(tmp_path, drain="1h", workers=workers) as server, Crowd() as crowd:
        clients = crowd.join(server.port, 4)
        crowd.until_streaming()
        server.process.send_signal(signal.SIGTERM)
        crowd.until(lambda: all("GOAWAY" in client.answers for client in clients), "a GOAWAY")
        crowd.leave(clients)
        assert server.process.wait(TIMEOUT) == -signal.SIGTERM
        assert (server.errors, server.complaints()) == ("", [])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_told_twice_it_does_not_wait(tmp_path, workers, how):
    with launched(tmp_path, drain="1h", workers=workers) as server, Crowd() as crowd:
        extended = crowd.join(server.port, 4)
        others = crowd.join(server.port, 4, EVERY_SECOND)
        crowd.until_streaming()
        server.process.send_signal(how)
        crowd.until(lambda: all("GOAWAY" in client.answers for client in extended), "a GOAWAY")
        server.process.send_signal(how)
        crowd.until(lambda: len(crowd.gone()) == 8, "all are closed")
        assert [client.answers[-1] for client in others] == ["SHUTTING_DOWN"] * 4
        assert server.process.wait(TIMEOUT) == -how
        server.until_gone()
        assert (server.errors, server.complaints()) == ("", [])


@pytest.mark.parametrize("workers", [0, 2])
def test_while_its_end_is_only_announced_it_takes_whoever_comes(tmp_path, workers):
    environ = {"TICKSTORM_DRAIN_DELAY": "1h"}
    with launched(tmp_path, workers=workers, environ=environ) as server, Crowd() as crowd:
        until(lambda: server.get("/health/ready")["ready"], "it is ready")
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not server.get("/health/ready")["ready"], "it is not ready")
        crowd.join(server.port, 4, HELLO + subscribe(TICK))
        crowd.until_streaming()
        server.process.send_signal(signal.SIGTERM)
        crowd.until(lambda: len(crowd.gone()) == 4, "all are closed")
        assert server.process.wait(TIMEOUT) == -signal.SIGTERM
        assert (server.errors, server.complaints()) == ("", [])
