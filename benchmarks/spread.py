"""SECOND to 48,000 connections, spread over the second, from 3 workers, beside limit.c."""

from collections.abc import Sequence

from benchmarks.figures import Asked, Bound
from benchmarks.rows import Row, run_row
from benchmarks.runs import Run, Size, compared, in_turn, run
from benchmarks.servers import limit, tickstorm
from benchmarks.storm import Counting, Load
from benchmarks.table import Section, figures_table
from benchmarks.yardsticks import Tools

P50 = Asked(Bound(1.0, "ms"), Bound(1.0, of_ratio=True))
P95 = Asked(Bound(5.0, "ms"), Bound(1.0, of_ratio=True))
RAMP = 2500
"""Connections a second: slow enough for all processes of storm.c to be through at the same time.

One that is through early also ends early, and then the server closes its connections while the
others still measure.
"""

LIMITED_BY = (
    "In a profile of one worker with 16,000 connections the kernel's `send` has 62 % of its CPU "
    "(limit.c: 87 %), heartbeats 13 %, and the 200 moments of each second, with their bars and "
    "encoding, about 5 %. The median is the place in the slot's own queue, 80 connections of a "
    "worker; the 95th percentile is the wait for a core, which the workers share with the load "
    "generator."
)


def spread_pairs(tools: Tools, size: Size) -> Sequence[tuple[Run, ...]]:
    """Return pairs of runs of limit.c and Tickstorm, with as many processes as each other."""
    load = Load(size.connections, size.seconds, Counting.SPREAD, RAMP)
    return in_turn(
        [
            lambda: run(tools, limit(tools, "spread", size.workers), load, memory=True),
            lambda: run(tools, tickstorm("spread", size.workers), load, memory=True),
        ],
        size.pairs,
    )


def measure(tools: Tools, size: Size, judged: bool) -> Section:
    """Measure pairs of limit.c and Tickstorm."""
    pairs = spread_pairs(tools, size)
    figures = [
        compared("latency, median", "ms", pairs, "p50_ms", asked=P50),
        compared("latency, 95th percentile", "ms", pairs, "p95_ms", asked=P95),
        compared("latency, 99th percentile", "ms", pairs, "p99_ms"),
        compared("CPU per delivered batch", "µs", pairs, "cpu_us"),
        compared("memory, all processes", "MB", pairs, "memory_mb", digits=0),
        compared("batches counted, of those due", "%", pairs, "counted_percent"),
    ]
    return Section(
        f"Spread: one batch a second to each of {size.connections:,} subscribers, "
        f"{size.workers} workers",
        f"Each connection has its own one of 200 moments of the second. limit.c has as many "
        f"processes as Tickstorm has workers; the load generator runs on the same cores. "
        f"{size.pairs} pairs of runs of {size.seconds} s.",
        figures_table(figures, "limit.c", judged),
        LIMITED_BY,
        "python -m benchmarks.spread",
    )


ROW = Row("spread", measure, Size(48_000, 10, 3, 3), Size(6_000, 3, 1, 2))

if __name__ == "__main__":
    run_row(ROW, __doc__)
