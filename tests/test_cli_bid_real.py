"""`tickstorm bid` against a real server: exit codes, a pipe, and a terminal."""

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.real

SERVER = """
import time
from twisted.internet import endpoints, reactor
from tickstorm.auction.book import Book
from tickstorm.auction.factory import AuctionFactory
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.rule import Terms
from tickstorm.clock import system_clock
from tickstorm.credentials import SharedCredentials

clock = system_clock(reactor)
store = MemoryStore(Book(), clock.wall_ms)
now_ms = round(time.time() * 1000)
for number in range(1, 9):
    store.create(Terms(now_ms - 1, now_ms + 3_600_000, 100, 50), number)
logins = SharedCredentials("alice", "secret")
factory = AuctionFactory(store, logins, clock, permits={"alice": None})
listening = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
listening.addCallback(lambda port: print(port.getHost().port, flush=True))
reactor.callLater(120, reactor.stop)
reactor.run()
"""
COMMAND = (
    sys.executable,
    "-c",
    "from tickstorm.cli import main; main(prog_name='tickstorm')",
    "bid",
)
LOGIN = {**os.environ, "STREAM_USER": "alice", "STREAM_PASS": "secret", "TERM": "xterm"}
SECONDS = 60


@pytest.fixture(scope="module", name="address")
def serve():
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    with server:
        try:
            yield f"127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


def run(*arguments, given=""):
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=given,
        capture_output=True,
        text=True,
        env=LOGIN,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_one_bid_after_the_other(address):
    assert run(address, "1", "7", "1.00") == (0, "you lead with 1.00\n", "")
    assert run(address, "1", "7", "1.00") == (0, "you lead with 1.00 already\n", "")
    assert run(address, "1", "8", "1.20") == (1, "too low: at least 1.50\n", "")
    assert run(address, "99", "8", "1.20") == (1, "there is no auction 99\n", "")


def test_the_same_bid_again(address):
    for _ in range(2):
        bid = run(address, "2", "7", "1.00", "--bid-id", "55")
        assert bid == (0, "you lead with 1.00\n", "")


def test_a_wrong_password_is_one_line(address):
    code, output, errors = run(address, "1", "7", "1.00", "--password", "wrong")
    assert (code, output) == (2, "")
    assert re.fullmatch(r"tickstorm: INVALID_AUTH: .*; the bid had no effect\n", errors)


def test_a_server_that_is_not_there():
    code, output, errors = run("127.0.0.1:1", "1", "7", "1.00", "--timeout", "0.5")
    assert (code, output) == (2, "not possible now, and without effect: try again later\n")
    assert errors.startswith("tickstorm: disconnected, again in ")


def test_amounts_from_a_pipe(address):
    assert run(address, "3", "7", given="1\n1.20\n5\n") == (
        0,
        "you lead with 1.00\ntoo low: at least 1.50\nyou lead with 5.00\n",
        "",
    )


def test_a_line_that_is_no_amount(address):
    code, output, errors = run(address, "4", "7", given="1\nlots\n5\n")
    assert (code, output) == (2, "you lead with 1.00\n")
    assert errors.startswith("tickstorm: standard input, line 2: 'lots' is not an amount")


def test_an_interrupt():
    command = [*COMMAND, "127.0.0.1:1", "1", "7", "1.00"]
    with subprocess.Popen(command, env=LOGIN, stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130


class Terminal:
    """The far end of a terminal on which the command runs."""

    def __init__(self, ours, process):
        self._ours, self.process = ours, process
        self.shown = ""

    def wait_for(self, words):
        """Read until these words are shown, behind those that were waited for before."""
        while words not in self.shown:
            self.shown += os.read(self._ours, 65536).decode()
        self.shown = self.shown.partition(words)[2]

    def type(self, keys):
        os.write(self._ours, keys)


@contextmanager
def on_a_terminal(*arguments):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=LOGIN, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
    )
    with process:
        os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            os.close(ours)


def test_bids_that_are_typed(address):
    with on_a_terminal(address, "5", "7") as terminal:
        terminal.wait_for("auction 5: no bid yet > ")
        terminal.type(b"12.5\r")
        terminal.wait_for("bid 12.50\r\n")
        terminal.wait_for("you lead with 12.50\r\n")
        terminal.wait_for("auction 5: 12.50 by you, next from 13.00, 59:")
        assert run(address, "5", "8", "20")[0] == 0
        terminal.wait_for("auction 5: 20.00 by user 8, next from 20.50")
        terminal.type(b"+\n")
        terminal.wait_for("you lead with 20.50\r\n")
        terminal.type(b"q\n")
        assert terminal.process.wait(SECONDS) == 0
        assert terminal.process.stderr.read() == b""


def test_a_wrong_password_on_a_terminal(address):
    with on_a_terminal(address, "6", "7", "--password", "wrong") as terminal:
        assert terminal.process.wait(SECONDS) == 2
        assert b"tickstorm: INVALID_AUTH: " in terminal.process.stderr.read()


def test_an_interrupt_on_a_terminal(address):
    with on_a_terminal(address, "6", "7") as terminal:
        terminal.wait_for("no bid yet > ")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(SECONDS) == 130
