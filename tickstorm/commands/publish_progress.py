"""How publishing goes, shown while it does: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tickstorm.client import Totals
from tickstorm.commands.text import counted

if TYPE_CHECKING:
    from rich.console import Console

Show = Callable[[int, Totals], object]
"""Takes how many bytes were read, and what is published."""


@contextmanager
def showing(console: Console, size: int | None) -> Iterator[Show]:
    """Show it as long as the block lasts, in the way that suits the console.

    Args:
        console: where.
        size: bytes of the input; None if it has no end that is known.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _read, _totals: None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("publishing"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=size)

        def show(read: int, totals: Totals) -> None:
            bars.update(bar, completed=read, description=counted(totals.ticks, "tick"))

        yield show


def summary(totals: Totals, seconds: float) -> str:
    """Return what was published, in a line."""
    rate = totals.ticks / seconds if seconds > 0 else 0.0
    return ", ".join(
        (
            counted(totals.ticks, "tick"),
            counted(totals.requests, "request"),
            f"{seconds:.1f} s",
            f"{rate:,.0f} ticks/s",
            f"{totals.repeated:,} repeated",
        )
    )
