"""Ticks delivered a second: 1,000 subscribers, 1,000-tick batches as fast as they are taken."""

import sys
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.figures import Asked, Bound, Figure, Unusable
from benchmarks.flood import TICKS_PER_BATCH, Flood, flood_ticks, from_line
from benchmarks.plain import batch
from benchmarks.processes import Usage
from benchmarks.rows import Row, run_row
from benchmarks.runs import MEGABYTE, Size, in_turn
from benchmarks.servers import Server, free_port, running
from benchmarks.storm import Counting, Load, put
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools
from tickstorm.subscriptions import Mode

RATE = Asked(
    Bound(5, "million", at_least=True),
    Bound(20, "million", at_least=True),
)
MILLION = 1_000_000
MARGIN_S = 3
"""How much longer than the flood the load generator reads: it begins before, and ends after it."""
CHECKED_S = 1
CHECKING_S = 0.01
"""How much longer for each subscriber if it checks checksums: it then reads slower than it gets."""

LIMITED_BY = (
    "A batch takes the hub 7.6 ms: 1,000 ticks are checked, taken into the bars of second and "
    "minute, and serialised, once for everybody. That is nearly half of its time with 1,000 "
    "subscribers; the other half is the kernel's copying, 64 MB a batch."
)


class Throughput(NamedTuple):
    """What a server delivered in a flood, in millions of ticks."""

    per_s: float
    per_cpu_s: float


def saturated(program: str, subscribers: int, seconds: int, output: Path) -> Server:
    """Return a server that floods its subscribers: `saturated`, or `plain`."""
    port = free_port()
    flood = ("flood",) if program == "plain" else ()
    numbers = (str(subscribers), str(seconds))
    command = (sys.executable, "-m", f"benchmarks.{program}", str(port), *flood, *numbers)
    return Server(program, port, command, output=output)


def deliver(tools: Tools, program: str, size: Size, check: bool = False) -> Throughput:
    """Flood the subscribers, and return what they got.

    Exact means: each subscriber had every tick of every batch, and nothing else.

    Args:
        tools: the load generator.
        program: which server.
        size: how many subscribers, and how long.
        check: whether each checksum is checked, which takes longer than anything else here.

    Raises:
        Unusable: something was lost.
    """
    load = Load(
        size.connections,
        size.seconds + MARGIN_S + (ceil(CHECKING_S * size.connections) if check else 0),
        Counting.NOT,
        ramp=0,
        mode=Mode.TICK,
        check=check,
    )
    with TemporaryDirectory() as folder:
        output = Path(folder) / "flood"
        server = saturated(program, size.connections, size.seconds, output)
        with running(server) as pids, Usage(pids) as usage:
            outcome = put(tools, server, load).outcome
        flood = _flood(output)
    ticks = flood.batches * TICKS_PER_BATCH * size.connections
    if outcome.ticks != ticks:
        raise Unusable(f"{outcome.ticks:,} ticks came instead of {ticks:,}")
    cpu_s = usage.cpu_s(flood.began, flood.ended)
    return Throughput(ticks / (flood.ended - flood.began) / MILLION, ticks / cpu_s / MILLION)


def _flood(output: Path) -> Flood:
    line = output.read_text()
    if not line:
        raise Unusable("the flood was not over when the load generator was")
    return from_line(line)


def measure(tools: Tools, size: Size, judged: bool) -> Section:
    """Measure pairs of plain sockets and Tickstorm, after one run that checks every checksum."""
    deliver(tools, "saturated", size._replace(seconds=CHECKED_S), check=True)
    rounds = in_turn(
        [lambda: deliver(tools, "plain", size), lambda: deliver(tools, "saturated", size)],
        size.pairs,
    )
    plain, ours = zip(*rounds.taken, strict=True)
    bytes = len(batch(flood_ticks(), 1))
    megabytes = [run.per_s * MILLION / TICKS_PER_BATCH * bytes / MEGABYTE for run in ours]
    figures = [
        Figure(
            "ticks delivered a second",
            "millions",
            [run.per_s for run in ours],
            [run.per_s for run in plain],
            RATE,
            1,
        ),
        Figure(
            "ticks delivered for a second of CPU",
            "millions",
            [run.per_cpu_s for run in ours],
            [run.per_cpu_s for run in plain],
            digits=1,
        ),
        Figure("bytes delivered a second", "MB", megabytes, digits=0),
    ]
    return Section(
        f"Throughput: {size.connections:,} subscribers to every tick, one worker",
        f"Batches of {TICKS_PER_BATCH:,} ticks, each a frame of {bytes:,} bytes. The next one is "
        f"published when the one before is with the kernel for everybody. Beside it is a loop of "
        f"blocking sockets in Python that encodes the same ticks and does nothing else; limit.c "
        f"has nothing of the kind. The load generator counts every tick; it checks the checksums "
        f"in a run of its own before, as that takes it longer than anything else. "
        f"{counted(size.pairs, 'pair')} of floods of {size.seconds} s.",
        figures_table(figures, "plain sockets", judged),
        LIMITED_BY,
        "python -m benchmarks.throughput",
        rounds.busy,
    )


ROW = Row("throughput", measure, Size(1_000, 8, 3), Size(200, 2, 1))

if __name__ == "__main__":
    run_row(ROW, __doc__)
