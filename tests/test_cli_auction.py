"""`tickstorm auction`: what it asks a server, and what it makes of the answer."""

import json
import re
import time

import pytest
from click.testing import CliRunner
from test_cli_health import answering

from tickstorm.cli import main

SHOWN = {
    "id": 7,
    "phase": "open",
    "outcome": None,
    "price": "12.50",
    "bidder": 42,
    "sequence": 3,
    "minimum": "12.51",
    "opens_ms": 0,
    "closes_ms": 1_000_000_000_000,
    "start": "0.01",
    "increment": "0.01",
    "reserve": "0.00",
    "soft_close_ms": 0,
}
LINE = "7  open  12.50 of user 42, 3 leading bids  closes 2001-09-09T01:46:40.000Z  next from 12.51"


def run(*arguments):
    done = CliRunner().invoke(main, ["auction", *arguments])
    return done.exit_code, done.stdout, done.stderr


def ask(answer, *arguments, status="200 OK"):
    """What comes of a command, and what it has asked."""
    body = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with answering(head + body) as (where, kept):
        came = run(*arguments, "--http", where)
    return came, kept[1].split(b" HTTP/1.1", 1)[0].decode()


@pytest.mark.real
def test_one_is_shown():
    assert ask(SHOWN, "show", "7") == ((0, f"{LINE}\n", ""), "GET /auctions/show?id=7")


@pytest.mark.real
def test_one_is_closed():
    closed = {**SHOWN, "phase": "closed", "outcome": "UNSOLD", "sequence": 0}
    assert ask(closed, "close", "7") == (
        (0, "7  unsold  no bid, 0 leading bids  closed 2001-09-09T01:46:40.000Z\n", ""),
        "POST /auctions/close?id=7",
    )


@pytest.mark.real
def test_all_are_listed():
    listed = {"now_ms": 0, "auctions": [SHOWN, {**SHOWN, "id": 8}]}
    (code, output, _), asked = ask(listed, "list", "--after", "6", "--limit", "2")
    assert (code, output.splitlines()) == (0, [LINE, LINE.replace("7", "8", 1)])
    assert asked == "GET /auctions?after=6&limit=2"


@pytest.mark.real
def test_one_is_created():
    before_ms = int(time.time() * 1000)
    options = ("--for", "10m", "--start", "5.00", "--reserve", "100", "--soft-close", "30s")
    (code, output, _), asked = ask(SHOWN, "create", *options, "--id", "7")
    assert (code, output) == (0, f"{LINE}\n")
    closes_ms = int(re.search(r"&closes_ms=(\d+)", asked)[1])
    assert before_ms <= closes_ms - 600_000 <= int(time.time() * 1000)
    assert asked == (
        f"POST /auctions?id=7&reserve=100&start=5.00&closes_ms={closes_ms}&soft_close_ms=30000"
    )


@pytest.mark.real
def test_one_may_open_later():
    _, asked = ask(SHOWN, "create", "--for", "1m", "--opens-in", "1h")
    closes_ms, opens_ms = (int(number) for number in re.findall(r"s_ms=(\d{13})", asked))
    assert closes_ms - opens_ms == 60_000
    assert opens_ms > time.time() * 1000 + 3_590_000


@pytest.mark.real
@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"error": "there is no auction 7"}, "404 Not Found", "there is no auction 7"),
        ({"error": "bad\x1b"}, "400 Bad Request", "bad\\x1b"),
        ([1], "200 OK", "the server has refused it"),
    ],
)
def test_a_refusal_is_one_line(answer, status, said):
    (code, output, errors), _ = ask(answer, "show", "7", status=status)
    assert (code, output, errors) == (1, "", f"Error: {said}\n")


@pytest.mark.real
def test_a_server_without_auctions():
    (code, _, errors), _ = ask(b"not found\n", "list", status="404 Not Found")
    assert code == 1
    assert re.fullmatch(r"Error: tcp:\d+:interface=127.0.0.1: there are no auctions\n", errors)


def test_a_place_that_is_none():
    assert run("list", "--http", "off") == (
        1,
        "",
        "Error: 'off' is neither http://HOST:PORT nor an endpoint of tcp:, tcp6: or unix:\n",
    )


def test_a_place_where_nobody_is():
    code, _, errors = run("list", "--http", "tcp:1:interface=127.0.0.1")
    assert (code, errors) == (1, "Error: tcp:1:interface=127.0.0.1: Connection refused\n")


@pytest.mark.parametrize("time", ["", "x", "-5s", "1d"])
def test_a_time_that_is_none(time):
    code, _, errors = run("create", "--for", time)
    assert code == 2
    assert f"{time!r} is not a time such as 90s, 10m or 1h30m" in errors
