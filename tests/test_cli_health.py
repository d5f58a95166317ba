"""`tickstorm health`: what it asks, and what it makes of any answer."""

import socket
from contextlib import contextmanager
from threading import Thread

import pytest
from click.testing import CliRunner

from tickstorm.cli import main
from tickstorm.commands.health import reasons


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"reasons": ["no feed", "late\\u001b"]}', "no feed; late\\x1b"),
        (b'{"reasons": 5}', ""),
        (b"[1]", ""),
        (b"", ""),
        (b"bad \xff\ngateway", "bad \ufffd"),
    ],
)
def test_reasons(body, why):
    assert reasons(body) == why


def run(*arguments):
    done = CliRunner().invoke(main, ["health", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_a_place_that_is_none():
    code, output, errors = run("off")
    assert (code, output) == (1, "")
    assert errors == (
        "Error: 'off' is neither http://HOST:PORT nor an endpoint of tcp:, tcp6: or unix:\n"
    )


@contextmanager
def answering(answer):
    """A server that sends `answer` to whoever comes; None for one that keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve():
            connection = server.accept()[0]
            kept.append(connection)
            kept.append(connection.recv(65536))
            if answer is not None:
                connection.sendall(answer)
                connection.close()

        Thread(target=serve, daemon=True).start()
        yield f"tcp:{server.getsockname()[1]}:interface=127.0.0.1", kept


READY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
DEGRADED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 31\r\n\r\n"
    b'{"reasons": ["no tick, so far"]}'
)


@pytest.mark.real
@pytest.mark.parametrize(
    ("option", "word", "path"), [((), "ready", "ready"), (("--live",), "alive", "live")]
)
def test_a_server_that_is_well(option, word, path):
    with answering(READY) as (where, kept):
        url = f"http://127.0.0.1:{where.split(':')[1]}/health/{path}"
        assert run("--http", where, *option) == (0, f"{word}: {url}\n", "")
    assert kept[1].startswith(f"GET /health/{path} HTTP/1.1\r\n".encode())


@pytest.mark.real
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (DEGRADED.replace(b"31", b"32"), "status 503: no tick, so far"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (b"SSH-2.0-x\r\n", "what answers is no HTTP server (BadStatusLine)"),
        (b"", "Remote end closed connection without response"),
        (None, "no answer within 0.2 s"),
    ],
)
def test_a_server_that_is_not_well(answer, why):
    with answering(answer) as (where, _):
        url = f"http://127.0.0.1:{where.split(':')[1]}/health/ready"
        assert run("--http", where, "--timeout", "0.2" if answer is None else "10") == (
            1,
            "",
            f"not ready: {url}: {why}\n",
        )


@pytest.mark.real
def test_no_server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert run(f"http://127.0.0.1:{port}") == (
        1,
        "",
        f"not ready: http://127.0.0.1:{port}/health/ready: Connection refused\n",
    )


@pytest.mark.real
def test_a_unix_socket_that_is_not_there(tmp_path):
    assert run("--http", f"unix:{tmp_path}/none") == (
        1,
        "",
        f"not ready: /health/ready at unix:{tmp_path}/none: No such file or directory\n",
    )
