"""The fan-out, measured side by side with a C server that does the least the protocol allows.

Both servers send one batch of the same size a second to every subscriber, all at the second; both
answer heartbeats; one load generator takes the batches and checks each checksum. The runs
alternate, so that both see the same noise, and the ratio of each pair is what counts.

The C programs, limit.c and storm.c, are not part of this package: `--tools` says where they are.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tickstorm.bars import Bar
from tickstorm.frames import OVERHEAD_BYTES
from tickstorm.messages import Mode, bar_record, batch_frame
from tickstorm.ticks import Tick

ROOT = Path(__file__).resolve().parent.parent
LOGIN = {"STREAM_USER": "bench", "STREAM_PASS": "bench"}
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.05
START_SECONDS = 10.0


class Run(NamedTuple):
    """What one server did under the load: CPU in microseconds a delivered batch, latency in ms."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    handshakes_per_s: float
    delivered: int


class Yardstick(NamedTuple):
    """The C programs, compiled."""

    limit: Path
    storm: Path


def compile_tools(tools: Path, folder: Path) -> Yardstick:
    """Compile limit.c and storm.c into a folder."""
    for name in ("limit", "storm"):
        source = tools / f"{name}.c"
        if not source.exists():
            sys.exit(f"{source} is not there: say with --tools where limit.c and storm.c are")
        subprocess.run(["gcc", "-O2", "-w", "-o", folder / name, source], check=True)
    return Yardstick(folder / "limit", folder / "storm")


def batch_bytes() -> int:
    """Return the size of the frame that a subscriber of one symbol's bars gets each second."""
    bar = Bar(Tick("S1", 100.0, 10.0, time.time_ns(), 99.99, 100.01, 100, 100))
    now_ns = time.time_ns()
    frame = batch_frame(
        [bar_record(bar, Mode.SECOND)],
        timestamp_ms=now_ns // 1_000_000,
        sequence=1000,
        publish_time_ns=now_ns,
    )
    return len(frame)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """Return the user and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


class CpuRecord:
    """A process's CPU time, sampled while the block runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "CpuRecord":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def between(self, start: float, end: float) -> float:
        """Return the seconds used from one time.time() to another."""
        return self._at(end) - self._at(start)

    def _at(self, when: float) -> float:
        return min(self._samples, key=lambda sample: abs(sample[0] - when))[1]

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._samples.append((time.time(), cpu_seconds(self._pid)))


@contextmanager
def running(command: Sequence[str | Path], port: int) -> Iterator[int]:
    """Run a server until the block ends; its process id, once it listens on the port."""
    with subprocess.Popen(
        command,
        env={**os.environ, **LOGIN, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            await_listener(port)
            yield server.pid
        finally:
            server.terminate()


def await_listener(port: int) -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port} after {START_SECONDS:g} s")


def load(storm: Path, port: int, pid: int, subscribers: int, seconds: int) -> Run:
    """Put the load on a server, and return what it did over the steady seconds."""
    with CpuRecord(pid) as record:
        began = time.time()
        done = subprocess.run(
            [storm, "ts", str(port), str(subscribers), str(seconds), "1"],
            env={**os.environ, **LOGIN, "CRC": "1"},
            stdout=subprocess.PIPE,
            check=True,
        )
        result: Mapping[str, Any] = json.loads(done.stdout)
    for what in ("closed", "refused", "errors", "badcrc"):
        if result[what]:
            sys.exit(f"no figure is of use, the load generator saw {what} {result[what]} times")
    steady = began + result["connect_s"]
    return Run(
        record.between(steady, steady + seconds) / (subscribers * seconds) * 1e6,
        result["p50_ms"],
        result["p99_ms"],
        subscribers / max(result["connect_s"], 0.01),
        result["batches"],
    )


def server_command(port: int) -> list[str | Path]:
    """Return the command of the whole server, with one symbol and every feature as it comes."""
    return [
        Path(sys.executable).with_name("twistd"), "-n", "--pidfile=", "tickstorm",
        "--port", f"tcp:{port}:interface=127.0.0.1", "--http", "off",
        "--source", "walk:symbols=1:rate=10", "--log-level", "warn",
    ]  # fmt: skip


def measure(tools: Yardstick, subscribers: int, seconds: int, pairs: int) -> list[tuple[Run, Run]]:
    """Return alternating runs: the yardstick's and the server's."""
    tick_bytes = batch_bytes() - OVERHEAD_BYTES - 11
    measured = []
    for pair in range(pairs):
        port = free_port()
        limit: list[str | Path] = [
            tools.limit,
            str(port),
            "aligned",
            str(tick_bytes),
            str(seconds + 60),
        ]
        with running(limit, port) as pid:
            least = load(tools.storm, port, pid, subscribers, seconds)
        port = free_port()
        with running(server_command(port), port) as pid:
            ours = load(tools.storm, port, pid, subscribers, seconds)
        measured.append((least, ours))
        print(f"pair {pair + 1} of {pairs}: {least.cpu_us:.2f} and {ours.cpu_us:.2f} µs a batch")
    return measured


class Row(NamedTuple):
    """One line of the table: a figure of both servers, and of each pair their ratio."""

    name: str
    unit: str
    least: float
    ours: float
    ratio: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return (
            f"| {self.name}, {self.unit} | {self.least:,.2f} | {self.ours:,.2f} "
            f"| {self.ratio:.2f} ({self.lowest:.2f} to {self.highest:.2f}) |"
        )


FIGURES = (
    ("CPU per delivered batch", "µs", "cpu_us"),
    ("latency, median", "ms", "p50_ms"),
    ("latency, 99th percentile", "ms", "p99_ms"),
    ("handshakes", "a second", "handshakes_per_s"),
)


def rows(measured: Sequence[tuple[Run, Run]]) -> list[Row]:
    """Return the medians over the pairs."""
    table = []
    for name, unit, figure in FIGURES:
        least = [getattr(pair[0], figure) for pair in measured]
        ours = [getattr(pair[1], figure) for pair in measured]
        ratios = [mine / theirs for theirs, mine in zip(least, ours, strict=True)]
        middle = statistics.median
        table.append(
            Row(name, unit, middle(least), middle(ours), middle(ratios), min(ratios), max(ratios))
        )
    return table


def machine() -> str:
    """Say what this was measured on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = ", ".join(f"{name} {version(name)}" for name in ("Twisted", "protobuf"))
    return (
        f"{os.cpu_count()} cores and {pages / 2**30:.0f} GiB of memory for everything together, "
        f"{platform.system()} {platform.release().split('-')[0]}, "
        f"CPython {platform.python_version()}, {versions}"
    )


def page(measured: Sequence[tuple[Run, Run]], subscribers: int, seconds: int) -> str:
    """Return the page for docs."""
    table = "\n".join(map(str, rows(measured)))
    return f"""# Benchmarks

This page is written by `make bench`. Absolute figures hold for one machine on one day; what tells
is the ratio of two servers measured side by side, run by run in turn.

## Fan-out: one batch a second to each of {subscribers:,} subscribers, aligned

Measured on {datetime.now(UTC):%Y-%m-%d}: {machine()}.

`limit.c` is a C program that does the least the protocol allows: it knows no limits, no checks and
no queues. Tickstorm is one process with everything on, as `twistd tickstorm` starts it. The load
generator `storm.c` runs on the same machine, sends each connection's heartbeats, and checks every
checksum. {len(measured)} alternating pairs of runs of {seconds} s; a batch is about
{batch_bytes()} bytes; CPU is user and system time of the server's process over the steady seconds,
heartbeats included.

| | limit.c | Tickstorm | ratio: median (lowest to highest) |
|---|---|---|---|
{table}

The ratio is the median of the ratios of the pairs, which need not be that of the two medians.

Nothing was lost in any run: the load generator saw no closed connection, no error and no wrong
checksum. All batches of a second leave as fast as the kernel takes them, so the latency of
the last subscriber is the time of the whole fan-out; nearly all of that is the kernel's `send`.

To repeat it: `make bench`, or `python -m benchmarks.fanout --help` for other sizes. It needs gcc
and the two C programs in the folder that `--tools` names.
"""


def main() -> None:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tools", type=Path, default=ROOT.parent / "shared" / "tools")
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tools = compile_tools(options.tools, Path(folder))
        measured = measure(tools, options.subscribers, options.seconds, options.pairs)
    text = page(measured, options.subscribers, options.seconds)
    if options.write is not None:
        options.write.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
