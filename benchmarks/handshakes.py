"""Handshakes: how many connections a second one worker takes to their subscription."""

from benchmarks.figures import Asked, Bound
from benchmarks.rows import Row, run_row
from benchmarks.runs import Size, compared, in_turn, run
from benchmarks.servers import limit, tickstorm
from benchmarks.storm import Counting, Load
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools

RATE = Asked(Bound(5000, "a second", at_least=True), Bound(8000, "a second", at_least=True))

LIMITED_BY = (
    "Two thirds of the CPU is Python, a third the kernel (perf). Of the samples (py-spy) about 60"
    " % are in the two requests and their answers: protobuf, the checks of every field, the "
    "digest of the password, the deadline; most of the rest is in what Twisted makes of an "
    "accepted socket. A sixth is the batches of those who are in already."
)


def measure(tools: Tools, size: Size, judged: bool) -> Section:
    """Measure pairs of limit.c and Tickstorm."""
    load = Load(size.connections, size.seconds, Counting.NOT, ramp=0)
    rounds = in_turn(
        [
            lambda: run(tools, limit(tools, "aligned"), load),
            lambda: run(tools, tickstorm("aligned"), load),
        ],
        size.pairs,
    )
    figures = [
        compared("handshakes", "a second", rounds.taken, "handshakes_per_s", asked=RATE, digits=0),
        compared("CPU per handshake", "µs", rounds.taken, "handshake_cpu_us", digits=0),
    ]
    return Section(
        f"Handshakes: {size.connections:,} connections at once, one worker",
        f"Accept, AUTH, ACK, SUBSCRIBE, ACK, until the last of {size.connections:,} is subscribed, "
        f"never more than 200 of them begun and not done. Those who are in get their batch each "
        f"second meanwhile, and that is in the figures. {counted(size.pairs, 'pair')}.",
        figures_table(figures, "limit.c", judged),
        LIMITED_BY,
        "python -m benchmarks.handshakes",
        rounds.busy,
    )


ROW = Row("handshakes", measure, Size(18_000, 2, 3), Size(6_000, 1, 1))

if __name__ == "__main__":
    run_row(ROW, __doc__)
