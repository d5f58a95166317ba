"""The service: sources, hub, ports and the operators' page, made from one settings object.

It starts whole or not at all, and stops in order: ports, clients, sources, page. So its clients are
served until they go. What can change while it runs does so whole or not at all.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.plugin import getPlugins

from tickstorm import open_files
from tickstorm.addresses import address_text
from tickstorm.agreement import check_publishers
from tickstorm.assembly import authenticator_for, make_factory, make_hub, make_intake
from tickstorm.clock import Clock, system_clock
from tickstorm.config import Settings
from tickstorm.credentials import IAuthenticator
from tickstorm.departures import window_of
from tickstorm.descriptions import is_local, parse_description
from tickstorm.endpoints import server_endpoint
from tickstorm.errors import ConfigError
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.interfaces import ISourceMaker
from tickstorm.patience import Patience
from tickstorm.ports import listen_all, stop_listening
from tickstorm.reloading import Change, compare
from tickstorm.serving import InProcess, Serving
from tickstorm.sources import make_source, with_chaos
from tickstorm.tls import (
    KeptFiles,
    Read,
    TLSServerEndpoint,
    certificate_expiry,
    replace_contexts,
)
from tickstorm.web.health import Health, HealthLimits
from tickstorm.web.observation import Observation
from tickstorm.web.site import site
from tickstorm.workers.pool import WorkerPool
from tickstorm.workers.shares import shares, slots_of_period, worker_count

NO_LOGIN = "there is neither a user name and password nor an authenticator"


class TickstormService(MultiService):
    """A whole server, as a part of any application.

    Args:
        settings: all that can be chosen.
        reactor: listens and schedules.
        authenticator: decides who a login is; None stands for the settings' name and password.
        clock: the times; None stands for the system's.
        source_makers: the kinds of sources; None stands for the plugins that are installed.

    Attributes:
        hub: `hub.publish(ticks)` feeds it, beside the settings' sources.
        factory: makes the connections; None if workers do.
        settings: what it runs with.
        ports: what listens for subscribers, in the settings' order; none before the start.
        page_ports: what listens for operators, likewise.
        on_reload: called with the settings that hold from now on, before the log has a word on it.

    Raises:
        ConfigError: a port's description cannot be used, nobody could log in, or somebody is to
            publish who could not.
        SourceError: a source cannot be made.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        *,
        authenticator: IAuthenticator | None = None,
        clock: Clock | None = None,
        source_makers: Iterable[ISourceMaker] | None = None,
    ) -> None:
        super().__init__()
        clock = clock if clock is not None else system_clock(reactor)
        if authenticator is None:
            _check_logins(settings)
        self.settings = settings
        self.on_reload: Callable[[Settings], object] = lambda _: None
        self._authenticator = authenticator
        self._reactor = reactor
        limit = open_files.limit()
        workers = worker_count(settings.workers, settings.max_connections, _processors(), limit)
        self._shares = shares(settings.max_connections, workers or 1, limit)
        slots = slots_of_period(settings.delivery, workers)
        self.hub = make_hub(settings, uuid4().hex[:12], clock, slots)
        self.factory: TickstormFactory | None = None
        self.ports: list[IListeningPort] = []
        self.page_ports: list[IListeningPort] = []
        self._scheduler = clock.scheduler
        self._patience = Patience(clock.scheduler)
        self._health = Health(clock.monotonic(), _health_limits(settings))
        kept = KeptFiles()
        self._endpoints = [
            (description, server_endpoint(reactor, description, kept.read))
            for description in settings.port_descriptions
        ]
        self._page_endpoints = [
            (description, server_endpoint(reactor, description, kept.read))
            for description in settings.http_descriptions
        ]
        self._certificates = _certificates(
            (*settings.port_descriptions, *settings.http_descriptions)
        )
        self._expiry = _expiry(self._certificates, kept.read)
        self._serving = self._make_serving(settings, workers, authenticator, kept, clock)
        self._site = site(
            Observation(self.hub, self._serving, self._health, clock), lambda: self._expiry
        )
        makers = list(getPlugins(ISourceMaker) if source_makers is None else source_makers)
        sources = [
            (spec, make_source(spec, self.hub.publish, clock, makers)) for spec in settings.source
        ]
        self._listens_with = with_chaos(self._serving.protocol_factory, sources, workers)
        for _, source in sources:
            source.setServiceParent(self)

    def _make_serving(
        self,
        settings: Settings,
        workers: int,
        authenticator: IAuthenticator | None,
        kept: KeptFiles,
        clock: Clock,
    ) -> Serving:
        if workers:
            return WorkerPool(
                settings,
                self._shares,
                self.hub,
                authenticator,
                kept.contents,
                clock=clock,
                reactor=self._reactor,
            )
        intake = make_intake(settings, self.hub)
        feed = FanOut(self.hub, clock, settings.batch_window, intake=intake)
        own = replace(settings, max_connections=self._shares[0])
        decides = authenticator_for(settings, authenticator)
        self.factory = make_factory(own, feed, decides, clock)
        return InProcess(self.factory, intake, authenticator)

    def privilegedStartService(self) -> None:
        """Listen, while ports below 1024 may still be bound.

        Raises:
            ListenError: a port cannot be had.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """Listen, if that is not done yet, and let the sources publish."""
        self._listen()
        try:
            super().startService()
            self._serving.accept_from(self.ports)
        except Exception:
            stop_listening((*self.ports, *self.page_ports))
            raise

    def stopService(self) -> Deferred[None]:
        """Stop listening, see the clients off one after the other, then stop the sources."""
        self._patience = Patience(self._scheduler)
        return Deferred.fromCoroutine(self._stop(self._patience))

    def hasten(self) -> None:
        """Have a stop that is under way wait for nothing any more; it is over within moments."""
        if self._health.stopping:
            count = self._serving.read().connections
            text = f"told again to stop: closing {{connections}} {_noun(count)} at once"
            self._log.info(text, connections=count)
        self._patience.lose()
        self._serving.hasten()

    def reload(self, settings: Settings | None = None) -> Change:
        """Be held to other settings as far as that can be, and read the certificates anew.

        Whoever is connected stays. The log has what has changed, and what needs a restart.

        Args:
            settings: None stands for those that it has.

        Returns:
            what was taken, and what was not.

        Raises:
            ConfigError: something cannot be used; all stays as it was.
        """
        change = compare(self.settings, settings if settings is not None else self.settings)
        if self._authenticator is None:
            _check_logins(change.settings)
        kept = KeptFiles()
        expiry = _expiry(self._certificates, kept.read)
        replace_contexts(self._encrypted(), kept.read)
        self._take(change.settings, kept)
        self._expiry = expiry
        self._tell(change)
        return change

    def _encrypted(self) -> list[TLSServerEndpoint]:
        endpoints = (endpoint for _, endpoint in (*self._endpoints, *self._page_endpoints))
        return [endpoint for endpoint in endpoints if isinstance(endpoint, TLSServerEndpoint)]

    def _take(self, settings: Settings, kept: KeptFiles) -> None:
        self.settings = settings
        limit = open_files.limit()
        self._shares = shares(settings.max_connections, len(self._shares), limit)
        self._health.limits = _health_limits(settings)
        self._serving.reload(settings, self._shares, kept.contents)
        self.on_reload(settings)

    def _tell(self, change: Change) -> None:
        for name in change.left:
            self._log.warn("{setting} has changed, which needs a restart", setting=name)
        if "max_connections" in change.taken:
            self._warn_of_open_files()
        if self._certificates:
            self._log.info("the certificates are read anew")
        changed = ", ".join(change.taken) or "nothing that can change without a restart"
        self._log.info("the settings are read anew; changed: {changed}", changed=changed)

    def _listen(self) -> None:
        if self.ports:
            return
        pages = [(*endpoint, self._site) for endpoint in self._page_endpoints]
        listening = listen_all(
            [*pages, *((*endpoint, self._listens_with) for endpoint in self._endpoints)]
        )
        self.page_ports, self.ports = listening[: len(pages)], listening[len(pages) :]
        self._health.accepting, self._health.stopping = True, False
        self._reactor.callWhenRunning(self._announce)

    def _warn_of_open_files(self) -> None:
        if sum(self._shares) < self.settings.max_connections:
            self._log.warn(
                "max_connections is {asked}, but with the limit of open files there is room for "
                "{room}: raise that limit (ulimit -n, LimitNOFILE=), or have more workers",
                asked=self.settings.max_connections,
                room=sum(self._shares),
            )

    def _announce(self) -> None:
        self._warn_of_open_files()
        # Who reads this may send a signal right away, so the reactor has to be there to take it.
        for whom, ports in (("subscribers", self.ports), ("operators", self.page_ports)):
            for port in ports:
                address = address_text(port.getHost())
                self._log.info("listening for {whom} on {address}", whom=whom, address=address)

        for description, _ in self._page_endpoints:
            if not is_local(description):
                self._log.warn(
                    "the operators' page asks for no login, and {description} can be reached "
                    "from other machines",
                    description=description,
                )

    async def _stop(self, patience: Patience) -> None:
        self._health.stopping = True
        if self.settings.drain_delay:
            await patience.pause(self.settings.drain_delay)
        self._health.accepting = False
        self._serving.stop_accepting()
        await stop_listening(self.ports)
        self.ports = []
        await self._see_off(patience.limit(self.settings.drain_timeout))
        await self._stop_sources(patience)
        await stop_listening(self.page_ports)
        self.page_ports = []

    async def _see_off(self, seconds: float) -> None:
        connections = self._serving.read().connections
        if connections:
            noun = _noun(connections)
            text = f"seeing off {{connections}} {noun}, in {{seconds:g}} s at most"
            self._log.info(text, connections=connections, seconds=seconds)
        await self._serving.drain(seconds, window_of(seconds))

    async def _stop_sources(self, patience: Patience) -> None:
        stopped = maybeDeferred(super().stopService)
        enough = patience.pause(self.settings.drain_timeout)
        await DeferredList([stopped, enough], fireOnOneCallback=True, consumeErrors=True)
        enough.cancel()
        if not stopped.called:
            self._log.error("a source does not stop: going on without it")


def _check_logins(settings: Settings) -> None:
    if not settings.username:
        raise ConfigError(NO_LOGIN)
    check_publishers(settings)


def _health_limits(settings: Settings) -> HealthLimits:
    return HealthLimits(feed_timeout=settings.feed_timeout)


def _noun(connections: int) -> str:
    return "connection" if connections == 1 else "connections"


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _certificates(descriptions: Iterable[str]) -> set[str]:
    parsed = map(parse_description, descriptions)
    return {description.named["cert"] for description in parsed if description.is_own_tls}


def _expiry(paths: Iterable[str], read: Read) -> dict[str, float]:
    return {path: certificate_expiry(path, read) for path in paths}
