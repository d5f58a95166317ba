"""`tickstorm bid`: one bid, those in the lines of an input, or those that are typed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import click

from tickstorm.commands.amount_type import AmountType
from tickstorm.commands.finite_range import FiniteRange
from tickstorm.commands.stream_options import ask_login, login_options

if TYPE_CHECKING:
    from decimal import Decimal

    from tickstorm.client.auction import BidderEvent
    from tickstorm.commands.bid_asking import Asking, BidLines, OneBid
    from tickstorm.commands.bid_board import BidBoard
    from tickstorm.commands.bid_prompt import BidPrompt, Screen

FAILED = 2
MAX_AUCTION_ID, MAX_USER_ID, MAX_BID_ID = 99_999_999, 2**32 - 1, 2**64 - 1


class Login(NamedTuple):
    """Who to be: by name, or by token, or nobody."""

    username: str = ""
    password: str = ""
    token: str = ""


class Request(NamedTuple):
    """Where to bid, as whom, in what and for whom, and for how long to try."""

    address: str
    login: Login
    auction_id: int
    user_id: int
    timeout: float


class _Running(Protocol):
    """What is run, and the exit code that it comes to."""

    @property
    def code(self) -> int:
        """The exit code, once it has run."""

    async def run(self) -> None:
        """Do it, to the end."""

    def stop(self) -> None:
        """Let `run` come to its end."""


def _login(user: str | None, password: str | None, token: str | None, *, none: bool) -> Login:
    if none:
        return Login()
    if token:
        return Login(token=token)
    return Login(*ask_login(user, password))


def _asking(reactor: Any, request: Request, on_event: Callable[[BidderEvent], object]) -> Asking:
    from tickstorm.client.auction import twisted_bidder
    from tickstorm.commands.bid_asking import Asking

    bidder = twisted_bidder(reactor, request.address, **request.login._asdict(), on_event=on_event)
    return Asking(bidder, reactor, request.auction_id, request.user_id, request.timeout)


def _tell(event: BidderEvent) -> None:
    from tickstorm.client.auction import Disconnected
    from tickstorm.commands.event_text import event_line

    if isinstance(event, Disconnected) and event.retry_in is not None:
        click.echo(f"tickstorm: {event_line(event)}", err=True)


def _say(line: str) -> None:
    click.echo(line)


def _one(reactor: Any, request: Request, amount: Decimal, bid_id: int) -> OneBid:
    from tickstorm.commands.bid_asking import OneBid

    return OneBid(_asking(reactor, request, _tell), amount, bid_id, _say)


def _lines(reactor: Any, request: Request) -> BidLines:
    from tickstorm.commands.bid_asking import BidLines
    from tickstorm.commands.file_reader import FileReader
    from tickstorm.commands.input_lines import InputLines

    lines = InputLines(lambda take, failed: FileReader(reactor, sys.stdin.fileno(), take, failed))
    return BidLines(_asking(reactor, request, _tell), lines, _say)


def _note(board: BidBoard, screen: Screen, event: BidderEvent) -> None:
    from tickstorm.client.auction import Disconnected
    from tickstorm.commands.event_text import event_line

    board.note(event)
    if isinstance(event, Disconnected) and event.retry_in is not None:
        screen.say(event_line(event))


def _prompt(reactor: Any, request: Request) -> BidPrompt:
    from tickstorm.commands.bid_board import BidBoard
    from tickstorm.commands.bid_prompt import BidPrompt, Screen, terminal_columns
    from tickstorm.commands.file_reader import FileReader

    board = BidBoard(request.auction_id, request.user_id)
    screen = Screen(sys.stdout, lambda: terminal_columns(sys.stdout.fileno()))
    return BidPrompt(
        _asking(reactor, request, lambda event: _note(board, screen, event)),
        board,
        screen,
        scheduler=reactor,
        wall_ms=lambda: time.time_ns() // 1_000_000,
        read=lambda take, failed: FileReader(reactor, sys.stdin.fileno(), take, failed),
    )


def _run(make: Callable[[Any], _Running]) -> int:
    """Run the reactor for what is made, and return the exit code; an error is one line."""
    from twisted.internet import reactor

    from tickstorm.commands.event_text import error_line
    from tickstorm.commands.running import Run
    from tickstorm.errors import TickstormError

    try:
        running = _made(make, reactor)
        return Run(reactor, running).code() or running.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
        return FAILED
    except (TickstormError, OSError) as error:
        click.echo(f"tickstorm: {error_line(error)}", err=True)
        return FAILED


def _made(make: Callable[[Any], _Running], reactor: Any) -> _Running:
    from tickstorm.errors import ConfigError

    try:
        return make(reactor)
    except ValueError as error:  # a login that cannot be told
        raise ConfigError(str(error)) from None


def _run_prompt(request: Request) -> int:
    from tickstorm.commands.bid_prompt import keys_at_once

    with keys_at_once(sys.stdin.fileno()):
        return _run(lambda reactor: _prompt(reactor, request))


@click.command(
    short_help="Bid in an auction.",
    help="""Bid for USER, a number, in AUCTION, a number, on the server's auction port.

    ADDRESS is HOST:PORT, or an endpoint as Twisted writes it (tcp:HOST:PORT,
    tls:HOST:PORT:trustRoots=DIRECTORY, unix:PATH).

    With AMOUNT, such as 12.50, it is one bid, and one line says what became of it. Without, on a
    terminal, a line shows who leads and, from the first bid on, the least that would lead and the
    time that is left; type an amount to bid it, + for the least that would lead, and q to leave.
    Elsewhere the amounts are read from standard input, one a line, and each is bid when the one
    before is decided; nothing is bid behind one that is not, or a line that is no amount.

    A bid counts once, however often the connection is lost before it is answered.

    The exit code is 0 if the bid leads, or the last one of several; 1 if it does not; 2 if that is
    not decided or not known, after --timeout, and after an error, such as a wrong password; 130
    after Ctrl-C. On a terminal it is 0 unless there was an error.
    """,
)
@click.argument("address")
@click.argument("auction", type=click.IntRange(0, MAX_AUCTION_ID))
@click.argument("bidder", metavar="USER", type=click.IntRange(0, MAX_USER_ID))
@click.argument("amount", required=False, type=AmountType())
@login_options
@click.option(
    "--token",
    metavar="TOKEN",
    envvar="TICKSTORM_TOKEN",
    help="What to log in with instead; better as TICKSTORM_TOKEN in the environment.",
)
@click.option("--no-login", is_flag=True, help="For a server that asks for no login.")
@click.option(
    "--timeout",
    type=FiniteRange(0, 3600, min_open=True),
    metavar="S",
    default=10.0,
    show_default=True,
    help="For how long a bid is tried that has had no effect.",
)
@click.option(
    "--bid-id",
    type=click.IntRange(1, MAX_BID_ID),
    metavar="N",
    help="Hear what became of the bid of this number, which was the same but had no answer.",
)
def bid(
    *,
    address: str,
    auction: int,
    bidder: int,
    amount: Decimal | None,
    user: str | None,
    password: str | None,
    token: str | None,
    no_login: bool,
    timeout: float,
    bid_id: int | None,
) -> None:
    """Bid in an auction."""
    if bid_id is not None and amount is None:
        raise click.UsageError("--bid-id is of one bid: give its AMOUNT, too.")
    login = _login(user, password, token, none=no_login)
    request = Request(address, login, auction, bidder, timeout)
    if amount is not None:
        sys.exit(_run(lambda reactor: _one(reactor, request, amount, bid_id or 0)))
    if sys.stdin.isatty() and sys.stdout.isatty():
        sys.exit(_run_prompt(request))
    sys.exit(_run(lambda reactor: _lines(reactor, request)))
