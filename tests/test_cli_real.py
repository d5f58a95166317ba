"""The command line against a real server: what is printed, what is recorded, and the exit codes."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tickstorm.commands.publish import WAITING
from tickstorm.sources.recording_file import read_recording

pytestmark = pytest.mark.real

SERVER = """
from twisted.internet import endpoints, reactor, task
from tickstorm.clock import system_clock
from tickstorm.credentials import SharedCredentials
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.hub import Hub
from tickstorm.ticks import Tick

clock = system_clock(reactor)
hub = Hub("e1", clock.wall_ns)
factory = TickstormFactory(FanOut(hub, clock), SharedCredentials("alice", "secret"), clock)
listening = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
listening.addCallback(lambda port: print(port.getHost().port, flush=True))
ticks = [Tick("AAPL", 189.5, 10.0, 0, 189.4, 189.6), Tick("MSFT", 370.25)]
task.LoopingCall(lambda: hub.publish(ticks)).start(0.02)
reactor.callLater(120, reactor.stop)
reactor.run()
"""
COMMAND = (
    sys.executable,
    "-c",
    "from tickstorm.cli import main; main(prog_name='tickstorm')",
)
LOGIN = {**os.environ, "STREAM_USER": "alice", "STREAM_PASS": "secret", "TERM": "xterm"}
SECONDS = 60


@pytest.fixture(scope="module")
def address():
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    with server:
        try:
            yield f"127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


def run(*arguments, env=LOGIN):
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=env,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr


@contextmanager
def started(*arguments, **streams):
    process = subprocess.Popen([*COMMAND, *arguments], env=LOGIN, **streams)
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_lines_until_the_count(address):
    code, output, errors = run("watch", address, "--mode", "tick", "--count", "3")
    rows = [line.split() for line in output.splitlines()]
    assert code == 0
    assert [row[1:8] for row in rows] == [
        ["AAPL", "189.50", "0.00", "0.00%", "10", "189.40", "189.60"],
        ["MSFT", "370.25", "0.00", "0.00%", "0", "-", "-"],
        ["AAPL", "189.50", "0.00", "0.00%", "10", "189.40", "189.60"],
    ]
    assert errors.splitlines()[0] == "tickstorm: logged in"
    assert errors.splitlines()[1].startswith("tickstorm: subscribed, epoch e1.")


def test_json_of_chosen_symbols(address):
    code, output, _ = run("watch", address, "--json", "--symbols", "msft", "--count", "1")
    (bar,) = map(json.loads, output.splitlines())
    assert code == 0
    assert (bar["symbol"], bar["price"], bar["mode"]) == ("MSFT", 370.25, "SECOND")
    assert bar["trade_count"] > 1


def test_a_wrong_password_is_one_line(address):
    assert run("watch", address, "--password", "wrong") == (
        1,
        "",
        "tickstorm: INVALID_AUTH: the name or the password is wrong\n",
    )


def test_a_server_that_is_not_there_is_told_until_the_time_is_over():
    code, output, errors = run("watch", "127.0.0.1:1", "--seconds", "0.5")
    assert (code, output) == (1, "")
    assert errors.splitlines()[0].startswith("tickstorm: disconnected, again in ")
    assert errors.splitlines()[-1] == "tickstorm: no subscription within 0.5 s"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_quietly(address, number, code):
    with started(
        "watch",
        address,
        "--mode",
        "tick",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == code
        assert len(errors.splitlines()) == 2  # logged in, and subscribed


def test_a_second_interrupt_waits_for_nothing(tmp_path):
    path = tmp_path / "day.csv"
    path.write_text("symbol,price\nA,1\n")
    with started("publish", "127.0.0.1:1", str(path), stderr=subprocess.PIPE, text=True) as process:
        assert "disconnected, again in" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        line = process.stderr.readline()
        while "disconnected" in line:
            line = process.stderr.readline()
        assert line == f"tickstorm: {WAITING}\n"
        process.send_signal(signal.SIGINT)
        (*_, last) = process.stderr.read().splitlines()
        assert last.startswith("tickstorm: published 0 ticks, 0 requests, ")
        assert float(last.split()[6]) < 5.0
        assert process.wait(SECONDS) == 130


@pytest.mark.parametrize("command", [("watch", "--mode", "tick"), ("record",)])
def test_a_reader_that_goes_away_ends_it_quietly(address, command):
    name, *options = command
    file = ("-",) if name == "record" else ()
    with started(
        name, address, *file, *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(SECONDS) == 0
        assert "Broken" not in errors
        assert "Traceback" not in errors


@pytest.mark.parametrize("name", ["day.csv", "day.csv.gz"])
def test_a_recording_can_be_replayed(address, tmp_path, name):
    path = tmp_path / name
    code, output, errors = run("record", address, str(path), "--count", "5")
    assert (code, output) == (0, "")
    assert errors.splitlines()[-1].startswith("tickstorm: recorded 5 ticks, 2 symbols, ")
    ticks = list(read_recording(path, name))
    assert [tick._replace(timestamp_ns=0) for tick in ticks[:2]] == [
        ("AAPL", 189.5, 10.0, 0, 189.4, 189.6, 0, 0, {}),
        ("MSFT", 370.25, 0.0, 0, 0.0, 0.0, 0, 0, {}),
    ]
    assert len(ticks) == 5


def test_a_recording_is_not_written_over_unless_asked(address, tmp_path):
    path = tmp_path / "day.csv"
    path.write_text("precious")
    assert run("record", address, str(path)) == (
        1,
        "",
        f"Error: {path} is there already: see --overwrite\n",
    )
    assert path.read_text() == "precious"
    assert run("record", address, str(path), "--overwrite", "--count", "1")[0] == 0
    assert len(list(read_recording(path, "day"))) == 1


def test_a_recording_that_is_killed_can_be_replayed(address, tmp_path):
    path = tmp_path / "day.csv.gz"
    with started("record", address, str(path), stderr=subprocess.DEVNULL) as process:
        while not path.exists() or path.stat().st_size == 0:
            assert process.poll() is None
        process.kill()
        process.wait(SECONDS)
    assert len(list(read_recording(path, "day"))) > 0


def test_a_disk_that_is_full_is_one_line(address):
    code, _, errors = run("record", address, "/dev/full", "--overwrite")
    assert code == 1
    assert errors.splitlines()[-1] == "tickstorm: [Errno 28] No space left on device"


def test_on_a_terminal_it_is_a_table(address):
    ours, theirs = pty.openpty()
    with started("watch", address, "--mode", "tick", "--count", "40", stdout=theirs) as process:
        os.close(theirs)
        output = b""
        try:
            while piece := os.read(ours, 65536):
                output += piece
        except OSError:  # what Linux says at the end of a terminal
            pass
        assert process.wait(SECONDS) == 0
    os.close(ours)
    assert b"streaming" in output
    assert b"AAPL" in output
    assert b"189.50" in output


def test_on_a_terminal_a_missing_password_is_asked_for_and_not_shown(address):
    ours, theirs = pty.openpty()
    env = LOGIN | {"STREAM_PASS": "", "AUTH_PASSWORD": "", "TICKSTORM_PASSWORD": ""}
    with subprocess.Popen(
        [*COMMAND, "watch", address, "--plain", "--mode", "tick", "--count", "1"],
        env=env,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        asked = b""
        while not asked.endswith(b"Password: "):
            asked += os.read(ours, 65536)
        os.write(ours, b"secret\n")
        output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert b" AAPL " in output
        assert b"secret" not in os.read(ours, 65536)
    os.close(ours)
