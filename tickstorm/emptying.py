"""The end of a factory: nobody comes in any more, all are seen off, and who stays is cut."""

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from tickstorm.admission import Door
from tickstorm.clock import Clock
from tickstorm.draining import Draining, Leaving

HASTE = 1.0
"""Seconds that clients have for their last words when a drain is hastened."""


class Staying(Leaving, Protocol):
    """What is asked of a connection that is to go, and may not."""

    def abort(self) -> None:
        """Close at once."""


class Emptying:
    """Has all connections of a factory go.

    Args:
        door: lets them in.
        connections: the open ones, by id.
        draining: sees them off.
        clock: the times.
    """

    def __init__(
        self, door: Door, connections: Mapping[int, Staying], draining: Draining, clock: Clock
    ) -> None:
        self._door = door
        self._connections = connections
        self._draining = draining
        self._clock = clock
        self._emptied: list[Deferred[None]] = []
        self._cuts: list[IDelayedCall] = []

    def begin(self, seconds: float, window: float) -> Deferred[None]:
        """Shut the door, see all off within `window` seconds, cut who is left after `seconds`.

        The Deferred fires when no connection is left.
        """
        self._door.shut()
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        self._cut_after(seconds)
        self._draining.begin(self._connections.values(), window)
        self.note_gone()
        return emptied

    def hasten(self) -> None:
        """See off now who is left, and cut who takes HASTE; nothing happens before `begin`."""
        if self._emptied:
            self._draining.hasten()
            self._cut_after(HASTE)
            self.note_gone()

    def note_gone(self) -> None:
        """Look whether anybody is left."""
        if self._connections or not self._emptied:
            return
        self._draining.stop()
        for cut in self._cuts:
            if cut.active():
                cut.cancel()
        self._cuts.clear()
        while self._emptied:
            self._emptied.pop().callback(None)

    def _cut_after(self, seconds: float) -> None:
        self._cuts.append(self._clock.scheduler.callLater(seconds, self._cut))

    def _cut(self) -> None:
        for connection in list(self._connections.values()):
            connection.abort()
