"""How a measurement goes, shown while it does: bars on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from tickstorm.bench.jobs import Progress
from tickstorm.bench.measurement import Watcher

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

SECONDS_BETWEEN_LINES = 5.0


class LineWatcher:
    """Writes a line now and then.

    Args:
        output: where.
        connections: how many there are to be.
        seconds: how long the measurement is.
        monotonic: seconds that never go back.
        done: what is said of a connection that is there.
    """

    def __init__(
        self,
        output: IO[str],
        connections: int,
        seconds: float,
        monotonic: Callable[[], float],
        done: str,
    ) -> None:
        self._output = output
        self._connections = connections
        self._seconds = seconds
        self._monotonic = monotonic
        self._done = done
        self._next = monotonic() + SECONDS_BETWEEN_LINES

    def connecting(self, progress: Progress) -> None:
        """Say so when the time for it has come, and when all are there."""
        if progress.ready or self._due():
            refused = f", {progress.refused:,} refused" if progress.refused else ""
            self._say(f"{progress.subscribed:,} of {self._connections:,} {self._done}{refused}")

    def measuring(self, seconds: float) -> None:
        """Say so when the time for it has come."""
        if self._due():
            self._say(f"measured {seconds:.0f} of {self._seconds:g} s")

    def _due(self) -> bool:
        return self._monotonic() >= self._next

    def _say(self, text: str) -> None:
        self._output.write(f"tickstorm: {text}\n")
        self._output.flush()
        self._next = self._monotonic() + SECONDS_BETWEEN_LINES


class BarWatcher:
    """Moves two bars, one for the connections and one for the time.

    Args:
        bars: where.
        connections: how many there are to be.
        seconds: how long the measurement is.
    """

    def __init__(self, bars: Bars, connections: int, seconds: float) -> None:
        self._bars = bars
        self._connecting = bars.add_task("connecting", total=connections)
        self._measuring = bars.add_task("measuring", total=seconds)

    def connecting(self, progress: Progress) -> None:
        """Move the first bar."""
        self._bars.update(self._connecting, completed=progress.subscribed + progress.refused)

    def measuring(self, seconds: float) -> None:
        """Move the second bar."""
        self._bars.update(self._measuring, completed=seconds)


@contextmanager
def watching(
    console: Console,
    connections: int,
    seconds: float,
    monotonic: Callable[[], float],
    done: str = "subscribed",
) -> Iterator[Watcher]:
    """Show a measurement as long as the block lasts, in the way that suits the console.

    `done` is what is said of a connection that is there.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield LineWatcher(console.file, connections, seconds, monotonic, done)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        yield BarWatcher(bars, connections, seconds)
