"""The connections of one process of a load of bids."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import NamedTuple

from tickstorm.auction.wire import bid_frame
from tickstorm.bench.arrivals import Arrivals, count, reason
from tickstorm.bench.bids import Bids
from tickstorm.bench.confirmations import Confirmations, Sent
from tickstorm.bench.demand import Demand
from tickstorm.bench.heartbeats import OVERDUE_NS
from tickstorm.bench.jobs import Begin, Bidding, Job
from tickstorm.bench.results import error_name, read_results
from tickstorm.bench.tally import Tally
from tickstorm.bench.wire import Wire
from tickstorm.errors import ProtocolError

READ_BYTES = 262_144
FIRST_AMOUNT = 0.01
"""What a connection bids first of all, only to hear of it: it leads where nobody has bid yet."""


class Arriving(NamedTuple):
    """A connection that awaits its first RESULT.

    Attributes:
        number: among all.
        began_ns: when it began, since the Unix epoch.
        hello: what it sends first: who it is, if it must say so, and a bid.
    """

    number: int
    began_ns: int
    hello: bytes


class Bidders:
    """Opens connections, sends bids on them, and takes the RESULTs.

    Args:
        job: what to do.
        bidding: what to bid.
        wire: opens, reads and writes them.
        epoll: watches them.
        tally: takes what happens.
        demand: says when to bid.
        confirmations: takes what was sent, and the RESULTs.
        wall_ns: nanoseconds since the Unix epoch.

    Attributes:
        arrivals: those of them that have no RESULT yet.
    """

    def __init__(
        self,
        job: Job,
        bidding: Bidding,
        wire: Wire,
        epoll: select.epoll,
        tally: Tally,
        *,
        demand: Demand,
        confirmations: Confirmations,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._job = job
        self._bidding = bidding
        self._wire = wire
        self._epoll = epoll
        self._tally = tally
        self._demand = demand
        self._confirmations = confirmations
        self._wall_ns = wall_ns
        self._bids = Bids(bidding, job.first)
        self._partial: dict[int, bytes] = {}
        self._unsent: dict[int, bytes] = {}
        self.arrivals = Arrivals(job, self._arriving, wire, epoll, tally, wall_ns=wall_ns)

    @property
    def settled(self) -> bool:
        """Whether no bid waits for its RESULT or to be sent."""
        return not self._confirmations.missing and not self._demand.behind

    def measure(self, window: Begin) -> None:
        """Bid from now on; what is of this time is counted."""
        self._confirmations.measure(window)
        self._demand.start(window, self._wall_ns())

    def ready(self, connection: int, mask: int) -> None:
        """Take what epoll says of a connection."""
        arriving = self.arrivals.get(connection) is not None
        if not arriving and connection not in self._confirmations:
            return  # lost while this was waiting
        if mask & select.EPOLLOUT:
            if arriving:
                self.arrivals.connected(connection)
            else:
                self._flush(connection)
        else:
            self._read(connection)

    def bid(self) -> None:
        """Send what has become due."""
        now_ns = self._wall_ns()
        for connection in self._demand.look(now_ns):
            self._fill(connection, now_ns)
        for due_ns in self._demand.drop():
            self._confirmations.unsent(due_ns, now_ns)

    def end(self, now_ns: int) -> None:
        """Count what is missing, and close all connections without counting that."""
        self._confirmations.end(now_ns)
        for due_ns in self._demand.waiting():
            if now_ns - due_ns >= OVERDUE_NS:
                self._confirmations.unsent(due_ns, now_ns)
        self.arrivals.close()
        for connection in self._confirmations:
            self._wire.close(connection)

    def _arriving(self, number: int, now_ns: int) -> Arriving:
        auctions, (first, last) = self._bidding.auctions, self._bidding.users
        bidder = first + number % (last - first + 1)
        bid = bid_frame(auctions[number % len(auctions)], bidder, FIRST_AMOUNT)
        return Arriving(number, now_ns, self._job.requests.auth + bid)

    def _read(self, connection: int) -> None:
        try:
            data = self._wire.read(connection, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(connection, reason(error))
            return
        if not data:
            self._lose(connection, "closed by the server")
            return
        try:
            self._received(connection, self._partial.pop(connection, b"") + data)
        except ProtocolError:
            self._tally.garbled += 1
            self._lose(connection, "garbled")

    def _received(self, connection: int, data: bytes) -> None:
        now_ns = self._wall_ns()
        outcomes, rest, refusal = read_results(data)
        if rest:
            self._partial[connection] = rest
        if outcomes:
            self._confirmed(connection, outcomes, now_ns)
        if refusal is not None:
            self._refused(connection, refusal.code)
        elif outcomes:
            self._fill(connection, now_ns)

    def _confirmed(self, connection: int, outcomes: bytes, now_ns: int) -> None:
        if self.arrivals.get(connection) is not None:
            self._come_in(connection, now_ns)
            outcomes = outcomes[1:]
        self._confirmations.confirmed(connection, outcomes, now_ns)

    def _come_in(self, connection: int, now_ns: int) -> None:
        self.arrivals.come_in(connection, now_ns)
        self._confirmations.join(connection)
        self._demand.join(connection)

    def _fill(self, connection: int, now_ns: int) -> None:
        """Send as much on a connection as is due and has room."""
        confirmations, total = self._confirmations, 0
        room = self._bidding.pipeline - confirmations.missing_of(connection)
        for due_ns, bids in self._demand.take(connection, room, now_ns):
            confirmations.sent(connection, Sent(due_ns, now_ns, bids))
            total += bids
        if total:
            self._send(connection, self._bids.take(total))

    def _send(self, connection: int, data: bytes) -> None:
        """Send, and what the socket does not take later; there is never more than a pipeline."""
        if connection in self._unsent:
            self._unsent[connection] += data
            return
        rest = self._written(connection, data)
        if rest:
            self._unsent[connection] = rest
            self._epoll.modify(connection, select.EPOLLIN | select.EPOLLOUT)

    def _flush(self, connection: int) -> None:
        rest = self._written(connection, self._unsent.pop(connection))
        if rest:
            self._unsent[connection] = rest
        elif rest is not None:
            self._epoll.modify(connection, select.EPOLLIN)

    def _written(self, connection: int, data: bytes) -> bytes | None:
        """Write, and return what was not taken; None if the connection is lost."""
        try:
            return data[self._wire.write(connection, data) :]
        except BlockingIOError:
            return data
        except OSError as error:
            self._lose(connection, reason(error))
            return None

    def _refused(self, connection: int, code: int) -> None:
        """Take an ERROR, behind which the server closes."""
        name = error_name(code)
        if self.arrivals.get(connection) is None:
            count(self._tally.errors, name)
        self._lose(connection, name)

    def _lose(self, connection: int, why: str) -> None:
        self._partial.pop(connection, None)
        self._unsent.pop(connection, None)
        if self.arrivals.get(connection) is not None:
            self.arrivals.refuse(connection, why)
            return
        now_ns = self._wall_ns()
        self._tally.closed += 1
        for due_ns in self._demand.leave(connection):
            self._confirmations.unsent(due_ns, now_ns)
        self._confirmations.leave(connection, now_ns)
        self._wire.close(connection)
