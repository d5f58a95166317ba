"""The parent's side of the nursery: starts it, asks it for workers, hears what becomes of them."""

import os
import pickle
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.workers.spec import MAX_PACKET, Born, Ended, News, Unborn, WorkerSpec, birth_of
from tickstorm.workers.worker_process import WorkerProcess

_THEIR_DESCRIPTOR = 3


class Begun(NamedTuple):
    """A worker began, whose process is the hearer's to close."""

    number: int
    process: WorkerProcess


Heard = Begun | Unborn | Ended
"""What becomes of workers, as the parent hears it."""


class _Process(ProcessProtocol):
    _log = Logger()

    def processEnded(self, reason: Failure) -> None:
        """Say how it ended, unless that was well: what it has printed says why."""
        error = reason.value
        if isinstance(error, ProcessTerminated):
            how = f"signal {error.signal}" if error.signal else f"exit code {error.exitCode}"
            self._log.error("the nursery of the workers ended with {how}", how=how)
        elif not isinstance(error, ProcessDone):
            self._log.failure("the nursery of the workers ended", reason)


@implementer(IReadDescriptor)
class NurseryProcess:
    """A nursery that runs, until it is lost or closed.

    Args:
        reactor: starts the process and reads what it says.
        take: takes what it tells.
        lost: called once when it is gone by itself.

    Raises:
        OSError: the system has no room for it.
    """

    def __init__(
        self, reactor: Any, take: Callable[[Heard], object], lost: Callable[[], object]
    ) -> None:
        self._reactor = reactor
        self._take = take
        self._lost = lost
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            try:
                self._spawn(theirs)
            except BaseException:
                self._socket.close()
                raise
        reactor.addReader(self)

    def request(self, spec: WorkerSpec, *ends: socket.socket) -> None:
        """Ask for a worker.

        Args:
            spec: what it is told, however much that is.
            ends: its ends of the link and of the way for connections.

        Raises:
            OSError: the nursery is gone, or does not read, or there is no room.
        """
        # A packet has bounds, and what a worker is told may hold a password: it gets a file that
        # is nowhere but in memory.
        with open(os.memfd_create("worker"), "wb") as told:
            pickle.dump(spec, told)
            told.flush()
            descriptors = [told.fileno(), *(end.fileno() for end in ends)]
            socket.send_fds(self._socket, [pickle.dumps(birth_of(spec))], descriptors)

    def close(self) -> None:
        """Let it end; its workers go on."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Return what this is called in the log."""
        return "Nursery"

    def doRead(self) -> None:
        """Take what it tells."""
        try:
            packet, handles, _, _ = socket.recv_fds(self._socket, MAX_PACKET, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, handles = b"", []
        if packet:
            news: News = pickle.loads(packet)  # noqa: S301 - of this program's own process
            self._take(_heard(news, handles))
        else:
            self.connectionLost(Failure(CONNECTION_LOST))

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the interface's
        """Pass it on."""
        self.close()
        self._lost()

    def _spawn(self, theirs: socket.socket) -> None:
        # -P: the current folder is nowhere to take code from.
        self._reactor.spawnProcess(
            _Process(),
            sys.executable,
            [sys.executable, "-P", "-m", "tickstorm.workers", str(_THEIR_DESCRIPTOR)],
            env=_environment(),
            childFDs={0: 0, 1: 1, 2: 2, _THEIR_DESCRIPTOR: theirs.fileno()},
        )


def _heard(news: News, handles: Sequence[int]) -> Heard:
    if isinstance(news, Born):
        return Begun(news.number, WorkerProcess(news.pid, next(iter(handles), None)))
    return news


def _environment() -> dict[str, str]:
    # The child is to find this very package, wherever the parent has it from.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
