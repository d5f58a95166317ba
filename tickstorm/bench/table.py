"""A report as people read it. Pure but for the last function, which prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tickstorm.bench.latencies import PERCENTILES, Summary
from tickstorm.bench.picture import Curve, draw
from tickstorm.bench.report import Report
from tickstorm.commands.text import NONE, counted, milliseconds, printable

if TYPE_CHECKING:
    from rich.console import Console

FROM_PUBLISHING, FROM_DUE = "publishing to receipt", "due to receipt, corrected"
_LOSS_WORDS = {
    "refused": "connections refused",
    "closed": "connections closed",
    "errors": "errors",
    "gaps": "gaps in a sequence",
    "lost": "batches lost in gaps",
    "repeats": "batches twice",
    "restarts": "sequences begun anew",
    "missing": "batches missing by the period",
    "overdue": "batches that only others had",
    "unanswered": "heartbeats unanswered",
    "crc_failures": "checksums wrong",
    "garbled": "connections garbled",
    "processes": "processes of the load, with what they saw",
}


def latency_rows(report: Report) -> list[tuple[str, ...]]:
    """Return what was timed, each as its name and its figures in milliseconds."""
    timed = (
        (FROM_PUBLISHING, report.latency),
        (FROM_DUE, report.corrected),
        ("heartbeat to PONG", report.round_trip),
        ("connection to subscription", report.handshake),
    )
    return [(name, *_cells(summary)) for name, summary in timed if summary is not None]


def fact_rows(report: Report) -> list[tuple[str, str]]:
    """Return everything else, each as a name and a line."""
    total, seconds = report.total, report.outcome.seconds
    rows = [
        ("connections", _connections(report)),
        ("batches", f"{total.batches:,} in {seconds:.1f} s{_each_second(total.batches, seconds)}"),
        ("ticks", f"{total.ticks:,}{_each_second(total.ticks, seconds)}"),
        ("bytes", f"{total.bytes:,}{_each_second(total.bytes, seconds)}"),
        ("lost", ", ".join(_losses(report)) or "nothing"),
    ]
    server = _server(report)
    return [*rows, *([("server", server)] if server else []), ("load generator", _load(report))]


def picture(report: Report) -> str:
    """Return the latencies of a report that has some as an SVG document."""
    curves = [
        Curve(name, summary.points)
        for name, summary in ((FROM_PUBLISHING, report.latency), (FROM_DUE, report.corrected))
        if summary is not None
    ]
    return draw(_title(report), curves)


def print_report(report: Report, console: Console) -> None:
    """Print the whole."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(_title(report), style="bold"), soft_wrap=True)
    latencies = Table("ms", box=None, pad_edge=False, header_style="dim")
    for name in (*(f"p{percentile:g}" for percentile in PERCENTILES), "max"):
        latencies.add_column(name, justify="right")
    for row in latency_rows(report):
        latencies.add_row(*row)
    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, line in fact_rows(report):
        facts.add_row(Text(name, style="dim"), Text(line))
    console.print()
    if latencies.row_count:
        console.print(latencies)
        console.print()
    console.print(facts)
    for warning in report.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)


def _title(report: Report) -> str:
    asked = report.asked
    symbols = "all symbols" if asked.symbols is None else counted(len(asked.symbols), "symbol")
    connections = counted(report.total.subscribed, "connection")
    return f"{printable(asked.address)}: {connections}, {asked.mode}, {symbols}"


def _cells(summary: Summary) -> Iterable[str]:
    figures = (*(summary.percentiles[percentile] for percentile in PERCENTILES), summary.max)
    return map(milliseconds, figures)


def _connections(report: Report) -> str:
    speed = f", {report.handshakes_per_second:,.0f} a second" if report.total.subscribed else ""
    return f"{report.total.subscribed:,} of {report.asked.connections:,} subscribed{speed}"


def _each_second(amount: int, seconds: float) -> str:
    return f", {amount / seconds:,.0f} a second" if seconds else ""


def _losses(report: Report) -> Iterable[str]:
    why = {"refused": report.total.refusals, "errors": report.total.errors}
    for name, count in report.losses.items():
        if count:
            reasons = ", ".join(f"{times:,} {printable(of)}" for of, times in _table(why, name))
            yield f"{count:,} {_LOSS_WORDS[name]}" + (f" ({reasons})" if reasons else "")


def _table(tables: dict[str, dict[str, int]], name: str) -> Iterable[tuple[str, int]]:
    return sorted(tables.get(name, {}).items())


def _server(report: Report) -> str:
    use = report.outcome.server
    if use is None:
        return ""
    words = [counted(len(use.pids), "process", "processes")]
    words.append(f"{100 * report.server_cpu:.0f} % of a core")
    if report.total.batches:
        # The kernel counts in hundredths of a second: below that, nothing is known.
        each = f"{use.cpu * 1e6 / report.total.batches:.1f}" if use.cpu else NONE
        words.append(f"{each} µs a batch")
    if use.memory is not None:
        words.append(f"{use.memory / 1e6:,.0f} MB")
    return ", ".join(words)


def _load(report: Report) -> str:
    total = report.total
    words = [counted(report.asked.processes, "process", "processes")]
    if total.wall_ns:
        words.append(f"{100 * total.cpu_ns / total.wall_ns:.0f} % of a core")
        words.append(f"the busiest {100 * report.busiest:.0f} %")
    if total.batches:
        words.append(f"{total.cpu_ns / 1e3 / total.batches:.1f} µs a batch")
    if report.lag is not None:
        words.append(f"late by {milliseconds(report.lag.percentiles[99.0])} ms (p99)")
    return ", ".join(words)
