"""The auctions of a server, created, listed, shown and closed over its operators' page.

Every call blocks until the server has answered: not for the thread of a reactor or an event loop.
An application that has the server in it uses `service.auctions.store` instead.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from tickstorm.auction.rule import Outcome
from tickstorm.errors import ConfigError, TickstormError
from tickstorm.web.asking import DEFAULT_HTTP, fetch_within, page_at

TIMEOUT = 10.0
"""Seconds that a server has for its answer, unless it is told otherwise."""
MAX_ANSWER_BYTES = 2**20
MAX_LISTED = 1_000


class AuctionsUnreachable(TickstormError):
    """The server did not answer, or has no auctions; whether it did what was asked is not known."""


class AuctionRefused(TickstormError):
    """The server did not do what was asked; the message is its reason.

    Args:
        message: why, in the server's words.
        status: as HTTP has it: 400 for a term that cannot be, 404 for an auction that is not there,
            409 for one that is there already or one too many, 503 for a store that is away.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Auction(NamedTuple):
    """An auction as it stands.

    Attributes:
        id: its number.
        phase: scheduled, open or closed.
        outcome: SOLD or UNSOLD once it is closed; None before.
        price: the leading bid; None while nobody leads.
        bidder: whose that is; None likewise.
        sequence: how many bids have led so far.
        minimum: the least that would lead now.
        opens_ms: when it opens, in milliseconds since 1970.
        closes_ms: when it closes if nobody bids any more, likewise.
        start: the least that the first bid must be.
        increment: by how much each next one must be above the price.
        reserve: below it nothing is sold; 0 for none.
        soft_close_ms: for how long it stays open behind each leading bid; 0 for not at all.
    """

    id: int
    phase: str
    outcome: Outcome | None
    price: Decimal | None
    bidder: int | None
    sequence: int
    minimum: Decimal
    opens_ms: int
    closes_ms: int
    start: Decimal
    increment: Decimal
    reserve: Decimal
    soft_close_ms: int

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Return the auction that the page describes.

        Raises:
            ValueError: something is missing, or is not what it should be.
        """
        try:
            return cls._of(said)
        except (KeyError, TypeError, InvalidOperation) as error:
            raise ValueError(f"no auction: {error!r}") from None

    @classmethod
    def _of(cls, said: Mapping[str, Any]) -> Self:
        price, bidder, outcome = said["price"], said["bidder"], said["outcome"]
        return cls(
            int(said["id"]),
            str(said["phase"]),
            None if outcome is None else Outcome[outcome],
            None if price is None else Decimal(price),
            None if bidder is None else int(bidder),
            int(said["sequence"]),
            Decimal(said["minimum"]),
            int(said["opens_ms"]),
            int(said["closes_ms"]),
            Decimal(said["start"]),
            Decimal(said["increment"]),
            Decimal(said["reserve"]),
            int(said["soft_close_ms"]),
        )


class BlockingAuctions:
    """The auctions of a server that runs. Each call blocks, and may be repeated.

    Every method may raise AuctionsUnreachable and AuctionRefused.

    Args:
        http: where the operators' page is: the description that the server's `http` has, or
            http://HOST:PORT.
        timeout: seconds that the server has for each answer.

    Raises:
        ConfigError: `http` is neither.
    """

    def __init__(self, http: str = DEFAULT_HTTP, timeout: float = TIMEOUT) -> None:
        try:
            page_at(http, "/")
        except ValueError:
            raise ConfigError(
                f"{http!r} is neither http://HOST:PORT nor an endpoint of tcp:, tcp6: or unix:"
            ) from None
        self._http = http
        self._timeout = timeout

    def create(
        self,
        *,
        closes_ms: int,
        opens_ms: int | None = None,
        id: int | None = None,
        start: Decimal | None = None,
        increment: Decimal | None = None,
        reserve: Decimal | None = None,
        soft_close_ms: int = 0,
    ) -> Auction:
        """Create an auction; with an `id` and the same terms again, return it as it is.

        Args:
            closes_ms: when it closes, in milliseconds since 1970.
            opens_ms: when it opens, likewise; at once unless given.
            id: its number; the next that is free unless given.
            start: the least that the first bid must be; one cent unless given.
            increment: by how much each next one must be above the price; likewise.
            reserve: below it nothing is sold; none unless given.
            soft_close_ms: for how long it stays open behind each leading bid.
        """
        amounts = {"increment": increment, "reserve": reserve, "start": start}
        terms: dict[str, int | str | None] = {
            "id": id,
            **{name: None if each is None else f"{each:f}" for name, each in amounts.items()},
            "closes_ms": closes_ms,
            "soft_close_ms": soft_close_ms,
            "opens_ms": opens_ms,
        }
        given = {name: term for name, term in terms.items() if term is not None}
        return self._one("/auctions", "POST", given)

    def list(self, after: int = 0, limit: int = 100) -> Sequence[Auction]:
        """Return the auctions with an id above `after`, the lowest first.

        Args:
            after: 0 for all.
            limit: how many at most, 1 to MAX_LISTED.
        """
        said = self._ask("/auctions", "GET", {"after": after, "limit": limit})
        try:
            return [Auction.of(each) for each in said["auctions"]]
        except (KeyError, TypeError, ValueError):
            raise self._no_auctions() from None

    def show(self, id: int) -> Auction:
        """Return one auction."""
        return self._one("/auctions/show", "GET", {"id": id})

    def close(self, id: int) -> Auction:
        """Close an auction now, for good, and return it: whoever leads has won."""
        return self._one("/auctions/close", "POST", {"id": id})

    def _one(self, path: str, method: str, query: Mapping[str, object]) -> Auction:
        said = self._ask(path, method, query)
        try:
            return Auction.of(said)
        except ValueError:
            raise self._no_auctions() from None

    def _ask(self, path: str, method: str, query: Mapping[str, object]) -> dict[str, Any]:
        page = page_at(self._http, f"{path}?{urlencode(query)}")
        try:
            answer = fetch_within(page, self._timeout, method, MAX_ANSWER_BYTES)
            said = json.loads(answer.body)
        except TimeoutError:
            raise self._unreachable(f"no answer within {self._timeout:g} s") from None
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from error
        except (HTTPException, ValueError):
            raise self._no_auctions() from None
        if answer.status != HTTPStatus.OK or not isinstance(said, dict):
            raise AuctionRefused(_complaint(said), answer.status)
        return said

    def _no_auctions(self) -> AuctionsUnreachable:
        return self._unreachable("there are no auctions")

    def _unreachable(self, why: str) -> AuctionsUnreachable:
        return AuctionsUnreachable(f"{self._http}: {why}")


def _complaint(said: object) -> str:
    error = said.get("error") if isinstance(said, dict) else None
    return str(error or "the server has refused it")
