"""A worker's process as the parent has it: how much it has worked, and its end."""

import os
import signal
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
from workers_server import state, until

from tickstorm.workers.silence import Silence, Verdict
from tickstorm.workers.worker_process import WorkerProcess

STAT = b"71 (a (strange) \xff name) R 1 2 2 0 -1 4194304 9 9 9 9 1234 66 9 9 20 0 1 0 99 99 99\n"
SLEEPING = "import time; time.sleep(600)"
WORKING = "while True: pass"


def stat_of(proc, pid, text):
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_bytes(text)


def test_how_much_it_has_worked_is_what_the_system_says(tmp_path):
    stat_of(tmp_path, 71, STAT)
    with closing(WorkerProcess(71, None, tmp_path)) as process:
        assert process.cpu_seconds() == 1300 / os.sysconf("SC_CLK_TCK")


def test_without_a_word_of_the_system_that_is_not_known(tmp_path):
    assert WorkerProcess(71, None, tmp_path).cpu_seconds() is None


def test_a_handle_is_closed_once():
    ours, theirs = os.pipe()
    process = WorkerProcess(71, ours)
    process.close()
    with pytest.raises(BrokenPipeError):
        os.write(theirs, b"nobody")
    os.close(theirs)
    process.close()


# Real processes.

with_and_without_handle = pytest.mark.parametrize(
    "open_handle", [os.pidfd_open, lambda _: None], ids=["handle", "id"]
)


@contextmanager
def child(program):
    """A process that runs so long that only its end ends it."""
    with subprocess.Popen([sys.executable, "-c", program]) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.real
@with_and_without_handle
def test_its_end_is_at_once_even_if_it_is_stopped(open_handle):
    with child(SLEEPING) as other, child(SLEEPING) as started:
        process = WorkerProcess(started.pid, open_handle(started.pid))
        os.kill(started.pid, signal.SIGSTOP)
        process.end()
        process.end()
        assert started.wait() == -signal.SIGKILL
        process.close()
        assert other.poll() is None


@pytest.mark.real
@with_and_without_handle
def test_one_that_was_let_go_of_is_not_ended(open_handle):
    with child(SLEEPING) as started:
        process = WorkerProcess(started.pid, open_handle(started.pid))
        process.close()
        process.end()
        started.terminate()
        assert started.wait() == -signal.SIGTERM


@pytest.mark.real
def test_one_that_is_gone_cannot_be_met_in_another():
    with child(SLEEPING) as gone, child(SLEEPING) as other:
        process = WorkerProcess(other.pid, os.pidfd_open(gone.pid))  # as when its id came again
        gone.kill()
        gone.wait()
        process.end()
        process.close()
        other.terminate()
        assert other.wait() == -signal.SIGTERM


@pytest.mark.real
def test_one_that_works_is_known_from_one_that_hangs():
    with child(WORKING) as started, closing(WorkerProcess(started.pid, None)) as process:
        silence = Silence()
        while silence.verdict is Verdict.WELL:
            before = process.cpu_seconds()
            until(lambda before=before: process.cpu_seconds() > before, "it works")
            silence.last(1.0, process.cpu_seconds)
        assert silence.verdict is Verdict.BUSY

        os.kill(started.pid, signal.SIGSTOP)
        until(lambda: state(started.pid) == "T", "it is stopped")
        while silence.verdict is Verdict.BUSY:
            silence.last(1.0, process.cpu_seconds)
        assert silence.verdict is Verdict.HANGS
