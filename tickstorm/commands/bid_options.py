"""The options of `tickstorm bench --auction`: what to bid, and as whom."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from tickstorm.commands.finite_range import FiniteRange

DEFAULT_BID_ADDRESS = "127.0.0.1:8081"
DEFAULT_AUCTIONS = 100
MAX_AUCTIONS = 10_000
MAX_PIPELINE = 1_000
MAX_RATE = 10_000_000
DEFAULT_USERS = (1, 1_000_000)
CREATED_FOR_MS = 3_600_000
"""How long after the measurement an auction is open that it creates."""
_MAX_USER = 2**32 - 1
_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Range(click.ParamType[tuple[int, int]]):
    """Whole numbers from one to another, as 42 or 1-1000."""

    name = "range"

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return the first and the last."""
        match = _RANGE.fullmatch(str(value))
        if match is not None:
            first, last = int(match[1]), int(match[2] or match[1])
            if self._least <= first <= last <= self._most:
                return first, last
        why = f"{value!r} is no range as 1-100 within {self._least} to {self._most}"
        return self.fail(why, param, ctx)


class BidOptions(NamedTuple):
    """What was given of the options.

    Attributes:
        auctions: the first and the last id of those to bid in.
        no_login: whether anybody may bid, without a name and a password.
        pipeline: bids of a connection without a RESULT.
        rate: bids a second in all.
        users: the first and the last id of those who bid.
        bid_ids: whether bids have ids.
        http: where auctions that there are not are created; None for nowhere.
    """

    auctions: tuple[int, int]
    no_login: bool
    pipeline: int
    rate: float | None
    users: tuple[int, int]
    bid_ids: bool
    http: str | None


class BidTarget(NamedTuple):
    """What to bid, and as whom.

    Attributes:
        address: of the server.
        login: "NAME:PASSWORD"; empty where anybody may bid.
        auctions: the ids of those to bid in.
        users: who bids, from the first to the last of these ids.
        pipeline: bids of a connection without a RESULT, at most.
        per_second: bids a second in all; None for as fast as RESULTs come.
        bid_ids: whether bids have ids.
    """

    address: str
    login: str
    auctions: tuple[int, ...]
    users: tuple[int, int]
    pipeline: int = 1
    per_second: float | None = None
    bid_ids: bool = False


def bid_options(command: _Command) -> _Command:
    """Add the options; what the command gets of them makes `BidOptions`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--auctions",
        type=Range(1, 99_999_999),
        metavar="A-B",
        default=f"1-{DEFAULT_AUCTIONS}",
        show_default=True,
        help="Bid in those of these numbers.",
    ),
    click.option(
        "--pipeline",
        type=click.IntRange(1, MAX_PIPELINE),
        metavar="K",
        default=1,
        show_default=True,
        help="Bids of each connection without a RESULT, at most.",
    ),
    click.option(
        "--rate",
        type=FiniteRange(0, MAX_RATE, min_open=True),
        metavar="N",
        help="Bids a second in all, at an even pace; as fast as RESULTs come unless given.",
    ),
    click.option("--bid-ids", is_flag=True, help="Give each bid an id."),
    click.option(
        "--users",
        type=Range(0, _MAX_USER),
        metavar="A-B",
        default="{}-{}".format(*DEFAULT_USERS),
        show_default=True,
        help="Who bids, at random.",
    ),
    click.option("--no-login", is_flag=True, help="Send no name and password."),
    click.option(
        "--http",
        metavar="DESC",
        help="The operators' page of the server: auctions that there are not are created there.",
    ),
)


def make_bid_target(address: str, login: str, options: BidOptions) -> BidTarget:
    """Return the target.

    Args:
        address: of the server.
        login: "NAME:PASSWORD", or empty.
        options: what was given.

    Raises:
        click.UsageError: they cannot be together.
    """
    first, last = options.auctions
    if last - first >= MAX_AUCTIONS:
        raise click.UsageError(f"--auctions: at most {MAX_AUCTIONS:,} of them.")
    ids = tuple(range(first, last + 1))
    return BidTarget(
        address, login, ids, options.users, options.pipeline, options.rate, options.bid_ids
    )


def create_auctions(http: str, target: BidTarget, seconds: float) -> None:
    """Create the auctions of a target that there are not, open for longer than it takes.

    Raises:
        click.ClickException: there is no operators' page, or it refuses.
    """
    from tickstorm.bench.auction_setup import create_missing
    from tickstorm.commands.auction import asking

    closes_ms = time.time_ns() // 1_000_000 + round(seconds * 1000) + CREATED_FOR_MS
    with asking(http) as auctions:
        create_missing(target.auctions, closes_ms, auctions)
