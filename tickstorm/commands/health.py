"""`tickstorm health`: whether a server really answers, as an exit code."""

from __future__ import annotations

import sys

import click

from tickstorm.commands.finite_range import FiniteRange
from tickstorm.web.asking import DEFAULT_HTTP, Page, fetch_within, page_at


def reasons(body: bytes) -> str:
    """Return why a server is not well, as its page says it, in one line; empty if it does not."""
    import json

    from tickstorm.commands.text import printable

    try:
        page = json.loads(body)
    except ValueError:
        lines = body.decode(errors="replace").splitlines()
        return printable(lines[0][:200]) if lines else ""
    told = page.get("reasons") if isinstance(page, dict) else None
    return printable("; ".join(map(str, told))) if isinstance(told, list) else ""


def _report(page: Page, timeout: float) -> str:
    """Return what is wrong; empty if nothing is."""
    from http.client import HTTPException

    try:
        answer = fetch_within(page, timeout)
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except OSError as error:
        return error.strerror or str(error)
    except HTTPException as error:
        return f"what answers is no HTTP server ({type(error).__name__})"
    if answer.status == 200:
        return ""
    why = reasons(answer.body)
    return f"status {answer.status}" + (f": {why}" if why else "")


@click.command(short_help="Ask whether a server is ready, as an exit code.")
@click.argument("url", required=False)
@click.option(
    "--http",
    metavar="DESC",
    envvar="TICKSTORM_HTTP",
    default=DEFAULT_HTTP,
    show_default=True,
    show_envvar=True,
    help="Where the operators' page is: an endpoint description or http://HOST:PORT.",
)
@click.option("--live", is_flag=True, help="Ask only whether it is alive, not whether it is ready.")
@click.option(
    "--timeout",
    type=FiniteRange(0, 3600, min_open=True),
    metavar="SECONDS",
    default=3.0,
    show_default=True,
    help="For the whole question.",
)
def health(*, url: str | None, http: str, live: bool, timeout: float) -> None:
    """Ask a server how it is: exit code 0 only when it says that it is ready.

    URL is short for --http URL.
    """
    try:
        page = page_at(url or http, "/health/live" if live else "/health/ready")
    except ValueError:
        raise click.ClickException(
            f"{url or http!r} is neither http://HOST:PORT nor an endpoint of tcp:, tcp6: or unix:"
        ) from None
    wrong = _report(page, timeout)
    state = "alive" if live else "ready"
    if wrong:
        click.echo(f"not {state}: {page}: {wrong}", err=True)
    else:
        click.echo(f"{state}: {page}")
    sys.exit(1 if wrong else 0)
