"""The service: sources, hub, ports and the operators' page, made from one settings object.

It starts whole or not at all, and stops in order: ports, clients, sources, page. So its clients are
served until they go. What can change while it runs does so whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.plugin import getPlugins

from tickstorm.agreement import check_users
from tickstorm.announcement import (
    announce_ports,
    warn_of_open_auctions,
    warn_of_open_files,
    warn_of_open_pages,
)
from tickstorm.auction.token_file import open_tokens
from tickstorm.clock import Clock, system_clock
from tickstorm.config import Settings
from tickstorm.credentials import IAuthenticator
from tickstorm.departures import window_of
from tickstorm.descriptions import parse_description
from tickstorm.endpoints import server_endpoint
from tickstorm.errors import ConfigError
from tickstorm.interfaces import ISourceMaker
from tickstorm.patience import Patience
from tickstorm.ports import Listener, listen_all, stop_listening
from tickstorm.reloading import Change, compare
from tickstorm.sources import make_source, with_chaos
from tickstorm.staff import Staff
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

if TYPE_CHECKING:
    from tickstorm.auction.tokens import Tokens

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
        auction_ports: what listens for bidders, likewise.
        auctions: serves them; None without a port for that. `auctions.store` keeps the auctions.
        on_reload: called with the settings that hold from now on, before the log has a word on it.

    Raises:
        ConfigError: a port's description or the key of tokens cannot be used, nobody could log in,
            somebody is to publish or bid who could not, or the auctions cannot be kept where they
            are to be.
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
        self.ports: list[IListeningPort] = []
        self.page_ports: list[IListeningPort] = []
        self.auction_ports: list[IListeningPort] = []
        self._scheduler = clock.scheduler
        self._patience = Patience(clock.scheduler)
        self._health = Health(clock.monotonic(), _health_limits(settings))
        kept = KeptFiles()
        self._endpoints = _described(reactor, settings.port_descriptions, kept.read)
        self._page_endpoints = _described(reactor, settings.http_descriptions, kept.read)
        self._auction_endpoints = _described(reactor, settings.auction_descriptions, kept.read)
        described = (*self._endpoints, *self._page_endpoints, *self._auction_endpoints)
        self._certificates = _certificates(description for description, _ in described)
        self._expiry = _expiry(self._certificates, kept.read)
        self._staff = Staff(settings, authenticator, kept, reactor, clock)
        self.hub, self.factory = self._staff.hub, self._staff.factory
        self._serving, self.auctions = self._staff.serving, self._staff.auctions
        self._site = site(
            Observation(self.hub, self._serving, self._health, clock, self._complaints),
            lambda: self._expiry,
            self.auctions,
        )
        makers = list(getPlugins(ISourceMaker) if source_makers is None else source_makers)
        sources = [
            (spec, make_source(spec, self.hub.publish, clock, makers)) for spec in settings.source
        ]
        self._listens_with = with_chaos(
            self._serving.protocol_factory, sources, self._staff.workers
        )
        for _, source in sources:
            source.setServiceParent(self)

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
            self._serving.accept_from(self.ports, self.auction_ports)
            if self.auctions is not None:
                self.auctions.start()
        except Exception:
            stop_listening((*self.ports, *self.page_ports, *self.auction_ports))
            raise

    def stopService(self) -> Deferred[None]:
        """Stop listening, see the clients off one after the other, then stop the sources."""
        self._patience = Patience(self._scheduler)
        return Deferred.fromCoroutine(self._stop(self._patience))

    def hasten(self) -> None:
        """Have a stop that is under way wait for nothing any more; it is over within moments."""
        if self._health.stopping:
            count = self._connections()
            text = f"told again to stop: closing {{connections}} {_noun(count)} at once"
            self._log.info(text, connections=count)
        self._patience.lose()
        self._serving.hasten()
        if self.auctions is not None:
            self.auctions.hasten()

    def reload(self, settings: Settings | None = None) -> Change:
        """Be held to other settings as far as that can be, and read certificates and keys anew.

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
        tokens = open_tokens(change.settings, kept.read)
        replace_contexts(self._encrypted(), kept.read)
        self._take(change.settings, kept, tokens)
        self._expiry = expiry
        self._tell(change)
        return change

    def _encrypted(self) -> list[TLSServerEndpoint]:
        described = (*self._endpoints, *self._page_endpoints, *self._auction_endpoints)
        endpoints = (endpoint for _, endpoint in described)
        return [endpoint for endpoint in endpoints if isinstance(endpoint, TLSServerEndpoint)]

    def _take(self, settings: Settings, kept: KeptFiles, tokens: Tokens | None) -> None:
        self.settings = settings
        self._health.limits = _health_limits(settings)
        self._staff.reload(settings, tokens, kept)
        self.on_reload(settings)

    def _tell(self, change: Change) -> None:
        for name in change.left:
            self._log.warn("{setting} has changed, which needs a restart", setting=name)
        if "max_connections" in change.taken:
            self._warn_of_open_files()
        if self._certificates:
            self._log.info("the certificates are read anew")
        if self.auctions is not None and self.settings.auction_token_key:
            self._log.info("the key of tokens is read anew")
        changed = ", ".join(change.taken) or "nothing that can change without a restart"
        self._log.info("the settings are read anew; changed: {changed}", changed=changed)

    def _listen(self) -> None:
        if self.ports:
            return
        pages = [(*endpoint, self._site) for endpoint in self._page_endpoints]
        streams = [(*endpoint, self._listens_with) for endpoint in self._endpoints]
        listening = iter(listen_all([*pages, *streams, *self._auction_listeners()]))
        self.page_ports = list(islice(listening, len(pages)))
        self.ports = list(islice(listening, len(streams)))
        self.auction_ports = list(listening)
        self._health.accepting, self._health.stopping = True, False
        self._reactor.callWhenRunning(self._announce)

    def _auction_listeners(self) -> list[Listener]:
        if self.auctions is None:
            return []
        return [(*endpoint, self.auctions.factory) for endpoint in self._auction_endpoints]

    def _warn_of_open_files(self) -> None:
        warn_of_open_files(self._log, self.settings.max_connections, sum(self._staff.shares))

    def _announce(self) -> None:
        self._warn_of_open_files()
        # Who reads this may send a signal right away, so the reactor has to be there to take it.
        listening = {
            "subscribers": self.ports,
            "operators": self.page_ports,
            "bidders": self.auction_ports,
        }
        announce_ports(self._log, listening)
        warn_of_open_pages(self._log, self.settings)
        warn_of_open_auctions(self._log, self.settings)

    async def _stop(self, patience: Patience) -> None:
        self._health.stopping = True
        if self.settings.drain_delay:
            await patience.pause(self.settings.drain_delay)
        self._health.accepting = False
        self._serving.stop_accepting()
        if self.auctions is not None:
            self.auctions.stop_accepting()
        await stop_listening((*self.ports, *self.auction_ports))
        self.ports, self.auction_ports = [], []
        await self._see_off(patience.limit(self.settings.drain_timeout))
        if self.auctions is not None:
            self.auctions.stop()
        await self._stop_sources(patience)
        await stop_listening(self.page_ports)
        self.page_ports = []

    async def _see_off(self, seconds: float) -> None:
        connections = self._connections()
        if connections:
            noun = _noun(connections)
            text = f"seeing off {{connections}} {noun}, in {{seconds:g}} s at most"
            self._log.info(text, connections=connections, seconds=seconds)
        draining = [self._serving.drain(seconds, window_of(seconds))]
        if self.auctions is not None:
            draining.append(self.auctions.drain(seconds, window_of(seconds)))
        await gatherResults(draining)

    def _complaints(self) -> Sequence[str]:
        return self.auctions.read().complaints if self.auctions is not None else ()

    def _connections(self) -> int:
        bidders = self.auctions.read().connections if self.auctions is not None else 0
        return self._serving.read().connections + bidders

    async def _stop_sources(self, patience: Patience) -> None:
        stopped = maybeDeferred(super().stopService)
        enough = patience.pause(self.settings.drain_timeout)
        await DeferredList([stopped, enough], fireOnOneCallback=True, consumeErrors=True)
        enough.cancel()
        if not stopped.called:
            self._log.error("a source does not stop: going on without it")


def _described(
    reactor: Any, descriptions: Iterable[str], read: Read
) -> list[tuple[str, IStreamServerEndpoint]]:
    return [(each, server_endpoint(reactor, each, read)) for each in descriptions]


def _check_logins(settings: Settings) -> None:
    if not settings.username:
        raise ConfigError(NO_LOGIN)
    check_users(settings)


def _health_limits(settings: Settings) -> HealthLimits:
    return HealthLimits(feed_timeout=settings.feed_timeout)


def _noun(connections: int) -> str:
    return "connection" if connections == 1 else "connections"


def _certificates(descriptions: Iterable[str]) -> set[str]:
    parsed = map(parse_description, descriptions)
    return {description.named["cert"] for description in parsed if description.is_own_tls}


def _expiry(paths: Iterable[str], read: Read) -> dict[str, float]:
    return {path: certificate_expiry(path, read) for path in paths}
