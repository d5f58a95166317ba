"""The pool: keeps its workers alive, and feeds them.

No worker waits for another: what one does not read is queued for it alone, and one that neither
reads nor reports is replaced.
"""

import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.cred.error import LoginFailed as CredLoginFailed
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from tickstorm.clock import Clock
from tickstorm.credentials import IAuthenticator
from tickstorm.errors import InternalError, InvalidAuth, ProtocolError
from tickstorm.fanout import FanOut
from tickstorm.heartbeat import DeadlineWheel, Sweeper
from tickstorm.hub import Hub
from tickstorm.listing import Listing, Query
from tickstorm.outlet import Outlet
from tickstorm.reading import NOTHING, Reading, together
from tickstorm.serving import WorkerReading
from tickstorm.settings import Settings
from tickstorm.workers.dealer import Dealer
from tickstorm.workers.handover import pair
from tickstorm.workers.link import (
    AtAddress,
    Drain,
    Join,
    Leave,
    Leaving,
    Listed,
    Load,
    LoginAnswered,
    LoginAsked,
    LoginFailed,
    Ready,
    Reload,
    Report,
    Said,
)
from tickstorm.workers.link_end import LinkEnd, Once
from tickstorm.workers.nursery_process import NurseryProcess
from tickstorm.workers.place import Place
from tickstorm.workers.questions import Questions
from tickstorm.workers.relay import Relay
from tickstorm.workers.said import say
from tickstorm.workers.shares import slots_of_worker
from tickstorm.workers.spec import Born, Ended, WorkerSpec

SILENCE = 8.0
"""Seconds without a report after which a worker is replaced."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 30.0
"""Seconds before a worker is replaced: twice as many each time, unless it lived LONGEST_WAIT."""
LAST_GRACE = 2.0
"""Seconds that a worker may take beyond the drain before it is ended."""


class _Unserved(Factory):
    """Listens in the parent, where no connection is ever served."""

    noisy = False


class WorkerPool:
    """Serves the subscribers of an instance in several processes.

    Args:
        settings: the instance's.
        shares: how many connections each worker may have: one number a worker.
        hub: what is published, in slots that the workers share out.
        authenticator: decides who a login is; None leaves it to the settings, in each worker.
        clock: the times.
        reactor: runs it.
        make_nursery: starts what forks the workers, and is given what `NurseryProcess` is.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        shares: Sequence[int],
        hub: Hub[Outlet],
        authenticator: IAuthenticator | None,
        *,
        clock: Clock,
        reactor: Any,
        make_nursery: Callable[..., NurseryProcess] = NurseryProcess,
    ) -> None:
        self.protocol_factory: IProtocolFactory = _Unserved()
        self._settings = settings
        self._hub = hub
        self._authenticator = authenticator
        self._clock = clock
        self._reactor = reactor
        self._relay = Relay(clock)
        self._fanout = FanOut(hub, clock, settings.batch_window, send=self._relay.send)
        self._places = [Place(number, share) for number, share in enumerate(shares, 1)]
        self._dealer = Dealer(reactor, self._places)
        self._questions = Questions(clock.scheduler)
        self._make_nursery = make_nursery
        self._nursery: NurseryProcess | None = None
        self._retired = NOTHING
        self._running = False
        self._all_ended: Deferred[None] | None = None
        self._sweeper = Sweeper(clock, DeadlineWheel(), self._fanout.metrics, self._look_after)

    # What the service asks.

    def accept_from(self, ports: Sequence[IListeningPort]) -> None:
        """Begin to serve what comes to ports that listen with `protocol_factory`."""
        self._running = True
        self._fanout.start()
        self._sweeper.start()
        self._dealer.accept_from(ports)
        self._open_nursery()

    def stop_accepting(self) -> None:
        """Accept nobody any more."""
        self._dealer.stop()

    def reload(self) -> None:
        """Have every worker read the ports' certificates anew."""
        for place in self._places:
            if place.link is not None:
                place.link.send(Reload())

    def drain(self, seconds: float) -> Deferred[None]:
        """Have every worker see its clients off, and end."""
        self._running = False
        self._fanout.flush()
        for place in self._places:
            if place.link is not None:
                place.link.send(Drain(seconds))
                place.let_go()
        too_late = self._clock.scheduler.callLater(seconds + LAST_GRACE, self._end_all)
        all_ended: Deferred[None] = Deferred()
        all_ended.addCallback(lambda _: too_late.cancel() if too_late.active() else None)
        all_ended.addCallback(lambda _: self._close())
        self._all_ended = all_ended
        self._note_ended()
        return all_ended

    def read(self) -> Reading:
        """Return the sum of what the workers said last, and of those that are gone."""
        sweeper = self._sweeper
        own = Reading(0, 0, 0, {}, self._fanout.metrics, sweeper.lag, sweeper.last_at)
        return together([own, self._retired, *(place.reading for place in self._places)])

    def workers(self) -> Sequence[WorkerReading]:
        """Return how each worker is."""
        return [place.describe() for place in self._places]

    def list(self, query: Query) -> Deferred[Listing]:
        """Return the connections of all workers that a query asks for."""
        return self._questions.ask(self._places, query)

    # The nursery.

    def _open_nursery(self) -> None:
        if self._running:
            self._nursery = self._make_nursery(self._reactor, self._hear, self._nursery_lost)
            for place in self._places:
                self._hire(place)

    def _nursery_lost(self) -> None:
        self._nursery = None
        if self._running:
            self._log.error("the nursery of the workers is gone: starting another")
            self._clock.scheduler.callLater(FIRST_WAIT, self._open_nursery)

    def _hear(self, news: Born | Ended) -> None:
        if isinstance(news, Born):
            self._places[news.number - 1].pid = news.pid
        elif news.status:
            self._log.error(
                "process {pid} of a worker ended with {status}", pid=news.pid, status=news.status
            )

    # The life of a worker.

    def _hire(self, place: Place) -> None:
        if self._nursery is None or not self._running or place.link is not None:
            return
        ours, theirs = socket.socketpair()
        connections, their_connections = pair()
        link = LinkEnd(self._clock, partial(self._take, place), partial(self._lost, place))
        with ours, theirs, their_connections:
            try:
                self._nursery.request(self._spec(place), theirs, their_connections)
            except OSError:  # it is being replaced, and will be asked again then
                connections.close()
                return
            ours.setblocking(False)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Once(link))
        place.fill(link, connections, self._clock.monotonic())

    def _spec(self, place: Place) -> WorkerSpec:
        elsewhere: Counter[str] = Counter()
        for other in self._places:
            elsewhere.update(other.by_address)
        return WorkerSpec(
            place.number,
            replace(self._settings, max_connections=place.share),
            self._hub.epoch,
            slots_of_worker(place.number, len(self._places), self._hub.slots),
            self._authenticator is not None,
            dict(elsewhere),
        )

    def _lost(self, place: Place, reason: str) -> None:
        if place.placements is not None:
            self._relay.leave_all(self._fanout, place.placements)
        for key, connections in place.by_address.items():
            self._tell_others(place, AtAddress(key, -connections))
        self._questions.forget(place.number)
        self._retired = together([self._retired, place.reading.retired()])
        pid, lived = place.pid, self._clock.monotonic() - place.born_at
        place.empty()
        if self._running:
            self._end(pid)
            self._replace(place, pid, lived, reason)
        else:
            self._note_ended()

    def _replace(self, place: Place, pid: int, lived: float, reason: str) -> None:
        place.restarts += 1
        place.wait = FIRST_WAIT if lived > LONGEST_WAIT else min(2 * place.wait, LONGEST_WAIT)
        self._log.error(
            "worker {worker}, process {pid}, is gone after {lived:.1f} s: {reason}",
            worker=place.number,
            pid=pid,
            lived=lived,
            reason=reason,
        )
        self._clock.scheduler.callLater(place.wait, self._hire, place)

    def _end(self, pid: int) -> None:
        if self._nursery is None or not pid:
            return
        try:
            self._nursery.end(pid)
        except OSError:
            self._log.warn("process {pid} could not be ended", pid=pid)

    def _end_all(self) -> None:
        for place in self._places:
            if place.link is not None:
                self._log.warn("worker {worker} does not end by itself", worker=place.number)
                self._end(place.pid)
                place.link.abort()

    def _look_after(self, now: float) -> None:
        for place in self._places:
            if place.link is None:
                continue
            place.link.check(now)
            if now - place.reported_at > SILENCE:
                self._log.error("worker {worker} says nothing any more", worker=place.number)
                place.link.abort()

    def _note_ended(self) -> None:
        if self._all_ended is not None and all(place.link is None for place in self._places):
            all_ended, self._all_ended = self._all_ended, None
            all_ended.callback(None)

    def _close(self) -> None:
        self._fanout.stop()
        self._sweeper.stop()
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

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
            case Join():
                link.send(self._relay.join(self._fanout, message, placements))
            case Leave():
                self._relay.leave(self._fanout, message, placements)
            case Load():
                place.take_load(message)
                self._dealer.offer()
            case Report():
                place.take_report(message, self._clock.monotonic())
            case Said():
                say(message, place.number)
            case LoginAsked():
                self._check_login(link, message)
            case LoginFailed():
                self._tell_others(place, message)
            case AtAddress(key, change):
                place.by_address[key] += change
                self._tell_others(place, message)
            case Listed():
                self._questions.take(place.number, message)
            case Leaving():
                place.let_go()

    def _tell_others(self, place: Place, message: tuple[Any, ...]) -> None:
        for other in self._places:
            if other is not place and other.link is not None:
                other.link.send(message)

    def _check_login(self, link: LinkEnd, asked: LoginAsked) -> None:
        if self._authenticator is None:
            return
        answer: Deferred[Any] = maybeDeferred(
            self._authenticator.authenticate, asked.login, asked.peer
        )
        answer.addErrback(self._login_error)
        answer.addCallback(lambda who: link.send(LoginAnswered(asked.request, who)))
        answer.addErrback(lambda failure: self._log.failure("a login has no answer", failure))

    def _login_error(self, failure: Failure) -> ProtocolError:
        error = failure.value
        if isinstance(error, ProtocolError) and error.closes:
            return error
        if isinstance(error, CredLoginFailed):
            return InvalidAuth("the name or the password is wrong")
        self._log.failure("a login could not be checked", failure)
        return InternalError("the login could not be checked")
