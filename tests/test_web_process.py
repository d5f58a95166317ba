"""The process's metrics: what /proc says, and what is left when it says nothing."""

import os
import resource

import pytest
from prometheus_client import CollectorRegistry

from tickstorm.web.process import ProcessCollector

PAGE = resource.getpagesize()
TICKS = os.sysconf("SC_CLK_TCK")
STAT = f"42 (a) odd name) S {' '.join(str(number) for number in range(1, 19))} {3 * TICKS} 0 0\n"


def samples(collector):
    return {sample.name: sample.value for each in collector.collect() for sample in each.samples}


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "self/fd").mkdir(parents=True)
    (tmp_path / "self/statm").write_text("300 20 10 1 0 30 0\n")
    (tmp_path / "self/stat").write_text(STAT)
    (tmp_path / "stat").write_text("cpu 1 2 3\nintr 5 6\nbtime 1700000000\nprocesses 7\n")
    return tmp_path


def test_the_numbers_are_those_of_proc(proc):
    found = samples(ProcessCollector(proc))
    assert found.pop("process_cpu_seconds_total") > 0
    assert found == {
        "process_max_fds": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "process_virtual_memory_bytes": 300 * PAGE,
        "process_resident_memory_bytes": 20 * PAGE,
        "process_start_time_seconds": 1700000003.0,
        "process_open_fds": (proc / "self/fd").stat().st_size,
    }


def test_without_proc_there_is_less(tmp_path):
    assert set(samples(ProcessCollector(tmp_path))) == {
        "process_cpu_seconds_total",
        "process_max_fds",
    }


@pytest.mark.real
def test_open_files_are_counted():
    registry = CollectorRegistry()
    registry.register(ProcessCollector())
    before = registry.get_sample_value("process_open_fds")
    if before is None:
        pytest.skip("this kernel does not say how many files are open")
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    after = registry.get_sample_value("process_open_fds")
    for file in files:
        os.close(file)
    assert after - before == 50
