"""`twistd tickstorm`, as its users run it: processes, what they say, and how they end."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Timer
from time import monotonic, sleep
from types import MappingProxyType

import pytest
from certificates import authority
from conversation import SECOND, auth, names, subscribe
from dial import Caller, client_context

from tickstorm._pb import tickstorm_pb2 as pb

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parent.parent
TWISTD = Path(sys.executable).with_name("twistd")
TIMEOUT = 20.0
"""Seconds after which a process that should have ended is ended."""
TERMINATED = -signal.SIGTERM
"""How a server ends that was told to: when all is done, twistd passes the signal on to itself."""
LOOPBACK = "tcp:0:interface=127.0.0.1"
PORTS = ("--port", LOOPBACK, "--http", LOOPBACK)
NOTHING_SET = MappingProxyType({})
LOGIN = {"STREAM_USER": "alice", "STREAM_PASS": "open-sesame-1"}


def command(folder, *options, twistd=("-n",)):
    """A command line; its pid file is always a file of the test's own."""
    return [TWISTD, *twistd, f"--pidfile={folder}/twistd.pid", "tickstorm", *options]


def surroundings(environ):
    """What the process has in its environment: nothing that may be set around the tests."""
    return {"PATH": os.environ["PATH"], "TICKSTORM_DRAIN_TIMEOUT": "3s", **environ}


class Running:
    """A server in the foreground, and what it says."""

    def __init__(self, folder, *options, environ=NOTHING_SET, twistd=("-n",), line=None):
        self.process = subprocess.Popen(
            line or command(folder, *options, twistd=twistd),
            cwd=folder,
            env=surroundings(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self._alarm = Timer(TIMEOUT, self.process.kill)
        self._alarm.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self._alarm.cancel()

    def until(self, words):
        """The next line of the log that has these words in it."""
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return line
        pytest.fail(f"no line with {words!r}, but: {self.lines} {self.process.stderr.read()}")

    def port(self, whose="subscribers"):
        """The next port that it says it listens on."""
        address = json.loads(self.until(f"listening for {whose}"))["address"]
        return int(address.rpartition(":")[2])

    def login(self):
        """The name and the password that it prints."""
        for line in self.process.stderr:
            if match := re.match(r"One-time login: user (\w+), password (\w+)", line):
                return match.groups()
        return pytest.fail("no login was printed")

    def end(self, how=signal.SIGTERM):
        """Stop it; its exit code and the rest of its standard error."""
        self.process.send_signal(how)
        out, error = self.process.communicate()
        self.lines += out.splitlines(keepends=True)
        return self.process.returncode, error


def run(folder, *options, environ=NOTHING_SET, cwd=None, **ways):
    """A command that ends by itself: its exit code, standard output and error."""
    done = subprocess.run(
        command(folder, *options, **ways),
        cwd=cwd or folder,
        env=surroundings(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def ask(port, path):
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    connection.request("GET", path)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


@pytest.fixture
def taken():
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


# What cannot be used.

WRONG = {
    "an unknown option": (
        ["--colour"],
        {},
        "option --colour not recognized (see twistd tickstorm --help)",
    ),
    "a word too many": (
        ["loud"],
        {},
        "Wrong number of arguments. (see twistd tickstorm --help)",
    ),
    "a wrong value of an option": (
        ["--delivery", "late"],
        {},
        '--delivery: \'late\' is not one of "aligned", "spread"',
    ),
    "a missing file": (
        ["--config", "/nowhere.toml"],
        {},
        "/nowhere.toml: cannot be read: No such file or directory",
    ),
    "an unknown key": (
        ["--config", "unknown.toml"],
        {},
        "max_conections in unknown.toml: there is no such setting; did you mean max_connections?",
    ),
    "a wrong value in the environment": (
        [],
        {"MAX_CONNECTIONS": "many"},
        "MAX_CONNECTIONS in the environment: 'many' is not a whole number from 1 to 10000000",
    ),
    "an unknown source": (
        ["--source", "carrier-pigeon:"],
        {},
        "source 'carrier-pigeon:': there is no 'carrier-pigeon'; the sources are: replay, walk",
    ),
    "a missing recording": (
        ["--source", "replay:nowhere.csv"],
        {},
        "nowhere.csv: No such file or directory",
    ),
    "a malformed recording": (
        ["--source", "replay:short.csv"],
        {},
        "short.csv, line 2: 1 fields do not fit 3 columns",
    ),
    "a port that is none": (
        ["--port", "tcp:65536"],
        {},
        "--port: ['tcp:65536'] is not a list of endpoints such as \"tcp:8080:interface=127.0.0.1\"",
    ),
    "an unknown kind of port": (
        ["--port", "pigeon:1", "--auth", "memory:alice:secret"],
        {},
        "'pigeon:1': Unknown endpoint type: 'pigeon'",
    ),
    "a certificate that is not there": (
        ["--port", "tls:0:interface=127.0.0.1:cert=nowhere.crt:key=nowhere.key"],
        {},
        "'tls:0:interface=127.0.0.1:cert=nowhere.crt:key=nowhere.key': "
        "cert: cannot read 'nowhere.crt': No such file or directory",
    ),
    "everybody may connect and nobody can log in": (
        ["--port", "tcp:0"],
        {},
        "port 'tcp:0' can be reached from other machines: set STREAM_USER and STREAM_PASS or give "
        "--auth, or keep to interface=127.0.0.1",
    ),
    "two ways to log in": (
        ["--auth", "memory:alice:secret"],
        LOGIN,
        "--auth and a user name in the settings exclude one another",
    ),
    "a publisher who cannot log in": (
        [],
        {**LOGIN, "TICKSTORM_PUBLISHERS": "desk:*"},
        'TICKSTORM_PUBLISHERS in the environment: ["desk:*"] has somebody who cannot log in: '
        'there is only username, which is "alice" (STREAM_USER in the environment)',
    ),
    "an unknown checker": (
        ["--auth", "pigeon:alice"],
        {},
        "Auth plugin not recognized: pigeon (see twistd tickstorm --help)",
    ),
    "a checker without what it needs": (
        ["--auth", "memory:alice"],
        {},
        "Unexpected error: argstring must be in format U:P:... (see twistd tickstorm --help)",
    ),
}


def write_files(folder):
    (folder / "unknown.toml").write_text("max_conections = 5\n")
    (folder / "short.csv").write_text("time,symbol,price\nbad\n")


@pytest.mark.parametrize("checked", [False, True], ids=["started", "checked"])
@pytest.mark.parametrize(("options", "environ", "line"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_used_is_one_line(tmp_path, options, environ, line, checked):
    write_files(tmp_path)
    options = [*options, "--check-config"] if checked else options
    ended = run(tmp_path, *options, environ=environ)
    assert ended == (1, "", f"tickstorm: {line}\n")
    assert not (tmp_path / "twistd.pid").exists()


def test_a_missing_file_of_passwords_is_one_line(tmp_path):
    code, out, error = run(tmp_path, "--auth", "file:/nowhere", "--check-config")
    assert (code, out) == (1, "")
    warning, line = error.splitlines()
    assert warning.startswith("Warning: ")
    assert line == "tickstorm: --auth: there is no file /nowhere"


@pytest.mark.parametrize("cwd", [Path("/"), ROOT], ids=["root", "tree"])
def test_it_is_found_from_anywhere(tmp_path, cwd):
    ended = run(tmp_path, "--check-config", *PORTS, cwd=cwd)
    assert ended == (0, "tickstorm: the configuration can be used\n", "")


def test_a_check_does_not_listen(tmp_path, taken):
    port = f"tcp:{taken}:interface=127.0.0.1"
    assert run(tmp_path, "--check-config", "--port", port, "--http", port)[0] == 0


# A port that cannot be had.


def in_use(description, taken):
    return f"tickstorm: cannot listen: Address already in use ({description})\n"


@pytest.mark.parametrize("which", ["first", "second", "page"])
def test_a_port_in_use_is_one_line(tmp_path, taken, which):
    used = f"tcp:{taken}:interface=127.0.0.1"
    options = {
        "first": ("--port", used, "--http", LOOPBACK),
        "second": (*PORTS, "--port", used),
        "page": ("--port", LOOPBACK, "--http", used),
    }
    code, out, error = run(tmp_path, *options[which])
    assert (code, error) == (1, in_use(used, taken))
    assert [line for line in out.splitlines() if "listening" in line] == []
    assert not (tmp_path / "twistd.pid").exists()


GUARDED = """
import os, sys

def refuse(event, arguments):
    if event == "os.remove" and os.fspath(arguments[0]).startswith("/dev/"):
        print("it would remove", arguments[0], file=sys.__stderr__)
        sys.__stderr__.flush()
        os._exit(70)

sys.addaudithook(refuse)
from twisted.scripts.twistd import run
run()
"""
"""twistd, ended before it removes a device: as root it would do so for the whole machine."""


def test_without_a_pid_file_there_is_none_to_remove(tmp_path, taken):
    port = f"tcp:{taken}:interface=127.0.0.1"
    options = ["-n", "--pidfile=", "tickstorm", "--port", port, "--http", "off"]
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, *options],
        cwd=tmp_path,
        env=surroundings(NOTHING_SET),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, in_use(port, taken))


# Who may log in.


def test_the_login_that_it_prints_is_let_in(tmp_path):
    with Running(tmp_path, *PORTS) as server:
        port = server.port()
        user, password = server.login()
        caller = Caller(port)
        assert names(caller.ask(2, auth(user, password), subscribe())) == ["ACK", "ACK"]
        caller.socket.close()
        caller = Caller(port)
        caller.send(auth(user, "guessed"))
        assert names(caller.rest()) == ["INVALID_AUTH"]
        caller.socket.close()
        assert server.end()[0] == TERMINATED
    assert password not in "".join(server.lines)


def test_a_login_of_the_settings_is_not_printed(tmp_path):
    with Running(tmp_path, *PORTS, environ=LOGIN) as server:
        caller = Caller(server.port())
        assert names(caller.ask(1, auth(*LOGIN.values()))) == ["ACK"]
        caller.socket.close()
        assert server.end() == (TERMINATED, "")


def test_an_empty_name_in_the_file_is_no_login(tmp_path):
    (tmp_path / "empty.toml").write_text('username = ""\n')
    with Running(tmp_path, *PORTS, "--config", "empty.toml") as server:
        server.port()
        error = server.end()[1]
    assert "One-time login" in error


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_checker_of_cred_says_who_comes_in(tmp_path, kind):
    (tmp_path / "passwords").write_text("bob:secret-9\n")
    told = {"memory": "memory:bob:secret-9", "file": f"file:{tmp_path}/passwords"}[kind]
    with Running(tmp_path, *PORTS, "--auth", told) as server:
        port = server.port()
        right, wrong = Caller(port), Caller(port)
        assert names(right.ask(1, auth("bob", "secret-9"))) == ["ACK"]
        wrong.send(auth("bob", "secret-8"))
        assert names(wrong.rest()) == ["INVALID_AUTH"]
        right.socket.close()
        wrong.socket.close()
        assert server.end() == (TERMINATED, "")
    assert "secret" not in "".join(server.lines)


def test_with_a_checker_everybody_may_connect(tmp_path):
    options = ("--port", "tcp:0", "--auth", "memory:bob:secret-9", "--check-config")
    assert run(tmp_path, *options)[0] == 0


# Several ports.


def test_several_ports_at_once(tmp_path):
    trusted = authority()
    trusted.issue("localhost").save(tmp_path, "server")
    (tmp_path / "trusted.crt").write_bytes(trusted.pem())
    tls = "tls:0:interface=127.0.0.1:cert=server.crt:key=server.key"
    ports = ("--port", LOOPBACK, "--port", "unix:ticks.sock", "--port", tls, "--http", LOOPBACK)
    with Running(tmp_path, *ports, environ=LOGIN) as server:
        plain = Caller(server.port())
        server.until("unix:")
        private = Caller(server.port(), client_context(tmp_path / "trusted.crt"))
        page = server.port("operators")
        for caller in (plain, private):
            assert names(caller.ask(1, auth(*LOGIN.values()))) == ["ACK"]
        with socket.socket(socket.AF_UNIX) as near:
            near.settimeout(TIMEOUT)
            near.connect(str(tmp_path / "ticks.sock"))
            near.sendall(auth(*LOGIN.values()))
            assert near.recv(8)[3] == pb.MESSAGE_TYPE_ACK
            assert ask(page, "/connections")[1]["total"] == 3
        plain.socket.close()
        private.socket.close()
        assert server.end()[0] == TERMINATED
    assert not (tmp_path / "ticks.sock").exists()


def test_the_page_on_a_unix_socket(tmp_path):
    with Running(tmp_path, "--port", LOOPBACK, "--http", "unix:page.sock") as server:
        server.port()
        server.until("listening for operators")
        code, error = server.end()
    assert (code, "Traceback" in "".join(server.lines)) == (TERMINATED, False)
    assert "unix:" in error


ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="ticks")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What systemd does before it runs a service: the socket is number 3, and the process is told."""


def test_a_socket_that_systemd_has_opened(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as opened:
        number = opened.fileno()
        line = command(tmp_path, "--port", "systemd:domain=INET:name=ticks", "--http", LOOPBACK)
        with subprocess.Popen(
            [sys.executable, "-c", ACTIVATED, str(number), *line],
            env=surroundings(LOGIN),
            cwd=tmp_path,
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                caller = Caller(opened.getsockname()[1])  # held until the server accepts
                assert names(caller.ask(1, auth(*LOGIN.values()))) == ["ACK"]
                caller.socket.close()
                process.terminate()
                assert process.wait(TIMEOUT) == TERMINATED
            finally:
                process.kill()


# The log.


def test_the_log_is_json_without_a_secret(tmp_path):
    options = (*PORTS, "--log-level", "debug")
    with Running(tmp_path, *options, environ=LOGIN) as server:
        port = server.port()
        for password in (LOGIN["STREAM_PASS"], "a-wrong-secret"):
            caller = Caller(port)
            caller.ask(1, auth("alice", password))
            caller.socket.close()
        server.until("INVALID_AUTH")
        assert server.end() == (TERMINATED, "")
    log = "".join(server.lines)
    assert [word for word in (LOGIN["STREAM_PASS"], "a-wrong-secret") if word in log] == []
    for line in server.lines:
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()


def test_the_log_as_text(tmp_path):
    with Running(tmp_path, *PORTS, "--log-format", "text", environ=LOGIN) as server:
        assert re.match(r"\S+Z info +tickstorm\.", server.until("listening for operators"))
        assert server.end()[0] == TERMINATED


def test_the_log_in_a_file(tmp_path):
    options = ("-n", "--logfile", "here.log")
    with Running(tmp_path, *PORTS, twistd=options) as server:
        server.login()
        code, _ = server.end()
    assert (code, server.lines) == (TERMINATED, [])
    log = (tmp_path / "here.log").read_text()
    assert "listening for subscribers" in log
    for line in log.splitlines():
        json.loads(line)


# The end.


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_clients_are_told_of_the_end(tmp_path, how):
    with Running(tmp_path, *PORTS, environ=LOGIN) as server:
        caller = Caller(server.port())
        assert names(caller.ask(2, auth(*LOGIN.values()), subscribe(SECOND))) == ["ACK", "ACK"]
        server.process.send_signal(how)
        *_, last = caller.rest()
        assert names([last]) == ["SHUTTING_DOWN"]
        caller.socket.close()
        _, error = server.process.communicate()
    assert (server.process.returncode, error) == (-how, "")
    assert not (tmp_path / "twistd.pid").exists()


def test_a_client_that_does_not_read_cannot_delay_the_end(tmp_path):
    environ = {
        **LOGIN,
        "TICKSTORM_DRAIN_TIMEOUT": "200ms",
        "TICKSTORM_WRITE_DEADLINE": "1h",
        "TCP_WRITE_BUFFER_SIZE": "4096",
    }
    with Running(tmp_path, *PORTS, "--source", "walk:rate=200000", environ=environ) as server:
        caller, page = Caller(server.port()), server.port("operators")
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.send(auth(*LOGIN.values()), subscribe())
        while not any(each["congested"] for each in ask(page, "/connections")[1]["connections"]):
            assert server.process.poll() is None, "the server was ended: nothing filled up"
        code, error = server.end()
        caller.socket.close()
    assert (code, error) == (TERMINATED, "")


# As a daemon.


def daemon(folder, *options, environ=LOGIN):
    """Start a daemon: what `run` gives of the process that starts it."""
    twistd = (f"--rundir={folder}",)
    return run(folder, *options, environ=environ, twistd=twistd)


def end_daemon(folder):
    """Stop it, and wait until it is gone."""
    pid = int((folder / "twistd.pid").read_text())
    handle = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        ended, _, _ = select.select([handle], [], [], TIMEOUT)
        assert ended, "the daemon goes on"
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def logged_port(log):
    """The port in a daemon's log, which it writes once its reactor runs."""
    until = monotonic() + TIMEOUT
    while monotonic() < until:
        found = re.search(r"subscribers on 127.0.0.1:(\d+)", log.read_text())
        if found:
            return int(found[1])
        sleep(0.02)
    return pytest.fail(f"no port in {log.read_text()}")


def test_a_daemon_starts_and_stops(tmp_path):
    assert daemon(tmp_path, *PORTS) == (0, "", "")
    try:
        caller = Caller(logged_port(tmp_path / "twistd.log"))
        assert names(caller.ask(1, auth(*LOGIN.values()))) == ["ACK"]
    finally:
        end_daemon(tmp_path)
    assert names(caller.rest()) == ["SHUTTING_DOWN"]
    caller.socket.close()
    assert not (tmp_path / "twistd.pid").exists()
    for line in (tmp_path / "twistd.log").read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize(("options", "environ", "line"), [WRONG["an unknown source"]])
def test_a_daemon_that_is_told_nonsense_does_not_start(tmp_path, options, environ, line):
    told = daemon(tmp_path, *options, environ={**LOGIN, **environ})
    assert told == (1, "", f"tickstorm: {line}\n")


def test_a_daemon_that_cannot_listen_says_why(tmp_path, taken):
    used = f"tcp:{taken}:interface=127.0.0.1"
    code, out, error = daemon(tmp_path, "--port", used, "--http", "off")
    assert (code, out) == (1, "")
    assert "Address already in use" in error
    assert not (tmp_path / "twistd.pid").exists()


def test_a_daemon_without_a_login_does_not_start(tmp_path):
    assert daemon(tmp_path, *PORTS, environ={}) == (
        1,
        "",
        "tickstorm: a daemon has nobody to tell a one-time password: set STREAM_USER and "
        "STREAM_PASS, give --auth, or run it with twistd -n\n",
    )
