"""SECOND to 100,000 connections, spread over the second, from 6 workers, beside limit.c."""

from benchmarks.figures import Asked, Bound
from benchmarks.memory import memory_figures
from benchmarks.rows import Row, run_row
from benchmarks.runs import Size, compared
from benchmarks.spread import spread_pairs
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools

P50 = Asked(Bound(4.0, "ms"), Bound(1.0, "ms"))
P95 = Asked(aim=Bound(5.0, "ms"))
CPU = Asked(Bound(1.50, of_ratio=True))

LIMITED_BY = (
    "All six workers get a moment's batch at once, and share two cores with the six processes of "
    "the load generator: the median is that wait. limit.c has it too, but does not count it: it "
    "takes its time of publishing when a process begins to send, Tickstorm when its parent does, "
    "before any worker has a core. Server and load keep 1.4 of the two cores busy, limit.c and its "
    "load 1.2. The 95th percentile is what that leaves for making up: about once a second one of "
    "the cores was gone for 20 to 30 ms (two loops that only read the clock saw that), and all "
    "workers were 30 to 60 ms behind then. limit.c "
    "itself with 150,000 connections, at 1.9 cores, had a median of 1.6 and a 95th percentile of "
    "6.8 ms. In a profile (perf) 72 % to 78 % of a worker is the kernel's; of the rest most is the "
    "loop around `send`, heartbeats and timers. Of the memory 124 MB are the eight processes "
    "without a connection."
)


def measure(tools: Tools, size: Size, judged: bool) -> Section:
    """Measure pairs of limit.c and Tickstorm."""
    rounds = spread_pairs(tools, size)
    figures = [
        compared("latency, median", "ms", rounds.taken, "p50_ms", asked=P50),
        compared("latency, 95th percentile", "ms", rounds.taken, "p95_ms", asked=P95),
        compared("latency, 99th percentile", "ms", rounds.taken, "p99_ms"),
        compared("CPU per delivered batch", "µs", rounds.taken, "cpu_us", asked=CPU),
        *memory_figures(rounds.taken),
        compared("batches counted, of those due", "%", rounds.taken, "counted_percent"),
    ]
    return Section(
        f"Crowd: one batch a second to each of {size.connections:,} subscribers, "
        f"{counted(size.workers, 'worker')}",
        f"As before, with all connections at once; none was closed in any run. Memory is Pss over "
        f"all processes, at the end of the steady time; the kernel's own for its sockets is not in "
        f"it. {counted(size.pairs, 'pair')} of runs of {size.seconds} s.",
        figures_table(figures, "limit.c", judged),
        LIMITED_BY,
        "python -m benchmarks.crowd",
        rounds.busy,
    )


ROW = Row("crowd", measure, Size(100_000, 10, 3, 6), Size(9_000, 2, 1, 3))

if __name__ == "__main__":
    run_row(ROW, __doc__)
