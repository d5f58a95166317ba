"""`tickstorm record`: a stream into a file that `replay:` plays."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
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
    from tickstorm.client import Batch, Event
    from tickstorm.commands.recorder import Recorder


class Notes:
    """Tells people, a line at a time, with a last line on a terminal that is written over.

    Args:
        output: where to.
        live: whether that is a terminal.
    """

    def __init__(self, output: IO[str], live: bool) -> None:
        self._output = output
        self._live = live

    def line(self, text: str) -> None:
        """Write a line that stays."""
        self._output.write(f"{self._clear}{text}\n")
        self._output.flush()

    def progress(self, text: str) -> None:
        """Write the line that is written over; only on a terminal."""
        if self._live:
            self._output.write(f"{self._clear}{text}")
            self._output.flush()

    @property
    def _clear(self) -> str:
        return "\r\x1b[K" if self._live else ""


class Recording:
    """Writes batches to a recorder once it is subscribed, and tells how it goes.

    Args:
        recorder: takes the rows.
        notes: takes the words.
        count: how many ticks to record; None for no end.
        monotonic: seconds that never go back.
    """

    refresh_interval = 1.0

    def __init__(
        self,
        recorder: Recorder,
        notes: Notes,
        count: int | None,
        monotonic: Callable[[], float],
    ) -> None:
        from tickstorm.commands.recording_text import Rows

        self._recorder = recorder
        self._notes = notes
        self._count = count
        self._monotonic = monotonic
        self._began = monotonic()
        self._rows = Rows()
        self._symbols: set[str] = set()
        self._missing = 0
        self._subscribed = False

    def event(self, event: Event) -> None:
        """Tell of it."""
        from tickstorm.client import Disconnected, Gap, Subscribed
        from tickstorm.commands.event_text import event_line

        if isinstance(event, Gap):
            self._missing += event.batches
        self._subscribed = self._subscribed or isinstance(event, Subscribed)
        last_words = isinstance(event, Disconnected) and event.retry_in is None
        line = "" if last_words else event_line(event)
        if line:
            self._notes.line(f"tickstorm: {line}")

    def batch(self, batch: Batch) -> bool:
        """Record its ticks."""
        left = None if self._count is None else self._count - self._rows.written
        for row in self._rows.of(batch, left):
            self._recorder.add(row)
        self._symbols.update(tick.symbol for tick in batch.ticks)
        return self._count is None or self._rows.written < self._count

    def refresh(self) -> None:
        """Let what came so far be in the file."""
        if not self._subscribed:
            return
        self._recorder.flush()
        self._notes.progress(f"recording: {self._summary()}")

    def close(self) -> None:
        """Complete the file, and say what is in it."""
        if not self._subscribed:
            self._notes.line("tickstorm: recorded nothing")
            return
        self._recorder.close()
        self._notes.line(f"tickstorm: recorded {self._summary()}")
        if self._rows.moved:
            self._notes.line(
                f"tickstorm: the times of {self._rows.moved:,} went back, "
                "and were set to that of the tick before"
            )
        if self._rows.refused:
            self._notes.line(
                f"tickstorm: {self._rows.refused:,} left out, outside the limits of the protocol"
            )

    def _summary(self) -> str:
        from tickstorm.commands.text import counted

        return ", ".join(
            (
                counted(self._rows.written, "tick"),
                counted(len(self._symbols), "symbol"),
                counted(self._recorder.bytes_written, "byte"),
                f"{self._monotonic() - self._began:.0f} s",
                f"{counted(self._missing, 'batch', 'batches')} lost",
            )
        )


def _open(path: str, overwrite: bool) -> IO[bytes]:
    if path == "-":
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")  # to be closed like any other
    return Path(path).open("wb" if overwrite else "xb")


def _check(path: str, overwrite: bool) -> None:
    """Refuse at once what `_open` will not open later."""
    if path == "-":
        return
    there = os.path.lexists(path)
    if there and not overwrite:
        raise click.ClickException(f"{path} is there already: see --overwrite")
    if os.path.isdir(path):  # which, unlike Path.is_dir, says no where it may not look
        raise click.ClickException(f"{path}: {os.strerror(errno.EISDIR)}")
    needed = Path(path) if there else Path(path).parent
    if not there and not os.path.isdir(needed):
        reason = errno.ENOTDIR if os.path.exists(needed) else errno.ENOENT
        raise click.ClickException(f"{path}: {os.strerror(reason)}")
    if not os.access(needed, os.W_OK):
        raise click.ClickException(f"{path}: {os.strerror(errno.EACCES)}")


@click.command(
    short_help="Record the prices of a server into a file.",
    help=f"""Record the prices of a server into FILE, to be played by --source replay:FILE.

    {ADDRESS_HELP}

    FILE is CSV, compressed if its name ends with .gz; - is standard output. A second after a tick
    came it is in the file, which can be played however the recording ends. Until the server lets it
    subscribe there is no file, and one that is to be replaced stays. What is lost on the way is
    told on standard error.

    The exit code is 0 after --count or --seconds, 130 after Ctrl-C, and 1 after an error that will
    not go away, such as a wrong password.
    """,
)
@click.argument("address", nargs=-1, metavar="[ADDRESS]")
@click.argument("file")
@stream_options("tick")
@following_options
@click.option("--overwrite", is_flag=True, help="Replace a FILE that is there.")
def record(
    *,
    address: tuple[str, ...],
    file: str,
    user: str | None,
    password: str | None,
    mode: str,
    symbols: frozenset[str] | None,
    count: int | None,
    seconds: float | None,
    interval: float | None,
    since: int,
    overload: str | None,
    overwrite: bool,
) -> None:
    """Record the prices of a server into FILE."""
    if len(address) > 1:
        raise click.UsageError(f"Got unexpected extra argument ({address[1]})")
    place = address[0] if address else DEFAULT_ADDRESS
    target = refine(
        make_target(place, user, password, mode, symbols),
        interval=interval,
        since=since,
        overload=overload,
    )

    from tickstorm.commands.following import follow
    from tickstorm.commands.recorder import Recorder

    _check(file, overwrite)
    recorder = Recorder(partial(_open, file, overwrite), compressed=file.endswith(".gz"))
    notes = Notes(sys.stderr, sys.stderr.isatty())
    recording = Recording(recorder, notes, count, time.monotonic)
    sys.exit(follow(target, recording, name="record", seconds=seconds))
