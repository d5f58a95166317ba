"""Processes as the kernel counts them: their CPU time and their memory, sampled at little cost.

CPU time is user and system time; memory is Pss, which counts a page that several processes share
only once.
"""

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Unusable
from tickstorm.bench.server_process import machine_busy

SAMPLE_SECONDS = 0.05
MEMORY_SECONDS = 1.0


class Sample(NamedTuple):
    """A value at a moment of time.time()."""

    at: float
    value: float


def parse_cpu_s(text: str, ticks_per_second: int) -> float:
    """Read /proc/PID/stat; the name in it may have spaces and brackets."""
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / ticks_per_second


def parse_pss_bytes(text: str) -> int:
    """Read /proc/PID/smaps_rollup.

    Raises:
        ValueError: it has no line of that name.
    """
    for line in text.splitlines():
        name, *fields = line.split()
        if name == "Pss:":
            return int(fields[0]) * 1024
    raise ValueError("there is no Pss in it")


def interpolated(samples: Sequence[Sample], when: float) -> float:
    """Return the value at a moment between the samples; before and behind them, the nearest."""
    at = bisect_left(samples, when, key=lambda sample: sample.at)
    if at == 0 or at == len(samples):
        return samples[min(at, len(samples) - 1)].value
    before, after = samples[at - 1], samples[at]
    part = (when - before.at) / (after.at - before.at)
    return before.value + part * (after.value - before.value)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that some processes have used.

    Raises:
        OSError: one of them is gone.
    """
    return sum(_cpu_s(pid) for pid in pids)


def pss_bytes(pids: Iterable[int]) -> int:
    """Return the memory of some processes.

    Raises:
        OSError: one of them is gone.
    """
    return sum(parse_pss_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in pids)


def busy_cores(seconds: float) -> float:
    """Return how many cores were busy over the next seconds, whatever with."""
    before = machine_busy()
    time.sleep(seconds)
    return (machine_busy() - before) / seconds


def _cpu_s(pid: int) -> float:
    return parse_cpu_s(Path(f"/proc/{pid}/stat").read_text(), os.sysconf("SC_CLK_TCK"))


class Usage:
    """What a server's processes use, sampled by a thread while the block runs.

    Args:
        pids: all of them.
        memory: whether memory is sampled too, which disturbs them a little.
    """

    def __init__(self, pids: Collection[int], memory: bool = False) -> None:
        self._pids = pids
        self._memory_wanted = memory
        self._cpu: list[Sample] = []
        self._memory: list[Sample] = []
        self._gone: OSError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Usage":
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def cpu_s(self, start: float, end: float) -> float:
        """Return the CPU seconds used from one time.time() to another.

        Raises:
            Unusable: one of the processes ended.
        """
        self._check()
        return interpolated(self._cpu, end) - interpolated(self._cpu, start)

    def pss_bytes(self, when: float) -> float:
        """Return the memory at a time.time(); 0 if it was not asked for.

        Raises:
            Unusable: one of the processes ended.
        """
        self._check()
        return interpolated(self._memory, when) if self._memory else 0.0

    def _check(self) -> None:
        if self._gone is not None:
            raise Unusable(f"a process of the server ended: {self._gone}")

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            try:
                self._sample()
            except OSError as error:
                self._gone = error
                return

    def _sample(self) -> None:
        now = time.time()
        self._cpu.append(Sample(now, cpu_seconds(self._pids)))
        if self._memory_wanted and (not self._memory or now - self._memory[-1].at > MEMORY_SECONDS):
            self._memory.append(Sample(now, pss_bytes(self._pids)))
