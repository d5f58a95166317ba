"""Memory of all processes with 100,000 connections on 6 workers, beside limit.c."""

from collections.abc import Sequence

from benchmarks.figures import Asked, Bound, Figure
from benchmarks.rows import Row, run_row
from benchmarks.runs import Run, Size, compared
from benchmarks.spread import spread_pairs
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools

MEMORY = Asked(Bound(400, "MB"), Bound(250, "MB"))

LIMITED_BY = (
    "On the machine of docs/scaling.md a connection costs some 1,300 bytes, object by object in "
    "that page, of which 0.8 KB are Twisted's transport, the socket and the reactor's tables. "
    "Without connections a server with six workers has 124 MB there: 45 the parent, 17 the "
    "process that forks the workers, 10 each worker, 6 of them its own: pages whose objects it "
    "has counted references to."
)


def memory_figures(pairs: Sequence[tuple[Run, ...]]) -> list[Figure]:
    """Return the memory in pairs of runs."""
    return [
        compared("memory, all processes", "MB", pairs, "memory_mb", asked=MEMORY, digits=0),
        compared("memory for each connection", "bytes", pairs, "connection_bytes", digits=0),
    ]


def measure(tools: Tools, size: Size, judged: bool) -> Section:
    """Measure pairs of limit.c and Tickstorm."""
    rounds = spread_pairs(tools, size)
    return Section(
        f"Memory: {size.connections:,} subscribers, {counted(size.workers, 'worker')}",
        f"Pss over all processes, {size.seconds} s after the last connection; the kernel's own "
        f"for its sockets is not in it. {counted(size.pairs, 'pair')}.",
        figures_table(memory_figures(rounds.taken), "limit.c", judged),
        LIMITED_BY,
        "python -m benchmarks.memory",
        rounds.busy,
    )


ROW = Row("memory", measure, Size(100_000, 3, 3, 6), Size(12_000, 2, 1, 3))

if __name__ == "__main__":
    run_row(ROW, __doc__)
