"""The process's own metrics, under the names that Prometheus' clients agree on.

prometheus_client has a collector of these too. It counts the open files by listing them, which
with 100,000 connections holds the reactor up for about 90 ms a scrape; here the kernel is asked
for their number.
"""

import os
import resource
from collections.abc import Iterator
from math import inf
from pathlib import Path
from time import process_time

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PROC = Path("/proc")


class ProcessCollector(Collector):
    """Collects what the operating system says of this process; without a /proc, only its CPU time.

    Args:
        proc: where that file system is.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it is now."""
        yield CounterMetricFamily(
            "process_cpu_seconds", "User and system CPU time spent.", process_time()
        )
        yield GaugeMetricFamily("process_max_fds", "How many files may be open.", _max_files())
        try:
            yield from self._from_proc()
        except OSError:
            return

    def _from_proc(self) -> Iterator[Metric]:
        virtual, resident = map(int, (self._proc / "self/statm").read_text().split()[:2])
        page = resource.getpagesize()
        yield GaugeMetricFamily("process_virtual_memory_bytes", "Virtual memory.", virtual * page)
        yield GaugeMetricFamily(
            "process_resident_memory_bytes", "Resident memory.", resident * page
        )
        yield GaugeMetricFamily(
            "process_start_time_seconds", "When the process began.", self._start_time()
        )
        open_files = (self._proc / "self/fd").stat().st_size
        if open_files:  # Linux before 6.2 does not say
            yield GaugeMetricFamily("process_open_fds", "How many files are open.", open_files)

    def _start_time(self) -> float:
        # proc(5): the 22nd field, counted from the name in parentheses, in ticks since the boot.
        after_name = (self._proc / "self/stat").read_text().rpartition(")")[2].split()
        boot = (self._proc / "stat").read_text().partition("\nbtime ")[2].split(maxsplit=1)[0]
        return int(boot) + int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def _max_files() -> float:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if limit == resource.RLIM_INFINITY else limit
