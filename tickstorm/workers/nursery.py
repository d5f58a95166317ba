"""The nursery: a process that has loaded all that a worker needs, and forks workers when asked.

It runs no reactor and no thread, so that forking is safe; what it has loaded is frozen, so that its
memory is shared by all workers as long as possible. Its only ties are a socket to the parent: a
packet asks for a worker, packets tell of those that began and ended. With its parent it ends.

`python -m tickstorm.workers DESCRIPTOR` runs it, on the descriptor of that socket.
"""

import gc
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence

from tickstorm.open_files import raise_limit
from tickstorm.workers.spec import MAX_PACKET, Born, End, Ended, WorkerSpec


class Nursery:
    """Forks workers.

    Args:
        parent: the way to it.
    """

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._children: set[int] = set()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Serve the parent until it is gone."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker)
        while True:
            readable, _, _ = select.select([self._parent.fileno(), self._woken], [], [])
            if self._woken in readable:
                os.read(self._woken, 4096)
                self._tell_of_the_ended()
            if self._parent.fileno() in readable and not self._serve_one():
                return

    def _serve_one(self) -> bool:
        packet, descriptors, _, _ = socket.recv_fds(self._parent, MAX_PACKET, 2)
        if not packet:
            return False
        request: WorkerSpec | End = pickle.loads(packet)  # noqa: S301 - of this program's own process
        if isinstance(request, End):
            self._end(request.pid)
            return True
        self._fork(request, descriptors)
        return True

    def _end(self, pid: int) -> None:
        # What was not waited for yet keeps its id, so this cannot meet anybody else.
        if pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _fork(self, spec: WorkerSpec, descriptors: Sequence[int]) -> None:
        ends = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        pid = os.fork()
        if not pid:
            self._be_a_worker(spec, *ends)
        for end in ends:
            end.close()
        self._children.add(pid)
        self._tell(Born(spec.number, pid))

    def _be_a_worker(
        self, spec: WorkerSpec, link: socket.socket, connections: socket.socket
    ) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._parent.close()
            os.close(self._woken)
            os.close(self._waker)
            from tickstorm.workers.process import run

            run(spec, link, connections)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _tell_of_the_ended(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._children.discard(pid)
            self._tell(Ended(pid, os.waitstatus_to_exitcode(status)))

    def _tell(self, news: Born | Ended) -> None:
        try:
            self._parent.send(pickle.dumps(news))
        except OSError:  # the parent is gone, which the next read says
            return


def main() -> None:
    """Load what workers need, and serve."""
    # For the workers to come. Importing the reactor itself would be too early: it opens files.
    import twisted.internet.default
    import twisted.internet.epollreactor

    import tickstorm.workers.process  # noqa: F401

    raise_limit()
    gc.collect()
    gc.freeze()
    Nursery(socket.socket(fileno=int(sys.argv[1]))).run()
