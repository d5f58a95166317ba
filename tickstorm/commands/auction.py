"""`tickstorm auction`: creates, lists, shows and closes the auctions of a server that runs.

It asks the operators' page, so it works where that can be reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from tickstorm.commands.amount_type import AmountType
from tickstorm.web.asking import DEFAULT_HTTP

if TYPE_CHECKING:
    from decimal import Decimal

    from tickstorm.web.blocking_auctions import Auction, BlockingAuctions

MAX_LISTED = 1_000

_Command = TypeVar("_Command", bound=Callable[..., object])
_MAX_SECONDS = 10 * 366 * 86_400
_AMOUNT = AmountType(least_cents=0)


class _Seconds(click.ParamType[float]):
    """A time such as 90s, 10m or 1h30m; a bare number is seconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        from tickstorm.kinds import duration

        kind = duration(0, _MAX_SECONDS)
        try:
            return float(kind.check(value))
        except ValueError:
            self.fail(f"{value!r} is not a time such as 90s, 10m or 1h30m", param, ctx)


def _at_page(command: _Command) -> _Command:
    return click.option(
        "--http",
        metavar="DESC",
        envvar="TICKSTORM_HTTP",
        default=DEFAULT_HTTP,
        show_default=True,
        show_envvar=True,
        help="Where the operators' page is: an endpoint description or http://HOST:PORT.",
    )(command)


@click.group(short_help="Create, list, show and close auctions.")
def auction() -> None:
    """Create, list, show and close the auctions of a server that was started with --auction."""


@auction.command(short_help="Create an auction.")
@click.option(
    "--for", "open_for", type=_Seconds(), required=True, help="How long it is open, such as 10m."
)
@click.option(
    "--opens-in", type=_Seconds(), default="0", help="When it opens, from now on. [at once]"
)
@click.option("--id", type=click.IntRange(1), help="Its number. [the next]")
@click.option("--start", type=_AMOUNT, help="The least that the first bid is. [0.01]")
@click.option("--increment", type=_AMOUNT, help="How much more each next one is. [0.01]")
@click.option("--reserve", type=_AMOUNT, help="Below it nothing is sold. [none]")
@click.option(
    "--soft-close",
    type=_Seconds(),
    default="0",
    help="It stays open for so long after each leading bid. [not at all]",
)
@_at_page
def create(
    *,
    http: str,
    open_for: float,
    opens_in: float,
    soft_close: float,
    id: int | None,
    start: Decimal | None,
    increment: Decimal | None,
    reserve: Decimal | None,
) -> None:
    """Create an auction; amounts are such as 12.50."""
    opens_ms = round((time.time() + opens_in) * 1000)
    with asking(http) as auctions:
        created = auctions.create(
            closes_ms=opens_ms + round(open_for * 1000),
            opens_ms=opens_ms if opens_in else None,
            id=id,
            start=start,
            increment=increment,
            reserve=reserve,
            soft_close_ms=round(soft_close * 1000),
        )
    click.echo(_line(created))


@auction.command("list", short_help="List auctions.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only those with a higher id.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_LISTED), default=100, show_default=True, help="How many."
)
@_at_page
def list_auctions(*, http: str, after: int, limit: int) -> None:
    """List auctions by their id."""
    with asking(http) as auctions:
        listed = auctions.list(after, limit)
    for each in listed:
        click.echo(_line(each))


@auction.command(short_help="Show an auction.")
@click.argument("id", type=click.IntRange(1))
@_at_page
def show(*, http: str, id: int) -> None:
    """Show the auction with this ID."""
    with asking(http) as auctions:
        shown = auctions.show(id)
    click.echo(_line(shown))


@auction.command(short_help="Close an auction, for good.")
@click.argument("id", type=click.IntRange(1))
@_at_page
def close(*, http: str, id: int) -> None:
    """Close the auction with this ID now, for good; whoever leads has won."""
    with asking(http) as auctions:
        closed = auctions.close(id)
    click.echo(_line(closed))


@contextmanager
def asking(http: str) -> Iterator[BlockingAuctions]:
    """Give the auctions of a server; what goes wrong with them is one line."""
    from tickstorm.commands.text import printable
    from tickstorm.errors import TickstormError
    from tickstorm.web.blocking_auctions import BlockingAuctions

    try:
        yield BlockingAuctions(http)
    except TickstormError as error:
        raise click.ClickException(printable(str(error))) from None


def _line(auction: Auction) -> str:
    from tickstorm.commands.text import printable, wall_time

    state = auction.phase if auction.outcome is None else auction.outcome.name
    leads = "no bid" if not auction.sequence else f"{auction.price} of user {auction.bidder}"
    verb = "closes" if auction.outcome is None else "closed"
    times = f"{verb} {wall_time(auction.closes_ms * 1_000_000)}"
    line = f"{auction.id}  {state.lower()}  {leads}, {auction.sequence} leading bids  {times}"
    return printable(line if auction.outcome else f"{line}  next from {auction.minimum}")
