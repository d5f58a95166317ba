"""The auctions as JSON: listed and shown by GET, created and closed by POST.

A POST changes something, so none is taken that a browser sends for whatever page it shows: those
have an Origin.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from tickstorm.auction.interfaces import AnswerLost, IAuctionStore, StoreUnavailable
from tickstorm.auction.life import (
    MAX_AUCTION_ID,
    MAX_SOFT_CLOSE_MS,
    MAX_TIME_MS,
    Auction,
    AuctionExists,
    InvalidAuction,
    NoSuchAuction,
    Phase,
    TooManyAuctions,
)
from tickstorm.auction.money import cents_text, read_cents
from tickstorm.auction.rule import Terms
from tickstorm.web.pages import Answer, Page, Reply, json_answer

MAX_LISTED = 1_000
DEFAULT_LISTED = 100

_NUMBER = re.compile(r"[0-9]{1,18}")
_STATUS = {
    InvalidAuction: HTTPStatus.BAD_REQUEST,
    AuctionExists: HTTPStatus.CONFLICT,
    TooManyAuctions: HTTPStatus.CONFLICT,
    NoSuchAuction: HTTPStatus.NOT_FOUND,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    AnswerLost: HTTPStatus.SERVICE_UNAVAILABLE,
}


class BadArguments(Exception):
    """The arguments of a request cannot be used: the message names the one and what is allowed."""


class Arguments:
    """What stands behind the question mark of a path.

    Args:
        given: as the request has it.
        names: those that may be there.

    Raises:
        BadArguments: another one is there, or one twice.
    """

    def __init__(self, given: Mapping[bytes, Sequence[bytes]], *names: str) -> None:
        self._given: dict[str, str] = {}
        for name, values in given.items():
            text = name.decode(errors="replace")
            if text not in names:
                raise BadArguments(f"{text!r} is not {', '.join(names)}")
            if len(values) > 1:
                raise BadArguments(f"{text} is given more than once")
            self._given[text] = values[0].decode(errors="replace")

    def number(self, name: str, default: int | None, least: int, most: int) -> int:
        """Return a whole number; without a default it has to be there."""
        text = self._given.get(name)
        if text is None and default is not None:
            return default
        if text is None or not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
            raise BadArguments(f"{name} is {least} to {most}")
        return int(text)

    def cents(self, name: str, default: int) -> int:
        """Return an amount, which is written as people do."""
        text = self._given.get(name)
        try:
            return default if text is None else read_cents(text)
        except ValueError as error:
            raise BadArguments(f"{name}: {error}") from None


def auctions_page(store: IAuctionStore) -> Page:
    """Return the page of all auctions, with those of one, and of closing one, below it."""
    return Page(
        _replying(_list, store),
        {
            b"show": Page(_replying(_show, store)),
            b"close": Page(_only_post, post=_changing(_close, store)),
        },
        post=_changing(_create, store),
    )


def described(auction: Auction, now_ms: int) -> dict[str, object]:
    """Return an auction as JSON has it: amounts are text, such as "12.50"."""
    terms, standing, phase = auction.terms, auction.standing, auction.phase(now_ms)
    leads = standing.sequence > 0
    return {
        "id": auction.id,
        "phase": phase.value,
        "outcome": auction.final.name if phase is Phase.CLOSED else None,
        "price": cents_text(standing.price) if leads else None,
        "bidder": standing.bidder if leads else None,
        "sequence": standing.sequence,
        "minimum": cents_text(standing.minimum),
        "opens_ms": terms.opens_ms,
        "closes_ms": standing.closes_ms,
        "start": cents_text(terms.start),
        "increment": cents_text(terms.increment),
        "reserve": cents_text(terms.reserve),
        "soft_close_ms": terms.soft_close_ms,
    }


_Call = Callable[[IAuctionStore, Mapping[bytes, Sequence[bytes]]], Deferred[Answer]]


def _replying(call: _Call, store: IAuctionStore) -> Reply:
    def reply(request: IRequest) -> Answer | Deferred[Answer]:
        try:
            return call(store, request.args).addErrback(_refusal)
        except BadArguments as error:
            return _refused(str(error), HTTPStatus.BAD_REQUEST)

    return reply


def _changing(call: _Call, store: IAuctionStore) -> Reply:
    replying = _replying(call, store)

    def reply(request: IRequest) -> Answer | Deferred[Answer]:
        if request.getHeader(b"Origin") is not None:
            return _refused("not from a browser", HTTPStatus.FORBIDDEN)
        return replying(request)

    return reply


def _only_post(_: IRequest) -> Answer:
    return _refused("POST only", HTTPStatus.METHOD_NOT_ALLOWED)


def _list(store: IAuctionStore, given: Mapping[bytes, Sequence[bytes]]) -> Deferred[Answer]:
    arguments = Arguments(given, "after", "limit")
    after = arguments.number("after", 0, 0, MAX_AUCTION_ID)
    limit = arguments.number("limit", DEFAULT_LISTED, 1, MAX_LISTED)

    def answer(auctions: Sequence[Auction]) -> Answer:
        now_ms = store.now_ms()
        rows = [described(auction, now_ms) for auction in auctions]
        return json_answer({"now_ms": now_ms, "auctions": rows})

    return store.auctions(after, limit).addCallback(answer)


def _show(store: IAuctionStore, given: Mapping[bytes, Sequence[bytes]]) -> Deferred[Answer]:
    auction_id = Arguments(given, "id").number("id", None, 1, MAX_AUCTION_ID)

    def answer(auction: Auction | None) -> Answer:
        if auction is None:
            raise NoSuchAuction(f"there is no auction {auction_id}")
        return json_answer(described(auction, store.now_ms()))

    return store.read(auction_id).addCallback(answer)


def _create(store: IAuctionStore, given: Mapping[bytes, Sequence[bytes]]) -> Deferred[Answer]:
    names = ("id", "opens_ms", "closes_ms", "start", "increment", "reserve", "soft_close_ms")
    arguments = Arguments(given, *names)
    terms = Terms(
        arguments.number("opens_ms", store.now_ms(), 0, MAX_TIME_MS),
        arguments.number("closes_ms", None, 1, MAX_TIME_MS),
        arguments.cents("start", 1),
        arguments.cents("increment", 1),
        arguments.cents("reserve", 0),
        arguments.number("soft_close_ms", 0, 0, MAX_SOFT_CLOSE_MS),
    )
    created = store.create(terms, arguments.number("id", 0, 0, MAX_AUCTION_ID))
    return created.addCallback(lambda auction: json_answer(described(auction, store.now_ms())))


def _close(store: IAuctionStore, given: Mapping[bytes, Sequence[bytes]]) -> Deferred[Answer]:
    auction_id = Arguments(given, "id").number("id", None, 1, MAX_AUCTION_ID)
    closed = store.close(auction_id)
    return closed.addCallback(lambda auction: json_answer(described(auction, store.now_ms())))


def _refusal(reason: Failure) -> Answer:
    kind = reason.check(*_STATUS)
    if kind is None:
        reason.raiseException()
    return _refused(str(reason.value), _STATUS[kind])


def _refused(error: str, status: HTTPStatus) -> Answer:
    return json_answer({"error": error}, status)
