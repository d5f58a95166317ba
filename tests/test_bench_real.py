"""bench against real servers: its sums, its files, its exit codes, and all that ends it early."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest
from certificates import authority

from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.messages import ack_frame, decode_heartbeat, pong_frame
from tickstorm.records import batch_frame

pytestmark = pytest.mark.real

COMMAND = (sys.executable, "-c", "from tickstorm.cli import main; main(prog_name='tickstorm')")
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")
LOGIN = {**os.environ, "STREAM_USER": "alice", "STREAM_PASS": "secret", "COLUMNS": "100"}
PATIENCE = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(make_port="tcp:{port}:interface=127.0.0.1".format, **environment):
    """A server process that listens, and its port."""
    port = free_port()
    command = [*TWISTD, "tickstorm", "--port", make_port(port=port), "--http", "off"]
    command += ["--source", "walk:symbols=2:rate=20", "--log-level", "error"]
    with subprocess.Popen(command, env=LOGIN | environment, stdout=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + PATIENCE
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert time.monotonic() < until
                assert server.poll() is None
                time.sleep(0.05)
            yield server, port
        finally:
            server.kill()


@pytest.fixture(scope="module", name="server")
def serve():
    with serving() as (process, port):
        yield process.pid, f"127.0.0.1:{port}"


@contextmanager
def started(*arguments):
    process = subprocess.Popen(
        [*COMMAND, "bench", *arguments],
        env=LOGIN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run(*arguments):
    with started(*arguments) as process:
        output, errors = process.communicate(timeout=PATIENCE)
        return process.returncode, output, errors


def subscribed(process, count):
    """Wait for the line that says that so many are subscribed; others may come before it."""
    expected = f"tickstorm: {count} of {count} subscribed\n"
    while (line := process.stderr.readline()) != expected:
        assert line.endswith(" subscribed\n")


def loads_of(process):
    """The processes of the load that a bench has started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
            if int(fields[1]) == process.pid and b"spawn_main" in command:
                found.append(int(folder.name))
    return found


def test_every_batch_of_every_connection_is_counted(server, tmp_path):
    pid, address = server
    code, output, errors = run(
        address, "-n", "200", "--seconds", "3", "--processes", "2", "--heartbeat", "0.5",
        "--json", str(tmp_path / "r.json"), "--picture", str(tmp_path / "p.svg"),
    )  # fmt: skip
    assert errors.splitlines()[-1] == "tickstorm: 200 of 200 subscribed"
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["connections"] == {"asked": 200, "subscribed": 200, "refused": 0, "closed": 0}
    assert report["batches"] == {"received": 600, "per_s": 200.0} | dict.fromkeys(
        (
            "missing",
            "overdue",
            "gaps",
            "lost",
            "repeats",
            "restarts",
            "crc_failures",
            "garbled",
            "early",
        ),
        0,
    )
    assert report["ticks"] == {"received": 1200, "per_s": 400.0}
    assert (report["errors"], report["refusals"]) == ({}, {})
    assert report["latency_ms"]["count"] == report["corrected_latency_ms"]["count"] == 600
    assert 0 < report["latency_ms"]["p50"] <= report["corrected_latency_ms"]["p50"]
    assert report["handshake_ms"]["count"] == 200
    assert report["round_trip_ms"]["count"] >= 200 * 6
    assert report["server"]["pids"] == [pid]
    assert report["server"]["memory_bytes"] > 2**20
    assert report["load_generator"]["processes"] == 2
    assert code == report["exit_code"] == 0
    assert output.startswith(f"{address}: 200 connections, SECOND, all symbols\n")
    assert "nothing" in output
    ElementTree.fromstring((tmp_path / "p.svg").read_text())


def test_json_alone_on_standard_output(server, tmp_path):
    path = tmp_path / "p.svg"
    path.write_text("an old one")
    code, output, errors = run(
        server[1], "-n", "20", "--seconds", "1", "--mode", "tick", "--symbols", "nope",
        "--json", "-", "--pid", str(server[0]), "--ramp", "100", "--picture", str(path),
    )  # fmt: skip
    assert errors.endswith(f"tickstorm: no latencies: no picture in {path}\n")
    assert path.read_text() == "an old one"
    report = json.loads(output)
    assert (code, report["mode"], report["symbols"]) == (0, "TICK", ["NOPE"])
    assert report["batches"]["received"] == 0
    assert "no batch arrived in the measured time" in report["warnings"]
    assert report["handshakes_per_s"] < 110


def test_ticks_as_they_come(server):
    code, output, _ = run(server[1], "-n", "50", "--seconds", "2", "--mode", "tick", "--json", "-")
    report = json.loads(output)
    assert (code, report["corrected_latency_ms"]) == (0, None)
    assert report["ticks"]["received"] % 50 == 0
    assert report["ticks"]["received"] > 0


def test_tls(tmp_path):
    root = authority()
    (tmp_path / "ca.pem").write_bytes(root.pem())
    certificate, key = root.issue("localhost").save(tmp_path, "server")
    description = f"tls:{{port}}:interface=127.0.0.1:cert={certificate}:key={key}"
    with serving(description.format, TICKSTORM_DRAIN_TIMEOUT="1s") as (server, port):
        trusting = f"tls:localhost:{port}:trustRoots={tmp_path / 'ca.pem'}"
        code, output, _ = run(trusting, "-n", "50", "--seconds", "2", "--json", "-")
        report = json.loads(output)
        assert (code, report["batches"]["received"]) == (0, 100)
        code, output, errors = run(f"tls:localhost:{port}", "-n", "50")
        assert (code, output, errors.count("\n")) == (1, "", 1)
        assert "CERTIFICATE_VERIFY_FAILED" in errors
        with started(trusting, "-n", "50", "--seconds", "2", "--json", "-") as process:
            subscribed(process, 50)
            server.terminate()
            report = json.loads(process.communicate(timeout=PATIENCE)[0])
        assert report["connections"]["closed"] == 50
        assert report["errors"] == {"SHUTTING_DOWN": 50}


def test_a_wrong_password_is_one_line_and_leaves_no_file(server, tmp_path):
    assert run(server[1], "--password", "wrong", "--json", str(tmp_path / "r.json")) == (
        1,
        "",
        "tickstorm: INVALID_AUTH: the name or the password is wrong\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_source_address_of_another_family_is_named(server):
    code, output, errors = run(server[1], "--source-address", "::1")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("tickstorm: --source-address ::1: ")


def test_no_server_is_one_line():
    address = f"127.0.0.1:{free_port()}"
    assert run(address) == (1, "", f"tickstorm: {address}: Connection refused\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("unix:/run/none",), "a load is put on tcp: and tls: only"),
        (("nonsense",), "it begins with none of tcp:, tls: and unix:"),
    ],
)
def test_an_address_that_can_not_be_measured(arguments, words):
    code, output, errors = run(*arguments)
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert words in errors


def test_more_than_this_machine_allows(server):
    code, output, errors = run(server[1], "-n", "9999999", "--processes", "1")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("tickstorm: 9,999,999 connections ")


def test_a_pid_that_is_none(server):
    assert run(server[1], "--pid", "999999999") == (
        1,
        "",
        "tickstorm: --pid 999999999: there is no such process\n",
    )


def test_a_file_that_can_not_be_written_is_told_before_the_measurement(server, tmp_path):
    path = tmp_path / "none" / "r.json"
    code, output, errors = run(server[1], "-n", "1", "--json", str(path))
    assert (code, output) == (1, "")
    assert errors == f"Error: {path}: No such file or directory\n"


def test_connections_over_the_limit_of_the_server_are_refused():
    with serving(TICKSTORM_MAX_CONNECTIONS="3") as (_, port):
        code, output, errors = run(f"127.0.0.1:{port}", "-n", "5", "--seconds", "1", "--json", "-")
    report = json.loads(output)
    assert code == 3
    assert report["connections"] == {"asked": 5, "subscribed": 3, "refused": 2, "closed": 0}
    assert report["refusals"] == {"OVERLOADED": 2}
    assert errors.splitlines()[-1] == "tickstorm: 3 of 5 subscribed, 2 refused"


def test_a_server_that_dies_in_the_middle_ends_it():
    with (
        serving() as (server, port),
        started(f"127.0.0.1:{port}", "-n", "50", "--seconds", "30", "--json", "-") as process,
    ):
        subscribed(process, 50)
        time.sleep(3)
        server.kill()
        output, _ = process.communicate(timeout=20)  # and not after the 30 s
    report = json.loads(output)
    assert process.returncode == report["exit_code"] == 3
    assert report["connections"]["closed"] == 50
    assert report["seconds"] < 20
    used = report["server"]
    assert (used["pids"], used["ended"], used["memory_bytes"]) == ([], 1, None)
    assert used["cpu_percent"] >= 0
    assert "1 process of the server ended in the measured time" in report["warnings"]


def test_a_process_of_the_load_that_is_held_up_says_so(server):
    with started(server[1], "-n", "20", "--seconds", "3", "--json", "-") as process:
        subscribed(process, 20)
        time.sleep(0.6)  # the measured time has begun then
        (load,) = loads_of(process)
        # Over the turn of a second, when the batches come.
        while process.poll() is None:
            time.sleep(0.85 - time.time() % 1 if time.time() % 1 < 0.8 else 0)
            try:
                os.kill(load, signal.SIGSTOP)
                time.sleep(0.4)
                os.kill(load, signal.SIGCONT)
            except ProcessLookupError:
                break
            time.sleep(0.2)
        report = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert report["load_generator"]["lag_ms"]["p99"] > 100
    assert any(" read up to " in line for line in report["warnings"])


def test_an_interrupt_gives_what_there_is(server):
    with started(server[1], "-n", "50", "--seconds", "30", "--json", "-") as process:
        subscribed(process, 50)
        time.sleep(3)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        output, _ = process.communicate(timeout=20)
    report = json.loads(output)
    assert (process.returncode, report["interrupted"]) == (130, True)
    assert report["batches"]["received"] >= 50
    assert report["batches"]["missing"] == 0


def test_a_process_of_the_load_that_dies_is_told(server):
    with started(
        server[1], "-n", "40", "--seconds", "3", "--processes", "2", "--json", "-"
    ) as process:
        subscribed(process, 40)
        os.kill(loads_of(process)[0], signal.SIGKILL)
        report = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert process.returncode == 3
    assert report["connections"]["subscribed"] == 20
    (line,) = [line for line in report["warnings"] if line.startswith("process ")]
    assert line.endswith(" of the load was ended by SIGKILL: what it saw is not counted")


def test_no_process_is_left_when_it_is_killed(server):
    with started(server[1], "-n", "40", "--seconds", "60") as process:
        subscribed(process, 40)
        loads = loads_of(process)
        process.kill()
        process.wait(PATIENCE)
        until = time.monotonic() + PATIENCE
        while any(Path(f"/proc/{pid}").exists() for pid in loads):
            assert time.monotonic() < until
            time.sleep(0.05)
    assert loads


class Scripted:
    """A server that answers logins, and sends each connection what a script says."""

    def __init__(self, script):
        self._script = script
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection = self._listening.accept()[0]
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        try:
            connection.recv(65536)
            connection.sendall(ack_frame(FrameType.AUTH, "", 1))
            connection.recv(65536)
            connection.sendall(ack_frame(FrameType.SUBSCRIBE, "", 1, {"next_sequence": "1"}))
            self._script(connection)
        except OSError:
            pass


def now_frame(sequence, ahead_ns=0):
    now_ns = time.time_ns() + ahead_ns
    return batch_frame(
        [b"\x0a\x00"], timestamp_ms=now_ns // 10**6, sequence=sequence, publish_time_ns=now_ns
    )


def damaged_stream(connection):
    time.sleep(2.5)  # the measured time has begun then
    for sequence in (1, 2, 2, 5):
        frame = now_frame(sequence)
        connection.sendall(frame[:20])
        time.sleep(0.05)  # so that it comes in pieces
        connection.sendall(frame[20:])
    bad = now_frame(6)
    connection.sendall(bad[:-1] + bytes([bad[-1] ^ 1]))
    time.sleep(PATIENCE)


def test_what_is_wrong_with_a_stream_is_counted():
    server = Scripted(damaged_stream)
    code, output, _ = run(
        server.address, "-n", "3", "--seconds", "5", "--mode", "tick", "--json", "-"
    )
    batches = json.loads(output)["batches"]
    assert code == 3
    assert (batches["received"], batches["repeats"]) == (9, 3)
    assert (batches["gaps"], batches["lost"], batches["crc_failures"]) == (3, 6, 3)


def stream_of_another_clock(connection):
    """A batch each tenth of a second, and answers to heartbeats, by a clock that is 5 s ahead."""
    ahead_ns, decoder, sequence = 5 * 10**9, FrameDecoder(65536), 0
    connection.settimeout(0.1)
    while True:
        sequence += 1
        connection.sendall(now_frame(sequence, ahead_ns))
        with suppress(TimeoutError):
            decoder.feed(connection.recv(65536))
        while (frame := decoder.next_frame()) is not None:
            wall_ms = (time.time_ns() + ahead_ns) // 10**6
            heartbeat = decode_heartbeat(frame.payload, wall_ms)
            connection.sendall(pong_frame(heartbeat, wall_ms))


def test_a_server_whose_clock_is_ahead_loses_nothing():
    server = Scripted(stream_of_another_clock)
    _, output, _ = run(server.address, "-n", "1", "--seconds", "2", "--mode", "tick", "--json", "-")
    report = json.loads(output)
    assert abs(report["server_clock_ahead_ms"] - 5000) < 50
    assert report["batches"]["received"] > 0
    assert report["latency_ms"]["p50"] < 1000


def test_a_stream_that_stops_being_one_is_ended():
    def script(connection):
        time.sleep(1.0)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        time.sleep(PATIENCE)

    server = Scripted(script)
    code, output, _ = run(server.address, "-n", "2", "--seconds", "20", "--json", "-")
    report = json.loads(output)
    assert (code, report["batches"]["garbled"], report["connections"]["closed"]) == (3, 2, 2)
