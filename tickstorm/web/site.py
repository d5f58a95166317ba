"""The site: the operators' pages under one root, on a port that asks for no login.

It is made for the loopback interface or a closed network. What a client can make it hold is
bounded: connections, headers, a request's body and the time that it may be silent.
"""

from collections.abc import Mapping
from http import HTTPStatus
from math import isfinite

from twisted.internet.interfaces import IAddress
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.http import Request as HTTPRequest
from twisted.web.iweb import IRequest
from twisted.web.server import Request, Site

from tickstorm import __version__
from tickstorm.auction.serving import AuctionServing
from tickstorm.web.auction_metrics import AuctionCollector
from tickstorm.web.auctions import auctions_page
from tickstorm.web.connections import connections_reply
from tickstorm.web.metrics import CertificateExpiry, make_registry, metrics_reply
from tickstorm.web.observation import Observation
from tickstorm.web.pages import HTML, Answer, Page, Reply, json_answer

MAX_CONNECTIONS = 100
"""Open at one time; one more is closed at once."""
MAX_BODY_BYTES = 65536
"""Of one request; no page reads any of it."""
IDLE_TIMEOUT = 30.0
"""Seconds that a client may be silent for. Headers are bounded by Twisted, to 16 KiB."""

_INDEX = b"""\
<!DOCTYPE html>
<html lang="en">
<title>Tickstorm</title>
<h1>Tickstorm</h1>
<ul>
<li><a href="/health">/health</a>: how the server is;
<a href="/health/live">live</a>, <a href="/health/ready">ready</a>
<li><a href="/connections">/connections</a>: who is connected; limit, after, sort=pending
<li><a href="/metrics">/metrics</a>: its numbers, for Prometheus
</ul>
"""


class _BodilessRequest(Request):
    """A request whose body is dropped as it comes, and which ends when there is too much of it."""

    _received = 0

    def handleContentChunk(self, data: bytes) -> None:
        """Count what comes, and forget it."""
        self._received += len(data)
        if self._received > MAX_BODY_BYTES:
            self.loseConnection()


class _UnloggedSite(Site):
    """A site whose requests are not logged: a scrape is no news."""

    noisy = False

    def log(self, request: HTTPRequest) -> None:
        """Do nothing: twisted.web would write into the server's own log."""


class _BoundedFactory(WrappingFactory):
    """Lets no more than MAX_CONNECTIONS be open."""

    noisy = False

    def logPrefix(self) -> str:
        """Return what the log calls its port."""
        return "Tickstorm's pages"

    def buildProtocol(  # type: ignore[override]  # None refuses, as for any other factory
        self, addr: IAddress | None
    ) -> ProtocolWrapper | None:
        """Make a connection's protocol, or None to have it closed."""
        return None if len(self.protocols) >= MAX_CONNECTIONS else super().buildProtocol(addr)


def site(
    observation: Observation,
    certificate_expiry: CertificateExpiry = dict,
    auctions: AuctionServing | None = None,
) -> WrappingFactory:
    """Return what a port of the operators listens with.

    Args:
        observation: the server to show.
        certificate_expiry: when its certificates expire.
        auctions: what it auctions, if it does.
    """
    return _BoundedFactory(
        _UnloggedSite(
            pages(observation, certificate_expiry, auctions),
            requestFactory=_BodilessRequest,
            parsePOSTFormSubmission=False,
            timeout=IDLE_TIMEOUT,
            reactor=observation.clock.scheduler,
        )
    )


def pages(
    observation: Observation,
    certificate_expiry: CertificateExpiry,
    auctions: AuctionServing | None = None,
) -> Page:
    """Return the root of all pages; further ones can be put below it."""
    registry = make_registry(observation, certificate_expiry)
    more = {}
    if auctions is not None:
        registry.register(AuctionCollector(auctions.read))
        more[b"auctions"] = auctions_page(auctions.store)
    health = {
        b"live": Page(_live_reply(observation)),
        b"ready": Page(_ready_reply(observation)),
    }
    return Page(
        lambda _: Answer(_INDEX, HTML),
        {
            b"metrics": Page(metrics_reply(registry)),
            b"connections": Page(connections_reply(observation)),
            b"health": Page(_health_reply(observation), health),
            **more,
        },
    )


def _health_reply(observation: Observation) -> Reply:
    def reply(_: IRequest) -> Answer:
        verdict, feed_age = observation.verdict(), observation.feed_age()
        return json_answer(
            {
                "status": verdict.status.value,
                "reasons": (*verdict.reasons, *verdict.shared),
                "version": __version__,
                "epoch": observation.hub.epoch,
                "uptime_s": round(observation.uptime(), 3),
                "connections": observation.read().connections,
                "feed_age_s": round(feed_age, 3) if isfinite(feed_age) else None,
            }
        )

    return reply


def _live_reply(observation: Observation) -> Reply:
    def reply(_: IRequest) -> Answer:
        verdict = observation.verdict()
        return _yes_or_no(verdict.live, {"live": verdict.live})

    return reply


def _ready_reply(observation: Observation) -> Reply:
    def reply(_: IRequest) -> Answer:
        verdict = observation.verdict()
        return _yes_or_no(verdict.ready, {"ready": verdict.ready, "reasons": verdict.reasons})

    return reply


def _yes_or_no(yes: bool, value: Mapping[str, object]) -> Answer:
    return json_answer(value, HTTPStatus.OK if yes else HTTPStatus.SERVICE_UNAVAILABLE)
