"""The house: the auctions of one server: their store, connections, and ticks.

What a running server takes of other settings is put into the same parts, and nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from tickstorm.admission import LoginFailures
from tickstorm.assembly import (
    admission_limits,
    authenticator_for,
    backlog_limits,
    is_verbose,
    socket_options,
)
from tickstorm.auction.dispatcher import DispatchLimits
from tickstorm.auction.factory import AuctionFactory, EdgeLimits
from tickstorm.auction.interfaces import IAuctionStore
from tickstorm.auction.pacing import PaceLimits
from tickstorm.auction.permits import permits_by_name
from tickstorm.auction.reading import AuctionReading
from tickstorm.auction.session import SessionLimits
from tickstorm.auction.ticks import Ticks
from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator
from tickstorm.settings import Settings
from tickstorm.ticks import Tick

if TYPE_CHECKING:
    from tickstorm.auction.tokens import Tokens


class AuctionHouse:
    """Serves bidders, and publishes who leads.

    Args:
        store: keeps the auctions; it is started and stopped with the house.
        settings: the server's; `max_connections` is for bidders alone.
        publish: the hub's; None if another process publishes who leads.
        authenticator: decides who a login is; None leaves it to the settings.
        clock: the times.
        tokens: verifies those of bidders; None if they have none.
        login_failures: those of the stream, to be shared; None if they are elsewhere.
        ids: names the connections; None stands for 1, 2, 3 and so on.

    Attributes:
        store: as given.
        factory: makes the connections.
    """

    def __init__(
        self,
        store: IAuctionStore,
        settings: Settings,
        publish: Callable[[Iterable[Tick]], object] | None,
        authenticator: IAuthenticator | None,
        clock: Clock,
        *,
        tokens: Tokens | None = None,
        login_failures: LoginFailures | None = None,
        ids: Iterator[int] | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._owns_failures = login_failures is None
        self.store = store
        self.factory = AuctionFactory(
            self.store,
            authenticator_for(settings, authenticator),
            clock,
            with_login=settings.auction_auth,
            permits=permits_by_name(settings.auction_users),
            tokens=tokens,
            session_limits=_session_limits(settings),
            dispatch_limits=DispatchLimits(settings.auction_in_flight, settings.auction_batch),
            pace=_pace_limits(settings),
            edge_limits=_edge_limits(settings),
            ids=ids,
            login_failures=login_failures,
            verbose=is_verbose(settings),
        )
        if publish is not None:
            self.store.follow(Ticks(publish, self.factory.metrics))

    def read(self) -> AuctionReading:
        """Return the numbers of this moment."""
        factory = self.factory
        return AuctionReading(
            len(factory.connections),
            len(factory.watchers),
            factory.dispatcher.in_flight,
            factory.dispatcher.waiting,
            factory.metrics,
            factory.edge,
            self.store.state,
        )

    def start(self) -> Deferred[None]:
        """Have the store look for its auctions; until they are found it refuses.

        The Deferred has its result after the first try, whatever came of it.
        """
        return self.store.start()

    def stop(self) -> None:
        """Let go of the store, behind the last of the connections."""
        self.store.stop()

    def reload(self, settings: Settings, tokens: Tokens | None) -> None:
        """Have connections be held to other settings, and tokens be verified by these."""
        factory, edge = self.factory, _edge_limits(settings)
        factory.with_login = settings.auction_auth
        factory.desk.logins.authenticator = authenticator_for(settings, self._authenticator)
        factory.desk.permits = permits_by_name(settings.auction_users)
        factory.desk.tokens = tokens
        factory.session_limits = _session_limits(settings)
        factory.dispatcher.change_pace(_pace_limits(settings))
        factory.congestion.backlogs.limits = edge.backlog
        factory.congestion.backlogs.budget.max_bytes = edge.backlog_bytes
        factory.socket_options = edge.socket
        factory.register.verbose = is_verbose(settings)
        if self._owns_failures:
            factory.login_failures.change(edge.admission)
        inside = (each.address for each in factory.connections.values() if each.inside)
        factory.door.change(edge.admission, inside)

    def stop_accepting(self) -> None:
        """Keep the factory's timers running, which would stop with the last port."""
        self.factory.doStart()

    def drain(self, seconds: float, window: float) -> Deferred[None]:
        """Have the factory see its bidders off; its timers stop behind the last of them."""
        return self.factory.drain(seconds, window).addCallback(lambda _: self.factory.doStop())

    def hasten(self) -> None:
        """End a drain that is under way at once."""
        self.factory.hasten()


def _session_limits(settings: Settings) -> SessionLimits:
    return SessionLimits(settings.auth_timeout, settings.auction_pipeline, settings.auction_watched)


def _pace_limits(settings: Settings) -> PaceLimits:
    return PaceLimits(settings.auction_rate_per_user, settings.auction_rate_per_address)


def _edge_limits(settings: Settings) -> EdgeLimits:
    return EdgeLimits(
        admission_limits(settings),
        backlog_limits(settings),
        settings.max_backlog_bytes,
        socket_options(settings),
    )
