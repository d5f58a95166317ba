"""Serving: the connections of one instance, whether in this process or in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tickstorm.assembly import authenticator_for, change_factory, change_intake
from tickstorm.listing import Listing, Query, listing
from tickstorm.reading import Reading

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort, IProtocolFactory

    from tickstorm.credentials import IAuthenticator
    from tickstorm.factory import TickstormFactory
    from tickstorm.publishing import Intake
    from tickstorm.settings import Settings


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

    def accept_from(
        self, ports: Sequence[IListeningPort], auction_ports: Sequence[IListeningPort] = ()
    ) -> None:
        """Serve what comes to ports that listen now.

        Args:
            ports: for subscribers, which listen with `protocol_factory`.
            auction_ports: for bidders, as their own factory serves them, or workers do.
        """

    def stop_accepting(self) -> None:
        """Serve nobody new: the ports are about to stop."""

    def reload(self, settings: Settings, shares: Sequence[int], files: Mapping[str, bytes]) -> None:
        """Be held to other settings, and use other certificates for the connections to come.

        Args:
            settings: the instance's, which differ from those before in what can change.
            shares: how many connections each process may have, as many numbers as before.
            files: the contents of the ports' PEM files, by path.
        """

    def drain(self, seconds: float, window: float) -> Deferred[None]:
        """Tell every client, close all within `window` seconds, cut who is left after `seconds`.

        Whose turn has not come is served as ever. It comes behind `stop_accepting`.
        """

    def hasten(self) -> None:
        """End a drain that is under way at once."""

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
        intake: the way of publishers to the hub.
        authenticator: decides who a login is; None leaves it to the settings.
    """

    def __init__(
        self, factory: TickstormFactory, intake: Intake, authenticator: IAuthenticator | None
    ) -> None:
        self.protocol_factory = factory
        self._intake = intake
        self._authenticator = authenticator

    def accept_from(
        self,
        ports: Sequence[IListeningPort],
        auction_ports: Sequence[IListeningPort] = (),
    ) -> None:
        """Nothing is to be done: the ports call the factory."""

    def stop_accepting(self) -> None:
        """Keep the factory's timers running, which would stop with the last port."""
        self.protocol_factory.doStart()

    def reload(
        self,
        settings: Settings,
        shares: Sequence[int],
        files: Mapping[str, bytes],  # noqa: ARG002 - the ports are this process's own
    ) -> None:
        """Have the factory and publishers be held to other settings."""
        own = replace(settings, max_connections=shares[0])
        change_factory(self.protocol_factory, own, authenticator_for(settings, self._authenticator))
        change_intake(self._intake, settings)

    def drain(self, seconds: float, window: float) -> Deferred[None]:
        """Have the factory see its clients off; its timers stop behind the last of them."""
        drained = self.protocol_factory.drain(seconds, window)
        drained.addCallback(lambda _: self.protocol_factory.doStop())
        return drained

    def hasten(self) -> None:
        """End a drain that is under way at once."""
        self.protocol_factory.hasten()

    def read(self) -> Reading:
        """Return the factory's numbers."""
        return self.protocol_factory.read()

    def workers(self) -> Sequence[WorkerReading]:
        """Return nothing: there are none."""
        return ()

    def list(self, query: Query) -> Listing:
        """Return the connections that a query asks for."""
        return listing(self.protocol_factory, query)
