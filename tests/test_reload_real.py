"""A server that reads its settings anew at SIGHUP, while clients stream from it."""

import os
import signal

import pytest
from conversation import auth, names, subscribe
from dial import Caller
from subscribers import Crowd
from test_tap import PORTS, Running
from workers_server import Launched, until

pytestmark = pytest.mark.real

FIRST, SECOND = "open-sesame-1", "open-sesame-2"
"""The password before and after."""
BLOCKED = "127.0.0.77"


def write(folder, password, *lines):
    text = "\n".join(['username = "alice"', f'password = "{password}"', *lines, ""])
    (folder / "server.toml").write_text(text)


def answers(server, password, source=None):
    """What a login is answered."""
    ways = {"source_address": (source, 0)} if source else {}
    caller = Caller(server.port, **ways)
    try:
        return names(caller.ask(1, auth("alice", password)))
    finally:
        caller.socket.close()


@pytest.fixture(name="server", params=[0, 2], ids=["alone", "workers"])
def serve(request, tmp_path):
    """A server with a file of settings, and what asks it to read that anew."""
    write(tmp_path, FIRST)
    options = ("--config", "server.toml", "--source", "walk:rate=50")
    with Launched(tmp_path, *options, workers=request.param, environ={}) as server:
        yield server


@pytest.fixture(name="crowd")
def subscribe_before(server):
    """Clients that stream all the while, and miss nothing."""
    with Crowd() as crowd:
        crowd.join(server.port, 6, auth("alice", FIRST) + subscribe())
        crowd.until_streaming()
        yield crowd
        crowd.until_more()
        assert (crowd.gone(), crowd.with_holes()) == ([], [])


def reread(server, times=1):
    server.process.send_signal(signal.SIGHUP)
    return server.until_said("the settings are read anew", times)["changed"]


def test_settings_are_read_anew(server, crowd):
    changed = ['log_level = "debug"', f'block = ["{BLOCKED}"]', "max_connections = 8"]
    assert answers(server, FIRST, BLOCKED) == ["ACK"]
    write(server.folder, SECOND, *changed, "max_symbols = 500")
    crowd.until_more()
    assert reread(server) == "log_level, password, max_connections, block"
    assert [line["level"] for line in server.said("needs a restart")] == ["warn"]
    assert server.said("needs a restart")[0]["setting"] == "max_symbols"
    until(lambda: answers(server, SECOND) == ["ACK"], "every worker knows it")
    until(lambda: answers(server, FIRST) == ["INVALID_AUTH"], "every worker knows it")
    assert answers(server, SECOND, BLOCKED) == ["NOT_PERMITTED"]
    server.until_said(" closed: ")  # which is said at level debug
    crowd.join(server.port, 2, auth("alice", SECOND) + subscribe())
    crowd.until_streaming()
    until(lambda: answers(server, SECOND) == ["OVERLOADED"], "it is full")
    assert [line for line in server.lines() if FIRST in str(line) or SECOND in str(line)] == []
    assert (server.errors, server.complaints()) == ("", [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max_conections = 5\n", "max_conections in server.toml: there is no such setting"),
        ("username = 'al", "server.toml: is not TOML: "),
        ("heartbeat_interval = 3600\n", "HEARTBEAT_TIMEOUT in the environment: "),
        ('username = ""\n', "there is no user name any more: nobody could log in"),
    ],
    ids=["unknown", "cut", "contradiction", "nobody"],
)
def test_a_bad_file_leaves_all_as_it_was(server, crowd, text, reason):
    (server.folder / "server.toml").write_text(text)
    server.process.send_signal(signal.SIGHUP)
    line = server.until_said("nothing is reloaded, all stays as it was: ")
    assert line["level"] == "error"
    assert line["reason"].startswith(reason)
    assert answers(server, FIRST) == ["ACK"]
    crowd.until_more()
    write(server.folder, SECOND)
    assert reread(server) == "password"
    until(lambda: answers(server, SECOND) == ["ACK"], "every worker knows it")
    assert (server.errors, server.complaints()) == ("", [line["message"]])


def test_a_worker_that_comes_later_has_what_was_read_last(tmp_path):
    write(tmp_path, FIRST)
    with Launched(tmp_path, "--config", "server.toml", workers=1, environ={}) as server:
        write(tmp_path, SECOND)
        assert reread(server) == "password"
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        server.until_said("serves", 2)
        assert answers(server, SECOND) == ["ACK"]


@pytest.mark.parametrize("workers", [0, 2])
def test_passwords_of_a_file_are_read_anew(tmp_path, workers):
    passwords = tmp_path / "passwords"
    passwords.write_text(f"alice:{FIRST}\n")
    with Launched(tmp_path, "--auth", f"file:{passwords}", workers=workers, environ={}) as server:
        passwords.write_text(f"alice:{SECOND}\n")
        assert (answers(server, FIRST), answers(server, SECOND)) == (["ACK"], ["INVALID_AUTH"])
        reread(server)
        server.until_said("the files of --auth are read anew")
        assert (answers(server, FIRST), answers(server, SECOND)) == (["INVALID_AUTH"], ["ACK"])
        passwords.unlink()
        server.process.send_signal(signal.SIGHUP)
        line = server.until_said("nothing is reloaded")
        assert line["reason"] == f"--auth: there is no file {passwords}"
        assert answers(server, SECOND) == ["ACK"]


def test_a_one_time_login_stays(tmp_path):
    with Running(tmp_path, *PORTS) as server:
        port = server.port()
        user, password = server.login()
        server.process.send_signal(signal.SIGHUP)
        server.until("the settings are read anew; changed: nothing")
        caller = Caller(port)
        assert names(caller.ask(1, auth(user, password))) == ["ACK"]
        caller.socket.close()
        server.end()
