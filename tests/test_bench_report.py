"""report and table: what the figures say, when they are not to be believed, and the exit code."""

import io
import json

import pytest
from rich.console import Console

from tickstorm.bench.outcome import MachineUse, Outcome, ServerUse
from tickstorm.bench.page import latency_rows, picture, print_page
from tickstorm.bench.report import Asked, Report
from tickstorm.bench.table import stream_page
from tickstorm.bench.tally import Tally

ASKED = Asked("127.0.0.1:8080", "SECOND", 1.0, None, 10, 2, local=True, ahead_ms=0.0, cores=2)
SERVER = ServerUse((7, 8), 0, 2.0, 50_000_000)
END = 20 * 10**9
MACHINE = MachineUse(10.0, 10.0)


def tally(**fields):
    return Tally(
        **{
            "connections": 5,
            "subscribed": 5,
            "batches": 50,
            "ticks": 100,
            "bytes": 5000,
            "latencies": {1000: 49, 2000: 1},
            "corrected": {1100: 50},
            "handshakes": {500: 5},
            "round_trips": {300: 2},
            "lags": {50: 50},
            "first_begun_ns": 10**9,
            "last_subscribed_ns": 3 * 10**9,
            "last_received_ns": END - 10**9,
            "connecting_cpu_ns": 10**9,
            "connecting_wall_ns": 25 * 10**8,
            "cpu_ns": 10**9,
            "wall_ns": 10**10,
            **fields,
        }
    )


def report(*changes, asked=ASKED, **outcome):
    tallies = tuple(tally(**fields) for fields in changes or ({}, {}))
    return Report(
        asked, Outcome(tallies, (), 10.0, END, MACHINE, SERVER, False)._replace(**outcome)
    )


def test_everything_as_json():
    found = json.loads(json.dumps(report().as_json()))
    for name in ("latency", "corrected_latency", "handshake", "round_trip"):
        assert found[f"{name}_ms"].pop("hdr_us").startswith("HIST")
    assert found["load_generator"]["lag_ms"].pop("hdr_us")

    def same(value, count):
        names = ("p50", "p90", "p95", "p99", "p99.9", "p99.99", "max")
        return {"count": count, **dict.fromkeys(names, value)}

    assert found == {
        "address": "127.0.0.1:8080",
        "mode": "SECOND",
        "period_s": 1.0,
        "symbols": None,
        "seconds": 10.0,
        "interrupted": False,
        "exit_code": 0,
        "connections": {"asked": 10, "subscribed": 10, "refused": 0, "closed": 0},
        "heartbeats": {"answered": 4, "unanswered": 0},
        "refusals": {},
        "errors": {},
        "handshakes_per_s": 5.0,
        "batches": {
            "received": 100,
            "per_s": 10.0,
            "missing": 0,
            "overdue": 0,
            "gaps": 0,
            "lost": 0,
            "repeats": 0,
            "restarts": 0,
            "crc_failures": 0,
            "garbled": 0,
            "early": 0,
        },
        "ticks": {"received": 200, "per_s": 20.0},
        "bytes": {"received": 10_000, "per_s": 1000.0},
        "latency_ms": same(1.0, 100)
        | {"p99": 2.0, "p99.9": 2.0, "p99.99": 2.0, "max": 2.0}
        | {"p99": 2.0},
        "corrected_latency_ms": same(1.1, 100),
        "handshake_ms": same(0.5, 10),
        "round_trip_ms": same(0.3, 4),
        "server": {
            "processes": 2,
            "pids": [7, 8],
            "ended": 0,
            "cpu_percent": 20.0,
            "cpu_us_per_batch": 20_000.0,
            "memory_bytes": 50_000_000,
        },
        "server_clock_ahead_ms": 0.0,
        "machine_busy_percent": 50.0,
        "load_generator": {
            "processes": 2,
            "cpu_percent": 20.0,
            "cpu_us_per_batch": 20_000.0,
            "busiest_percent": 10.0,
            "busiest_connecting_percent": 40.0,
            "lag_ms": same(0.05, 100),
        },
        "warnings": [],
    }


def test_nothing_at_all_as_json():
    nothing = Report(ASKED, Outcome((), (), 0.0, 0, None, None, interrupted=False)).as_json()
    assert (nothing["exit_code"], nothing["handshakes_per_s"]) == (1, 0.0)
    assert (nothing["latency_ms"], nothing["server"], nothing["warnings"]) == (None, None, [])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 0),
        ({"early": 3}, 0),
        ({"closed": 1}, 3),
        ({"refusals": {"Connection refused": 1}}, 3),
        ({"errors": {"SLOW_CONSUMER": 1}}, 3),
        ({"gaps": 1}, 3),
        ({"repeats": 1}, 3),
        ({"restarts": 1}, 3),
        ({"missing": 1}, 3),
        ({"newest": 9, "tails": {9: 4}}, 0),
        ({"newest": 9, "tails": {9: 4, 8: 1}}, 3),
        ({"unanswered": 1}, 3),
        ({"crc_failures": 1}, 3),
        ({"garbled": 1}, 3),
        ({"subscribed": 0, "refusals": {"OVERLOADED": 5}}, 1),
    ],
)
def test_exit_codes(fields, code):
    assert report(fields).exit_code == code


def test_an_interrupt_has_a_code_of_its_own():
    assert report({"closed": 1}, interrupted=True).exit_code == 130


def test_a_process_that_died_is_a_loss():
    died = report(endings=("process 1 of the load was ended by SIGKILL",))
    assert died.exit_code == 3
    assert dict(stream_page(died).facts)["lost"] == "1 processes of the load, with what they saw"
    assert died.warnings == ("process 1 of the load was ended by SIGKILL",)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            report({}, {"cpu_ns": 97 * 10**8}),
            "the load generator was busy 97 % of the time: latencies are upper bounds",
        ),
        (
            report({"lags": {6000: 50}, "latencies": {11_000: 50}}),
            "the load generator read up to 6 ms late (p99): latencies are upper bounds",
        ),
        (
            report(machine=MACHINE._replace(busy=19.6), server=None),
            "this machine, which has the server and the load generator, was busy 98 % of the "
            "time: latencies are upper bounds",
        ),
        (
            report(machine=MACHINE._replace(busy=19.6), asked=ASKED._replace(local=False)),
            "this machine was busy 98 % of the time: latencies are upper bounds",
        ),
        (
            report({}, {"connecting_cpu_ns": 24 * 10**8}),
            "the load generator was busy 96 % of the time while it connected: the server may be",
        ),
        (
            report(server=SERVER._replace(pids=(), ended=2)),
            "2 processes of the server ended in the measured time",
        ),
        (
            report(asked=ASKED._replace(ahead_ms=-1200.4)),
            "the server's clock is 1,200 ms behind this one: latencies are put right by that",
        ),
        (
            report(asked=ASKED._replace(ahead_ms=60.0)),
            "the server's clock is 60 ms ahead of this one: latencies are put right by that",
        ),
        (report({"early": 1200}), "1,200 batches came before they were published, as the clocks"),
        (
            report({"batches": 0}, asked=ASKED._replace(period=60.0)),
            "a batch comes once in 60 s: measure for longer",
        ),
        (report({"batches": 0}), "no batch arrived in the measured time"),
        (
            report({"last_received_ns": END - 4 * 10**9}, asked=ASKED._replace(period=0.0)),
            "no batch arrived in the last 4 s of the measured time",
        ),
    ],
)
def test_warnings(made, words):
    (line,) = made.warnings
    assert line.startswith(words)


@pytest.mark.parametrize(
    "made",
    [
        report(),
        report({"lags": {4000: 50}}),  # late, but not by much
        report({"lags": {6000: 50}, "latencies": {13_000: 50}}),  # late, but not much of it
        report(machine=None),
        report({"last_received_ns": END - 4 * 10**9}),  # what is missing by the period is counted
        report({"last_received_ns": END - 2 * 10**9}, asked=ASKED._replace(period=0.0)),
        report({"batches": 0}, seconds=0.0, interrupted=True),
    ],
)
def test_nothing_to_warn_of(made):
    assert made.warnings == ()


def test_rows():
    assert latency_rows(stream_page(report({}))) == [
        ("publishing to receipt", *["1.00"] * 3, "2.00", *["2.00"] * 3),
        ("due to receipt, corrected", *["1.10"] * 7),
        ("heartbeat to PONG", *["0.30"] * 7),
        ("connection to subscription", *["0.50"] * 7),
    ]
    assert stream_page(
        report({"refusals": {"b": 2, "a": 1}, "errors": {"X": 1}, "closed": 4})
    ).facts == [
        ("connections", "5 of 10 subscribed, 2 a second"),
        ("batches", "50 in 10.0 s, 5 a second"),
        ("ticks", "100, 10 a second"),
        ("bytes", "5,000, 500 a second"),
        ("lost", "3 connections refused (1 a, 2 b), 4 connections closed, 1 errors (1 X)"),
        ("server", "2 processes, 20 % of a core, 40000.0 µs a batch, 50 MB"),
        (
            "load generator",
            "2 processes, 10 % of a core, the busiest 10 %, 20000.0 µs a batch, "
            "late by 0.05 ms (p99)",
        ),
    ]


def test_cpu_time_too_short_to_be_seen():
    made = report(server=SERVER._replace(cpu=0.0))
    assert (
        dict(stream_page(made).facts)["server"] == "2 processes, 0 % of a core, - µs a batch, 50 MB"
    )
    assert made.as_json()["server"]["cpu_us_per_batch"] is None


def test_rows_of_nothing():
    nothing = Report(ASKED, Outcome((), (), 0.0, 0, None, None, interrupted=False))
    assert latency_rows(stream_page(nothing)) == []
    assert stream_page(nothing).facts == [
        ("connections", "0 of 10 subscribed"),
        ("batches", "0 in 0.0 s"),
        ("ticks", "0"),
        ("bytes", "0"),
        ("lost", "nothing"),
        ("load generator", "2 processes"),
    ]


def test_the_whole_is_printed():
    console = Console(file=io.StringIO(), width=80)
    print_page(stream_page(report({"early": 5})), console)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "127.0.0.1:8080: 5 connections, SECOND, all symbols"
    assert lines[2].split() == ["ms", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"]
    assert lines[-1].startswith("warning: 5 batches came before")


def test_strange_words_command_no_terminal():
    made = report({"refusals": {"\x1b[2J": 1}}, asked=ASKED._replace(address="a\x1b[2Jb"))
    console = Console(file=io.StringIO(), width=80)
    print_page(stream_page(made), console)
    assert "\x1b" not in console.file.getvalue()


def test_the_picture_has_both_latencies():
    drawn = picture(stream_page(report()))
    assert drawn.count("<polyline") == 2
    assert "due to receipt, corrected" in drawn
    assert picture(stream_page(report({"corrected": {}}))).count("<polyline") == 1
    assert picture(stream_page(report({"corrected": {}, "latencies": {}}))) is None
