"""bid_report and bid_table: what the figures say, what is lost, and the exit code."""

import io
import json

import pytest
from rich.console import Console

from tickstorm.auction.rule import Outcome as Said
from tickstorm.bench.bid_report import BidReport, BidsAsked
from tickstorm.bench.bid_table import bid_page
from tickstorm.bench.outcome import MachineUse, Outcome, ServerUse
from tickstorm.bench.page import latency_rows, picture, print_page
from tickstorm.bench.tally import Tally

ASKED = BidsAsked("127.0.0.1:8081", 100, 16, None, False, 10, 2, local=True, cores=2)
PACED = ASKED._replace(per_second=10_836.0, pipeline=1, bid_ids=True, auctions=1)
SERVER = ServerUse((7,), 0, 2.0, 50_000_000)
MACHINE = MachineUse(10.0, 10.0)


def tally(**fields):
    return Tally(
        **{
            "connections": 5,
            "subscribed": 5,
            "outcomes": {Said.TOO_LOW: 900, Said.ACCEPTED: 100},
            "latencies": {1000: 990, 2000: 10},
            "handshakes": {500: 5},
            "lags": {50: 50},
            "first_begun_ns": 10**9,
            "last_subscribed_ns": 3 * 10**9,
            "connecting_cpu_ns": 10**9,
            "connecting_wall_ns": 25 * 10**8,
            "cpu_ns": 10**9,
            "wall_ns": 10**10,
            **fields,
        }
    )


def report(*changes, asked=ASKED, **outcome):
    tallies = tuple(tally(**fields) for fields in changes or ({}, {}))
    return BidReport(
        asked, Outcome(tallies, (), 10.0, 20 * 10**9, MACHINE, SERVER, False)._replace(**outcome)
    )


def same(value, count):
    names = ("p50", "p90", "p95", "p99", "p99.9", "p99.99", "max")
    return {"count": count, **dict.fromkeys(names, value)}


def test_everything_as_json():
    made = report({"corrected": {1500: 1000}}, {"corrected": {1500: 1000}}, asked=PACED)
    found = json.loads(json.dumps(made.as_json()))
    for name in ("latency_ms", "corrected_latency_ms", "first_result_ms"):
        assert found[name].pop("hdr_us").startswith("HIST")
    assert found["load_generator"]["lag_ms"].pop("hdr_us")
    assert found == {
        "address": "127.0.0.1:8081",
        "auctions": 1,
        "pipeline": 1,
        "rate_per_s": 10_836.0,
        "bid_ids": True,
        "seconds": 10.0,
        "interrupted": False,
        "exit_code": 0,
        "connections": {"asked": 10, "answered": 10, "refused": 0, "closed": 0},
        "refusals": {},
        "errors": {},
        "handshakes_per_s": 5.0,
        "bids": {
            "confirmed": 2000,
            "per_s": 200.0,
            "decided": {"TOO_LOW": 1800, "ACCEPTED": 200},
            "undecided": {},
            "unconfirmed": 0,
            "unsent": 0,
            "garbled": 0,
        },
        "latency_ms": same(1.0, 2000) | {"p99.9": 2.0, "p99.99": 2.0, "max": 2.0},
        "corrected_latency_ms": same(1.5, 2000),
        "first_result_ms": same(0.5, 10),
        "server": {
            "processes": 1,
            "pids": [7],
            "ended": 0,
            "cpu_percent": 20.0,
            "cpu_us_per_bid": 1000.0,
            "memory_bytes": 50_000_000,
        },
        "machine_busy_percent": 50.0,
        "load_generator": {
            "processes": 2,
            "cpu_percent": 20.0,
            "cpu_us_per_bid": 1000.0,
            "busiest_percent": 10.0,
            "busiest_connecting_percent": 40.0,
            "lag_ms": same(0.05, 100),
        },
        "warnings": [],
    }


@pytest.mark.parametrize(
    "said", [said for said in Said if not said.is_decided], ids=lambda said: said.name
)
def test_what_no_auction_has_decided_is_not_confirmed(said):
    made = report({"outcomes": {Said.ACCEPTED: 7, said: 5}})
    assert (made.confirmed, made.decided, made.undecided) == (7, {"ACCEPTED": 7}, {said.name: 5})
    assert (made.losses["undecided"], made.exit_code) == (5, 3)


def test_what_a_later_version_says_has_a_number():
    assert report({"outcomes": {99: 5}}).undecided == {"outcome 99": 5}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 0),
        ({"closed": 1}, 3),
        ({"refusals": {"Connection refused": 1}}, 3),
        ({"errors": {"SLOW_CONSUMER": 1}}, 3),
        ({"unconfirmed": 1}, 3),
        ({"unsent": 1}, 3),
        ({"garbled": 1}, 3),
        ({"subscribed": 0, "refusals": {"OVERLOADED": 5}}, 1),
    ],
)
def test_exit_codes(fields, code):
    assert report(fields).exit_code == code


def test_other_exit_codes():
    assert report({"closed": 1}, interrupted=True).exit_code == 130
    assert report(endings=("process 1 of the load was ended by SIGKILL",)).exit_code == 3


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            report({"outcomes": {Said.RATE_LIMITED: 1200, Said.ACCEPTED: 1}}),
            "the server limits rates, which 1,200 bids were above: see its auction_rate_per_user",
        ),
        (report({"outcomes": {}}), "no bid was decided in the measured time"),
        (
            report({}, {"cpu_ns": 97 * 10**8}),
            "the load generator was busy 97 % of the time: latencies are upper bounds",
        ),
    ],
)
def test_warnings(made, words):
    (line,) = made.warnings
    assert line.startswith(words)


def test_nothing_to_warn_of():
    assert report().warnings == ()
    assert report({"outcomes": {}}, seconds=0.0, interrupted=True).warnings == ()


def test_a_page():
    page = bid_page(report({"errors": {"SLOW_CONSUMER": 2}, "closed": 2, "unconfirmed": 3}))
    assert page.title == "127.0.0.1:8081: 5 connections, 100 auctions, 16 outstanding each"
    assert latency_rows(page) == [
        ("bid to RESULT", *["1.00"] * 4, *["2.00"] * 3),
        ("connection to first RESULT", *["0.50"] * 7),
    ]
    assert page.facts == [
        ("connections", "5 of 10 answered, 2 a second"),
        ("confirmed", "1,000 bids in 10.0 s, 100 a second"),
        ("decided", "900 TOO_LOW, 100 ACCEPTED"),
        (
            "lost",
            "2 connections closed, 2 errors (2 SLOW_CONSUMER), 3 bids without a RESULT",
        ),
        ("server", "1 process, 20 % of a core, 2000.0 µs a bid, 50 MB"),
        (
            "load generator",
            "2 processes, 10 % of a core, the busiest 10 %, 1000.0 µs a bid, late by 0.05 ms (p99)",
        ),
    ]


def test_a_page_of_bids_at_a_rate():
    page = bid_page(report({"corrected": {3000: 10}}, asked=PACED))
    words = "5 connections, 1 auction, 1 outstanding each, 10,836 bids a second, with ids"
    assert page.title == f"127.0.0.1:8081: {words}"
    assert latency_rows(page)[1] == ("due to RESULT, corrected", *["3.00"] * 7)
    assert picture(page).count("<polyline") == 2


def test_a_page_of_nothing():
    nothing = BidReport(ASKED, Outcome((), (), 0.0, 0, None, None, interrupted=False))
    page = bid_page(nothing)
    assert (nothing.exit_code, latency_rows(page), picture(page)) == (1, [], None)
    assert page.facts == [
        ("connections", "0 of 10 answered"),
        ("confirmed", "0 bids in 0.0 s"),
        ("lost", "nothing"),
        ("load generator", "2 processes"),
    ]


def test_it_is_printed():
    console = Console(file=io.StringIO(), width=80)
    print_page(bid_page(report({"outcomes": {Said.RATE_LIMITED: 4}})), console)
    lines = console.file.getvalue().splitlines()
    assert lines[0].startswith("127.0.0.1:8081: 5 connections")
    assert any("4 bids not decided (4 RATE_LIMITED)" in line for line in lines)
    assert any(line.startswith("warning: the server limits rates") for line in lines)
