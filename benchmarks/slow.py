"""One of many clients that stops reading: the server's memory, and the latency of the others."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import NOTHING_ASKED, Asked, Bound, Figure
from benchmarks.latency import percentile
from benchmarks.operators_page import page_text, values
from benchmarks.processes import busy_cores
from benchmarks.rows import Row, run_row
from benchmarks.runs import MEGABYTE, QUIET_SECONDS, Size
from benchmarks.servers import LOGIN, Server, running, tickstorm
from benchmarks.stalling import LARGE_BYTES, LARGE_PER_S, Conduct, Others, stalling
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools
from tickstorm.open_files import raise_limit
from tickstorm.overload import BacklogLimits
from tickstorm.subscriptions import Overload

TICKS_PER_S = 20
"""Of the small stream."""
SETTLING_S = 1.0
"""At the beginning of each phase, in which nothing is timed."""
LOOK_S = 0.25
"""From one look at the server's memory to the next."""
MOVED = Asked(Bound(1.10, of_ratio=True))
GROWN = Asked(Bound(round(BacklogLimits().max_bytes * 1.1 / MEGABYTE, 3), "MB"))

LIMITED_BY = (
    "Memory grows, beside by what waits for the one, by what its socket was handed, and by the "
    "last batches that are kept for all who do not keep up. Of what it is given back, the "
    "allocator keeps up to a megabyte more within the first twenty stalls, and no more after them "
    "(seventy were watched). A client that stalls has the server do about as much as one that "
    "reads (5 % more in six phases each): to melt a batch into those that wait takes it less "
    "(0.03 ms) than to send it. While the one is away nobody wants the large stream, which is "
    "then not even encoded. The rows without a stall show what chance does. Without a core of its "
    "own the others' median is 9 to 12 % later, the 99th percentile 0.95 to 1.10 x (three runs of "
    "six rounds): the reader of the others then waits a quarter longer for a core "
    "(/proc/PID/schedstat: 0.98 instead of 0.79 s in 16 s), for the one that sleeps leaves its own "
    "to the server at other moments."
)


class Phase(NamedTuple):
    """What was seen while one client did one thing.

    Attributes:
        p50_ms, p99_ms: the latency of the others.
        memory_bytes: the most that the server had resident.
        queued_bytes: the most that it said was waiting.
    """

    p50_ms: float
    p99_ms: float
    memory_bytes: int
    queued_bytes: float


class Outcome(NamedTuple):
    """What was seen of a policy.

    Attributes:
        reading, stalled, away: the phases, in their order.
        published_bytes: to the client while it was stalled.
    """

    reading: Sequence[Phase]
    stalled: Sequence[Phase]
    away: Sequence[Phase]
    published_bytes: int


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has (proc(5), statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def apart_from(pid: int) -> Iterator[None]:
    """Give a server one core, and this process, with all that it starts meanwhile, the others.

    Where the scheduler puts whom changes with who is busy, and would show as the server's doing.
    """
    before = os.sched_getaffinity(0)
    its, *others = sorted(before)
    if others:
        os.sched_setaffinity(pid, {its})
        os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def phase(server: Server, pid: int, others: Others, seconds: float) -> Phase:
    """Look at a server for some seconds."""
    latencies: list[float] = []
    memory, queued = 0, 0.0
    began = time.monotonic()
    while (passed := time.monotonic() - began) < SETTLING_S + seconds:
        heard = others.listen(LOOK_S)
        if passed >= SETTLING_S:
            latencies += heard
        memory = max(memory, resident_bytes(pid))
        queued = max(queued, *values(page_text(server), "tickstorm_queued_bytes"))
    return Phase(percentile(latencies, 0.5), percentile(latencies, 0.99), memory, queued)


def run(
    policy: Overload, clients: int, rounds: int, seconds: float, control: bool = False
) -> Outcome:
    """Have one client read, stall and be away by turns.

    Args:
        policy: that client's.
        clients: all of them.
        rounds: how often it does all of it.
        seconds: of each that are timed.
        control: whether it reads all the time, which tells how much chance there is in it.

    Raises:
        Unusable: something was lost that was not to be.
    """
    server = tickstorm(
        "aligned",
        ticks_per_s=TICKS_PER_S,
        TICKSTORM_PUBLISHERS=f"{LOGIN['STREAM_USER']}:H*",
        TICKSTORM_HISTORY="0",
        HEARTBEAT_TIMEOUT="1h",
    )
    reading, stalled, away, published = [], [], [], 0
    with running(server) as (pid,), apart_from(pid), stalling(server.port, policy) as one:
        others = Others(server.port, clients - 1)
        others.listen(2 * SETTLING_S)
        phase(server, pid, others, seconds)  # what the server needs for this at all
        for _ in range(rounds):
            reading.append(phase(server, pid, others, seconds))
            before = one.tell(Conduct.READS if control else Conduct.STALLS)
            stalled.append(phase(server, pid, others, seconds))
            published += one.tell(Conduct.READS if control else Conduct.IS_AWAY) - before
            away.append(phase(server, pid, others, seconds))
            one.tell(Conduct.READS)
        others.close()
    return Outcome(reading, stalled, away, published)


def figures(name: str, outcome: Outcome, stalls: bool = True) -> list[Figure]:
    """Return what is told of a run.

    Args:
        name: what the one client did.
        outcome: of it.
        stalls: whether it is held against what is asked.
    """
    told = [
        Figure(
            f"{name}: latency of the others, {what}{beside}",
            "ms",
            [getattr(phase, field) for phase in outcome.stalled],
            [getattr(phase, field) for phase in yardstick],
            asked,
        )
        for what, field, beside, yardstick, asked in (
            ("median", "p50_ms", "", outcome.reading, NOTHING_ASKED),
            ("99th percentile", "p99_ms", "", outcome.reading, MOVED if stalls else NOTHING_ASKED),
            ("median", "p50_ms", ", beside it away", outcome.away, NOTHING_ASKED),
            ("99th percentile", "p99_ms", ", beside it away", outcome.away, NOTHING_ASKED),
        )
        if stalls or yardstick is outcome.reading
    ]
    if not stalls:
        return told
    waited = max(phase.queued_bytes for phase in outcome.stalled)
    grown = max(
        stalled.memory_bytes - reading.memory_bytes
        for reading, stalled in zip(outcome.reading, outcome.stalled, strict=True)
    )
    most = max(phase.memory_bytes for phase in outcome.stalled)
    in_all = most - outcome.reading[0].memory_bytes
    return [
        *told,
        Figure(f"{name}: published to it meanwhile", "MB", [outcome.published_bytes / MEGABYTE]),
        Figure(f"{name}: waited for it at most", "MB", [waited / MEGABYTE]),
        Figure(f"{name}: memory grew in one stall by", "MB", [grown / MEGABYTE], asked=GROWN),
        Figure(f"{name}: memory grew in all stalls by", "MB", [in_all / MEGABYTE]),
    ]


def measure(tools: Tools, size: Size, judged: bool) -> Section:  # noqa: ARG001 - as every row
    """Measure each policy, and what chance does; CONFLATE alone if it is not judged."""
    raise_limit()
    busy, told = [], []
    of_one = size.connections, size.pairs, size.seconds
    for policy in Overload if judged else [Overload.CONFLATE]:
        busy.append(busy_cores(QUIET_SECONDS))
        told += figures(policy.name, run(policy, *of_one))
    if judged:
        busy.append(busy_cores(QUIET_SECONDS))
        chance = run(Overload.CONFLATE, *of_one, control=True)
        told += figures("nobody stalls", chance, stalls=False)
    return Section(
        f"Slow: one of {size.connections:,} clients that stops reading",
        f"It gets batches of {LARGE_BYTES // 1000} KB, {LARGE_PER_S * LARGE_BYTES / MEGABYTE:.0f} "
        f"MB a second, and reads, stalls and is away by turns; the others get every tick of "
        f"another stream, {TICKS_PER_S} a second. Latency is from the beginning of a batch's "
        f"fan-out to the return of recv, with all others in one process; the server has a core "
        f"for itself. A ratio is that of two phases that follow each other, in one run of "
        f"{counted(size.pairs, 'round')}; each phase has {size.seconds} s.",
        figures_table(told, "it reads", judged, ours="it stalls"),
        LIMITED_BY,
        "python -m benchmarks.slow",
        busy,
    )


ROW = Row("slow", measure, Size(1000, 20, 4), Size(200, 1, 1))

if __name__ == "__main__":
    run_row(ROW, __doc__)
