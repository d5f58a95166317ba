"""A worker's intake: connections that the parent has accepted become transports here."""

import os
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IProtocolFactory, IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.workers.handover import Handed, take_over

PACKETS_A_TURN = 4
"""What is taken in before the reactor looks at anything else again."""


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
        handed: how many were taken so far.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        end: socket.socket,
        factories: Sequence[IProtocolFactory],
        ids: ConnectionIds,
    ) -> None:
        self.handed = 0
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
        """Take what is there, within bounds."""
        for _ in range(PACKETS_A_TURN):
            try:
                handed = take_over(self._end)
            except (EOFError, OSError):
                self.connectionLost(Failure(CONNECTION_LOST))
                return
            if handed is None:
                return
            self._adopt_all(handed)

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - the interface's
        """Stop: the parent hands over nothing more, or is gone."""
        self._reactor.removeReader(self)
        self._end.close()

    def _adopt_all(self, handed: Handed) -> None:
        self.handed += len(handed.descriptors)
        self._ids.next = handed.first_id
        for descriptor in handed.descriptors:
            self._adopt(descriptor, handed.family, self._factories[handed.port])
            self._ids.next += 1

    def _adopt(self, descriptor: int, family: int, factory: IProtocolFactory) -> None:
        try:
            os.set_blocking(descriptor, False)
            self._reactor.adoptStreamConnection(descriptor, family, factory)
        except OSError as error:  # the client may be gone already
            self._log.debug("a connection was lost on its way here: {error}", error=error)
        except Exception:
            self._log.failure("a connection could not be adopted")
        finally:
            os.close(descriptor)
