"""A long run: how memory drifts, how late the sweeps are, and whether anything is lost.

    python -m benchmarks.soak --minutes 30 --connections 20000

It samples every SAMPLE_SECONDS after a settling time, and stops by itself.
"""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.figures import Unusable
from benchmarks.processes import pss_bytes
from benchmarks.rows import parser
from benchmarks.runs import MEGABYTE
from benchmarks.servers import Server, running, tickstorm
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
PAGE_SECONDS = 10.0
PARTS = 5
"""The first and the last of so many parts are compared."""
SWEEP_AGE, LOOP_LAG = "tickstorm_last_sweep_age_seconds", "tickstorm_loop_lag_seconds"


class Sample(NamedTuple):
    """What was seen at one moment; of several workers the worst."""

    memory_mb: float
    sweep_age_s: float
    loop_lag_s: float


def gauge(text: str, name: str) -> float:
    """Return the highest value of a metric in Prometheus' text, whatever its labels.

    Raises:
        ValueError: it is not there.
    """
    values = [
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith((f"{name} ", f"{name}{{"))
    ]
    return max(values)


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
    url = f"http://127.0.0.1:{server.page}/metrics"
    with urllib.request.urlopen(url, timeout=PAGE_SECONDS) as answer:
        text = answer.read().decode()
    return Sample(pss_bytes(pids) / MEGABYTE, gauge(text, SWEEP_AGE), gauge(text, LOOP_LAG))


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
    text = report(load, seen, outcome)
    lost = fault(load, outcome) or miscount(load, outcome)
    if lost is not None:
        raise Unusable(f"{lost}\n{text}")
    return text


def main() -> None:
    """Soak a server."""
    parsing = parser(__doc__)
    parsing.add_argument("--minutes", type=float, default=30.0, metavar="N")
    parsing.add_argument("--connections", type=int, default=20_000, metavar="N")
    parsing.add_argument("--workers", type=int, default=2, metavar="N")
    options = parsing.parse_args()
    load = Load(options.connections, round(options.minutes * 60), Counting.SPREAD)
    try:
        with compiled(options.tools) as tools:
            print(soak(tools, load, options.workers))
    except (Unusable, OSError, ValueError) as reason:
        sys.exit(f"no figure is of use: {reason}")


if __name__ == "__main__":
    main()
