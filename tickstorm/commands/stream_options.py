"""The options of the commands that subscribe: where, as whom, to what and for how long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from tickstorm.commands.finite_range import FiniteRange

if TYPE_CHECKING:
    from tickstorm.subscriptions import Mode, Overload

DEFAULT_ADDRESS = "127.0.0.1:8080"
ADDRESS_HELP = f"""ADDRESS is HOST:PORT, or an endpoint as Twisted writes it (tcp:HOST:PORT,
    tls:HOST:PORT:trustRoots=DIRECTORY, unix:PATH); {DEFAULT_ADDRESS} unless given."""

_MODES = ("second", "minute", "tick")
_OVERLOADS = ("conflate", "drop-oldest", "disconnect")
MAX_SINCE = 366 * 86_400.0
"""Seconds ago that a stream may begin."""
_UNITS = frozenset("smh")

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Target(NamedTuple):
    """What to subscribe to, and as whom.

    Attributes:
        symbols: names, and beginnings with an asterisk behind them; None for all.
        interval: seconds that each bar is of; None for that of the mode.
        overload: what the server does when this side does not keep up; None stands for
            DISCONNECT.
        start_time_ms: to begin with what the server has kept since then, in milliseconds since the
            Unix epoch; 0 begins with the next batch.
    """

    address: str
    username: str
    password: str
    mode: Mode
    symbols: frozenset[str] | None
    interval: float | None = None
    overload: Overload | None = None
    start_time_ms: int = 0


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
            help="Which symbols, at most 100; EUR* is all that begin so. All unless given.",
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
        return login_options(_with_options(options, command))

    return decorate


def following_options(command: _Command) -> _Command:
    """Add the options of who follows one stream; what the command gets goes into `refine`."""
    options = (
        click.option(
            "--interval",
            metavar="TIME",
            callback=_read_interval,
            help="Bars of 10ms to 1h instead of those of the mode, as 250ms or 5s.",
        ),
        click.option(
            "--since",
            metavar="TIME",
            callback=_read_since,
            help="Begin with what the server has kept since then: 10m ago, or a time as "
            "2026-01-05T09:30:00Z. A number alone is a time since 1970; for a duration write 10s.",
        ),
        click.option(
            "--overload",
            type=click.Choice(_OVERLOADS, case_sensitive=False),
            help="What becomes of a watcher that does not keep up: the newest of each symbol, the "
            "oldest batches lost, or the connection; disconnect unless given.",
        ),
    )
    return _with_options(options, command)


def _with_options(options: Sequence[Callable[[_Command], _Command]], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


def _read_interval(
    context: click.Context,  # noqa: ARG001 - click's
    option: click.Parameter,  # noqa: ARG001
    text: str | None,
) -> float | None:
    if text is None:
        return None
    from tickstorm.client.request import MAX_INTERVAL, MIN_INTERVAL
    from tickstorm.kinds import duration

    kind = duration(MIN_INTERVAL, MAX_INTERVAL)
    try:
        interval: float = kind.check(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not {kind.allowed}") from None
    if abs(interval * 1000 - round(interval * 1000)) > 1e-6:
        raise click.BadParameter(f"{text!r} is not in whole milliseconds")
    return interval


def _read_since(
    context: click.Context,  # noqa: ARG001 - click's
    option: click.Parameter,  # noqa: ARG001
    text: str | None,
) -> int:
    if text is None:
        return 0
    from tickstorm.kinds import duration
    from tickstorm.sources.recording import read_time

    try:
        if text[-1:] in _UNITS:
            ago: float = duration(0.0, MAX_SINCE).check(text)
            return time.time_ns() // 1_000_000 - round(ago * 1000)
        since = read_time(text) // 1_000_000
    except ValueError as error:
        raise click.BadParameter(
            str(error) or f"{text!r} is not a duration as 10m, of at most a year"
        ) from None
    if since > time.time_ns() // 1_000_000:
        raise click.BadParameter(f"{text!r} is in the future")
    return since


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
    from tickstorm.subscriptions import MAX_SYMBOLS
    from tickstorm.symbols import PATTERN

    symbols = [symbol.strip().upper() for symbol in text.split(",")]
    for symbol in symbols:
        if not PATTERN.fullmatch(symbol):
            raise click.BadParameter(
                f"{symbol!r} is not 1 to 16 of A-Z 0-9 . _ -, nor a beginning with * behind it"
            )
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
    from tickstorm.subscriptions import Mode

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


def refine(target: Target, *, interval: float | None, since: int, overload: str | None) -> Target:
    """Return the target with what `following_options` gave, in a command that click runs.

    Raises:
        click.UsageError: an interval was asked for, and TICK.
    """
    from tickstorm.subscriptions import Mode, Overload

    mode = target.mode
    if interval is not None and mode is Mode.TICK:
        if _is_given("mode"):
            raise click.UsageError("--interval is of bars, and --mode tick has none.")
        mode = Mode.SECOND
    policy = None if overload is None else Overload[overload.upper().replace("-", "_")]
    return target._replace(mode=mode, interval=interval, overload=policy, start_time_ms=since)


def _is_given(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is not ParameterSource.DEFAULT


def _ask(option: str, variable: str, *, hidden: bool) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"No {option}: give --{option} or set {variable}.")
    answer: str = click.prompt(option.capitalize(), hide_input=hidden, err=True)
    return answer
