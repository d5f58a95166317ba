"""Why not all figures of a report are to be believed. Pure.

A load generator that is the bottleneck measures itself. So whatever may have held it up is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickstorm.bench.effort import Effort
    from tickstorm.bench.latencies import Summary
    from tickstorm.bench.report import Report

BUSY = 0.9
"""A process of the load that ran for this part of the time may have been what took the time."""
MACHINE_BUSY = 0.95
"""The same of all cores of the machine of the load."""
LAG_MS, LAG_SHARE = 5.0, 0.5
"""The same of a load that read so late at its p99, and for such a part of the latency's p99."""
SILENT_SECONDS = 3.0
"""A stream of ticks without one for so long at the end may have ended."""
_BOUNDS = "latencies are upper bounds"


def doubts(report: Report) -> tuple[str, ...]:
    """Return a line for each reason; none if there is no doubt."""
    return (
        *doubts_of_load(report.effort, report.latency, local=report.asked.local),
        *_of_the_clocks(report),
        *_of_the_stream(report),
    )


def doubts_of_load(effort: Effort, latency: Summary | None, *, local: bool) -> tuple[str, ...]:
    """Return those that any load may raise.

    Args:
        effort: what it took.
        latency: what it measured.
        local: whether the server is on this machine.
    """
    return (
        *effort.outcome.endings,
        *_of_the_server(effort),
        *_of_the_load(effort, latency),
        *_of_the_machine(effort, local=local),
    )


def _of_the_server(effort: Effort) -> Iterator[str]:
    use = effort.outcome.server
    if use is not None and use.ended:
        processes = "1 process" if use.ended == 1 else f"{use.ended:,} processes"
        yield f"{processes} of the server ended in the measured time"


def _of_the_load(effort: Effort, latency: Summary | None) -> Iterator[str]:
    if effort.busiest_connecting >= BUSY:
        yield (
            f"the load generator was busy {100 * effort.busiest_connecting:.0f} % of the time "
            "while it connected: the server may be able to do more handshakes a second"
        )
    if effort.busiest >= BUSY:
        yield f"the load generator was busy {100 * effort.busiest:.0f} % of the time: {_BOUNDS}"
    if effort.lag is not None and latency is not None:
        lag = effort.lag.percentiles[99.0]
        if lag >= max(LAG_MS, LAG_SHARE * latency.percentiles[99.0]):
            yield f"the load generator read up to {lag:.0f} ms late (p99): {_BOUNDS}"


def _of_the_machine(effort: Effort, *, local: bool) -> Iterator[str]:
    if effort.machine_busy >= MACHINE_BUSY:
        whose = ", which has the server and the load generator," if local else ""
        busy = f"{100 * effort.machine_busy:.0f} %"
        yield f"this machine{whose} was busy {busy} of the time: {_BOUNDS}"


def _of_the_clocks(report: Report) -> Iterator[str]:
    ahead, early = report.asked.ahead_ms, report.total.early
    if ahead:
        way = "ahead of" if ahead > 0 else "behind"
        yield (
            f"the server's clock is {abs(ahead):,.0f} ms {way} this one: latencies are put right "
            "by that, and are as sure as it is"
        )
    if early:
        yield f"{early:,} batches came before they were published, as the clocks have it"


def _of_the_stream(report: Report) -> Iterator[str]:
    outcome, period = report.outcome, report.asked.period
    if not report.total.subscribed or not outcome.seconds:
        return
    if report.total.batches:
        silent = (outcome.ended_ns - report.total.last_received_ns) / 1e9
        # With a period, what did not come is missing.
        if not period and silent >= SILENT_SECONDS:
            yield f"no batch arrived in the last {silent:.0f} s of the measured time"
    elif period > outcome.seconds:
        yield f"a batch comes once in {period:g} s: measure for longer"
    else:
        yield "no batch arrived in the measured time"
