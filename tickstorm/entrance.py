"""The entrance: lets connections in as the door decides, and tells the others why not. Pure.

Who is told keeps an open file until that is taken, and those may be what the server is short of: so
no more than MAX_TURNED_AWAY are told at a time.
"""

from collections.abc import Sized
from typing import Protocol

from tickstorm.admission import Door
from tickstorm.errors import ProtocolError
from tickstorm.metrics import Metrics

MAX_TURNED_AWAY = 64
"""Connections that are told why they are turned away, at a time; any more are just closed."""


class Entering(Protocol):
    """What is asked of a connection that comes.

    Attributes:
        address: who it counts as.
        inside: whether it was let in, and has not left.
    """

    address: str
    inside: bool

    def fail(self, error: ProtocolError) -> None:
        """Tell the client of an error, and close."""


class Entrance:
    """Has connections come and go.

    Args:
        door: who may come.
        metrics: counts those that may not.
        connections: those that are open, inside or not.
    """

    def __init__(self, door: Door, metrics: Metrics, connections: Sized) -> None:
        self._door = door
        self._metrics = metrics
        self._connections = connections

    @property
    def turned_away(self) -> int:
        """How many connections are open that are not inside."""
        return len(self._connections) - self._door.total

    def enter(self, connection: Entering, address: str) -> bool:
        """Let an open connection in, or tell it why not; False if that is too many.

        Args:
            connection: it; one that is not told is to be closed at once.
            address: who it counts as from now on.
        """
        connection.address = address
        rejection = self._door.enter(address)
        if rejection is None:
            connection.inside = True
            return True
        self._metrics.rejections[rejection.value] += 1
        if self.turned_away > MAX_TURNED_AWAY:
            return False
        connection.fail(rejection.error)
        return True

    def leave(self, connection: Entering) -> None:
        """Let a connection out, if it is in."""
        if connection.inside:
            connection.inside = False
            self._door.leave(connection.address)
