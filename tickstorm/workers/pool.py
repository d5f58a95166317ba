"""The pool: keeps its workers alive, and feeds them.

No worker waits for another: what one does not read is queued for it alone, and one that hangs is
replaced.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from tickstorm.assembly import change_intake, make_intake
from tickstorm.auction import reading as bidders
from tickstorm.auction.interfaces import IAuctionStore
from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator
from tickstorm.errors import ProtocolError, PublicationFailed
from tickstorm.fanout import FanOut
from tickstorm.heartbeat import SWEEP_INTERVAL, DeadlineWheel, Sweeper
from tickstorm.hub import Hub
from tickstorm.listing import Listing, Query
from tickstorm.outlet import Outlet
from tickstorm.publishing import Accepted, Publication
from tickstorm.reading import NOTHING, Reading, together
from tickstorm.serving import WorkerReading
from tickstorm.settings import Settings
from tickstorm.workers.acceptor import Unserved
from tickstorm.workers.auctioneer import Auctioneer
from tickstorm.workers.bids import AuctionAsked, BidsAsked
from tickstorm.workers.dealer import Dealer
from tickstorm.workers.ending import Ending
from tickstorm.workers.handover import PortKind
from tickstorm.workers.hiring import Hiring
from tickstorm.workers.link import (
    AtAddress,
    AtAddresses,
    Drained,
    Join,
    Leave,
    Leaving,
    Listed,
    Load,
    LoginAsked,
    LoginDropped,
    LoginFailed,
    PublishAnswered,
    PublishAsked,
    Ready,
    Reload,
    Report,
    Said,
    control,
)
from tickstorm.workers.link_end import STALL, LinkEnd
from tickstorm.workers.logins import WorkerLogins
from tickstorm.workers.nursery_process import NurseryProcess
from tickstorm.workers.place import Place
from tickstorm.workers.questions import Questions
from tickstorm.workers.relay import Relay
from tickstorm.workers.said import say
from tickstorm.workers.shares import slots_of_worker
from tickstorm.workers.silence import SILENCE, Verdict
from tickstorm.workers.spec import WorkerSpec


class WorkerPool:
    """Serves the subscribers of an instance in several processes.

    Args:
        settings: the instance's.
        shares: how many connections each worker may have: one number a worker.
        hub: what is published, in slots that the workers share out.
        authenticator: decides who a login is; None leaves it to the settings, in each worker.
        files: the contents of the ports' PEM files, by path.
        clock: the times.
        reactor: runs it.
        store: the auctions in this process; None if workers ask for none there.
        make_nursery: starts what forks the workers, and is given what `NurseryProcess` is.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        shares: Sequence[int],
        hub: Hub[Outlet],
        authenticator: IAuthenticator | None,
        files: Mapping[str, bytes],
        *,
        clock: Clock,
        reactor: Any,
        store: IAuctionStore | None = None,
        make_nursery: Callable[..., NurseryProcess] = NurseryProcess,
    ) -> None:
        self.protocol_factory: IProtocolFactory = Unserved()
        self._settings = settings
        self._hub = hub
        self._authenticator = authenticator
        self._files = dict(files)
        self._clock = clock
        self._relay = Relay(clock)
        self._intake = make_intake(settings, hub)
        self._fanout = FanOut(
            hub,
            clock,
            settings.batch_window,
            send=self._relay.send,
            intake=self._intake,
        )
        self._places = [Place(number, share) for number, share in enumerate(shares, 1)]
        self._dealer = Dealer(reactor, self._places)
        self._questions = Questions(clock.scheduler)
        self._logins = WorkerLogins(authenticator)
        self._auctioneer = (
            Auctioneer(store, clock.scheduler, self._tell_all) if store is not None else None
        )
        self._hiring = Hiring(
            self._places,
            self._link,
            self._spec,
            self._dealer.offer,
            clock=clock,
            reactor=reactor,
            make_nursery=make_nursery,
        )
        self._retired = NOTHING
        self._retired_bidders = bidders.NOTHING
        self._ending = Ending(self._places, self._hiring.end, self._close, clock.scheduler)
        self._sweeper = Sweeper(clock, DeadlineWheel(), self._fanout.metrics, self._look_after)

    # What the service asks.

    def accept_from(
        self, ports: Sequence[IListeningPort], auction_ports: Sequence[IListeningPort] = ()
    ) -> None:
        """Begin to serve what comes to ports that listen, in the order of their descriptions."""
        self._fanout.start()
        self._sweeper.start()
        of_subscribers = [(port, PortKind.SUBSCRIBERS) for port in ports]
        of_bidders = [(port, PortKind.BIDDERS) for port in auction_ports]
        self._dealer.accept_from([*of_subscribers, *of_bidders])
        self._hiring.start()

    def stop_accepting(self) -> None:
        """Accept nobody any more, and replace no worker."""
        self._hiring.stop()
        self._dealer.stop()

    def reload(self, settings: Settings, shares: Sequence[int], files: Mapping[str, bytes]) -> None:
        """Have every worker be held to these settings and use these files, and who comes too."""
        counted = self._settings.max_connections_per_address > 0
        self._settings, self._files = settings, dict(files)
        change_intake(self._intake, settings)
        for place, share in zip(self._places, shares, strict=True):
            place.share = share
            if not (counted and settings.max_connections_per_address):
                place.by_address.clear()  # the workers count once more, if they are to
            if place.link is not None:
                place.link.send(Reload(self._settings_of(place), self._files))
        self._dealer.offer()

    def drain(self, seconds: float, window: float) -> Deferred[None]:
        """Have every worker see its clients off, and end."""
        self._hiring.stop()
        self._fanout.flush()
        return self._ending.drain(seconds, window)

    def hasten(self) -> None:
        """Have every worker that sees its clients off end at once."""
        self._ending.hasten()

    def read(self) -> Reading:
        """Return the sum of what the workers said last, and of those that are gone."""
        sweeper = self._sweeper
        own = Reading(0, 0, 0, {}, self._fanout.metrics, sweeper.lag, sweeper.last_at)
        return together([own, self._retired, *(place.reading for place in self._places)])

    def read_bidders(self) -> bidders.AuctionReading:
        """Return the same of the bidders."""
        return bidders.together([self._retired_bidders, *(place.bidders for place in self._places)])

    def workers(self) -> Sequence[WorkerReading]:
        """Return how each worker is."""
        return [place.describe() for place in self._places]

    def list(self, query: Query) -> Deferred[Listing]:
        """Return the connections of all workers that a query asks for."""
        return self._questions.ask(self._places, query)

    # The life of a worker.

    def _link(self, place: Place) -> LinkEnd:
        return LinkEnd(self._clock, partial(self._take, place), partial(self._lost, place))

    def _spec(self, place: Place) -> WorkerSpec:
        elsewhere: defaultdict[PortKind, Counter[str]] = defaultdict(Counter)
        for other in self._places:
            for kind, by_address in other.by_address.items():
                elsewhere[kind].update(by_address)
        return WorkerSpec(
            place.number,
            self._settings_of(place),
            self._hub.epoch,
            slots_of_worker(place.number, len(self._places), self._hub.slots),
            self._hub.slots,
            self._authenticator is not None,
            {kind: dict(by_address) for kind, by_address in elsewhere.items() if by_address},
            self._files,
        )

    def _settings_of(self, place: Place) -> Settings:
        return replace(
            self._settings,
            max_connections=place.share,
            max_backlog_bytes=self._settings.max_backlog_bytes // len(self._places),
            auction_in_flight=ceil(self._settings.auction_in_flight / len(self._places)),
        )

    def _lost(self, place: Place, reason: str) -> None:
        for forget in (self._leave_streams, self._uncount, self._ask_no_more, self._retire):
            try:
                forget(place)
            except Exception:  # another worker is to come, whatever is left of this one
                self._log.failure("something is left of worker {worker}", worker=place.number)
        self._hiring.lost(place, reason)
        place.empty()
        self._dealer.offer()
        self._ending.note_gone()

    def _leave_streams(self, place: Place) -> None:
        if place.placements is not None:
            self._relay.leave_all(self._fanout, place.placements)

    def _uncount(self, place: Place) -> None:
        for kind, by_address in place.by_address.items():
            if by_address:
                gone = {key: -connections for key, connections in by_address.items()}
                self._tell_others(place, AtAddresses(gone, kind))

    def _ask_no_more(self, place: Place) -> None:
        self._questions.forget(place.number)
        self._logins.forget(place.number)

    def _retire(self, place: Place) -> None:
        self._retired = together([self._retired, place.reading.retired()])
        gone = place.bidders.retired()
        self._retired_bidders = bidders.together([self._retired_bidders, gone])

    def _look_after(self, now: float) -> None:
        for place in self._places:
            if place.link is None:
                continue
            if self._sweeper.lag < STALL:
                place.link.check(now)
            self._note_silence(place, place.link)

    def _note_silence(self, place: Place, link: LinkEnd) -> None:
        # Sweeps are counted, not time: what this process has slept through itself is no silence.
        before, verdict = place.silence.verdict, place.stay_silent(SWEEP_INTERVAL)
        if verdict is Verdict.HANGS:
            self._log.error("worker {worker} says nothing any more", worker=place.number)
            place.fault = "it says nothing any more"
            link.abort()
        elif verdict is Verdict.BUSY and before is Verdict.WELL:
            text = "worker {worker} works, but has said nothing for {seconds:g} s"
            self._log.warn(text, worker=place.number, seconds=SILENCE)
            self._dealer.offer()

    def _close(self) -> None:
        for close in (self._fanout.stop, self._sweeper.stop, self._hiring.close):
            try:
                close()
            except Exception:
                self._log.failure("the workers are gone, but not all of their pool is")

    # What workers say.

    def _take(self, place: Place, message: Any) -> None:
        link, placements = place.link, place.placements
        if link is None or placements is None:
            return
        match message:
            case Ready():
                self._log.info("worker {worker} serves", worker=place.number)
                place.up = True
                self._dealer.offer()
            case Join() | Leave():
                self._relay.take(self._fanout, message, placements)
            case Load():
                place.take_load(message)
                self._dealer.offer()
            case Report():
                place.take_report(message)
                self._dealer.offer()
            case Said():
                say(message, place.number)
            case LoginAsked() | LoginDropped() | PublishAsked() | BidsAsked() | AuctionAsked():
                self._answer(place, message, link.send)
            case LoginFailed():
                self._tell_others(place, message)
            case AtAddress():
                self._count(place, message)
            case Listed():
                self._questions.take(place.number, message)
            case Leaving() | Drained():
                place.let_go()
                place.drained = isinstance(message, Drained)
                self._dealer.offer()

    def _answer(self, place: Place, message: Any, send: Callable[[Any], object]) -> None:
        match message:
            case LoginAsked() | LoginDropped():
                self._logins.take(place.number, message, send)
            case PublishAsked(request, publication):
                send(PublishAnswered(request, self._publish(publication)))
            case _ if self._auctioneer is not None:
                self._auctioneer.take(message, send)

    def _count(self, place: Place, at: AtAddress) -> None:
        if self._settings.max_connections_per_address:  # else it is late news
            place.count(at)
            self._tell_others(place, at)

    def _publish(self, publication: Publication) -> Accepted | ProtocolError:
        try:
            return self._fanout.publish(publication)
        except ProtocolError as error:
            return error
        except Exception:
            self._log.failure("a publication failed")
            return PublicationFailed("it could not be published")

    def _tell_all(self, message: tuple[Any, ...]) -> None:
        frame = control(message)  # once for them all
        for place in self._places:
            if place.link is not None:
                place.link.outlet.deliver(frame)

    def _tell_others(self, place: Place, message: tuple[Any, ...]) -> None:
        for other in self._places:
            if other is not place and other.link is not None:
                other.link.send(message)
