"""`tickstorm auction`: creates, lists, shows and closes the auctions of a server that runs.

It asks the operators' page, so it works where that can be reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import click

from tickstorm.commands.health import DEFAULT_HTTP, fetch_within, health_page

TIMEOUT = 10.0
"""Seconds that a server has for its answer."""
MAX_ANSWER_BYTES = 2**20
MAX_LISTED = 1_000

_Command = TypeVar("_Command", bound=Callable[..., object])
_MAX_SECONDS = 10 * 366 * 86_400


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
@click.option("--start", metavar="AMOUNT", help="The least that the first bid is. [0.01]")
@click.option("--increment", metavar="AMOUNT", help="How much more each next one is. [0.01]")
@click.option("--reserve", metavar="AMOUNT", help="Below it nothing is sold. [none]")
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
    **terms: str | int | None,
) -> None:
    """Create an auction; amounts are such as 12.50."""
    opens_ms = round((time.time() + opens_in) * 1000)
    given = {name: terms[name] for name in sorted(terms) if terms[name] is not None}
    times = {
        "closes_ms": opens_ms + round(open_for * 1000),
        "soft_close_ms": round(soft_close * 1000),
    }
    if opens_in:
        times["opens_ms"] = opens_ms
    click.echo(_line(ask(http, "/auctions", "POST", {**given, **times})))


@auction.command("list", short_help="List auctions.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only those with a higher id.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_LISTED), default=100, show_default=True, help="How many."
)
@_at_page
def list_auctions(*, http: str, after: int, limit: int) -> None:
    """List auctions by their id."""
    for each in ask(http, "/auctions", "GET", {"after": after, "limit": limit})["auctions"]:
        click.echo(_line(each))


@auction.command(short_help="Show an auction.")
@click.argument("id", type=click.IntRange(1))
@_at_page
def show(*, http: str, id: int) -> None:
    """Show the auction with this ID."""
    click.echo(_line(ask(http, "/auctions/show", "GET", {"id": id})))


@auction.command(short_help="Close an auction, for good.")
@click.argument("id", type=click.IntRange(1))
@_at_page
def close(*, http: str, id: int) -> None:
    """Close the auction with this ID now, for good; whoever leads has won."""
    click.echo(_line(ask(http, "/auctions/close", "POST", {"id": id})))


def ask(http: str, path: str, method: str, query: Mapping[str, object]) -> dict[str, Any]:
    """Ask the operators' page for something of its auctions.

    Raises:
        click.ClickException: there is no page, or it refuses.
    """
    import json
    from http.client import HTTPException

    try:
        page = health_page(http, f"{path}?{urlencode(query)}")
    except ValueError:
        raise click.ClickException(
            f"{http!r} is neither http://HOST:PORT nor an endpoint of tcp:, tcp6: or unix:"
        ) from None
    try:
        answer = fetch_within(page, TIMEOUT, method, MAX_ANSWER_BYTES)
        said = json.loads(answer.body)
    except TimeoutError:
        raise click.ClickException(f"{http}: no answer within {TIMEOUT:g} s") from None
    except OSError as error:
        raise click.ClickException(f"{http}: {error.strerror or error}") from None
    except (HTTPException, ValueError):
        raise click.ClickException(f"{http}: there are no auctions") from None
    if answer.status != 200 or not isinstance(said, dict):
        raise click.ClickException(_complaint(said))
    return said


def _complaint(said: object) -> str:
    from tickstorm.commands.text import printable

    error = said.get("error") if isinstance(said, dict) else None
    return printable(str(error or "the server has refused it"))


def _line(auction: Mapping[str, Any]) -> str:
    from tickstorm.commands.text import printable, wall_time

    state = (auction["outcome"] or auction["phase"]).lower()
    leads = f"{auction['price']} of user {auction['bidder']}" if auction["sequence"] else "no bid"
    closed = auction["phase"] == "closed"
    times = f"{'closed' if closed else 'closes'} {wall_time(auction['closes_ms'] * 1_000_000)}"
    line = f"{auction['id']}  {state}  {leads}, {auction['sequence']} leading bids  {times}"
    return printable(line if closed else f"{line}  next from {auction['minimum']}")
