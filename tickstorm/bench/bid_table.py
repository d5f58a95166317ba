"""What is shown of a report on bids. Pure."""

from tickstorm.bench.bid_report import BidReport
from tickstorm.bench.page import Page, each_second, effort_rows, lost_line
from tickstorm.commands.text import counted, printable

FROM_SENDING, FROM_DUE = "bid to RESULT", "due to RESULT, corrected"
_LOSS_WORDS = {
    "refused": "connections refused",
    "closed": "connections closed",
    "errors": "errors",
    "undecided": "bids not decided",
    "unconfirmed": "bids without a RESULT",
    "unsent": "bids not sent",
    "garbled": "connections garbled",
    "processes": "processes of the load, with what they saw",
}


def bid_page(report: BidReport) -> Page:
    """Return what is shown."""
    return Page(
        _title(report),
        [(FROM_SENDING, report.latency), (FROM_DUE, report.corrected)],
        [("connection to first RESULT", report.first)],
        _facts(report),
        report.warnings,
    )


def _title(report: BidReport) -> str:
    asked = report.asked
    words = [
        counted(report.total.subscribed, "connection"),
        counted(asked.auctions, "auction"),
        f"{asked.pipeline:,} outstanding each",
    ]
    if asked.per_second is not None:
        words.append(f"{asked.per_second:,g} bids a second")
    if asked.bid_ids:
        words.append("with ids")
    return f"{printable(asked.address)}: {', '.join(words)}"


def _facts(report: BidReport) -> list[tuple[str, str]]:
    total, seconds, confirmed = report.total, report.outcome.seconds, report.confirmed
    reasons = {
        "refused": total.refusals,
        "errors": total.errors,
        "undecided": report.undecided,
    }
    decided = ", ".join(f"{times:,} {name}" for name, times in report.decided.items())
    return [
        ("connections", _connections(report)),
        ("confirmed", f"{confirmed:,} bids in {seconds:.1f} s{each_second(confirmed, seconds)}"),
        *([("decided", decided)] if decided else []),
        ("lost", lost_line(report.losses, _LOSS_WORDS, reasons)),
        *effort_rows(report.effort, "bid", confirmed),
    ]


def _connections(report: BidReport) -> str:
    speed = report.effort.handshakes_per_second
    pace = f", {speed:,.0f} a second" if report.total.subscribed else ""
    return f"{report.total.subscribed:,} of {report.asked.connections:,} answered{pace}"
