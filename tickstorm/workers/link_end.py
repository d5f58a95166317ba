"""One end of a link, on a transport: messages out and in, bounded like any other connection."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocol, ITransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.clock import Clock
from tickstorm.errors import SlowConsumer
from tickstorm.outlet import Outlet
from tickstorm.overload import Backlog, BacklogLimits, Budget
from tickstorm.queues import EveryFrame
from tickstorm.workers.link import LinkDecoder, Unreadable, control
from tickstorm.workers.silence import BUSY

LIMITS = BacklogLimits(max_frames=100_000, max_bytes=256 * 2**20, write_deadline=1.5 * BUSY)
"""How far the other end may fall behind before it is given up.

Who works does not read meanwhile. That has a bound of its own, which comes before the deadline.
"""
STALL = 2.0
"""Seconds that a check may be late; if it is later, this process has slept, and not the other end:
what that one has read meanwhile is not known here yet.
"""


@implementer(IProtocol)
class LinkEnd:
    """Talks to the process at the other end.

    Args:
        clock: the times.
        take: takes each message; when it raises, that is logged, and the next one is taken.
        lost: called when the other end is gone, or was given up.

    Attributes:
        outlet: the way out, which streams can have as a subscriber.
    """

    _log = Logger()
    outlet: Outlet

    def __init__(
        self, clock: Clock, take: Callable[[Any], object], lost: Callable[[str], object]
    ) -> None:
        self._clock = clock
        self._take = take
        self._lost = lost
        self._decoder = LinkDecoder()
        self._transport: Any = None
        self._open = False
        self._given_up = ""

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a control message behind what was sent before; nothing once the link is lost."""
        if self._open:
            self.outlet.deliver(control(message))

    def check(self, now: float) -> None:
        """Give the other end up if it has read nothing for too long."""
        self.outlet.check(now)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abortConnection()

    # What the transport calls.

    def makeConnection(self, transport: ITransport) -> None:
        """Begin."""
        self._transport = transport
        self._open = True
        self.outlet = Outlet(transport, self)

    def connectionMade(self) -> None:
        """Nothing is to be done: whoever adopts the socket speaks first."""

    def dataReceived(self, data: bytes) -> None:
        """Take what the other end says."""
        for message in self._decoder.receive(data):
            if isinstance(message, Unreadable):
                self._log.error(
                    "a message of another process cannot be read: {reason}", reason=message.reason
                )
            else:
                self._act_on(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Pass it on."""
        self._open = False
        self._lost(self._given_up or reason.getErrorMessage())

    def _act_on(self, message: Any) -> None:
        try:
            self._take(message)
        except Exception:
            self._log.failure("a message of another process could not be acted on")

    # What the outlet asks and calls.

    def now(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self._clock.monotonic()

    def congested(self) -> Backlog:
        """Begin to queue."""
        queue = EveryFrame(LIMITS.hard)
        return Backlog(queue, LIMITS.max_bytes, LIMITS.write_deadline, Budget(), self.now())

    def queued(self, backlog: Backlog) -> None:
        """Take no note: a link has its own bound."""

    def relieved(self) -> None:
        """Stop queueing: nothing is to be done."""

    def too_slow(self, error: SlowConsumer) -> None:
        """Give the other end up."""
        self._given_up = error.message
        self.abort()


class Once(Factory):
    """Gives the transport of one socket to the link that was made for it."""

    noisy = False

    def __init__(self, link: LinkEnd) -> None:
        self._link = link

    def buildProtocol(  # type: ignore[override]  # any IProtocol will do, a Protocol it need not be
        self,
        addr: IAddress | None,  # noqa: ARG002 - the interface's
    ) -> LinkEnd:
        """Return the link."""
        return self._link
