"""The nursery: a process that has loaded all that a worker needs, and forks workers when asked.

It runs no reactor and no thread, so that forking is safe; what it has loaded is frozen, so that its
memory is shared by all workers as long as possible. Its only ties are a socket to the parent: a
packet asks for a worker, packets tell of those that began and ended: with the handle that comes
along, the parent can end one whatever has become of the nursery. With its parent it ends, and
whoever of its workers has not noticed within moments ends with it.

`python -m tickstorm.workers DESCRIPTOR` runs it, on the descriptor of that socket.
"""

import errno
import gc
import os
import pickle
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

from tickstorm.open_files import raise_limit
from tickstorm.workers.spec import (
    BIRTH_DESCRIPTORS,
    MAX_PACKET,
    Birth,
    Born,
    Ended,
    News,
    Unborn,
    WorkerSpec,
)

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a terminal or a service manager sends to a whole group. It is for the parent, which tells
the others; whatever is ignored here is ignored in a worker too, until that takes it."""

PATIENCE = 5.0
"""Seconds that workers have to end by themselves after the parent is gone."""


def no_handles(pid: int) -> int:
    """Refuse to make a handle, as a system does that has none.

    Raises:
        OSError: always.
    """
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), pid)


class Processes(NamedTuple):
    """The system's calls for processes, as `os` has them; not everywhere it has all."""

    fork: Callable[[], int] = os.fork
    wait: Callable[[int, int], tuple[int, int]] = os.waitpid
    kill: Callable[[int, int], object] = os.kill
    open: Callable[[int], int] = getattr(os, "pidfd_open", no_handles)


class Nursery:
    """Forks workers.

    Args:
        parent: the way to it.
        processes: has them.
        patience: as PATIENCE.
    """

    def __init__(
        self,
        parent: socket.socket,
        processes: Processes = Processes(),
        patience: float = PATIENCE,
    ) -> None:
        self._parent = parent
        self._processes = processes
        self._patience = patience
        self._children: set[int] = set()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve the parent until it is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker)
        parent, served = self._parent.fileno(), True
        while served:
            readable, _, _ = select.select([parent, self._woken], [], [])
            if self._woken in readable:
                self._wake()
            if parent in readable:
                served = self.serve_one()
        self.see_off()

    def close(self) -> None:
        """Leave the parent, and let go of what wakes this up."""
        self._parent.close()
        os.close(self._woken)
        os.close(self._waker)

    def serve_one(self) -> bool:
        """Do what the next packet asks for; whether the parent is still there."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._parent, MAX_PACKET, BIRTH_DESCRIPTORS)
        except OSError:  # it is gone, and has not read all of the news
            return False
        if not packet:
            return False
        birth: Birth = pickle.loads(packet)  # noqa: S301 - of this program's own process
        load(birth.modules)
        self._bear(birth.number, descriptors)
        return True

    def tell_of_the_ended(self) -> None:
        """Take note of every worker that has ended, and tell the parent."""
        while True:
            try:
                pid, status = self._processes.wait(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._children.discard(pid)
            self._tell(Ended(pid, os.waitstatus_to_exitcode(status)))

    def see_off(self) -> None:
        """Wait for the workers to end, and end who does not: the parent is gone."""
        too_late = time.monotonic() + self._patience
        while self._children and (left := too_late - time.monotonic()) > 0:
            if select.select([self._woken], [], [], left)[0]:
                self._wake()
        for pid in self._children:
            self._processes.kill(pid, signal.SIGKILL)

    def _wake(self) -> None:
        os.read(self._woken, 4096)
        self.tell_of_the_ended()

    def _bear(self, number: int, descriptors: Sequence[int]) -> None:
        try:
            pid = self._fork(descriptors)
        except OSError as error:
            self._tell(Unborn(number, error.strerror or str(error)))
        else:
            self._tell_of_birth(Born(number, pid))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, descriptors: Sequence[int]) -> int:
        if len(descriptors) != BIRTH_DESCRIPTORS:
            raise OSError("what it needs did not arrive: too many open files")
        pid = self._processes.fork()
        if not pid:
            self._be_a_worker(*descriptors)
        self._children.add(pid)
        return pid

    def _tell_of_birth(self, born: Born) -> None:
        try:
            # What was not waited for yet keeps its id, so this cannot be anybody else's.
            handle = self._processes.open(born.pid)
        except OSError:  # the system has none, or there is no room for it
            self._tell(born)
            return
        try:
            self._tell(born, handle)
        finally:
            os.close(handle)

    def _be_a_worker(self, spec: int, link: int, connections: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.close()
            from tickstorm.workers.process import run

            code = run(
                read_spec(spec), socket.socket(fileno=link), socket.socket(fileno=connections)
            )
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _tell(self, news: News, *handles: int) -> None:
        try:
            socket.send_fds(self._parent, [pickle.dumps(news)], handles)
        except OSError:
            if handles:  # too many descriptors are on their way
                self._tell(news)
            # else the parent is gone, which the next read says


def read_spec(descriptor: int) -> WorkerSpec:
    """Return what a worker is told, and close the file that it was told in."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        spec: WorkerSpec = pickle.load(file)  # noqa: S301 - of this program's own process
        return spec


def load(modules: Sequence[str]) -> None:
    """Load what is not loaded yet, for all workers to come."""
    missing = [module for module in modules if module not in sys.modules]
    for module in missing:
        with suppress(ImportError):  # the worker that needs it says so
            import_module(module)
    if missing:
        gc.collect()
        gc.freeze()


def ignore_signals() -> None:
    """Leave to the parent what is sent to all."""
    for each in IGNORED:
        signal.signal(each, signal.SIG_IGN)


def main() -> None:
    """Load what workers need, and serve."""
    ignore_signals()
    # For the workers to come. Importing the reactor itself would be too early: it opens files.
    import twisted.internet.default
    import twisted.internet.epollreactor  # noqa: F401 - it is there for the workers

    import tickstorm.workers.process  # noqa: F401

    raise_limit()
    gc.collect()
    gc.freeze()
    Nursery(socket.socket(fileno=int(sys.argv[1]))).run()
