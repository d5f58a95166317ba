"""`tickstorm publish`: ticks from a file or a pipe to a server."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tickstorm.commands.stream_options import (
    ADDRESS_HELP,
    DEFAULT_ADDRESS,
    ask_login,
    login_options,
)

if TYPE_CHECKING:
    from tickstorm.client import PublisherEvent, Totals
    from tickstorm.commands.publish_progress import Show
    from tickstorm.commands.publishing import Publishing
    from tickstorm.commands.tick_input import TickInput

STDIN = "-"
FAILED = 1
WAITING = "waiting at most 5 s for the answers to what is under way; Ctrl-C ends it at once"


class Request(NamedTuple):
    """Where to publish, and as whom."""

    address: str
    username: str
    password: str


class Input(NamedTuple):
    """What to publish.

    Attributes:
        name: as errors have it.
        descriptor: an open one.
        size: its bytes; None if it has no end that is known.
    """

    name: str
    descriptor: int
    size: int | None


def _arguments(arguments: tuple[str, ...]) -> tuple[str, str]:
    """Return the address and the file: one argument alone may be either."""
    if len(arguments) > 2:
        raise click.UsageError(f"Got unexpected extra argument ({arguments[2]})")
    if len(arguments) == 2:
        return arguments[0], arguments[1]
    if not arguments:
        return DEFAULT_ADDRESS, STDIN
    (only,) = arguments
    is_address = ":" in only and not Path(only).exists()
    return (only, STDIN) if is_address else (DEFAULT_ADDRESS, only)


@contextmanager
def _opened(file: str) -> Iterator[Input]:
    if file == STDIN:
        yield _input("standard input", sys.stdin.fileno())
        return
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    try:
        yield _input(file, descriptor)
    finally:
        os.close(descriptor)


def _input(name: str, descriptor: int) -> Input:
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        raise click.ClickException(f"{name}: it is a directory")
    return Input(name, descriptor, found.st_size if stat.S_ISREG(found.st_mode) else None)


def _tell(event: PublisherEvent, say: Callable[[str], object]) -> None:
    from tickstorm.client import Disconnected
    from tickstorm.commands.event_text import event_line

    if isinstance(event, Disconnected) and event.retry_in is not None:
        say(f"tickstorm: {event_line(event)}")


def _publishing(
    reactor: Any,
    request: Request,
    given: Input,
    source: TickInput,
    *,
    show: Show,
    say: Callable[[str], object],
) -> Publishing:
    from tickstorm.client import twisted_publisher
    from tickstorm.commands.file_reader import FileReader
    from tickstorm.commands.publishing import Publishing

    publisher = twisted_publisher(
        reactor,
        request.address,
        username=request.username,
        password=request.password,
        on_event=lambda event: _tell(event, say),
    )
    return Publishing(
        publisher,
        source,
        given.name,
        read=lambda take, failed: FileReader(reactor, given.descriptor, take, failed),
        confirmed=show,
        waiting=lambda: say(f"tickstorm: {WAITING}"),
    )


def _run(request: Request, given: Input, source: TickInput) -> int:
    from rich.console import Console
    from twisted.internet import reactor

    from tickstorm.commands.event_text import error_line
    from tickstorm.commands.publish_progress import showing, summary
    from tickstorm.commands.running import Run
    from tickstorm.errors import ConfigError

    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False)

    began = time.monotonic()
    with showing(console, given.size) as show:
        try:
            publishing = _publishing(reactor, request, given, source, show=show, say=say)
        except ConfigError as error:
            say(f"tickstorm: {error_line(error)}")
            return FAILED
        code = _told(Run(reactor, publishing).code, lambda: publishing.totals, say)
    if code != FAILED:
        say(f"tickstorm: published {summary(publishing.totals, time.monotonic() - began)}")
    return code


def _told(
    run: Callable[[], int], totals: Callable[[], Totals], say: Callable[[str], object]
) -> int:
    """Return the exit code of a run; an error is one line that says how far it came."""
    from tickstorm.commands.event_text import error_line
    from tickstorm.commands.text import counted
    from tickstorm.errors import TickstormError

    try:
        return run()
    except (TickstormError, OSError) as error:
        say(f"tickstorm: {error_line(error)}; {counted(totals().ticks, 'tick')} published before")
        return FAILED


@click.command(
    short_help="Publish ticks from a file or a pipe.",
    help=f"""Publish the ticks of FILE, or of standard input, to a server.

    {ADDRESS_HELP} FILE is - unless given, which is standard input. An argument that stands alone is
    the FILE; one with a colon in it, of which there is no file, is the ADDRESS.

    It is CSV, whose first line names the columns, in any order: symbol and price, and if they are
    there time, volume, bid, ask, bid_size and ask_size. Or it is JSON, an object a line with these
    as its keys, or timestamp_ms or timestamp_ns in place of time, and metadata. A time is ISO 8601
    with its zone, or a number since the Unix epoch; the server puts in its own if it is left out,
    empty or "now". Either may be compressed with gzip.

    What comes is published at once. If the connection is lost it is made again, and every tick is
    published once. On a terminal it is shown how far it came.

    The exit code is 0 when all is published; 1 after an error: a line that cannot be used, or that
    the server refuses, ends it, and what stands above it is published; and 130 after Ctrl-C,
    which waits some seconds for the answers to what is under way: a second one does not.
    """,
)
@click.argument("arguments", nargs=-1, metavar="[ADDRESS] [FILE]")
@login_options
@click.option(
    "--format",
    "format_name",
    type=click.Choice(("csv", "json"), case_sensitive=False),
    help="Of the input; what its name or its first line tells unless given.",
)
@click.option("--now", is_flag=True, help="Leave all times to the server, whatever is written.")
def publish(
    *,
    arguments: tuple[str, ...],
    user: str | None,
    password: str | None,
    format_name: str | None,
    now: bool,
) -> None:
    """Publish the ticks of a file, or of standard input, to a server."""
    address, file = _arguments(arguments)
    request = Request(address, *ask_login(user, password))

    from tickstorm.commands.tick_input import TickInput
    from tickstorm.commands.tick_lines import Format

    format = None if format_name is None else Format(format_name)
    with _opened(file) as given:
        sys.exit(_run(request, given, TickInput(given.name, format, now=now)))
