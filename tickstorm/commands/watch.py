"""`tickstorm watch`: the prices as they come, as a table, as lines or as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

import click

from tickstorm.commands.stream_options import (
    ADDRESS_HELP,
    DEFAULT_ADDRESS,
    following_options,
    make_target,
    refine,
    stream_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from tickstorm.client import Batch, Event, ReceivedTick
    from tickstorm.commands.board import Board


class Lines:
    """Writes a line for each tick to one stream, and what else happens to another.

    Args:
        board: knows the prices before.
        render: makes the line of a tick.
        output: takes the lines, those of a batch at once.
        tell: takes the events.
        count: how many ticks to write; None for no end.
    """

    refresh_interval = 3600.0

    def __init__(
        self,
        board: Board,
        render: Callable[[ReceivedTick, Batch, Board], str],
        output: IO[str],
        tell: Callable[[str], None],
        count: int | None,
    ) -> None:
        self._board = board
        self._render = render
        self._output = output
        self._tell = tell
        self._left = count

    def event(self, event: Event) -> None:
        """Tell of it."""
        from tickstorm.client import Disconnected
        from tickstorm.commands.event_text import event_line

        last_words = isinstance(event, Disconnected) and event.retry_in is None
        line = "" if last_words else event_line(event)
        if line:
            self._tell(f"tickstorm: {line}")

    def batch(self, batch: Batch) -> bool:
        """Write its ticks."""
        ticks = batch.ticks if self._left is None else batch.ticks[: self._left]
        lines = []
        for tick in ticks:
            self._board.take(batch._replace(ticks=(tick,)))
            lines.append(self._render(tick, batch, self._board) + "\n")
        if lines:
            self._output.write("".join(lines))
            self._output.flush()
        if self._left is None:
            return True
        self._left -= len(ticks)
        return self._left > 0

    def refresh(self) -> None:
        """Nothing is to be done."""

    def close(self) -> None:
        """Nothing is left."""


class Screen:
    """Shows a board on a terminal, and its last state when it ends.

    Args:
        board: what to show.
        console: where.
        count: how many ticks to see; None for no end.
        wall_ns: nanoseconds since the Unix epoch.
    """

    refresh_interval = 0.2

    def __init__(
        self, board: Board, console: Console, count: int | None, wall_ns: Callable[[], int]
    ) -> None:
        from rich.live import Live

        self._board = board
        self._console = console
        self._count = count
        self._wall_ns = wall_ns
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def event(self, event: Event) -> None:
        """Keep it for the next refresh."""
        self._board.note(event, self._wall_ns())

    def batch(self, batch: Batch) -> bool:
        """Keep it for the next refresh."""
        self._board.take(batch)
        return self._count is None or self._board.ticks < self._count

    def refresh(self) -> None:
        """Show what there is."""
        from rich.text import Text

        from tickstorm.commands.screen import screen_lines

        width, height = self._console.size
        lines = screen_lines(self._board, self._wall_ns(), width, height - 1)
        shown = Text("\n", no_wrap=True, overflow="crop").join(
            Text.assemble(*line) for line in lines
        )
        self._live.start()
        self._live.update(shown, refresh=True)

    def close(self) -> None:
        """Leave the last state on the terminal, if there was ever anything to show."""
        if self._live.is_started or self._board.batches:
            self.refresh()
        self._live.stop()


def _plain(tick: ReceivedTick, batch: Batch, board: Board) -> str:
    from tickstorm.commands.board import Quote
    from tickstorm.commands.tick_text import tick_line

    return tick_line(tick, batch, board.quotes.get(tick.symbol) or Quote(tick))


def _json(tick: ReceivedTick, batch: Batch, board: Board) -> str:  # noqa: ARG001 - as _plain
    from tickstorm.commands.tick_text import tick_json

    return json.dumps(tick_json(tick, batch))


def _tell(line: str) -> None:
    click.echo(line, err=True)


@click.command(
    help=f"""Watch the prices of a server.

    {ADDRESS_HELP}

    On a terminal it is a live table; volume and ticks count from the start of the watch. Else, or
    with --plain, it is a line a tick with nine columns: time, symbol, last, change since the first
    seen, the same in percent, volume, bid, ask, and the latency in ms from the server's publishing
    to the receipt, by the clocks of the two machines; "-" is not known. What happens to the
    connection is then told on standard error.

    The exit code is 0 after --count or --seconds, 130 after Ctrl-C, and 1 after an error that will
    not go away, such as a wrong password.
    """
)
@click.argument("address", default=DEFAULT_ADDRESS)
@stream_options("second")
@following_options
@click.option("--plain", is_flag=True, help="A line a tick, also on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a tick.")
def watch(
    *,
    address: str,
    user: str | None,
    password: str | None,
    mode: str,
    symbols: frozenset[str] | None,
    count: int | None,
    seconds: float | None,
    interval: float | None,
    since: int,
    overload: str | None,
    plain: bool,
    as_json: bool,
) -> None:
    """Watch the prices of a server."""
    target = refine(
        make_target(address, user, password, mode, symbols),
        interval=interval,
        since=since,
        overload=overload,
    )

    from rich.console import Console

    from tickstorm.commands.board import Board, stream_name
    from tickstorm.commands.following import Sink, follow

    board = Board(address, stream_name(target.mode, target.interval))
    console = Console(highlight=False)
    table = console.is_terminal and not (console.is_dumb_terminal or plain or as_json)
    sink: Sink
    if table:
        sink = Screen(board, console, count, time.time_ns)
    else:
        sink = Lines(board, _json if as_json else _plain, sys.stdout, _tell, count)
    sys.exit(follow(target, sink, name="watch", seconds=seconds, snapshot=table))
