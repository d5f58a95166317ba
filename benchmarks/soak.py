"""A long run: how memory drifts, how late the sweeps are, and whether anything is lost.

    python -m benchmarks.soak --minutes 30 --connections 20000

It samples every SAMPLE_SECONDS after a settling time, and stops by itself.
"""

import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Collection, Iterator, Sequence
from math import inf
from statistics import median
from typing import NamedTuple

from benchmarks.figures import Unusable
from benchmarks.operators_page import page_text, values
from benchmarks.processes import pss_bytes
from benchmarks.rows import parser, positive
from benchmarks.runs import MEGABYTE
from benchmarks.servers import Server, running, tickstorm
from benchmarks.signals import ending_in_order
from benchmarks.storm import (
    CONNECT_SECONDS,
    Counting,
    Load,
    Outcome,
    fault,
    miscount,
    parse_outcome,
    started,
)
from benchmarks.yardsticks import Tools, compiled

SAMPLE_SECONDS = 10.0
SETTLING_PART = 0.1
"""Of the whole time, before the first sample; no less than that of the ramp."""
PARTS = 5
"""The first and the last of so many parts are compared."""
LEAST_MINUTES = 1.0
"""So much of it is behind the settling that each part has a sample, and one is to spare."""
SWEEP_AGE, LOOP_LAG = "tickstorm_last_sweep_age_seconds", "tickstorm_loop_lag_seconds"


class Sample(NamedTuple):
    """What was seen at one moment; of several workers the worst."""

    memory_mb: float
    sweep_age_s: float
    loop_lag_s: float


def drift_percent(values: Sequence[float]) -> float:
    """Return how far the median of the last fifth is above that of the first.

    Raises:
        ValueError: there are less than PARTS values.
    """
    if len(values) < PARTS:
        raise ValueError(f"{len(values)} values have no {PARTS} parts")
    part = len(values) // PARTS
    return (median(values[-part:]) / median(values[:part]) - 1) * 100


def report(load: Load, samples: Sequence[Sample], outcome: Outcome) -> str:
    """Return what the run was like."""
    memory = [sample.memory_mb for sample in samples]
    expected = load.connections * load.seconds
    return "\n".join(
        [
            f"{load.connections:,} connections, {load.seconds:,} s, {len(samples)} samples",
            f"memory: {memory[0]:,.1f} MB at first, {memory[-1]:,.1f} MB at last, "
            f"drift {drift_percent(memory):+.2f} % from the first to the last fifth",
            f"oldest sweep: {max(sample.sweep_age_s for sample in samples):.2f} s, "
            f"latest {max(sample.loop_lag_s for sample in samples) * 1e3:,.1f} ms late",
            f"latency: median {outcome.p50_ms:.2f} ms, 99th percentile {outcome.p99_ms:.2f} ms, "
            f"longest {outcome.max_ms:.1f} ms",
            f"batches: {outcome.timed:,} of {expected:,}, {expected - outcome.timed:+,} lost or "
            f"under way at the ends",
        ]
    )


def look(server: Server, pids: Collection[int]) -> Sample:
    """Sample a server.

    Raises:
        OSError: its page does not answer, or a process of it is gone.
    """
    text = page_text(server)
    sweep_age, loop_lag = (max(values(text, name)) for name in (SWEEP_AGE, LOOP_LAG))
    return Sample(pss_bytes(pids) / MEGABYTE, sweep_age, loop_lag)


def samples(
    server: Server, pids: Collection[int], load: subprocess.Popen[str], settling_s: float
) -> Iterator[Sample]:
    """Yield samples until the load ends."""
    wait = settling_s
    while True:
        try:
            load.wait(wait)
        except subprocess.TimeoutExpired:
            yield look(server, pids)
            wait = SAMPLE_SECONDS
        else:
            return


def soak(tools: Tools, load: Load, workers: int) -> str:
    """Run a server under a long load, and return the report.

    Raises:
        Unusable: it lost something, or did not last.
    """
    server = tickstorm("spread", workers)
    settling_s = load.connections / load.ramp + SETTLING_PART * load.seconds
    latest = time.monotonic() + CONNECT_SECONDS + load.seconds
    with running(server) as pids, started(tools, server, load) as storm:
        seen = []
        for sample in samples(server, pids, storm, settling_s):
            seen.append(sample)
            print(f"  {sample.memory_mb:,.1f} MB, loop lag {sample.loop_lag_s * 1e3:.1f} ms")
            if time.monotonic() > latest:
                raise Unusable("the load generator does not end")
        line = storm.stdout.read() if storm.stdout is not None else ""
    if not line:
        raise Unusable(f"the load generator failed, with exit code {storm.returncode}")
    outcome = parse_outcome(line)
    lost = fault(load, outcome) or miscount(load, outcome)
    if lost is not None:
        raise Unusable(lost)
    return report(load, seen, outcome)


def minutes(text: str) -> float:
    """Read how long to soak: long enough for a sample in each part.

    Raises:
        ArgumentTypeError: it is too short.
        ValueError: it is no number.
    """
    number = float(text)
    if not LEAST_MINUTES <= number < inf:
        raise ArgumentTypeError(f"less than {LEAST_MINUTES:g} would show no drift: {text}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Soak a server."""
    parsing = parser(__doc__)
    parsing.add_argument("--minutes", type=minutes, default=30.0, metavar="N")
    parsing.add_argument("--connections", type=positive, default=20_000, metavar="N")
    parsing.add_argument("--workers", type=positive, default=2, metavar="N")
    options = parsing.parse_args(arguments)
    load = Load(options.connections, round(options.minutes * 60), Counting.SPREAD)
    try:
        with ending_in_order(), compiled(options.tools) as tools:
            print(soak(tools, load, options.workers))
    except (Unusable, OSError, ValueError) as reason:
        sys.exit(f"no figure is of use: {reason}")


if __name__ == "__main__":
    main()
