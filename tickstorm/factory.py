"""The factory: what all connections share, and the life of the whole.

It is what another application listens with. Timers run from the first port that listens to the last
that stops.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import count
from random import Random
from types import MappingProxyType

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from tickstorm.admission import AdmissionLimits, Door, LoginFailures
from tickstorm.backlogs import Backlogs
from tickstorm.clock import Clock
from tickstorm.congestion import Congestion
from tickstorm.credentials import IAuthenticator
from tickstorm.draining import Draining
from tickstorm.emptying import Emptying
from tickstorm.entrance import Entrance
from tickstorm.errors import InvalidPublication, MayNotPublish, ProtocolError
from tickstorm.feed import Feed
from tickstorm.heartbeat import DeadlineWheel, Sweeper
from tickstorm.joins import Joins
from tickstorm.logins import LoginDesk
from tickstorm.outlet import Outlet
from tickstorm.overload import BacklogLimits
from tickstorm.pauses import Pauses
from tickstorm.protocol import Connection
from tickstorm.publications import Publications
from tickstorm.reading import Reading
from tickstorm.register import Register
from tickstorm.session import SessionLimits
from tickstorm.stream import StreamTable
from tickstorm.subscriptions import mode_of
from tickstorm.symbols import SymbolSet
from tickstorm.transports import SocketOptions

MAX_BACKLOG_BYTES = 256 * 2**20
"""What may be queued for all connections of a factory together, unless it is told."""

NO_RIGHTS: Mapping[str, SymbolSet] = MappingProxyType({})


class TickstormFactory(Factory):
    """Makes the server's side of every connection.

    Args:
        feed: what is published; `FanOut` is one.
        authenticator: decides who a login is.
        clock: the times.
        ids: names the connections; None stands for 1, 2, 3 and so on.
        session_limits: deadlines and sizes of a conversation.
        backlog_limits: how far a connection may fall behind.
        max_backlog_bytes: what may be queued for all connections together.
        admission_limits: who may connect, and how often a login may fail.
        socket_options: set on each accepted socket.
        publish_rights: what each user may publish; others may not.
        verbose: whether each connection's beginning and end is logged, at level debug.
        random: chooses who is closed when in a drain; None stands for one of its own.

    Attributes:
        metrics: the feed's, which count everything.
        connections: the open ones, by id.
        congestion: what is known of those that have something queued.
        register: notes what becomes of each.
        on_closed: called after each connection that is gone.
    """

    noisy = False

    def __init__(
        self,
        feed: Feed,
        authenticator: IAuthenticator,
        clock: Clock,
        *,
        ids: Iterator[int] | None = None,
        session_limits: SessionLimits = SessionLimits(),
        backlog_limits: BacklogLimits = BacklogLimits(),
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
        admission_limits: AdmissionLimits = AdmissionLimits(),
        socket_options: SocketOptions = SocketOptions(),
        publish_rights: Mapping[str, SymbolSet] = NO_RIGHTS,
        verbose: bool = False,
        random: Random | None = None,
    ) -> None:
        self.feed = feed
        self.clock = clock
        self.session_limits = session_limits
        self.socket_options = socket_options
        self.metrics = feed.metrics
        self.door = Door(admission_limits)
        self.login_failures = LoginFailures(admission_limits)
        self.pauses = Pauses()
        self.logins = LoginDesk(authenticator, self.login_failures, self.pauses, clock)
        self.joins = Joins(feed, self.pauses, clock.scheduler)
        self.publications = Publications(feed, publish_rights, self.pauses, clock)
        self.register = Register("connection", self.metrics, self.login_failures, clock, verbose)
        self.on_closed: Callable[[], object] = lambda: None
        self.connections: dict[int, Connection] = {}
        self.entrance = Entrance(self.door, self.metrics, self.connections)
        backlogs = Backlogs(backlog_limits, max_backlog_bytes, losses=self.metrics.ticks_lost)
        self.congestion: Congestion[Connection] = Congestion(backlogs, self.metrics)
        self._ids = ids if ids is not None else count(1)
        self._wheel = DeadlineWheel()
        self._sweeper = Sweeper(clock, self._wheel, self.metrics, self.congestion.check)
        if random is None:
            random = Random()  # noqa: S311 - it guards nothing
        draining = Draining(clock, random, feed.flush)
        self._emptying = Emptying(self.door, self.connections, draining, clock)

    def startFactory(self) -> None:
        """Start the timers, as the first port begins to listen."""
        self.feed.start()
        self._sweeper.start()
        self.door.reopen()

    def stopFactory(self) -> None:
        """Stop the timers, as the last port stops. Open connections are for `drain`."""
        self.feed.stop()
        self._sweeper.stop()

    def buildProtocol(  # type: ignore[override]  # any IProtocol will do, a Protocol it need not be
        self,
        addr: IAddress | None,  # noqa: ARG002 - the interface's
    ) -> Connection:
        """Make the server's side of a new connection."""
        return Connection(self, next(self._ids))

    @property
    def congested(self) -> Collection[Connection]:
        """Those of the connections that have something queued."""
        return self.congestion.connections

    def read(self) -> Reading:
        """Return the numbers of this moment."""
        return Reading(
            len(self.connections),
            len(self.congestion.connections),
            self.congestion.queued_bytes,
            _subscribers(self.feed.streams),
            self.metrics,
            self._sweeper.lag,
            self._sweeper.last_at,
            len(self.congestion.warned),
        )

    def drain(self, seconds: float, window: float = 0.0) -> Deferred[None]:
        """Let nobody in any more, tell every client, close, and cut who is left after `seconds`.

        The closes are spread over `window` seconds, and whose turn has not come is served as ever.
        What is queued for a client still goes out first. The Deferred fires when no connection is
        left. Call it before the ports have stopped if streams are to go on, or else behind that.
        """
        return self._emptying.begin(seconds, window)

    def hasten(self) -> None:
        """End a drain that is under way: close whoever is left now, and cut who takes HASTE."""
        self._emptying.hasten()

    # What a connection reports.

    def opened(self, connection: Connection) -> None:
        """Know a connection from now on."""
        self.register.opened()
        self.connections[connection.id] = connection
        self._wheel.add(connection)

    def closing(self, connection: Connection) -> None:
        """Look at a connection when its new deadline has come, and not at the one before."""
        self._wheel.add(connection)
        self._wheel.note_gone()

    def refused(self, error: ProtocolError) -> None:
        """Count a request that was answered with an error."""
        self.register.refused(error)
        if isinstance(error, InvalidPublication | MayNotPublish):
            self.metrics.publications[error.code.name] += 1

    def closed(self, connection: Connection, reason: Failure) -> None:
        """Forget a connection."""
        del self.connections[connection.id]
        self._wheel.note_gone()
        self.register.closed(connection, reason)
        self.on_closed()
        self._emptying.note_gone()


def _subscribers(tables: Mapping[int, StreamTable[Outlet]]) -> Mapping[str, int]:
    subscribers: Counter[str] = Counter()
    for period_ms, streams in tables.items():
        subscribers[mode_of(period_ms).name] += sum(len(stream.subscribers) for stream in streams)
    return subscribers
