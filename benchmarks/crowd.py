"""SECOND to 100,000 connections, spread over the second, from 6 workers, beside limit.c."""

from benchmarks.figures import Asked, Bound
from benchmarks.memory import memory_figures
from benchmarks.rows import Row, run_row
from benchmarks.runs import Size, compared
from benchmarks.spread import spread_pairs
from benchmarks.table import Section, figures_table
from benchmarks.yardsticks import Tools

P50 = Asked(Bound(4.0, "ms"), Bound(1.0, "ms"))
P95 = Asked(aim=Bound(5.0, "ms"))
CPU = Asked(Bound(1.50, of_ratio=True))

LIMITED_BY = (
    "There are two cores for the workers and as many processes of the load generator, and one "
    "batch costs both together 11 to 16 µs: 100,000 of them a second are more than one core. So "
    "the wait for a core decides the latency, beyond the median all of it. Within a worker it is "
    "as above: the kernel's `send` has about 60 % of the CPU. A connection's memory is 2.0 KB of "
    "Python objects (tracemalloc): 0.8 KB are Twisted's transport, the socket and the reactor's "
    "tables, the rest is the session, the outlet, the deadline and the address."
)


def measure(tools: Tools, size: Size, judged: bool) -> Section:
    """Measure pairs of limit.c and Tickstorm."""
    pairs = spread_pairs(tools, size)
    figures = [
        compared("latency, median", "ms", pairs, "p50_ms", asked=P50),
        compared("latency, 95th percentile", "ms", pairs, "p95_ms", asked=P95),
        compared("latency, 99th percentile", "ms", pairs, "p99_ms"),
        compared("CPU per delivered batch", "µs", pairs, "cpu_us", asked=CPU),
        *memory_figures(pairs),
        compared("batches counted, of those due", "%", pairs, "counted_percent"),
    ]
    return Section(
        f"Crowd: one batch a second to each of {size.connections:,} subscribers, "
        f"{size.workers} workers",
        f"As before, with all connections at once. None was lost in any run: none was closed, and "
        f"the sum of the batches is right. Memory is Pss over all processes, at the end of the "
        f"steady time; the kernel's own for its sockets is not in it. {size.pairs} pairs of runs "
        f"of {size.seconds} s.",
        figures_table(figures, "limit.c", judged),
        LIMITED_BY,
        "python -m benchmarks.crowd",
    )


ROW = Row("crowd", measure, Size(100_000, 10, 3, 6), Size(12_000, 3, 1, 3))

if __name__ == "__main__":
    run_row(ROW, __doc__)
