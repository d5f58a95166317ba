"""The site, as its clients see it: bytes in, bytes out, over transports in memory."""

import json
from typing import NamedTuple

import pytest
from conversation import (
    Server,
    auth,
    subscribe,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from tickstorm import __version__
from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.serving import InProcess
from tickstorm.web.health import Health, HealthLimits
from tickstorm.web.observation import Observation
from tickstorm.web.pages import Page
from tickstorm.web.site import IDLE_TIMEOUT, MAX_BODY_BYTES, MAX_CONNECTIONS, site

PLAIN, JSON = "text/plain; charset=utf-8", "application/json"


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Operator:
    """A server, its site, and requests to it."""

    def __init__(self, limits=HealthLimits()):
        self.server = Server()
        self.health = Health(self.server.clock.monotonic(), limits)
        self.health.accepting = True
        self.site = site(
            Observation(
                self.server.hub,
                InProcess(self.server.factory, self.server.intake, None),
                self.health,
                self.server.clock,
            )
        )
        self.site.doStart()

    def connect(self):
        protocol, transport = self.site.buildProtocol(None), StringTransport()
        if protocol is not None:
            protocol.makeConnection(transport)
        return protocol, transport

    def ask(self, path, method="GET", **headers):
        protocol, transport = self.connect()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        protocol.dataReceived("\r\n".join([*lines, "", ""]).encode())
        head, _, body = transport.value().partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        pairs = [field.split(": ", 1) for field in fields]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs)
        return Response(int(status.split()[1]), headers, body)


@pytest.fixture
def operator():
    return Operator()


# What holds for every answer.


@pytest.mark.parametrize(
    ("path", "status", "content_type"),
    [
        ("/", 200, "text/html; charset=utf-8"),
        ("/metrics", 200, CONTENT_TYPE_PLAIN_0_0_4),
        ("/connections", 200, JSON),
        ("/connections?limit=0", 400, JSON),
        ("/health", 200, JSON),
        ("/health/", 200, JSON),
        ("/health/live", 200, JSON),
        ("/health/ready", 503, JSON),
        ("/health/other", 404, PLAIN),
        ("/favicon.ico", 404, PLAIN),
        ("/metrics/more", 404, PLAIN),
        ("/connections/../metrics", 404, PLAIN),
        ("/%00%ff", 404, PLAIN),
    ],
)
def test_every_answer_says_what_it_is_and_is_not_kept(operator, path, status, content_type):
    response = operator.ask(path)
    assert (response.status, response.headers["content-type"]) == (status, content_type)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-length"] == str(len(response.body))


def test_a_head_has_everything_but_the_body(operator):
    full, head = operator.ask("/health"), operator.ask("/health", "HEAD")
    assert (head.status, head.body) == (200, b"")
    del full.headers["date"], head.headers["date"]
    assert head.headers == full.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/nothing"])
def test_other_methods_are_refused(operator, method, path):
    response = operator.ask(path, method)
    assert (response.status, response.body) == (405, b"GET and HEAD only\n")
    assert response.headers["allow"] == "GET, HEAD"
    assert response.headers["content-type"] == PLAIN
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_what_is_not_there_is_said_briefly(operator):
    assert operator.ask("/../../etc/passwd").body == b"not found\n"


def test_the_index_leads_to_every_page(operator):
    index = operator.ask("/").body.decode()
    links = {part.split('"')[0] for part in index.split('href="')[1:]}
    assert links == {"/metrics", "/connections", "/health", "/health/live", "/health/ready"}
    assert {operator.ask(link).status for link in links} == {200, 503}


def test_a_page_can_be_put_below_another():
    root = Page(lambda _: None)
    resource = Resource()
    root.putChild(b"more", resource)
    assert root.getChildWithDefault(b"more", None) is resource


# Health.


def test_health_in_full(operator):
    operator.server.connect()
    operator.server.publish(1.5)
    operator.server.advance(2.25)
    response = operator.ask("/health")
    assert (response.status, response.json) == (
        200,
        {
            "status": "ok",
            "reasons": [],
            "version": __version__,
            "epoch": "epoch-1",
            "uptime_s": 2.25,
            "connections": 1,
            "feed_age_s": 2.25,
        },
    )


def test_health_before_the_first_tick(operator):
    assert operator.ask("/health").json == {
        "status": "degraded",
        "reasons": ["there was no tick yet"],
        "version": __version__,
        "epoch": "epoch-1",
        "uptime_s": 0.0,
        "connections": 0,
        "feed_age_s": None,
    }


def readiness(operator):
    response = operator.ask("/health/ready")
    return response.status, response.json


def test_a_server_is_ready_while_it_accepts_and_its_feed_is_alive(operator):
    assert readiness(operator) == (503, {"ready": False, "reasons": ["there was no tick yet"]})
    operator.server.publish(1.5)
    assert readiness(operator) == (200, {"ready": True, "reasons": []})
    operator.health.accepting = False
    reasons = ["no connections are accepted"]
    assert readiness(operator) == (503, {"ready": False, "reasons": reasons})
    operator.health.accepting = True
    operator.server.advance(31)
    reasons = ["the last tick is 31.0 s old, over 30 s"]
    assert readiness(operator) == (503, {"ready": False, "reasons": reasons})
    operator.server.publish(1.5)
    operator.health.stopping = True
    assert readiness(operator) == (503, {"ready": False, "reasons": ["the server is stopping"]})


def liveness(operator):
    response = operator.ask("/health/live")
    return response.status, response.json


def test_a_server_is_live_while_it_sweeps(operator):
    assert liveness(operator) == (200, {"live": True})
    operator.server.advance(60)
    assert liveness(operator) == (200, {"live": True})
    operator.server.factory.stopFactory()
    operator.server.advance(10)
    assert liveness(operator) == (200, {"live": True})
    operator.server.advance(1)
    assert liveness(operator) == (503, {"live": False})
    operator.health.stopping = True
    assert liveness(operator) == (200, {"live": True})


def test_how_long_the_feed_may_be_silent_is_a_setting():
    operator = Operator(HealthLimits(feed_timeout=120.0))
    operator.server.publish(1.5)
    operator.server.advance(100)
    assert readiness(operator) == (200, {"ready": True, "reasons": []})


# Connections and metrics.


def samples(response):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.body.decode())
        for sample in family.samples
    }


def test_a_conversation_shows_up(operator):
    server = operator.server
    subscriber, stranger = server.connect("10.0.0.7"), server.connect("10.0.0.8")
    subscriber.send(auth(), subscribe(pb.SUBSCRIPTION_MODE_SECOND, "EURUSD"))
    answers = len(subscriber.transport.value())
    stranger.send(auth(password="guess"))
    error = len(stranger.transport.value())
    server.publish(1.5)
    server.advance(1)
    batch = len(subscriber.transport.value()) - answers
    assert operator.ask("/connections").json == {
        "total": 2,
        "connections": [
            {
                "id": 1,
                "peer": "10.0.0.7",
                "user": "alice",
                "certificate": None,
                "mode": "SECOND",
                "interval_ms": 1000,
                "symbols": ["EURUSD"],
                "overload": "DISCONNECT",
                "age_s": 1.0,
                "bytes_sent": answers + batch,
                "pending_bytes": 0,
                "congested": False,
                "warned": False,
            },
            {
                "id": 2,
                "peer": "10.0.0.8",
                "user": None,
                "certificate": None,
                "mode": None,
                "interval_ms": None,
                "symbols": None,
                "overload": None,
                "age_s": 1.0,
                "bytes_sent": error,
                "pending_bytes": 0,
                "congested": False,
                "warned": False,
            },
        ],
    }
    stranger.vanish()
    found = samples(operator.ask("/metrics"))
    assert found["tickstorm_active_connections",] == 1
    assert found["tickstorm_messages_sent_total",] == 1
    assert found["tickstorm_bytes_sent_total",] == batch
    assert found["tickstorm_logins_total", "accepted"] == 1
    assert found["tickstorm_logins_total", "INVALID_AUTH"] == 1
    assert found["tickstorm_protocol_errors_total", "INVALID_AUTH"] == 1
    assert found["tickstorm_heartbeat_timeouts_total",] == 0
    server.advance(20)
    found = samples(operator.ask("/metrics"))
    assert found["tickstorm_heartbeat_timeouts_total",] == 1
    assert found["tickstorm_active_connections",] == 1
    subscriber.vanish()
    assert samples(operator.ask("/metrics"))["tickstorm_active_connections",] == 0
    assert operator.ask("/connections").json == {"total": 0, "connections": []}


def test_connections_come_in_pages(operator):
    for _ in range(5):
        operator.server.connect()
    page = operator.ask("/connections?limit=2&after=2").json
    assert page["total"] == 5
    assert [connection["id"] for connection in page["connections"]] == [3, 4]


def test_a_bad_question_is_answered_with_what_is_allowed(operator):
    response = operator.ask("/connections?limit=many")
    assert (response.status, response.json) == (400, {"error": "limit is 1 to 10000"})


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", CONTENT_TYPE_PLAIN_0_0_4),
        ("text/plain;version=0.0.4;q=0.3", CONTENT_TYPE_PLAIN_0_0_4),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3", OPENMETRICS),
        ("application/openmetrics-text; version=nonsense", OPENMETRICS),
    ],
)
def test_the_format_of_the_metrics_is_the_one_asked_for(operator, accept, content_type):
    response = operator.ask("/metrics", Accept=accept)
    assert response.headers["content-type"] == content_type
    assert response.body.endswith(b"# EOF\n") is (content_type == OPENMETRICS)


# What a client can make it hold.


def test_a_body_is_dropped_and_a_long_one_ends_the_connection(operator):
    protocol, transport = operator.connect()
    protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    for _ in range(MAX_BODY_BYTES // 4096):
        protocol.dataReceived(chunk)
    assert not transport.disconnecting
    protocol.dataReceived(b"1\r\nx\r\n")
    assert transport.disconnecting
    assert transport.value() == b""


def test_a_request_with_a_short_body_is_answered(operator):
    protocol, transport = operator.connect()
    protocol.dataReceived(b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
    assert transport.value().startswith(b"HTTP/1.1 200 OK\r\n")


def test_headers_are_bounded(operator):
    assert operator.ask("/", **{f"X-{n}": "x" * 1000 for n in range(17)}).status == 400


def test_a_silent_client_is_let_go(operator):
    _, transport = operator.connect()
    operator.server.advance(IDLE_TIMEOUT - 1)
    assert not transport.disconnecting
    operator.server.advance(1)
    assert transport.disconnecting


def test_one_connection_too_many_is_refused_until_another_ends(operator):
    protocols = [operator.connect()[0] for _ in range(MAX_CONNECTIONS)]
    assert operator.connect()[0] is None
    protocols[0].connectionLost(Failure(ConnectionDone()))
    assert operator.connect()[0] is not None


def test_requests_are_not_logged(operator):
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        operator.ask("/metrics")
        operator.ask("/nothing")
        operator.ask("/health", "HEAD")
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert events == []
