"""Serving: the connections of one instance, whether in this process or in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tickstorm.listing import Listing, Query, listing
from tickstorm.reading import Reading

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort, IProtocolFactory

    from tickstorm.factory import TickstormFactory


class WorkerReading(NamedTuple):
    """How one worker process is.

    Attributes:
        number: its place, from 1.
        pid: of its process; 0 while there is none.
        up: whether it serves.
        restarts: how often it had to be replaced.
        connections: the open ones.
        cpu_seconds: user and system time of its process.
        resident_bytes: the memory of its process, with what it shares.
    """

    number: int
    pid: int
    up: bool
    restarts: int
    connections: int
    cpu_seconds: float
    resident_bytes: int


class Serving(Protocol):
    """Serves the subscribers of one instance."""

    @property
    def protocol_factory(self) -> IProtocolFactory:
        """What each port is to listen with."""

    def accept_from(self, ports: Sequence[IListeningPort]) -> None:
        """Serve what comes to ports that listen with `protocol_factory` now."""

    def stop_accepting(self) -> None:
        """Serve nobody new: the ports are about to stop."""

    def reload(self, files: Mapping[str, bytes]) -> None:
        """Use other certificates for the connections to come, wherever else they are in use.

        Args:
            files: the contents of the ports' PEM files, by path.
        """

    def drain(self, seconds: float) -> Deferred[None]:
        """Tell every client, close, and cut who is left after `seconds`."""

    def read(self) -> Reading:
        """Return the numbers of the whole instance, at most some seconds old."""

    def workers(self) -> Sequence[WorkerReading]:
        """Return how each worker is; none if this process serves by itself."""

    def list(self, query: Query) -> Listing | Deferred[Listing]:
        """Return the connections that a query asks for."""


class InProcess:
    """Serves in this process.

    Args:
        factory: makes the connections.
    """

    def __init__(self, factory: TickstormFactory) -> None:
        self.protocol_factory = factory

    def accept_from(self, ports: Sequence[IListeningPort]) -> None:
        """Nothing is to be done: the ports call the factory."""

    def stop_accepting(self) -> None:
        """Nothing is to be done: the ports call the factory no more."""

    def reload(self, files: Mapping[str, bytes]) -> None:
        """Nothing is to be done: they are in use here alone."""

    def drain(self, seconds: float) -> Deferred[None]:
        """Tell every client, close, and cut who is left after `seconds`."""
        return self.protocol_factory.drain(seconds)

    def read(self) -> Reading:
        """Return the factory's numbers."""
        return self.protocol_factory.read()

    def workers(self) -> Sequence[WorkerReading]:
        """Return nothing: there are none."""
        return ()

    def list(self, query: Query) -> Listing:
        """Return the connections that a query asks for."""
        return listing(self.protocol_factory, query)
