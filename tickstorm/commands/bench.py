"""`tickstorm bench`: many connections at once, and what arrives on them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click
from click.core import ParameterSource

from tickstorm.commands.bid_options import (
    DEFAULT_BID_ADDRESS,
    BidOptions,
    BidTarget,
    bid_options,
    create_auctions,
    make_bid_target,
)
from tickstorm.commands.finite_range import FiniteRange
from tickstorm.commands.stream_options import (
    ADDRESS_HELP,
    DEFAULT_ADDRESS,
    ask_login,
    make_target,
    stream_options,
)

if TYPE_CHECKING:
    from tickstorm.bench.bid_report import BidReport
    from tickstorm.bench.measurement import Watcher
    from tickstorm.bench.page import Page
    from tickstorm.bench.report import Report
    from tickstorm.bench.run import Size
    from tickstorm.commands.stream_options import Target

MAX_CONNECTIONS = 10_000_000
DEFAULT_CONNECTIONS, DEFAULT_SECONDS = 1000, 10.0
INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""
_OF_STREAMS = frozenset({"mode", "symbols", "heartbeat"})
_OF_AUCTIONS = frozenset(BidOptions._fields)


def _adapted(command: click.Command) -> click.Command:
    # Whom and what to subscribe to is asked for as everywhere, but this ends after a time only.
    command.params = [option for option in command.params if option.name != "count"]
    return command


def _file(
    context: click.Context,  # noqa: ARG001 - click's
    option: click.Parameter,  # noqa: ARG001
    path: str | None,
) -> str | None:
    if path != "-":
        return path
    raise click.BadParameter("a picture goes to a file, not to standard output")


def _ip_addresses(
    context: click.Context,  # noqa: ARG001 - click's
    option: click.Parameter,  # noqa: ARG001
    texts: tuple[str, ...],
) -> tuple[str, ...]:
    try:
        return tuple(str(ip_address(text)) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _require_histograms() -> None:
    from importlib.util import find_spec

    if find_spec("hdrh") is None:
        raise click.ClickException(
            "hdrhistogram is not installed: pip install 'tickstorm[bench]' brings it"
        )


def _check_kind(auction: bool) -> None:
    """Refuse what was given of the other kind of load.

    Raises:
        click.UsageError: something was.
    """
    foreign = _given(_OF_STREAMS if auction else _OF_AUCTIONS)
    if foreign:
        kind = "not with" if auction else "only with"
        raise click.UsageError(f"--{foreign[0].replace('_', '-')} is {kind} --auction.")


def _given(names: Collection[str]) -> list[str]:
    context = click.get_current_context()
    return sorted(
        name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    )


class Load(NamedTuple):
    """What is to be measured.

    Attributes:
        address: of the server.
        done: what is said of a connection that is there.
        measure: measures that much, and shows how it goes.
    """

    address: str
    done: str
    measure: Callable[[Size, Watcher], Report | BidReport]


def _measure_stream(target: Target, size: Size, watcher: Watcher) -> Report:
    from tickstorm.bench.run import run_bench

    return run_bench(target, size, watcher)


def _bids(address: str, user: str | None, password: str | None, options: BidOptions) -> Load:
    login = "" if options.no_login else ":".join(ask_login(user, password))
    target = make_bid_target(address, login, options)
    return Load(address, "answered", partial(_measure_bids, target, options.http))


def _measure_bids(target: BidTarget, http: str | None, size: Size, watcher: Watcher) -> BidReport:
    from tickstorm.bench.bid_run import run_bid_bench

    if http is not None:
        create_auctions(http, target, size.seconds)
    return run_bid_bench(target, size, watcher)


def _measured(load: Load, size: Size) -> Report | BidReport:
    from rich.console import Console

    from tickstorm.bench.watching import watching
    from tickstorm.commands.event_text import error_line
    from tickstorm.errors import TickstormError

    console = Console(stderr=True, highlight=False)
    try:
        with watching(
            console, size.connections, size.seconds, time.monotonic, load.done
        ) as watcher:
            return load.measure(size, watcher)
    except TickstormError as error:
        _give_up(error_line(error))
    except OSError as error:
        _give_up(f"{load.address}: {error.strerror or error}")


def _give_up(why: str) -> NoReturn:
    click.echo(f"tickstorm: {why}", err=True)
    sys.exit(1)


def _check(path: str | None) -> None:
    from tickstorm.bench.saving import check_writable

    if path in (None, "-"):
        return
    try:
        check_writable(Path(path))
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None


def _save(path: str, text: str) -> None:
    from tickstorm.bench.saving import save

    try:
        save(Path(path), text)
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None


def _publish(report: Report | BidReport, json_path: str | None, picture_path: str | None) -> None:
    from rich.console import Console

    from tickstorm.bench.page import picture, print_page

    page = _page(report)
    as_json = json.dumps(report.as_json(), indent=2) + "\n"
    if json_path == "-":
        click.echo(as_json, nl=False)
    else:
        print_page(page, Console(highlight=False))
    if json_path not in (None, "-"):
        _save(json_path, as_json)
    if picture_path is None:
        return
    drawn = picture(page)
    if drawn is None:
        click.echo(f"tickstorm: no latencies: no picture in {picture_path}", err=True)
    else:
        _save(picture_path, drawn)


def _page(report: Report | BidReport) -> Page:
    from tickstorm.bench.bid_report import BidReport
    from tickstorm.bench.bid_table import bid_page
    from tickstorm.bench.table import stream_page

    return bid_page(report) if isinstance(report, BidReport) else stream_page(report)


@_adapted
@click.command(
    short_help="Put a load on a server, and measure it.",
    help=f"""Open many subscriptions to a server, and measure what arrives on them.

    With --auction, bid in auctions instead, and measure the RESULTs.

    {ADDRESS_HELP} With --auction it is {DEFAULT_BID_ADDRESS} unless given. A Unix socket cannot be
    measured.

    The measured time, --seconds or {DEFAULT_SECONDS:g} s, begins when all are subscribed. Latencies
    are from the server's publishing to the receipt, by the clocks of the two machines; and, in
    second and minute, corrected for coordinated omission: from when a batch was due, those that
    never came included. If the server is on this machine, its CPU time and memory are measured,
    too.

    Of bids, those are counted as confirmed of which a RESULT says how an auction has decided.
    Latencies are from sending a bid to its RESULT; and, with --rate, corrected likewise: from when
    the bid was due.

    --auctions to --http are for --auction; --mode, --symbols and --heartbeat are for streams.

    The exit code is 0 if nothing was lost; 3 if connections were refused or closed, or there were
    errors, or batches were lost, missing, doubled or damaged, or heartbeats or bids stayed
    unanswered, or bids undecided; 130 after Ctrl-C, with the results so far; and 1 if it could not
    run.
    """,
)
@click.argument("address", required=False)
@click.option(
    "--connections",
    "-n",
    type=click.IntRange(1, MAX_CONNECTIONS),
    metavar="N",
    default=DEFAULT_CONNECTIONS,
    show_default=True,
    help="How many.",
)
@click.option("--auction", is_flag=True, help="Bid in auctions, instead of subscribing.")
@bid_options
@stream_options("second")
@click.option(
    "--ramp",
    type=FiniteRange(0, 10**6, min_open=True),
    metavar="N",
    help="Connections to begin a second, at most; as fast as the server answers unless given, and "
    "with --auction all at once.",
)
@click.option(
    "--heartbeat",
    type=FiniteRange(0.01, 86_400),
    metavar="S",
    help="Seconds between the heartbeats of a connection; what the server says unless given.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Of the load; as many as it takes unless given.",
)
@click.option(
    "--source-address",
    "sources",
    multiple=True,
    metavar="IP",
    callback=_ip_addresses,
    help="Connect from it; may be given several times. On loopback as many as it takes are used.",
)
@click.option(
    "--pid",
    type=click.IntRange(1),
    metavar="PID",
    help="Of the server; the process that listens on the port unless given.",
)
@click.option("--json", "json_path", metavar="FILE", help="Write all figures there; - is stdout.")
@click.option(
    "--picture",
    metavar="FILE",
    callback=_file,
    help="Draw the latencies there, as SVG.",
)
def bench(
    *,
    address: str | None,
    auction: bool,
    user: str | None,
    password: str | None,
    mode: str,
    symbols: frozenset[str] | None,
    connections: int,
    seconds: float | None,
    ramp: float | None,
    heartbeat: float | None,
    processes: int | None,
    sources: tuple[str, ...],
    pid: int | None,
    json_path: str | None,
    picture: str | None,
    **bids: Any,
) -> None:
    """Put a load on a server, and measure it."""
    _require_histograms()
    _check_kind(auction)
    if auction:
        load = _bids(address or DEFAULT_BID_ADDRESS, user, password, BidOptions(**bids))
    else:
        target = make_target(address or DEFAULT_ADDRESS, user, password, mode, symbols)
        load = Load(target.address, "subscribed", partial(_measure_stream, target))
    seconds = DEFAULT_SECONDS if seconds is None else seconds
    try:
        for path in (json_path, picture):
            _check(path)  # before the measurement, if it cannot be written after it

        from tickstorm.bench.run import Size

        size = Size(connections, seconds, ramp, heartbeat, processes, sources, pid)
        report = _measured(load, size)
        _publish(report, json_path, picture)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(report.exit_code)
