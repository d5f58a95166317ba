"""The service: a whole server in memory, as another application has it."""

import json
from dataclasses import fields, replace
from ipaddress import ip_network
from operator import attrgetter

import pytest
from certificates import NOT_AFTER, authority
from conversation import PASSWORD, START, USER, Client, auth, publish, subscribe
from twisted.application.service import MultiService, Service
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import formatEvent, globalLogPublisher
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

from tickstorm.admission import AdmissionLimits
from tickstorm.assembly import make_factory
from tickstorm.clock import simulated_clock
from tickstorm.credentials import SharedCredentials, User
from tickstorm.emptying import HASTE
from tickstorm.errors import ConfigError, ListenError, SourceError
from tickstorm.fanout import FanOut
from tickstorm.interfaces import IChaoticSource
from tickstorm.overload import BacklogLimits
from tickstorm.publishing import read_right
from tickstorm.service import TickstormService
from tickstorm.session import SessionLimits
from tickstorm.settings import Settings
from tickstorm.stream_settings import Delivery
from tickstorm.ticks import Tick
from tickstorm.transports import SocketOptions

PORT, PAGE = 8080, 9090


class Port:
    """Something that listens until it is stopped."""

    def __init__(self, reactor, number, factory):
        self.reactor, self.number, self.factory = reactor, number, factory
        factory.doStart()
        reactor.listening.append(number)

    def getHost(self):
        return IPv4Address("TCP", "127.0.0.1", self.number)

    def stopListening(self):
        self.reactor.listening.remove(self.number)
        self.factory.doStop()
        self.reactor.events.append(f"port {self.number}")
        return succeed(None)


class Reactor(MemoryReactorClock):
    """A reactor that knows what listens, and which ports are somebody else's."""

    def __init__(self, *taken):
        super().__init__()
        self.rightNow = START
        self.taken = taken
        self.listening = []
        self.events = []

    def listenTCP(self, port, factory, backlog=50, interface=""):
        super().listenTCP(port, factory, backlog, interface)
        if port in self.taken:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        return Port(self, port, factory)

    def factory(self, number):
        """What listens on a port."""
        return next(factory for port, factory, *_ in self.tcpServers if port == number)


class Source(Service):
    """A source that does as it is told when it starts and stops."""

    def __init__(self, events, at_start=None, at_stop=None):
        self.events, self.at_start, self.at_stop = events, at_start, at_stop

    def startService(self):
        super().startService()
        if self.at_start is not None:
            raise self.at_start

    def stopService(self):
        super().stopService()
        self.events.append("source")
        return self.at_stop


class Maker:
    """The plugin of that source."""

    name = "test"
    usage = ""

    def __init__(self, make):
        self.make = make

    def makeSource(self, arguments, publish, clock):
        self.publish = publish
        return self.make(arguments)


def serve(reactor=None, *, make=None, authenticator=None, **settings):
    """A service that is not started; its source does nothing."""
    reactor = reactor if reactor is not None else Reactor()
    settings = {"username": USER, "password": PASSWORD, "source": ("test:",), **settings}
    return TickstormService(
        Settings(**settings),
        reactor,
        authenticator=authenticator,
        clock=simulated_clock(reactor),
        source_makers=[Maker(make or (lambda _: Source(reactor.events)))],
    )


def started(service):
    service.privilegedStartService()
    service.startService()
    return service


def ask(reactor, path, number=PAGE):
    """The status and the body that a page answers with."""
    protocol, transport = reactor.factory(number).buildProtocol(None), StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    head, _, body = transport.value().partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def reasons(reactor):
    return json.loads(ask(reactor, "/health/ready")[1])["reasons"]


# The start.


def test_it_is_a_part_of_another_application():
    reactor, application = Reactor(), MultiService()
    service = serve(reactor)
    service.setServiceParent(application)
    assert reactor.listening == []
    application.privilegedStartService()
    application.startService()
    assert reactor.listening == [PAGE, PORT]
    client = Client(service.factory)
    client.send(auth(), subscribe())
    assert client.names() == ["ACK", "ACK"]
    service.hub.publish([Tick("EURUSD", 1.5, 1.0)])
    reactor.advance(1)
    assert client.names() == [[1.5]]
    stopped = application.stopService()
    assert client.names() == ["GOAWAY"]
    client.vanish()
    assert stopped.called
    assert reactor.listening == []


def test_it_joins_an_application_that_runs():
    reactor, application = Reactor(), MultiService()
    application.startService()
    serve(reactor).setServiceParent(application)
    assert reactor.listening == [PAGE, PORT]


def test_it_listens_once_before_its_sources_begin():
    seen, reactor = [], Reactor()

    class Watching(Source):
        def startService(self):
            seen.append(list(reactor.listening))

    service = started(serve(reactor, make=lambda _: Watching([])))
    assert seen == [[PAGE, PORT]]
    assert [port.getHost().port for port in service.ports] == [PORT]
    assert [port.getHost().port for port in service.page_ports] == [PAGE]


def test_every_port_that_is_asked_for():
    reactor = Reactor()
    service = started(serve(reactor, port=("tcp:1", "haproxy:tcp:2", "tcp:3"), http=""))
    assert reactor.listening == [1, 2, 3]
    assert service.page_ports == []


def test_a_source_feeds_the_hub():
    maker = Maker(lambda _: Source([]))
    reactor = Reactor()
    service = TickstormService(
        Settings(source=("test:a", "test:b")),
        reactor,
        authenticator=SharedCredentials(USER, PASSWORD),
        clock=simulated_clock(reactor),
        source_makers=[maker],
    )
    assert len(list(service)) == 2
    assert maker.publish([Tick("EURUSD", 1.5, 1.0)]) == 1
    assert service.hub.ticks_published == 1


def test_each_start_has_an_epoch_of_its_own():
    assert serve().hub.epoch != serve().hub.epoch


@pytest.mark.parametrize("port", ["pigeon:1", "tls:1:cert=/nowhere:key=/nowhere"])
def test_a_port_that_cannot_be_made(port):
    with pytest.raises(ConfigError):
        serve(port=(port,))


def test_a_source_that_cannot_be_made():
    def refuse(arguments):
        raise SourceError(f"{arguments} is wrong")

    with pytest.raises(SourceError, match="rate=0 is wrong"):
        serve(make=refuse, source=("test:rate=0",))
    with pytest.raises(SourceError, match="there is no 'pigeon'; the sources are: test"):
        serve(source=("pigeon:",))


# All or nothing.


@implementer(IChaoticSource)
class ChaoticSource(Source):
    """A source whose server misbehaves: it has the factory behind another."""

    def wrapFactory(self, factory):
        return WrappingFactory(factory)


def test_a_chaotic_source_stands_before_the_subscribers_ports():
    reactor = Reactor()
    service = serve(reactor, make=lambda _: ChaoticSource(reactor.events))
    started(service)
    assert type(reactor.factory(PORT)) is WrappingFactory
    assert reactor.factory(PORT).wrappedFactory is service.factory
    assert type(reactor.factory(PAGE)) is not WrappingFactory
    client = Client(service.factory)
    client.send(auth(), subscribe())
    assert client.names() == ["ACK", "ACK"]
    service.hub.publish([Tick("EURUSD", 1.5, 1.0)])
    reactor.advance(1)
    assert client.names() == [[1.5]]


def test_without_one_the_ports_have_the_factory_itself():
    reactor = Reactor()
    service = started(serve(reactor))
    assert reactor.factory(PORT) is service.factory


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"workers": 2}, "source 'test:': chaos= needs workers = 0, not 2"),
        ({"source": ("test:", "test:b")}, "source 'test:b': there is chaos= already; give it once"),
    ],
)
def test_chaos_that_cannot_be(settings, error):
    with pytest.raises(SourceError) as caught:
        serve(make=lambda _: ChaoticSource([]), **settings)
    assert str(caught.value) == error


def test_a_second_port_that_cannot_be_had_stops_the_first():
    reactor = Reactor(2)
    service = serve(reactor, port=("tcp:1", "tcp:2"), http="")
    with pytest.raises(ListenError) as caught:
        service.privilegedStartService()
    assert str(caught.value) == "cannot listen: Address already in use (tcp:2)"
    assert (reactor.listening, service.ports) == ([], [])


def test_a_port_that_cannot_be_had_stops_the_page():
    reactor = Reactor(PORT)
    with pytest.raises(ListenError):
        serve(reactor).privilegedStartService()
    assert reactor.listening == []


def test_a_source_that_does_not_start_stops_the_ports():
    reactor = Reactor()
    service = serve(reactor, make=lambda _: Source([], at_start=SourceError("no")))
    service.privilegedStartService()
    with pytest.raises(SourceError):
        service.startService()
    assert reactor.listening == []


# The end.


def test_it_stops_in_order():
    reactor = Reactor()
    service = started(serve(reactor))
    client = Client(service.factory)
    client.send(auth(), subscribe())
    client.read()
    stopped = service.stopService()
    assert reactor.events == [f"port {PORT}"]
    assert client.names() == ["GOAWAY"]
    assert reasons(reactor) == ["the server is stopping"]
    service.hub.publish([Tick("EURUSD", 1.5, 1.0)])
    reactor.advance(0.01)
    assert client.names() == [[1.5]]
    assert not stopped.called
    client.vanish()
    assert stopped.called
    assert reactor.events == [f"port {PORT}", "source", f"port {PAGE}"]
    assert reactor.getDelayedCalls() == []


def test_its_clients_are_closed_one_after_the_other_until_80_percent_of_the_time():
    reactor = Reactor()
    service = started(serve(reactor, drain_timeout=10.0))
    clients = [Client(service.factory) for _ in range(10)]
    service.stopService()
    closed = []
    for _ in range(8):
        closed.append(sum(client.closed for client in clients))
        reactor.pump([0.05] * 20)
    assert (closed[0], sum(client.closed for client in clients)) == (0, 10)
    assert closed == sorted(closed)
    assert len(set(closed)) > 4


def test_while_a_stop_is_only_announced_it_goes_on():
    reactor = Reactor()
    service = started(serve(reactor, drain_delay=3.0))
    stopped = service.stopService()
    assert (ask(reactor, "/health/ready")[0], reasons(reactor)) == (503, ["the server is stopping"])
    client = Client(service.factory)
    client.send(auth(), subscribe())
    service.hub.publish([Tick("EURUSD", 1.5, 1.0)])
    reactor.advance(2.9)
    assert client.names() == ["ACK", "ACK", [1.5]]
    assert reactor.listening == [PAGE, PORT]
    reactor.advance(0.1)
    assert (client.names(), reactor.listening) == (["GOAWAY"], [PAGE])
    client.vanish()
    assert stopped.called


def test_a_stop_that_is_hastened_waits_for_nothing():
    reactor = Reactor()
    make = lambda _: Source(reactor.events, at_stop=Deferred())  # noqa: E731
    service = started(serve(reactor, make=make, drain_delay=60.0, drain_timeout=60.0))
    client = Client(service.factory)
    stopped = service.stopService()
    service.hasten()
    assert (client.names(), client.closed) == (["SHUTTING_DOWN"], True)
    reactor.advance(HASTE)
    assert client.cut
    assert not stopped.called
    client.vanish()
    assert stopped.called
    assert reactor.getDelayedCalls() == []


def test_so_is_one_that_is_in_the_middle_of_its_drain():
    reactor = Reactor()
    service = started(serve(reactor, drain_timeout=60.0))
    client = Client(service.factory)
    stopped = service.stopService()
    reactor.advance(0.01)
    assert not client.closed
    service.hasten()
    assert (client.names(), client.closed) == (["SHUTTING_DOWN"], True)
    client.vanish()
    assert stopped.called


@pytest.mark.parametrize(
    ("clients", "words"), [(0, "0 connections"), (1, "1 connection"), (2, "2 connections")]
)
def test_who_hastens_a_stop_is_told_that_it_is_heard(said, clients, words):
    service = started(serve(drain_timeout=60.0))
    for _ in range(clients):
        Client(service.factory)
    service.stopService()
    service.hasten()
    seen_off = [("info", f"seeing off {words}, in 60 s at most")] if clients else []
    heard = [line for line in said() if "connection" in line[1]]
    assert heard == [*seen_off, ("info", f"told again to stop: closing {words} at once")]


def test_there_is_nothing_to_hasten_unless_it_stops(said):
    reactor = Reactor()
    service = started(serve(reactor))
    client = Client(service.factory)
    service.hasten()
    reactor.advance(HASTE)
    assert not client.closed
    assert [text for _, text in said() if "again" in text] == []
    service.stopService()
    reactor.advance(HASTE)
    assert not client.cut


def test_a_client_that_stays_is_cut():
    reactor = Reactor()
    service = started(serve(reactor, drain_timeout=3.0))
    client = Client(service.factory)
    stopped = service.stopService()
    reactor.pump([1.0, 1.0])
    assert (client.cut, stopped.called) == (False, False)
    reactor.advance(1.0)
    assert client.cut
    client.vanish()
    assert stopped.called


def test_it_waits_for_a_source_that_takes_its_time():
    reactor, ending = Reactor(), Deferred()
    service = started(serve(reactor, make=lambda _: Source(reactor.events, at_stop=ending)))
    stopped = service.stopService()
    assert not stopped.called
    ending.callback(None)
    assert stopped.called


def test_a_source_that_never_ends_cannot_delay_the_end():
    reactor = Reactor()
    make = lambda _: Source(reactor.events, at_stop=Deferred())  # noqa: E731
    service = started(serve(reactor, make=make, drain_timeout=3.0))
    client = Client(service.factory)
    service.stopService()
    reactor.pump([1.0] * 10)
    assert client.closed


# Health.


def test_it_is_ready_while_it_accepts_and_is_fed():
    reactor = Reactor()
    service = serve(reactor, feed_timeout=5.0)
    started(service)
    assert reasons(reactor) == ["there was no tick yet"]
    service.hub.publish([Tick("EURUSD", 1.5, 1.0)])
    reactor.advance(1.0)
    assert ask(reactor, "/health/ready")[0] == 200
    reactor.pump([1.0] * 5)
    assert reasons(reactor) == ["the last tick is 6.0 s old, over 5 s"]
    service.stopService()
    assert reasons(reactor) == ["the server is stopping"]


def test_it_is_ready_again_after_another_start():
    reactor = Reactor()
    service = started(serve(reactor))
    service.stopService()
    started(service)
    service.hub.publish([Tick("EURUSD", 1.5, 1.0)])
    assert reactor.listening == [PAGE, PORT]
    assert reasons(reactor) == []


# What is set.

OF_THE_FACTORY = {
    "auth_timeout": 1.0,
    "heartbeat_interval": 2.0,
    "heartbeat_timeout": 3.0,
    "max_message_bytes": 40_000,
    "max_write_queue": 5,
    "max_write_queue_bytes": 60_000,
    "write_deadline": 7.0,
    "soft_write_queue_bytes": 30_000,
    "lossy_write_deadline": 70.0,
    "max_backlog_bytes": 2_000_000,
    "max_connections": 8,
    "max_connections_per_address": 9,
    "allow": (ip_network("10.0.0.0/8"),),
    "block": (ip_network("10.1.0.0/16"),),
    "max_login_failures": 4,
    "login_failure_window": 11.0,
    "tcp_keepalive": False,
    "tcp_read_buffer_bytes": 12,
    "tcp_write_buffer_bytes": 13,
    "tcp_unsent_bytes": 14,
    "batch_window": 0.5,
}
ELSEWHERE = {
    "port", "http", "source", "delivery", "workers", "log_format", "log_level", "username",
    "password", "max_symbols", "feed_timeout", "drain_timeout", "tls_enabled", "tls_cert",
    "tls_key", "tls_ca", "tls_client_auth", "tls_min_version", "origins",
    "publishers", "publish_rate", "history", "history_bytes", "history_stream_bytes",
    "max_intervals", "drain_delay",
    "auction", "auction_auth", "auction_users", "auction_rate_per_user", "auction_in_flight",
    "auction_rate_per_address", "auction_pipeline", "auction_batch", "auction_watched",
    "auction_max", "auction_bid_memory", "auction_token_key", "auction_token_audience",
    "redis", "redis_timeout", "redis_replicas", "redis_record",
}  # fmt: skip
"""Those that the tests of this file, of the settings, the log and the auctions look at."""


def test_every_setting_of_connections_reaches_the_factory():
    reactor = Reactor()
    service = serve(reactor)
    factory = make_factory(
        Settings(**OF_THE_FACTORY),
        FanOut(service.hub, simulated_clock(reactor)),
        SharedCredentials(USER, PASSWORD),
        simulated_clock(reactor),
    )
    assert factory.session_limits == SessionLimits(1.0, 2.0, 3.0, 40_000)
    backlogs = factory.congestion.backlogs
    assert backlogs.limits == BacklogLimits(5, 60_000, 7.0, 30_000, 70.0)
    assert backlogs.budget.max_bytes == 2_000_000
    assert factory.socket_options == SocketOptions(False, 12, 13, 14)
    networks = ((ip_network("10.0.0.0/8"),), (ip_network("10.1.0.0/16"),))
    assert factory.door._limits == AdmissionLimits(8, 9, *networks, 4, 11.0)
    assert factory.login_failures._limits == factory.door._limits


def test_no_setting_is_forgotten():
    assert {field.name for field in fields(Settings)} == OF_THE_FACTORY.keys() | ELSEWHERE
    assert all(getattr(Settings(), name) != value for name, value in OF_THE_FACTORY.items())


@pytest.mark.parametrize(("delivery", "slots"), [(Delivery.ALIGNED, 1), (Delivery.SPREAD, 200)])
def test_the_delivery(delivery, slots):
    assert serve(delivery=delivery).hub.slots == slots


def test_publishers_are_those_of_the_settings():
    service = started(serve(publishers=(read_right(f"{USER}:EUR*"),), publish_rate=1000))
    client = Client(service.factory)
    client.send(auth(), publish(1.0), publish(1.0, symbol="GBPUSD"), publish(*[1.0] * 1000))
    assert client.names() == ["ACK", "ACK", "NOT_PERMITTED", "RATE_LIMITED"]


def test_who_cannot_log_in_is_no_publisher():
    publishers = (read_right("desk:*"),)
    with pytest.raises(ConfigError, match="somebody who cannot log in: there is only username"):
        serve(publishers=publishers)
    service = serve()
    with pytest.raises(ConfigError, match="somebody who cannot log in: there is only username"):
        reread(service, publishers=publishers)
    assert service.settings.publishers == ()


def test_an_authenticator_decides_who_can_log_in_as_a_publisher():
    class Anybody:
        def authenticate(self, login, peer):
            return User("desk")

    service = started(serve(authenticator=Anybody(), publishers=(read_right("desk:*"),)))
    client = Client(service.factory)
    client.send(auth(), publish(1.0))
    assert client.names() == ["ACK", "ACK"]
    reread(service, publishers=(read_right("other:*"),))
    assert service.settings.publishers == (read_right("other:*"),)


def test_the_symbols_are_limited():
    service = serve(max_symbols=1)
    service.hub.publish([Tick("A", 1.0, 1.0)])
    with pytest.raises(Exception, match="B is one more than 1 symbols"):
        service.hub.publish([Tick("B", 1.0, 1.0)])


def test_another_authenticator_takes_the_place_of_the_settings_login():
    class Anybody:
        def authenticate(self, login, peer):
            return User(login.username)

    service = started(serve(authenticator=Anybody()))
    client = Client(service.factory)
    client.send(auth("mallory", "guessed"))
    assert client.names() == ["ACK"]


# Certificates.


def test_when_a_certificate_expires_is_a_metric(tmp_path):
    certificate, key = authority().issue("localhost").save(tmp_path, "server")
    reactor = Reactor()
    own = f"tls:1:cert={certificate}:key={key}"
    started(serve(reactor, port=("tcp:2", own)))
    name = "tickstorm_certificate_expiry_timestamp_seconds"
    lines = ask(reactor, "/metrics")[1].splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}{{")]
    labels, number = line.split()
    assert labels == f'{name}{{certificate="{certificate}"}}'
    assert float(number) == NOT_AFTER.timestamp()


# Settings that are read anew.


@pytest.fixture(name="said")
def keep_log():
    """What is said, as its level and its text."""
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [(each["log_level"].name, formatEvent(each)) for each in events]
    globalLogPublisher.removeObserver(events.append)


def reread(service, **changed):
    return service.reload(replace(service.settings, **changed))


def logged_in(service, password=PASSWORD, address="10.0.0.1"):
    client = Client(service.factory, address)
    client.send(auth(password=password))
    return client.names()


def test_everything_that_can_change_does_for_who_comes_and_who_is_in_stays():
    service = started(serve())
    streaming = Client(service.factory, "10.9.0.1")
    streaming.send(auth(), subscribe())
    limits = {**OF_THE_FACTORY, "password": "another-1", "max_connections_per_address": 3}
    del limits["max_message_bytes"], limits["batch_window"]
    limits["max_write_queue_bytes"] = 70_000
    reread(service, **limits, feed_timeout=5.0, drain_delay=7.0)
    factory = service.factory
    fresh = make_factory(
        service.settings, factory.feed, factory.logins.authenticator, service.factory.clock
    )
    for part in ("session_limits", "socket_options", "register.verbose"):
        assert attrgetter(part)(factory) == attrgetter(part)(fresh)
    ours, others = factory.congestion.backlogs, fresh.congestion.backlogs
    assert (ours.limits, ours.budget.max_bytes) == (others.limits, others.budget.max_bytes)
    assert factory.door._limits == fresh.door._limits
    assert factory.login_failures._limits == fresh.login_failures._limits
    assert logged_in(service, address="10.9.0.1") == ["INVALID_AUTH"]
    assert logged_in(service, "another-1", "10.9.0.1") == ["ACK"]
    assert logged_in(service, "another-1", "10.1.0.1") == ["NOT_PERMITTED"]
    # The two that have ended are still there, as they have not closed their side.
    assert logged_in(service, "another-1", "10.9.0.1") == ["RATE_LIMITED"]
    service.hub.publish([Tick("EURUSD", 1.5, 1.0)])
    factory.feed.flush()
    assert streaming.names() == ["ACK", "ACK", [1.5]]


def test_what_has_changed_is_said_by_its_name_alone(said):
    service = started(serve())
    before = len(said())
    change = reread(service, password="another-1", workers=2, max_symbols=5, log_level="debug")
    assert said()[before:] == [
        ("warn", "workers has changed, which needs a restart"),
        ("warn", "max_symbols has changed, which needs a restart"),
        ("info", "the settings are read anew; changed: log_level, password"),
    ]
    assert (change.taken, change.left) == (("log_level", "password"), ("workers", "max_symbols"))
    assert (service.settings.workers, service.settings.password) == (0, "another-1")


def test_what_is_left_is_said_each_time():
    service = serve()
    assert [reread(service, workers=2).left for _ in range(2)] == [("workers",)] * 2


def test_nothing_has_changed(said):
    service = started(serve())
    service.reload()
    text = "the settings are read anew; changed: nothing that can change without a restart"
    assert said()[-1] == ("info", text)


def test_who_listens_for_it_hears_before_the_log_does(said):
    service, heard = serve(), []
    service.on_reload = lambda settings: heard.append((settings.log_level, len(said())))
    reread(service, log_level="debug")
    assert heard == [("debug", 0)]


def test_what_does_not_go_together_leaves_all_as_it_was():
    service = started(serve())
    before = service.settings
    limits = {"max_message_bytes": 40_000, "max_write_queue_bytes": 50_000}
    with pytest.raises(ConfigError, match="max_write_queue_bytes"):
        reread(service, **limits, password="another-1")
    assert service.settings is before
    assert logged_in(service) == ["ACK"]


def test_a_server_without_a_login_is_refused():
    service = started(serve())
    with pytest.raises(ConfigError, match="neither a user name"):
        reread(service, username="", password="")
    assert logged_in(service) == ["ACK"]


def test_an_authenticator_stays():
    class Anybody:
        def authenticate(self, login, peer):
            return User(login.username)

    service = started(serve(authenticator=Anybody(), username="", password=""))
    reread(service, max_connections=1)
    assert logged_in(service, "guessed") == ["ACK"]


def test_a_bad_certificate_leaves_all_as_it_was(tmp_path):
    certificate, key = authority().issue("localhost").save(tmp_path, "server")
    service = started(serve(port=("tcp:2", f"tls:1:cert={certificate}:key={key}")))
    certificate.write_text("nonsense")
    with pytest.raises(ConfigError, match="is not a certificate in PEM"):
        reread(service, password="another-1")
    assert logged_in(service) == ["ACK"]


def test_fewer_connections_than_there_are_close_none():
    service = started(serve())
    clients = [Client(service.factory) for _ in range(3)]
    reread(service, max_connections=2)
    assert [client.closed for client in clients] == [False] * 3
    assert logged_in(service) == ["OVERLOADED"]
    clients[0].vanish()
    clients[1].vanish()
    assert logged_in(service) == ["ACK"]


def test_a_limit_of_addresses_counts_those_that_are_in():
    service = started(serve())
    clients = [Client(service.factory) for _ in range(2)]
    reread(service, max_connections_per_address=2)
    assert logged_in(service) == ["RATE_LIMITED"]
    assert logged_in(service, address="10.0.0.2") == ["ACK"]
    clients[0].vanish()
    assert logged_in(service) == ["ACK"]
    reread(service, max_connections_per_address=0)
    assert logged_in(service) == ["ACK"]


def test_a_right_to_publish_that_is_taken_is_gone_and_a_new_one_comes_with_a_login():
    service = started(serve(publishers=(read_right(f"{USER}:EUR*"),)))
    before, other = Client(service.factory), Client(service.factory)
    before.send(auth(), publish(1.0))
    reread(service, publishers=(read_right(f"{USER}:GBP*"),))
    before.send(publish(1.0), publish(1.0, symbol="GBPUSD"))
    assert before.names() == ["ACK", "ACK", "NOT_PERMITTED", "ACK"]
    reread(service, publishers=())
    before.send(publish(1.0, symbol="GBPUSD"))
    other.send(auth())
    reread(service, publishers=(read_right(f"{USER}:*"),))
    other.send(publish(1.0))
    assert (before.names(), other.names()) == (["NOT_PERMITTED"], ["ACK", "NOT_PERMITTED"])
    after = Client(service.factory)
    after.send(auth(), publish(1.0))
    assert after.names() == ["ACK", "ACK"]


def test_the_next_stop_takes_as_long_as_was_read_last():
    reactor = Reactor()
    service = started(serve(reactor, drain_timeout=60.0))
    client = Client(service.factory)
    reread(service, drain_timeout=3.0)
    service.stopService()
    reactor.pump([0.1] * 31)
    assert client.cut
