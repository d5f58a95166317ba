"""The page of the auctions: what is listed, created and closed over it, and what is refused."""

import json

import pytest
from bidding import HOUR, NOW_MS
from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.web.test.requesthelper import DummyRequest

from tickstorm.auction.book import Book, BookLimits
from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.memory_store import MemoryStore
from tickstorm.auction.rule import Bid, Terms
from tickstorm.web.auctions import auctions_page

CLOSES = NOW_MS + HOUR


class Operator:
    """A store of two auctions at most, and its page."""

    def __init__(self):
        self.clock = Clock()
        self.clock.advance(NOW_MS / 1000)
        self.store = MemoryStore(
            Book(BookLimits(auctions=2)), lambda: round(self.clock.seconds() * 1000)
        )
        self.page = auctions_page(self.store)

    def ask(self, method, path, **headers):
        """The status, and the JSON or text of an answer."""
        path, _, query = path.partition("?")
        request = DummyRequest([part.encode() for part in path.split("/")[2:]])
        request.method = method.encode()
        request.args = {}
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            request.args.setdefault(name.encode(), []).append(value.encode())
        for name, value in headers.items():
            request.requestHeaders.addRawHeader(name.encode(), value.encode())
        page = self.page
        while request.postpath:
            page = page.getChildWithDefault(request.postpath.pop(0), request)
        body = page.render(request)
        data = b"".join(request.written) if isinstance(body, int) else body
        return request.responseCode, json.loads(data) if data[:1] == b"{" else data.decode()


@pytest.fixture
def operator():
    return Operator()


def test_an_auction_is_created_with_what_is_said_of_it(operator):
    status, auction = operator.ask(
        "POST",
        f"/auctions?id=7&opens_ms={NOW_MS}&closes_ms={CLOSES}&start=10&increment=0.5"
        "&reserve=100.25&soft_close_ms=5000",
    )
    assert (status, auction) == (
        200,
        {
            "id": 7,
            "phase": "open",
            "outcome": None,
            "price": None,
            "bidder": None,
            "sequence": 0,
            "minimum": "10.00",
            "opens_ms": NOW_MS,
            "closes_ms": CLOSES,
            "start": "10.00",
            "increment": "0.50",
            "reserve": "100.25",
            "soft_close_ms": 5000,
        },
    )
    assert operator.store.read(7).result.terms == Terms(NOW_MS, CLOSES, 1000, 50, 10025, 5000)


def test_what_is_not_said_has_a_default(operator):
    _, auction = operator.ask("POST", f"/auctions?closes_ms={CLOSES}")
    assert auction["id"] == 1
    assert operator.store.read(1).result.terms == Terms(NOW_MS, CLOSES)


def test_the_same_again_is_the_same(operator):
    path = f"/auctions?id=7&opens_ms={NOW_MS}&closes_ms={CLOSES}"
    assert operator.ask("POST", path) == operator.ask("POST", path)
    assert operator.ask("POST", f"{path}&start=5") == (
        409,
        {"error": "there is an auction 7, with other terms"},
    )


def test_one_too_many(operator):
    for _ in range(2):
        operator.ask("POST", f"/auctions?closes_ms={CLOSES}")
    assert operator.ask("POST", f"/auctions?closes_ms={CLOSES}") == (
        409,
        {"error": "there are 2 auctions, and none has closed"},
    )


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "closes_ms is 1 to 9007199254740992"),
        ("closes_ms=x", "closes_ms is 1 to 9007199254740992"),
        ("closes_ms=5&closes_ms=6", "closes_ms is given more than once"),
        ("closes_ms=5&opens_ms=5", "it closes before it opens"),
        ("closes_ms=5&start=1,5", "start: '1,5' is not an amount of 0 to 90071992547409.92"),
        ("closes_ms=5&opens_ms=0&start=0", "the start is not 0.01 to 90071992547409.92"),
        ("closes_ms=5&id=100000000", "id is 0 to 99999999"),
        (
            "closes=5",
            "'closes' is not id, opens_ms, closes_ms, start, increment, reserve, soft_close_ms",
        ),
    ],
)
def test_what_cannot_be_is_said(operator, query, error):
    assert operator.ask("POST", f"/auctions?{query}") == (400, {"error": error})


def test_auctions_are_listed_by_id(operator):
    for id in (3, 5):
        operator.ask("POST", f"/auctions?id={id}&closes_ms={CLOSES}")
    operator.store.bid(5, [Bid(5, 7, 1250)])
    status, listed = operator.ask("GET", "/auctions")
    assert (status, listed["now_ms"]) == (200, NOW_MS)
    assert [(row["id"], row["price"], row["bidder"]) for row in listed["auctions"]] == [
        (3, None, None),
        (5, "12.50", 7),
    ]
    ids = lambda query: [row["id"] for row in operator.ask("GET", query)[1]["auctions"]]  # noqa: E731
    assert ids("/auctions?after=3") == [5]
    assert ids("/auctions?limit=1") == [3]
    assert operator.ask("GET", "/auctions?limit=0") == (400, {"error": "limit is 1 to 1000"})


def test_one_is_shown_and_closed(operator):
    operator.ask("POST", f"/auctions?id=7&closes_ms={CLOSES}")
    operator.store.bid(7, [Bid(7, 42, 500)])
    assert operator.ask("GET", "/auctions/show?id=7")[1]["phase"] == "open"
    status, closed = operator.ask("POST", "/auctions/close?id=7")
    assert (status, closed["phase"], closed["outcome"]) == (200, "closed", "SOLD")
    assert (closed["closes_ms"], closed["bidder"]) == (NOW_MS, 42)


@pytest.mark.parametrize("method_and_path", ["GET /auctions/show", "POST /auctions/close"])
def test_one_that_is_not_there(operator, method_and_path):
    method, path = method_and_path.split()
    assert operator.ask(method, f"{path}?id=9") == (404, {"error": "there is no auction 9"})
    assert operator.ask(method, path) == (400, {"error": "id is 1 to 99999999"})


def test_nothing_is_closed_by_looking(operator):
    operator.ask("POST", f"/auctions?id=7&closes_ms={CLOSES}")
    assert operator.ask("GET", "/auctions/close?id=7") == (405, {"error": "POST only"})
    assert operator.ask("POST", "/auctions/show?id=7") == (405, "GET and HEAD only\n")
    assert operator.ask("GET", "/auctions/show?id=7")[1]["phase"] == "open"


@pytest.mark.parametrize("path", ["/auctions?closes_ms=2000000000000", "/auctions/close?id=7"])
def test_a_browsers_page_changes_nothing(operator, path):
    operator.ask("POST", f"/auctions?id=7&closes_ms={CLOSES}")
    answer = operator.ask("POST", path, Origin="http://127.0.0.1:9090")
    assert answer == (403, {"error": "not from a browser"})
    assert [row["id"] for row in operator.ask("GET", "/auctions")[1]["auctions"]] == [7]
    assert operator.ask("GET", "/auctions/show?id=7")[1]["phase"] == "open"


@pytest.mark.parametrize("error", [StoreUnavailable("it is away"), AnswerLost("it is away")])
def test_a_store_that_is_away(operator, error):
    operator.store.auctions = lambda _after, _limit: fail(error)
    assert operator.ask("GET", "/auctions") == (503, {"error": "it is away"})


def test_a_store_that_breaks_is_in_the_log(operator, failures):
    operator.store.auctions = lambda _after, _limit: fail(RuntimeError("broken"))
    assert operator.ask("GET", "/auctions")[0] == 500
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()
