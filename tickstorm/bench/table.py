"""What is shown of a report on a stream. Pure."""

from tickstorm.bench.page import Page, each_second, effort_rows, lost_line
from tickstorm.bench.report import Report
from tickstorm.commands.text import counted, printable

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


def stream_page(report: Report) -> Page:
    """Return what is shown."""
    return Page(
        _title(report),
        [(FROM_PUBLISHING, report.latency), (FROM_DUE, report.corrected)],
        [
            ("heartbeat to PONG", report.round_trip),
            ("connection to subscription", report.handshake),
        ],
        _facts(report),
        report.warnings,
    )


def _title(report: Report) -> str:
    asked = report.asked
    symbols = "all symbols" if asked.symbols is None else counted(len(asked.symbols), "symbol")
    connections = counted(report.total.subscribed, "connection")
    return f"{printable(asked.address)}: {connections}, {asked.mode}, {symbols}"


def _facts(report: Report) -> list[tuple[str, str]]:
    total, seconds = report.total, report.outcome.seconds
    reasons = {"refused": total.refusals, "errors": total.errors}
    return [
        ("connections", _connections(report)),
        ("batches", f"{total.batches:,} in {seconds:.1f} s{each_second(total.batches, seconds)}"),
        ("ticks", f"{total.ticks:,}{each_second(total.ticks, seconds)}"),
        ("bytes", f"{total.bytes:,}{each_second(total.bytes, seconds)}"),
        ("lost", lost_line(report.losses, _LOSS_WORDS, reasons)),
        *effort_rows(report.effort, "batch", total.batches),
    ]


def _connections(report: Report) -> str:
    speed = report.effort.handshakes_per_second
    pace = f", {speed:,.0f} a second" if report.total.subscribed else ""
    return f"{report.total.subscribed:,} of {report.asked.connections:,} subscribed{pace}"
