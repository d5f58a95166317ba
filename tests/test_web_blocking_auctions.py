"""The blocking client of the operators' page: what it asks, and what it makes of the answers."""

import json
from decimal import Decimal

import pytest
from test_cli_health import answering

from tickstorm.auction.rule import Outcome
from tickstorm.errors import ConfigError
from tickstorm.web.blocking_auctions import (
    Auction,
    AuctionRefused,
    AuctionsUnreachable,
    BlockingAuctions,
)

SAID = {
    "id": 7,
    "phase": "open",
    "outcome": None,
    "price": "12.50",
    "bidder": 42,
    "sequence": 3,
    "minimum": "12.51",
    "opens_ms": 5,
    "closes_ms": 1_000_000_000_000,
    "start": "0.01",
    "increment": "0.01",
    "reserve": "0.00",
    "soft_close_ms": 0,
}
AUCTION = Auction(
    id=7,
    phase="open",
    outcome=None,
    price=Decimal("12.50"),
    bidder=42,
    sequence=3,
    minimum=Decimal("12.51"),
    opens_ms=5,
    closes_ms=1_000_000_000_000,
    start=Decimal("0.01"),
    increment=Decimal("0.01"),
    reserve=Decimal("0.00"),
    soft_close_ms=0,
)


def ask(call, answer=SAID, status="200 OK"):
    """What comes of a call, and what it has asked."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with answering(head + body) as (where, kept):
        came = call(BlockingAuctions(where))
    return came, kept[1].split(b" HTTP/1.1", 1)[0].decode()


def test_an_auction_as_it_is_said():
    assert Auction.of(SAID) == AUCTION
    ended = {**SAID, "phase": "closed", "outcome": "UNSOLD", "price": None, "bidder": None}
    assert Auction.of(ended) == AUCTION._replace(
        phase="closed", outcome=Outcome.UNSOLD, price=None, bidder=None
    )


@pytest.mark.parametrize(
    "said", [{}, {**SAID, "outcome": "GONE"}, {**SAID, "price": "x"}, {**SAID, "id": None}]
)
def test_what_is_no_auction(said):
    with pytest.raises(ValueError, match=r"^no auction: "):
        Auction.of(said)


@pytest.mark.real
def test_one_is_created():
    came, asked = ask(
        lambda auctions: auctions.create(
            closes_ms=9,
            opens_ms=5,
            id=7,
            start=Decimal("5.00"),
            increment=Decimal("0.5"),
            reserve=Decimal("1E+2"),
            soft_close_ms=3,
        )
    )
    assert came == AUCTION
    assert asked == (
        "POST /auctions?id=7&increment=0.5&reserve=100&start=5.00"
        "&closes_ms=9&soft_close_ms=3&opens_ms=5"
    )


@pytest.mark.real
def test_what_is_not_given_is_not_asked():
    _, asked = ask(lambda auctions: auctions.create(closes_ms=9))
    assert asked == "POST /auctions?closes_ms=9&soft_close_ms=0"


@pytest.mark.real
@pytest.mark.parametrize(
    ("call", "question"),
    [
        (lambda auctions: auctions.show(7), "GET /auctions/show?id=7"),
        (lambda auctions: auctions.close(7), "POST /auctions/close?id=7"),
    ],
)
def test_one_is_shown_or_closed(call, question):
    assert ask(call) == (AUCTION, question)


@pytest.mark.real
def test_all_are_listed():
    came = ask(lambda auctions: auctions.list(6, 2), {"now_ms": 0, "auctions": [SAID, SAID]})
    assert came == ([AUCTION, AUCTION], "GET /auctions?after=6&limit=2")


@pytest.mark.real
@pytest.mark.parametrize(
    ("answer", "status", "message", "code"),
    [
        ({"error": "there is no auction 7"}, "404 Not Found", "there is no auction 7", 404),
        ({"error": ""}, "400 Bad Request", "the server has refused it", 400),
        ([1], "200 OK", "the server has refused it", 200),
    ],
)
def test_a_refusal(answer, status, message, code):
    with pytest.raises(AuctionRefused, match=f"^{message}$") as raised:
        ask(lambda auctions: auctions.show(7), answer, status)
    assert raised.value.status == code


@pytest.mark.real
@pytest.mark.parametrize("answer", [b"not found\n", {"auctions": [5]}, {"auction": 5}])
def test_an_answer_that_is_none(answer):
    for call in (lambda auctions: auctions.show(7), lambda auctions: auctions.list()):
        with pytest.raises(AuctionsUnreachable, match=r"^tcp:\d+:.*: there are no auctions$"):
            ask(call, answer)


@pytest.mark.real
def test_a_server_that_does_not_answer():
    unreachable = pytest.raises(AuctionsUnreachable, match=r": no answer within 0\.2 s$")
    with answering(None) as (where, _), unreachable:
        BlockingAuctions(where, timeout=0.2).list()


def test_a_server_that_is_not_there():
    with pytest.raises(AuctionsUnreachable, match=r"^tcp:1:interface=127\.0\.0\.1: Connection ref"):
        BlockingAuctions("tcp:1:interface=127.0.0.1").list()


def test_a_place_that_is_none():
    with pytest.raises(ConfigError, match=r"^'off' is neither http://HOST:PORT nor an endpoint"):
        BlockingAuctions("off")
