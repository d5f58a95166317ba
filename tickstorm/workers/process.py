"""A worker: serves the connections that it is handed, with what the parent sends.

It ends when its parent does: its link is lost then, and so is what its clients came for.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from resource import getpagesize
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import gatherResults, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogBeginner

from tickstorm.assembly import authenticator_for, change_factory, make_factory
from tickstorm.auction.token_file import open_tokens
from tickstorm.clock import Clock, system_clock
from tickstorm.departures import window_of
from tickstorm.factory import TickstormFactory
from tickstorm.listing import listing
from tickstorm.log import Threshold
from tickstorm.settings import Settings
from tickstorm.tls import KeptFiles, TLSServerEndpoint, replace_contexts
from tickstorm.workers.adoption import Adoption, ConnectionIds
from tickstorm.workers.bids import AuctionAnswered, BidsAnswered, Moved
from tickstorm.workers.handover import PortKind
from tickstorm.workers.link import (
    AtAddress,
    AtAddresses,
    Drain,
    Drained,
    Emission,
    Hasten,
    Leaving,
    ListAsked,
    Listed,
    Load,
    LoginAnswered,
    LoginFailed,
    Placed,
    PublishAnswered,
    Ready,
    Reload,
    Report,
    Unplaced,
    control,
)
from tickstorm.workers.link_end import STALL, LinkEnd, Once
from tickstorm.workers.port_factories import port_factory
from tickstorm.workers.remote import RemoteAuthenticator, RemoteFeed
from tickstorm.workers.remote_store import RemoteStore
from tickstorm.workers.said import said_observer
from tickstorm.workers.spec import WorkerSpec

if TYPE_CHECKING:
    from tickstorm.auction.factory import AuctionFactory
    from tickstorm.auction.house import AuctionHouse
    from tickstorm.auction.interfaces import IAuctionStore

REPORT_INTERVAL = 1.0
"""Seconds between two reports."""
LOAD_DELAY = 0.02
"""Seconds that closed connections are collected for before the parent hears of them."""
LAST_WORDS = 1.0
"""Seconds that a worker whose parent is gone has for telling its clients."""


class Worker:
    """One worker, on the reactor of its process.

    Args:
        spec: what it was told at its birth.
        reactor: runs it.
        clock: the times.

    Attributes:
        factory: makes the connections of its subscribers.
        house: serves its bidders; None if there are none.
        link: to the parent.
        threshold: of what it tells the parent's log.
    """

    _log = Logger()

    def __init__(self, spec: WorkerSpec, reactor: Any, clock: Clock) -> None:
        self._settings = spec.settings
        self._reactor = reactor
        self._clock = clock
        self.threshold = Threshold(spec.settings.log_level)
        self.link = LinkEnd(clock, self._take, self._orphaned)
        self._authenticator = RemoteAuthenticator(self.link.send)
        self._decides = self._authenticator if spec.asks_for_logins else None
        self._feed = RemoteFeed(
            spec.epoch,
            spec.slots,
            slots_of_period=spec.slots_of_period,
            send=self.link.send,
            clock=clock,
            max_payload_bytes=spec.settings.max_message_bytes,
        )
        self._ids = ConnectionIds()
        self.factory = make_factory(
            spec.settings,
            self._feed,
            authenticator_for(spec.settings, self._decides),
            clock,
            ids=self._ids,
        )
        self._remote_store = RemoteStore(self.link.send, clock)
        self.house = self._make_house(spec) if spec.settings.auction else None
        self._factories: dict[PortKind, TickstormFactory | AuctionFactory] = {
            PortKind.SUBSCRIBERS: self.factory
        }
        if self.house is not None:
            self._factories[PortKind.BIDDERS] = self.house.factory
        self._ports = [
            port_factory(reactor, text, self._factories[kind], KeptFiles(spec.files).read)
            for text, kind in _described(spec.settings)
        ]
        self._kinds = [kind for _, kind in _described(spec.settings)]
        self._adoption: Adoption | None = None
        self._load_due = False
        self._draining = False
        self._report_due = 0.0
        self._reports = LoopingCall(self._guarded_report)
        self._reports.clock = clock.scheduler
        self._share_limits(spec)

    def start(self, link: socket.socket, connections: socket.socket) -> None:
        """Begin to serve.

        Args:
            link: to the parent.
            connections: where the parent hands them over.
        """
        with link:
            link.setblocking(False)
            self._reactor.adoptStreamConnection(link.fileno(), socket.AF_UNIX, Once(self.link))
        factories = [port.factory for port in self._ports]
        for factory in factories:
            factory.doStart()
        self._adoption = Adoption(self._reactor, connections, factories, self._ids)
        self._adoption.start()
        tried = self.house.start() if self.house is not None else succeed(None)
        tried.addErrback(lambda failure: self._log.failure("the store failed", failure))
        tried.addCallback(lambda _: self._serve())
        self._report_due = self._clock.monotonic()
        self._reports.start(REPORT_INTERVAL)

    def _serve(self) -> None:
        # With its store, so that the first who come are not told that it is away.
        if not self._draining:
            self.link.send(Ready())

    def stop(self) -> None:
        """See the clients off as the settings say, and end the process."""
        seconds = self._settings.drain_timeout
        self.drain(seconds, window_of(seconds))

    def drain(self, seconds: float, window: float) -> None:
        """See the clients off, and end the process."""
        if self._draining:
            return
        self._draining = True
        self.link.send(Leaving())
        if self._adoption is not None:
            self._adoption.take_all()  # who was handed over before this is to be told too
        drained = gatherResults(
            [factory.drain(seconds, window) for factory in self._factories.values()]
        )
        drained.addCallback(lambda _: self._end())

    def _end(self) -> None:
        if self.house is not None:
            self.house.stop()
        self.link.send(Drained())
        self._reactor.callLater(0, self._reactor.stop)

    def _make_house(self, spec: WorkerSpec) -> AuctionHouse:
        from tickstorm.auction.house import AuctionHouse

        settings = spec.settings
        store: IAuctionStore = self._remote_store
        if settings.redis:
            from tickstorm.auction.stores import make_store

            store = make_store(settings, self._reactor, self._clock)
        return AuctionHouse(
            store,
            settings,
            None,
            self._decides,
            self._clock,
            tokens=open_tokens(settings, KeptFiles(spec.files).read),
            login_failures=self.factory.login_failures,
            ids=self._ids,
        )

    def _share_limits(self, spec: WorkerSpec) -> None:
        for kind, factory in self._factories.items():
            factory.on_closed = self._closed
            factory.register.on_login_failed = self._tell_of_failure
            factory.door.on_change = partial(self._tell_of_address, kind)
        for kind, changes in spec.elsewhere.items():
            self._count_elsewhere(kind, changes)

    def _tell_of_failure(self, address: str) -> None:
        self.link.send(LoginFailed(address))

    def _tell_of_address(self, kind: PortKind, key: str, change: int) -> None:
        self.link.send(AtAddress(key, change, kind))

    def _count_elsewhere(self, kind: PortKind, changes: Mapping[str, int]) -> None:
        for key, change in changes.items():
            self._factories[kind].door.count_elsewhere(key, change)

    def _take(self, message: Any) -> None:
        match message:
            case Emission():
                self._feed.emitted(message)
            case Placed() | Unplaced():
                self._feed.placed(message)
            case BidsAnswered() | AuctionAnswered() | Moved():
                self._remote_store.take(message)
            case LoginAnswered():
                self._authenticator.answered(message)
            case PublishAnswered():
                self._feed.published(message)
            case LoginFailed(address):
                self.factory.login_failures.record(address, self._clock.monotonic())
            case AtAddress(key, change, kind):
                self._count_elsewhere(kind, {key: change})
            case AtAddresses(changes, kind):
                self._count_elsewhere(kind, changes)
            case ListAsked(request, query):
                self.link.send(Listed(request, listing(self.factory, query)))
            case Drain(seconds, window):
                self.drain(seconds, window)
            case Hasten():
                self._hasten()
            case Reload(settings, files):
                self._reload(settings, files)

    def _reload(self, settings: Settings, files: dict[str, bytes]) -> None:
        endpoints = (port.endpoint for port in self._ports)
        encrypted = [endpoint for endpoint in endpoints if isinstance(endpoint, TLSServerEndpoint)]
        replace_contexts(encrypted, KeptFiles(files).read)
        self._settings = settings
        self.threshold.set(settings.log_level)
        change_factory(self.factory, settings, authenticator_for(settings, self._decides))
        if self.house is not None:
            self.house.reload(settings, open_tokens(settings, KeptFiles(files).read))

    def _hasten(self) -> None:
        for factory in self._factories.values():
            factory.hasten()

    def _guarded_report(self) -> None:
        try:
            self._report()
        except Exception:
            self.factory.metrics.failures["report"] += 1
            self._log.failure("a report failed")

    def _report(self) -> None:
        now = self._clock.monotonic()
        late, self._report_due = now - self._report_due, now + REPORT_INTERVAL
        if late < STALL:
            self.link.check(now)
        self._send_load()
        self.link.send(self._how_it_is())

    def _how_it_is(self) -> Report:
        times = os.times()
        bidders = self.house.read() if self.house is not None else None
        return Report(self.factory.read(), times.user + times.system, _resident_bytes(), bidders)

    def _closed(self) -> None:
        if not self._load_due:
            self._load_due = True
            self._clock.scheduler.callLater(LOAD_DELAY, self._send_load)

    def _send_load(self) -> None:
        self._load_due = False
        for kind, factory in self._factories.items():
            self.link.send(Load(self._handed(kind), len(factory.connections), kind))

    def _handed(self, kind: PortKind) -> int:
        if self._adoption is None:
            return 0
        by_port = enumerate(self._kinds)
        return sum(self._adoption.handed[port] for port, its in by_port if its is kind)

    def _orphaned(self, reason: str = "") -> None:
        if self._reports.running:
            self._reports.stop()
        self._remote_store.stop()
        if self._draining:
            self._hasten()  # nothing comes any more that is worth staying for
            return
        self._log.error("the parent is gone: {reason}", reason=reason)
        self.drain(LAST_WORDS, 0.0)


def _described(settings: Settings) -> Iterator[tuple[str, PortKind]]:
    # As the parent numbers its ports: those of bidders behind the others.
    yield from ((text, PortKind.SUBSCRIBERS) for text in settings.port_descriptions)
    yield from ((text, PortKind.BIDDERS) for text in settings.auction_descriptions)


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * getpagesize()


def run(spec: WorkerSpec, link: socket.socket, connections: socket.socket) -> int:
    """Be a worker until the parent says that it is enough, or is gone; return the exit code."""
    from twisted.internet import reactor

    own_reactor: Any = reactor
    worker = begin(spec, own_reactor, system_clock(own_reactor), link)
    if worker is None:
        return 1
    signal.signal(
        signal.SIGTERM,
        lambda *_: own_reactor.callFromThread(worker.stop),
    )
    globalLogBeginner.beginLoggingTo(
        [said_observer(worker.link.send, worker.threshold)], redirectStandardIO=False
    )
    own_reactor.callWhenRunning(worker.start, link, connections)
    own_reactor.run(installSignalHandlers=False)
    return 0


def begin(spec: WorkerSpec, reactor: Any, clock: Clock, link: socket.socket) -> Worker | None:
    """Return a worker; None if it cannot be, and then the parent has been told why."""
    try:
        return Worker(spec, reactor, clock)
    except Exception:
        # Nothing reads the link's outlet before the reactor runs, which it never will.
        threshold = Threshold(spec.settings.log_level)
        tell = said_observer(lambda said: link.sendall(control(said)), threshold)
        Logger(observer=tell).failure("worker {worker} cannot begin", worker=spec.number)
        return None
