"""bench --auction against real servers: its sums, its files, and what ends it."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from certificates import authority

import tickstorm

pytestmark = pytest.mark.real

COMMAND = (sys.executable, "-c", "from tickstorm.cli import main; main(prog_name='tickstorm')")
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(tickstorm.__file__).parent.parent),
    "STREAM_USER": "alice",
    "STREAM_PASS": "secret",
    "COLUMNS": "100",
    "TICKSTORM_AUCTION_USERS": "alice:*",
    "TICKSTORM_AUCTION_RATE_PER_USER": "0",
    "TICKSTORM_AUCTION_RATE_PER_ADDRESS": "0",
}
PATIENCE = 60


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def serving(make_port="tcp:{port}:interface=127.0.0.1".format, **environment):
    """A server process that takes bids: its process, the address of that, and of its page."""
    stream, auction, page = free_ports(3)
    loopback = "interface=127.0.0.1"
    command = [
        *(*TWISTD, "tickstorm", "--port", f"tcp:{stream}:{loopback}", "--log-level", "error"),
        *("--auction", make_port(port=auction), "--http", f"tcp:{page}:{loopback}"),
        *("--source", "walk:symbols=1:rate=1"),
    ]
    with subprocess.Popen(
        command, env=ENVIRONMENT | environment, stdout=subprocess.DEVNULL
    ) as server:
        try:
            until = time.monotonic() + PATIENCE
            while any(socket.socket().connect_ex(("127.0.0.1", port)) for port in (auction, page)):
                assert time.monotonic() < until
                assert server.poll() is None
                time.sleep(0.05)
            yield server, f"127.0.0.1:{auction}", f"http://127.0.0.1:{page}"
        finally:
            server.kill()


@pytest.fixture(scope="module", name="server")
def serve():
    with serving() as server:
        yield server


def run(*arguments, **environment):
    done = subprocess.run(
        [*COMMAND, "bench", "--auction", *arguments],
        env=ENVIRONMENT | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_every_bid_has_its_result(server, tmp_path):
    process, address, page = server
    code, output, errors = run(
        address, "-n", "50", "--seconds", "1", "--pipeline", "8", "--auctions", "1-10",
        "--http", page, "--processes", "2",
        "--json", str(tmp_path / "r.json"), "--picture", str(tmp_path / "p.svg"),
    )  # fmt: skip
    assert errors.splitlines()[-1] == "tickstorm: 50 of 50 answered"
    report = json.loads((tmp_path / "r.json").read_text())
    assert (code, report["exit_code"]) == (0, 0)
    assert report["connections"] == {"asked": 50, "answered": 50, "refused": 0, "closed": 0}
    bids = report["bids"]
    assert set(bids["decided"]) <= {"ACCEPTED", "TOO_LOW", "EQUAL"}
    assert bids["decided"]["ACCEPTED"] > 0
    assert bids["confirmed"] == sum(bids["decided"].values()) > 50
    assert (bids["undecided"], bids["unconfirmed"], bids["unsent"]) == ({}, 0, 0)
    assert report["latency_ms"]["count"] > 50
    assert report["corrected_latency_ms"] is None
    assert report["first_result_ms"]["count"] == 50
    assert report["server"]["pids"] == [process.pid]
    assert report["load_generator"]["processes"] == 2
    assert output.startswith(f"{address}: 50 connections, 10 auctions, 8 outstanding each\n")
    with urlopen(f"{page}/metrics", timeout=PATIENCE) as answer:
        metrics = answer.read().decode()
    # The trial, one of each connection, and those before and after the measured time.
    counted = [
        float(line.split()[-1])
        for line in metrics.splitlines()
        if line.startswith("tickstorm_auction_bids_total{")
    ]
    assert sum(counted) >= bids["confirmed"] + 10 + 50


def test_a_rate_is_kept_and_ids_are_given(server):
    _, address, page = server
    code, output, _ = run(
        address, "-n", "20", "--seconds", "1", "--rate", "400", "--bid-ids", "--auctions", "3",
        "--users", "42", "--http", page, "--json", "-",
    )  # fmt: skip
    report = json.loads(output)
    assert (code, report["rate_per_s"], report["auctions"]) == (0, 400.0, 1)
    assert report["corrected_latency_ms"]["count"] == 400
    assert report["latency_ms"]["count"] == 400
    assert 380 <= report["bids"]["confirmed"] <= 420


def test_an_auction_that_there_is_not(server):
    _, address, _ = server
    assert run(address, "--auctions", "99999999") == (
        1,
        "",
        "tickstorm: a bid in auction 99999999 for user 1 was UNKNOWN_AUCTION: --http creates it\n",
    )


def test_a_wrong_password_is_one_line(server):
    code, output, errors = run(server[1], "--password", "wrong")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("tickstorm: INVALID_AUTH: ")


def test_a_login_is_asked_for(server):
    code, output, errors = run(server[1], "--no-login")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors.startswith("tickstorm: AUTH_REQUIRED: ")


def test_where_anybody_may_bid_rates_are_limited_all_the_same():
    limits = {"TICKSTORM_AUCTION_AUTH": "off", "TICKSTORM_AUCTION_RATE_PER_USER": "100"}
    with serving(**limits) as (_, address, page):
        code, output, _ = run(
            address, "-n", "5", "--seconds", "1", "--no-login", "--auctions", "1",
            "--users", "7", "--http", page, "--json", "-",
        )  # fmt: skip
    report = json.loads(output)
    assert code == 3
    assert report["bids"]["undecided"]["RATE_LIMITED"] > report["bids"]["confirmed"] > 0
    assert any("auction_rate_per_user" in line for line in report["warnings"])


def test_tls(tmp_path):
    root = authority()
    (tmp_path / "ca.pem").write_bytes(root.pem())
    certificate, key = root.issue("localhost").save(tmp_path, "server")
    description = f"tls:{{port}}:interface=127.0.0.1:cert={certificate}:key={key}"
    with serving(description.format) as (_, address, page):
        port = address.partition(":")[2]
        code, output, _ = run(
            f"tls:localhost:{port}:trustRoots={tmp_path / 'ca.pem'}", "-n", "50",
            "--seconds", "1", "--pipeline", "16", "--auctions", "1-5", "--http", page,
            "--json", "-",
        )  # fmt: skip
    report = json.loads(output)
    assert (code, report["connections"]["answered"]) == (0, 50)
    assert report["bids"]["confirmed"] > 50


def test_a_server_that_dies_in_the_middle_ends_it():
    with serving() as (server, address, page):
        process = subprocess.Popen(
            [
                *(*COMMAND, "bench", "--auction", address, "-n", "20", "--seconds", "30"),
                *("--auctions", "1-5", "--http", page, "--json", "-"),
            ],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            while process.stderr.readline() != "tickstorm: 20 of 20 answered\n":
                assert process.poll() is None
            time.sleep(2)
            server.kill()
            output, _ = process.communicate(timeout=20)
    report = json.loads(output)
    assert process.returncode == report["exit_code"] == 3
    assert report["connections"]["closed"] == 20
    assert report["bids"]["unconfirmed"] == 20
