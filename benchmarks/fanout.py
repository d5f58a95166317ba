"""The fan-out, aligned: one batch a second to each of 10,000 subscribers, beside limit.c."""

from benchmarks.figures import Asked, Bound
from benchmarks.rows import Row, run_row
from benchmarks.runs import Size, compared, in_turn, run
from benchmarks.servers import batch_bytes, limit, tickstorm
from benchmarks.storm import Load
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools

CPU = Asked(Bound(1.30, of_ratio=True), Bound(1.10, of_ratio=True))
P99 = Asked(Bound(1.30, of_ratio=True), Bound(1.15, of_ratio=True))

LIMITED_BY = (
    "In a profile (perf) the kernel's `send` has 64 % of the server's CPU, and the kernel as a "
    "whole 70 %; with limit.c it is 74 % and 98 %. Nearly all of the rest is the loop around "
    "`send`, `Outlet.deliver` (py-spy finds all samples of the fan-out in it); the bars and the "
    "encoding, once a second, are too few to be seen. The last subscriber's latency is the time "
    "of the whole fan-out: as many sends as there are subscribers."
)


def measure(tools: Tools, size: Size, judged: bool) -> Section:
    """Measure pairs of limit.c and Tickstorm."""
    load = Load(size.connections, size.seconds)
    rounds = in_turn(
        [
            lambda: run(tools, limit(tools, "aligned"), load),
            lambda: run(tools, tickstorm("aligned"), load),
        ],
        size.pairs,
    )
    figures = [
        compared("CPU per delivered batch", "µs", rounds.taken, "cpu_us", asked=CPU),
        compared("latency, median", "ms", rounds.taken, "p50_ms"),
        compared("latency, 99th percentile", "ms", rounds.taken, "p99_ms", asked=P99),
    ]
    return Section(
        f"Fan-out: one batch a second to each of {size.connections:,} subscribers, aligned",
        f"One worker. All batches of a second are due at the second. A batch is "
        f"{batch_bytes()} bytes; {counted(size.pairs, 'pair')} of runs of {size.seconds} s.",
        figures_table(figures, "limit.c", judged),
        LIMITED_BY,
        "python -m benchmarks.fanout",
        rounds.busy,
    )


ROW = Row("fanout", measure, Size(10_000, 10, 5), Size(2_000, 2, 1))

if __name__ == "__main__":
    run_row(ROW, __doc__)
