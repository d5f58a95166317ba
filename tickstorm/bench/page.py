"""A report as people read it, whatever was measured. Pure but for the function that prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tickstorm.bench.effort import Effort
from tickstorm.bench.latencies import PERCENTILES, Summary
from tickstorm.bench.picture import Curve, draw
from tickstorm.commands.text import NONE, counted, milliseconds, printable

if TYPE_CHECKING:
    from rich.console import Console

Timed = tuple[str, Summary | None]
"""What was timed: its name, and its figures if there are any."""


class Page(NamedTuple):
    """What is shown of a report.

    Attributes:
        title: a line.
        latencies: what the measurement is about; these are drawn, too, at most two of them.
        timed: what else was timed.
        facts: everything else, each as a name and a line.
        warnings: a line each.
    """

    title: str
    latencies: Sequence[Timed]
    timed: Sequence[Timed]
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]


def latency_rows(page: Page) -> list[tuple[str, ...]]:
    """Return what was timed, each as its name and its figures in milliseconds."""
    timed = (*page.latencies, *page.timed)
    return [(name, *_cells(summary)) for name, summary in timed if summary is not None]


def picture(page: Page) -> str | None:
    """Return the latencies as an SVG document; None if there are none."""
    curves = [
        Curve(name, summary.points) for name, summary in page.latencies if summary is not None
    ]
    return draw(page.title, curves) if curves else None


def print_page(page: Page, console: Console) -> None:
    """Print the whole."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(page.title, style="bold"), soft_wrap=True)
    latencies = Table("ms", box=None, pad_edge=False, header_style="dim")
    for name in (*(f"p{percentile:g}" for percentile in PERCENTILES), "max"):
        latencies.add_column(name, justify="right")
    for row in latency_rows(page):
        latencies.add_row(*row)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, line in page.facts:
        facts.add_row(Text(name, style="dim"), Text(line))
    console.print()
    if latencies.row_count:
        console.print(latencies)
        console.print()
    console.print(facts)
    for warning in page.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)


def each_second(amount: int, seconds: float) -> str:
    """Return how much of something that is a second, to stand behind the amount."""
    return f", {amount / seconds:,.0f} a second" if seconds else ""


def lost_line(
    losses: Mapping[str, int],
    words: Mapping[str, str],
    reasons: Mapping[str, Mapping[str, int]],
) -> str:
    """Return what was lost.

    Args:
        losses: how much of what, by name.
        words: what each name stands for.
        reasons: how often which one was given, for some of the names.
    """
    lost = [
        f"{count:,} {words[name]}{_because(reasons.get(name, {}))}"
        for name, count in losses.items()
        if count
    ]
    return ", ".join(lost) or "nothing"


def effort_rows(effort: Effort, noun: str, count: int) -> list[tuple[str, str]]:
    """Return what server and load took, as facts.

    Args:
        effort: that.
        noun: what CPU time is told for each of.
        count: how many there were.
    """
    server = _server(effort, noun, count)
    rows = [("server", server)] if server else []
    return [*rows, ("load generator", _load(effort, noun, count))]


def _cells(summary: Summary) -> Iterable[str]:
    figures = (*(summary.percentiles[percentile] for percentile in PERCENTILES), summary.max)
    return map(milliseconds, figures)


def _because(reasons: Mapping[str, int]) -> str:
    told = ", ".join(f"{times:,} {printable(of)}" for of, times in sorted(reasons.items()))
    return f" ({told})" if told else ""


def _server(effort: Effort, noun: str, count: int) -> str:
    use = effort.outcome.server
    if use is None:
        return ""
    words = [counted(len(use.pids), "process", "processes")]
    words.append(f"{100 * effort.server_cpu:.0f} % of a core")
    if count:
        # The kernel counts in hundredths of a second: below that, nothing is known.
        each = f"{use.cpu * 1e6 / count:.1f}" if use.cpu else NONE
        words.append(f"{each} µs a {noun}")
    if use.memory is not None:
        words.append(f"{use.memory / 1e6:,.0f} MB")
    return ", ".join(words)


def _load(effort: Effort, noun: str, count: int) -> str:
    total = effort.total
    words = [counted(effort.processes, "process", "processes")]
    if total.wall_ns:
        words.append(f"{100 * total.cpu_ns / total.wall_ns:.0f} % of a core")
        words.append(f"the busiest {100 * effort.busiest:.0f} %")
    if count:
        words.append(f"{total.cpu_ns / 1e3 / count:.1f} µs a {noun}")
    if effort.lag is not None:
        words.append(f"late by {milliseconds(effort.lag.percentiles[99.0])} ms (p99)")
    return ", ".join(words)
