"""A worker's intake: connections that the parent has accepted become transports here."""

import errno
import os
import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IProtocolFactory, IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.workers.handover import Handed, take_over

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""This process or the system has no room for one more connection (dup(2))."""


class ConnectionIds:
    """Gives each connection the id that the parent has chosen for it."""

    def __init__(self) -> None:
        self.next = 0

    def __iter__(self) -> "ConnectionIds":
        return self

    def __next__(self) -> int:
        return self.next


@implementer(IReadDescriptor)
class Adoption:
    """Takes connections over while its worker runs.

    Args:
        reactor: is to have them.
        end: this end of the way that they come by.
        factories: what serves the connections of each port.
        ids: are told which id is next.

    Attributes:
        handed: how many were handed over so far, by port.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        end: socket.socket,
        factories: Sequence[IProtocolFactory],
        ids: ConnectionIds,
    ) -> None:
        self.handed: Counter[int] = Counter()
        self._reactor = reactor
        self._end = end
        self._factories = factories
        self._ids = ids

    def start(self) -> None:
        """Begin to take."""
        self._reactor.addReader(self)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._end.fileno()

    def logPrefix(self) -> str:
        """Return what this is called in the log."""
        return "Adoption"

    def doRead(self) -> None:
        """Take one packet: all of it may have to be refused, and is open until the next turn."""
        self._take_one()

    def take_all(self) -> None:
        """Take all that is there, however much it is."""
        while self._take_one():
            pass

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the interface's
        """Stop: the parent hands over nothing more, or is gone."""
        self._reactor.removeReader(self)
        self._end.close()

    def _take_one(self) -> bool:
        if self._end.fileno() < 0:
            return False
        try:
            handed = take_over(self._end)
        except (EOFError, OSError):
            self.connectionLost(Failure(CONNECTION_LOST))
            return False
        if handed is not None:
            self._adopt_all(handed)
        return handed is not None

    def _adopt_all(self, handed: Handed) -> None:
        self.handed[handed.port] += len(handed.descriptors) + handed.dropped
        if handed.dropped:
            self._tell_no_room(handed.dropped, os.strerror(errno.EMFILE))
        self._ids.next = handed.first_id
        for descriptor in handed.descriptors:
            self._adopt(descriptor, handed.family, self._factories[handed.port])
            self._ids.next += 1

    def _adopt(self, descriptor: int, family: int, factory: IProtocolFactory) -> None:
        try:
            os.set_blocking(descriptor, False)
            self._reactor.adoptStreamConnection(descriptor, family, factory)
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._tell_no_room(1, str(error.strerror))
            else:  # the client may be gone already
                self._log.debug("a connection was lost on its way here: {error}", error=error)
        except Exception:
            self._log.failure("a connection could not be adopted")
        finally:
            os.close(descriptor)

    def _tell_no_room(self, connections: int, reason: str) -> None:
        self._log.error(
            "{connections} connections were dropped: {reason}",
            connections=connections,
            reason=reason,
        )
