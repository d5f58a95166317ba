"""cpu_log: the CPU time of processes of which some end, and others begin."""

import pytest

from tickstorm.bench.cpu_log import CpuLog


def test_each_process_counts_up_to_when_it_was_last_seen():
    log = CpuLog({1: 100.0, 2: 7.0})
    assert (log.used, log.ended({1: 0, 2: 0})) == (0.0, 0)
    log.look({1: 103.0, 2: 7.5})
    log.look({2: 8.0, 3: 0.25})
    assert log.used == pytest.approx(3.0 + 1.0 + 0.25)
    assert sorted(log.pids) == [1, 2, 3]
    assert log.ended({2: 8.0}) == 2


def test_all_of_them_end():
    log = CpuLog({1: 80.0})
    log.look({})
    assert (log.used, log.ended({})) == (0.0, 1)


def test_another_process_with_the_number_of_one_that_ended_takes_nothing_away():
    log = CpuLog({1: 80.0})
    log.look({1: 1.0})
    assert log.used == 0.0
