"""SECOND to 48,000 connections, spread over the second, from 3 workers, beside limit.c."""

from benchmarks.figures import Asked, Bound
from benchmarks.rows import Row, run_row
from benchmarks.runs import Rounds, Run, Size, compared, in_turn, run
from benchmarks.servers import limit, tickstorm
from benchmarks.storm import Counting, Load
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools

P50 = Asked(Bound(1.0, "ms"), Bound(1.0, of_ratio=True))
P95 = Asked(Bound(5.0, "ms"), Bound(1.0, of_ratio=True))
RAMP = 2500
"""Connections a second: slow enough for all processes of storm.c to be through at the same time.

One that is through early also ends early, and then the server closes its connections while the
others still measure.
"""

LIMITED_BY = (
    "In a profile of one of the workers (py-spy), four fifths of the time that it is busy are in "
    "`send`, 7 % in heartbeats, 5 % in taking the batches from the parent, 4 % in timers. The "
    "median is the place within a moment's own 80 sends of a worker. The 95th percentile is the "
    "wait for a core: alone with its load generator, one worker with 16,000 connections has 0.7 "
    "ms (limit.c 0.5); here three of each and the parent share two cores."
)


def spread_pairs(tools: Tools, size: Size) -> Rounds[Run]:
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
    rounds = spread_pairs(tools, size)
    figures = [
        compared("latency, median", "ms", rounds.taken, "p50_ms", asked=P50),
        compared("latency, 95th percentile", "ms", rounds.taken, "p95_ms", asked=P95),
        compared("latency, 99th percentile", "ms", rounds.taken, "p99_ms"),
        compared("CPU per delivered batch", "µs", rounds.taken, "cpu_us"),
        compared("memory, all processes", "MB", rounds.taken, "memory_mb", digits=0),
        compared("batches counted, of those due", "%", rounds.taken, "counted_percent"),
    ]
    return Section(
        f"Spread: one batch a second to each of {size.connections:,} subscribers, "
        f"{counted(size.workers, 'worker')}",
        f"Each connection has its own moment of the second: one of 200 of limit.c, and one of "
        f"1,000 of Tickstorm, whose workers take turns. limit.c has as many "
        f"processes as Tickstorm has workers; the load generator runs on the same cores. "
        f"{counted(size.pairs, 'pair')} of runs of {size.seconds} s.",
        figures_table(figures, "limit.c", judged),
        LIMITED_BY,
        "python -m benchmarks.spread",
        rounds.busy,
    )


ROW = Row("spread", measure, Size(48_000, 10, 3, 3), Size(6_000, 2, 1, 2))

if __name__ == "__main__":
    run_row(ROW, __doc__)
