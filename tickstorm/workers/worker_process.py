"""A worker's process, as the parent has it: no child of its own, and yet its to end.

The nursery that has forked it may be gone, and another one knows nothing of it. The system gives
its id to others once it is gone. A handle, which the nursery makes at its birth, always means it.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12
"""Where its CPU times are, behind the name in parentheses (proc(5): fields 14 and 15)."""


class WorkerProcess:
    """One worker's process.

    Args:
        pid: its id.
        handle: a descriptor of it (pidfd_open(2)), which now belongs to this object. None where
            there is none: then the id has to do, which is right while the link to the worker is
            there, and for moments after it, since ids are given out in turn.
        proc: where the system tells of processes.
    """

    def __init__(self, pid: int, handle: int | None, proc: Path = PROC) -> None:
        self.pid = pid
        self._handle = handle
        self._held = True
        self._stat = proc / str(pid) / "stat"

    def cpu_seconds(self) -> float | None:
        """Return how much CPU time it has had so far; None if that cannot be known."""
        try:
            fields = self._stat.read_bytes().rpartition(b")")[2].split()
        except OSError:  # it is gone, or there is no such file system
            return None
        return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_PER_SECOND

    def end(self) -> None:
        """End it at once, unless it is gone or was let go of.

        Raises:
            OSError: this process may not.
        """
        with suppress(ProcessLookupError):
            if self._handle is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            elif self._held:
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it: it is gone, or ended. Calling it again changes nothing."""
        handle, self._handle = self._handle, None
        self._held = False
        if handle is not None:
            os.close(handle)
