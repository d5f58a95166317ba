"""One worker's place in the pool, whoever fills it: its process, its link, and how full it is."""

import socket
from collections import Counter, defaultdict
from collections.abc import Sequence

from tickstorm.auction.reading import NOTHING as NO_BIDDERS
from tickstorm.auction.reading import AuctionReading
from tickstorm.reading import NOTHING, Reading
from tickstorm.serving import WorkerReading
from tickstorm.workers.handover import Handed, PortKind, hand_over
from tickstorm.workers.link import AtAddress, Load, Report
from tickstorm.workers.link_end import LinkEnd
from tickstorm.workers.relay import Placements
from tickstorm.workers.silence import Silence, Verdict
from tickstorm.workers.worker_process import WorkerProcess

SOON = 1.0
"""Seconds within which a worker is worth waiting for."""


class Place:
    """A worker's place.

    Args:
        number: from 1.
        share: how many connections of each kind its worker may have.

    Attributes:
        link: to the worker; None while there is none.
        placements: the streams that it is on.
        process: its process; None until that is known.
        up: whether it serves.
        leaving: whether it is to be handed nothing more.
        restarts: how often it had to be replaced.
        by_address: its connections of each kind by address, if that is limited; none has none.
        silence: since it was heard of last.
        born_at: when it was asked for, on the monotonic clock.
        drained: whether it has ended in good order.
        fault: why it was given up, if it was.
        exit: how its process ended, as in `Ended`, if that is known before its link is lost.
        wait: seconds before its next worker is asked for.
    """

    link: LinkEnd | None
    process: WorkerProcess | None
    placements: Placements | None
    _report: Report | None

    def __init__(self, number: int, share: int) -> None:
        self.number = number
        self.share = share
        self.restarts = 0
        self.wait = 0.0
        self._connections: socket.socket | None = None
        self._clear()

    def room(self, kind: PortKind) -> int:
        """Return how many more of a kind its worker may have, as far as is known here."""
        return self.share - self._open[kind] - (self._handed[kind] - self._arrived[kind])

    @property
    def pid(self) -> int:
        """Its process's id; 0 until that is known."""
        return self.process.pid if self.process is not None else 0

    @property
    def heard_in_time(self) -> bool:
        """Whether its worker is heard of as often as one is that has nothing else to do."""
        return self.silence.verdict is Verdict.WELL

    @property
    def takes(self) -> bool:
        """Whether connections can be handed to its worker now, and are not left waiting there."""
        serves = self.up and not self.leaving and self._connections is not None
        return serves and self.heard_in_time

    @property
    def awaited(self) -> bool:
        """Whether there will be a worker within moments that takes connections."""
        if self.takes or self.leaving or not self.heard_in_time:
            return False
        return self.wait <= SOON

    @property
    def reading(self) -> Reading:
        """What its worker said of itself last."""
        return self._report.reading if self._report is not None else NOTHING

    @property
    def bidders(self) -> AuctionReading:
        """What its worker said of its bidders last."""
        bidders = self._report.bidders if self._report is not None else None
        return bidders if bidders is not None else NO_BIDDERS

    def fill(self, link: LinkEnd, connections: socket.socket, now: float) -> None:
        """Put a worker here, which has been asked for."""
        self._clear()
        self.link = link
        self.placements = Placements(link.outlet)
        self._connections = connections
        self.born_at = now

    def hand(
        self,
        port: int,
        family: int,
        first_id: int,
        sockets: Sequence[socket.socket],
        kind: PortKind = PortKind.SUBSCRIBERS,
    ) -> bool:
        """Hand connections over; whether they were taken. They are closed here then."""
        if self._connections is None:
            return False
        descriptors = [each.fileno() for each in sockets]
        try:
            if not hand_over(self._connections, Handed(port, family, first_id, descriptors)):
                return False
        except OSError:  # it is gone, or too many are on the way
            return False
        self._handed[kind] += len(sockets)
        for each in sockets:
            each.close()
        return True

    def take_load(self, load: Load) -> None:
        """Note how many connections its worker has."""
        handed, open, kind = load
        self._arrived[kind], self._open[kind] = handed, open

    def take_report(self, report: Report) -> None:
        """Note how its worker is."""
        self._report = report
        self.silence = Silence()

    def stay_silent(self, seconds: float) -> Verdict:
        """Note that its worker was not heard of for so many seconds more; what to make of it."""
        return self.silence.last(seconds, self._cpu_seconds)

    def count(self, at: AtAddress) -> None:
        """Note that its worker has as many more (or fewer) connections from an address."""
        by_address = self.by_address[at.kind]
        by_address[at.address] += at.change
        if not by_address[at.address]:
            del by_address[at.address]

    def let_go(self) -> None:
        """Hand its worker nothing more."""
        self.leaving = True
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def empty(self) -> None:
        """Note that its worker is gone."""
        self.let_go()
        self._clear()

    def describe(self) -> WorkerReading:
        """Return how its worker is."""
        report = self._report if self.up else None
        return WorkerReading(
            self.number,
            self.pid,
            self.up,
            self.restarts,
            self._open.total(),
            report.cpu_seconds if report is not None else 0.0,
            report.resident_bytes if report is not None else 0,
        )

    def _cpu_seconds(self) -> float | None:
        return self.process.cpu_seconds() if self.process is not None else None

    def _clear(self) -> None:
        self.link = None
        self.process = None
        self.placements = None
        self.up = False
        self.leaving = False
        self.by_address: dict[PortKind, Counter[str]] = defaultdict(Counter)
        self.born_at = 0.0
        self.silence = Silence()
        self.drained = False
        self.fault = ""
        self.exit: int | None = None
        self._report = None
        self._handed: Counter[PortKind] = Counter()
        self._arrived: Counter[PortKind] = Counter()
        self._open: Counter[PortKind] = Counter()
