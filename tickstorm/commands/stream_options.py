"""The options of the commands that subscribe: where, as whom, to what and for how long."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from tickstorm.commands.finite_range import FiniteRange

if TYPE_CHECKING:
    from tickstorm.messages import Mode

DEFAULT_ADDRESS = "127.0.0.1:8080"
ADDRESS_HELP = f"""ADDRESS is HOST:PORT, or an endpoint as Twisted writes it (tcp:HOST:PORT,
    tls:HOST:PORT:trustRoots=DIRECTORY, unix:PATH); {DEFAULT_ADDRESS} unless given."""

_MODES = ("second", "minute", "tick")

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Target(NamedTuple):
    """What to subscribe to, and as whom.

    Attributes:
        symbols: None for all.
    """

    address: str
    username: str
    password: str
    mode: Mode
    symbols: frozenset[str] | None


def stream_options(mode: str) -> Callable[[_Command], _Command]:
    """Add the options; what the command gets of them goes into `make_target`.

    Args:
        mode: the default one.
    """
    options = (
        click.option(
            "--mode",
            type=click.Choice(_MODES, case_sensitive=False),
            default=mode,
            show_default=True,
            help="A bar a second, a bar a minute, or every tick.",
        ),
        click.option(
            "--symbols",
            metavar="A,B,…",
            callback=_read_symbols,
            help="Which symbols, at most 100; all unless given.",
        ),
        click.option(
            "--count", type=click.IntRange(1), metavar="N", help="End after so many ticks."
        ),
        click.option(
            "--seconds",
            type=FiniteRange(0, 10**8, min_open=True),
            metavar="S",
            help="End after so long.",
        ),
    )

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return login_options(command)

    return decorate


def login_options(command: _Command) -> _Command:
    """Add the options of who to log in as; what the command gets of them goes into `ask_login`."""
    user = click.option(
        "--user",
        metavar="NAME",
        envvar=["STREAM_USER", "AUTH_USERNAME", "TICKSTORM_USERNAME"],
        help="Who to log in as; else STREAM_USER in the environment.",
    )
    password = click.option(
        "--password",
        metavar="PASSWORD",
        envvar=["STREAM_PASS", "AUTH_PASSWORD", "TICKSTORM_PASSWORD"],
        help="Better as STREAM_PASS in the environment, where other users do not see it.",
    )
    return user(password(command))


def _read_symbols(
    context: click.Context,  # noqa: ARG001 - click's
    option: click.Parameter,  # noqa: ARG001
    text: str | None,
) -> frozenset[str] | None:
    if text is None:
        return None
    from tickstorm.messages import MAX_SYMBOLS
    from tickstorm.ticks import SYMBOL

    symbols = [symbol.strip().upper() for symbol in text.split(",")]
    for symbol in symbols:
        if not SYMBOL.fullmatch(symbol):
            raise click.BadParameter(f"{symbol!r} is not 1 to 16 of A-Z 0-9 . _ -")
    if len(set(symbols)) > MAX_SYMBOLS:
        raise click.BadParameter(f"{len(set(symbols))} symbols are over {MAX_SYMBOLS}")
    return frozenset(symbols)


def make_target(
    address: str,
    user: str | None,
    password: str | None,
    mode: str,
    symbols: frozenset[str] | None,
) -> Target:
    """Return the target; on a terminal, ask for a name or password that was not given.

    Raises:
        click.UsageError: one is missing, and there is nobody to ask.
    """
    from tickstorm.messages import Mode

    return Target(address, *ask_login(user, password), Mode[mode.upper()], symbols)


def ask_login(user: str | None, password: str | None) -> tuple[str, str]:
    """Return the name and the password; on a terminal, ask for what was not given.

    Raises:
        click.UsageError: one is missing, and there is nobody to ask.
    """
    return (
        user or _ask("user", "STREAM_USER", hidden=False),
        password or _ask("password", "STREAM_PASS", hidden=True),
    )


def _ask(option: str, variable: str, *, hidden: bool) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"No {option}: give --{option} or set {variable}.")
    answer: str = click.prompt(option.capitalize(), hide_input=hidden, err=True)
    return answer
