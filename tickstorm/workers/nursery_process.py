"""The parent's side of the nursery: starts it, asks it for workers, hears what becomes of them."""

import os
import pickle
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.workers.spec import MAX_PACKET, Born, End, Ended, WorkerSpec

_THEIR_DESCRIPTOR = 3


@implementer(IReadDescriptor)
class NurseryProcess:
    """A nursery that runs, until it is lost or closed.

    Args:
        reactor: starts the process and reads what it says.
        take: takes what it tells.
        lost: called once when it is gone by itself.
    """

    def __init__(
        self,
        reactor: Any,
        take: Callable[[Born | Ended], object],
        lost: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._take = take
        self._lost = lost
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            reactor.spawnProcess(
                ProcessProtocol(),
                sys.executable,
                [sys.executable, "-m", "tickstorm.workers", str(_THEIR_DESCRIPTOR)],
                env=_environment(),
                childFDs={0: 0, 1: 1, 2: 2, _THEIR_DESCRIPTOR: theirs.fileno()},
            )
        reactor.addReader(self)

    def request(self, spec: WorkerSpec, *ends: socket.socket) -> None:
        """Ask for a worker.

        Args:
            spec: what it is told.
            ends: its ends of the link and of the way for connections.

        Raises:
            OSError: the nursery is gone, or does not read.
        """
        descriptors = [end.fileno() for end in ends]
        socket.send_fds(self._socket, [pickle.dumps(spec)], descriptors)

    def end(self, pid: int) -> None:
        """Ask for the end of a worker, at once.

        Raises:
            OSError: the nursery is gone, or does not read.
        """
        self._socket.send(pickle.dumps(End(pid)))

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
            packet = self._socket.recv(MAX_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            self._take(pickle.loads(packet))  # noqa: S301 - of this program's own process
        else:
            self.connectionLost(Failure(CONNECTION_LOST))

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the interface's
        """Pass it on."""
        self.close()
        self._lost()


def _environment() -> dict[str, str]:
    # The child is to find this very package, wherever the parent has it from.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
