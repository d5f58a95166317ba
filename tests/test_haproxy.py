"""conf/haproxy.cfg, as HAProxy understands it: checked, and run before two servers."""

import re
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from conversation import auth, names, subscribe
from dial import TIMEOUT, Caller
from test_tap import LOGIN, LOOPBACK, Running, ask

pytestmark = pytest.mark.real

CONFIG = Path(__file__).resolve().parent.parent / "conf" / "haproxy.cfg"
CLIENT = "127.0.0.2"
"""Another address of this machine than the proxy's own."""
PROXIED = ("--port", "haproxy:tcp:0:interface=127.0.0.1", "--http", LOOPBACK)


@pytest.fixture
def haproxy():
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail("haproxy is missing: install the package of that name", pytrace=False)
    return found


def check(haproxy, file):
    done = subprocess.run(
        [haproxy, "-c", "-f", file], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    return done.returncode, done.stderr


def test_it_is_valid_and_nothing_in_it_is_warned_of(haproxy):
    assert check(haproxy, CONFIG) == (0, "")


def test_a_check_finds_what_is_wrong(haproxy, tmp_path):
    (tmp_path / "wrong.cfg").write_text(CONFIG.read_text().replace("leastconn", "lestconn"))
    code, error = check(haproxy, tmp_path / "wrong.cfg")
    assert code == 1
    assert "balance only supports" in error


def test_its_timeouts_are_longer_than_a_heartbeat_may_be_late():
    timeouts = dict(re.findall(r"timeout (client|server) +(\d+)s", CONFIG.read_text()))
    assert all(int(seconds) > 20 for seconds in timeouts.values())
    assert timeouts.keys() == {"client", "server"}


# A run.


class Backend:
    """One of the servers, and the ports that it was given."""

    def __init__(self, running):
        self.running = running
        self.port, self.page = running.port(), running.port("operators")

    def connections(self):
        return ask(self.page, "/connections")[1]["connections"]


@contextmanager
def proxied(haproxy, folder, backends):
    """HAProxy by our configuration, but on a free port and before these servers; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as front:
        text = CONFIG.read_text().replace("bind 127.0.0.1:8080", f"bind fd@{front.fileno()}")
        text = text.replace("maxconn 100000", "maxconn 100")  # there may be too few open files
        for number, backend in enumerate(backends, 1):
            example = f"127.0.0.1:808{number} port 909{number}"
            assert example in text
            text = text.replace(example, f"127.0.0.1:{backend.port} port {backend.page}")
        (folder / "haproxy.cfg").write_text(text)
        process = subprocess.Popen(
            [haproxy, "-db", "-f", folder / "haproxy.cfg"],
            pass_fds=[front.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield front.getsockname()[1]
        finally:
            process.kill()
            process.wait()


def subscribed(port):
    """A client that streams through the proxy."""
    caller = Caller(port, source_address=(CLIENT, 0))
    assert names(caller.ask(2, auth(*LOGIN.values()), subscribe())) == ["ACK", "ACK"]
    return caller


def test_two_servers_behind_it(haproxy, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with (
        Running(folders[0], *PROXIED, environ=LOGIN) as one,
        Running(folders[1], *PROXIED, environ=LOGIN) as two,
    ):
        backends = [Backend(one), Backend(two)]
        with proxied(haproxy, tmp_path, backends) as port:
            first = subscribed(port)
            backends.sort(key=lambda backend: len(backend.connections()))
            second = subscribed(port)
            seen = [[each["peer"] for each in backend.connections()] for backend in backends]
            assert seen == [[CLIENT], [CLIENT]]

            staying, leaving = backends
            assert leaving.running.end()[1] == ""
            assert names(first.rest()).count("GOAWAY") == 1
            first.socket.close()

            back = subscribed(port)
            assert len(staying.connections()) == 2
            assert second.frame()
            for caller in (second, back):
                caller.socket.close()
