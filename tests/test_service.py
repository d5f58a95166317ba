"""The service: a whole server in memory, as another application has it."""

import json
from dataclasses import fields
from ipaddress import ip_network

import pytest
from certificates import NOT_AFTER, authority
from conversation import PASSWORD, START, USER, Client, auth, publish, subscribe
from twisted.application.service import MultiService, Service
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock, StringTransport

from tickstorm.admission import AdmissionLimits
from tickstorm.clock import simulated_clock
from tickstorm.credentials import SharedCredentials, User
from tickstorm.errors import ConfigError, ListenError, SourceError
from tickstorm.fanout import FanOut
from tickstorm.overload import BacklogLimits
from tickstorm.publishing import read_right
from tickstorm.service import TickstormService, make_factory
from tickstorm.session import SessionLimits
from tickstorm.settings import Delivery, Settings
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
    assert client.names() == ["SHUTTING_DOWN"]
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
    assert reactor.events == [f"port {PORT}", "source"]
    assert client.names() == ["SHUTTING_DOWN"]
    assert reasons(reactor) == ["the server is stopping"]
    assert not stopped.called
    client.vanish()
    assert stopped.called
    assert reactor.events == [f"port {PORT}", "source", f"port {PAGE}"]
    assert reactor.getDelayedCalls() == []


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
    "publishers", "publish_rate",
}  # fmt: skip
"""Those that the tests of this file, of the settings and of the log look at one by one."""


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
