"""The auction's factory: what all bidders' connections share, and the life of the whole.

It is what another application listens with. Timers run from the first port that listens to the last
that stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from math import inf
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from tickstorm.admission import AdmissionLimits, Door, LoginFailures
from tickstorm.auction.desk import Desk
from tickstorm.auction.dispatcher import Dispatcher, DispatchLimits
from tickstorm.auction.interfaces import IAuctionStore
from tickstorm.auction.metrics import AuctionMetrics
from tickstorm.auction.pacing import PaceLimits
from tickstorm.auction.permits import Permit
from tickstorm.auction.protocol import BidderConnection
from tickstorm.auction.session import SessionLimits
from tickstorm.auction.watchers import Watchers
from tickstorm.backlogs import Backlogs
from tickstorm.clock import Clock
from tickstorm.congestion import Congestion
from tickstorm.credentials import IAuthenticator
from tickstorm.draining import Draining
from tickstorm.emptying import Emptying
from tickstorm.entrance import Entrance
from tickstorm.errors import ProtocolError
from tickstorm.factory import MAX_BACKLOG_BYTES
from tickstorm.heartbeat import DeadlineWheel, Sweeper
from tickstorm.metrics import Metrics
from tickstorm.overload import BacklogLimits
from tickstorm.pauses import Pauses
from tickstorm.register import Register
from tickstorm.transports import SocketOptions

if TYPE_CHECKING:
    from tickstorm.auction.tokens import Tokens

NO_PERMITS: Mapping[str, Permit] = MappingProxyType({})


class EdgeLimits(NamedTuple):
    """What the connections of bidders are held to, beside what each says to the other.

    Attributes:
        admission: who may connect, and how often a login may fail.
        backlog: how long a client may not read.
        backlog_bytes: what may wait for all connections together.
        socket: set on each accepted socket.
    """

    admission: AdmissionLimits = AdmissionLimits()
    backlog: BacklogLimits = BacklogLimits()
    backlog_bytes: int = MAX_BACKLOG_BYTES
    socket: SocketOptions = SocketOptions()


class AuctionFactory(Factory):
    """Makes the server's side of every bidder's connection.

    Args:
        store: decides bids, and keeps the auctions.
        authenticator: decides who a login is.
        clock: the times.
        with_login: whether connections have to log in; else everybody may bid for anybody.
        permits: whom each login may bid for.
        tokens: verifies the tokens of who has no password; None if nobody has them.
        ids: names the connections; None stands for 1, 2, 3 and so on.
        session_limits: deadline and sizes of a conversation.
        dispatch_limits: how many bids are taken on.
        pace: how fast bids may come.
        edge_limits: what the connections are held to.
        login_failures: remembers wrong logins; None stands for a memory of its own.
        verbose: whether each connection's beginning and end is logged, at level debug.
        random: chooses who is closed when in a drain; None stands for one of its own.

    Attributes:
        metrics: counts bids.
        edge: counts connections, logins and errors.
        connections: the open ones, by id.
        with_login: as given; it holds for connections to come.
        register: notes what becomes of each.
        on_closed: called after each connection that is gone.
    """

    noisy = False

    def __init__(
        self,
        store: IAuctionStore,
        authenticator: IAuthenticator,
        clock: Clock,
        *,
        with_login: bool = True,
        permits: Mapping[str, Permit] = NO_PERMITS,
        tokens: Tokens | None = None,
        ids: Iterator[int] | None = None,
        session_limits: SessionLimits = SessionLimits(),
        dispatch_limits: DispatchLimits = DispatchLimits(),
        pace: PaceLimits = PaceLimits(),
        edge_limits: EdgeLimits = EdgeLimits(),
        login_failures: LoginFailures | None = None,
        verbose: bool = False,
        random: Random | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.session_limits = session_limits
        self.socket_options = edge_limits.socket
        self.metrics = AuctionMetrics()
        self.edge = Metrics()
        self.door = Door(edge_limits.admission)
        if login_failures is None:
            login_failures = LoginFailures(edge_limits.admission)
        self.login_failures = login_failures
        self.pauses = Pauses()
        self.with_login = with_login
        self.desk = Desk(authenticator, permits, login_failures, self.pauses, clock, tokens=tokens)
        self.register = Register("bidder", self.edge, login_failures, clock, verbose)
        self.on_closed: Callable[[], object] = lambda: None
        self.dispatcher = Dispatcher(store, clock, self.metrics, dispatch_limits, pace)
        self.watchers = Watchers(store, clock, self.metrics)
        self.connections: dict[int, BidderConnection] = {}
        self.entrance = Entrance(self.door, self.edge, self.connections)
        backlogs = Backlogs(
            edge_limits.backlog, edge_limits.backlog_bytes, losses=self.edge.ticks_lost
        )
        self.congestion: Congestion[BidderConnection] = Congestion(backlogs, self.edge)
        self._ids = ids if ids is not None else count(1)
        self._wheel = DeadlineWheel()
        self._sweeper = Sweeper(clock, self._wheel, self.edge, self.congestion.check)
        if random is None:
            random = Random()  # noqa: S311 - it guards nothing
        draining = Draining(clock, random, lambda: None)
        self._emptying = Emptying(self.door, self.connections, draining, clock)

    def startFactory(self) -> None:
        """Start the timers, as the first port begins to listen."""
        self._sweeper.start()
        self.door.reopen()

    def stopFactory(self) -> None:
        """Stop the timers, as the last port stops. Open connections are for `drain`."""
        self._sweeper.stop()

    def buildProtocol(  # type: ignore[override]  # any IProtocol will do, a Protocol it need not be
        self,
        addr: IAddress | None,  # noqa: ARG002 - the interface's
    ) -> BidderConnection:
        """Make the server's side of a new connection."""
        return BidderConnection(self, next(self._ids))

    def drain(self, seconds: float, window: float = 0.0) -> Deferred[None]:
        """Let nobody in any more, close all behind their RESULTs, cut who is left after `seconds`.

        The closes are spread over `window` seconds, and whose turn has not come may bid as ever.
        The Deferred fires when no connection is left.
        """
        return self._emptying.begin(seconds, window)

    def hasten(self) -> None:
        """End a drain that is under way: close whoever is left now, and cut who takes HASTE."""
        self._emptying.hasten()

    # What a connection reports.

    def opened(self, connection: BidderConnection) -> None:
        """Know a connection from now on."""
        self.register.opened()
        self.connections[connection.id] = connection
        self._wheel.add(connection)

    def accepted(self, connection: BidderConnection, had: float) -> None:
        """Count a login, and look at its connection by its new deadline.

        Args:
            connection: whose it is.
            had: its deadline up to then.
        """
        self.register.accepted()
        if connection.deadline == inf:
            self._wheel.note_gone()
        elif connection.deadline < had:
            self._wheel.add(connection)

    def ended(self, connection: BidderConnection, error: ProtocolError) -> None:
        """Note why a conversation ended, and look at its connection when it is to be cut."""
        self._wheel.add(connection)
        self.register.ended(connection, error)

    def let_go(self, connection: BidderConnection) -> None:
        """Forget a connection wherever it waits for something else than its RESULTs."""
        self.dispatcher.forget(connection)
        self.watchers.leave(connection)
        self.pauses.forget(connection)

    def closed(self, connection: BidderConnection, reason: Failure) -> None:
        """Forget a connection."""
        del self.connections[connection.id]
        self._wheel.note_gone()
        self.register.closed(connection, reason)
        self.on_closed()
        self._emptying.note_gone()
