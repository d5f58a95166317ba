"""The parent's side of a port: accepts connections, and hands them on without a look into them."""

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.workers.handover import MAX_BATCH

REST = 0.25
"""Seconds that a port is left alone after the system had no resources for one more connection."""

_GONE = frozenset({errno.ECONNABORTED, errno.EPERM, errno.EPROTO})
"""One connection failed before it was accepted (accept(2)); the next one may be there."""


class Unserved(Factory):
    """What a port in the parent listens with: no connection is ever served there."""

    noisy = False

    def logPrefix(self) -> str:
        """Return what the log calls its port: a port of Twisted's says that it starts, always."""
        return "Tickstorm"


@implementer(IReadDescriptor)
class Acceptor:
    """Accepts what comes to one port.

    Args:
        reactor: says when there is something.
        port: listens already, and is read by nobody else from now on.
        take: takes accepted sockets, and closes them.
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, port: Any, take: Callable[[Sequence[socket.socket]], object]
    ) -> None:
        port.stopReading()
        self._reactor = reactor
        self._take = take
        # Reading, on a descriptor of its own, cannot meet with what the port does with its.
        self._socket = socket.fromfd(port.fileno(), port.addressFamily, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._running = False
        self._resting: IDelayedCall | None = None

    @property
    def family(self) -> int:
        """That of the sockets."""
        return int(self._socket.family)

    def start(self) -> None:
        """Accept from now on; calling it again changes nothing."""
        if not self._running and self._resting is None:
            self._running = True
            self._reactor.addReader(self)

    def pause(self) -> None:
        """Leave what comes in the kernel's queue; calling it again changes nothing."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._running:
            self._running = False
            self._reactor.removeReader(self)

    def close(self) -> None:
        """Accept nothing any more."""
        self.pause()
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Return what this is called in the log."""
        return "Acceptor"

    def doRead(self) -> None:
        """Accept what is there, within bounds."""
        accepted: list[socket.socket] = []
        try:
            while len(accepted) < MAX_BATCH:
                accepted.append(self._socket.accept()[0])
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _GONE:
                self._rest(error)
        if accepted:
            self._take(accepted)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the interface's
        """Stop: the reactor cannot read it."""
        self.pause()

    def _rest(self, error: OSError) -> None:
        self._log.error("no connection can be accepted: {reason}", reason=error.strerror)
        self.pause()
        self._resting = self._reactor.callLater(REST, self._rested)

    def _rested(self) -> None:
        self._resting = None
        self.start()
