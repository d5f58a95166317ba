"""A worker against a parent in memory: what it says of itself, and what it does when it is told."""

import socket
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network

import pytest
from adopting import Far, Reactor
from certificates import authority
from conversation import PASSWORD, SECOND, TICK, USER, auth, subscribe
from twisted.logger import LogLevel, PredicateResult

from tickstorm.clock import simulated_clock
from tickstorm.credentials import Peer, User
from tickstorm.emptying import HASTE
from tickstorm.errors import ConfigError, InvalidAuth
from tickstorm.hub import Hub
from tickstorm.listing import Query
from tickstorm.messages import Login
from tickstorm.settings import Settings
from tickstorm.subscriptions import Mode, Subscription
from tickstorm.ticks import Tick
from tickstorm.workers.handover import Handed, PortKind, hand_over, pair
from tickstorm.workers.link import (
    AtAddress,
    Drain,
    Drained,
    Hasten,
    Join,
    Leave,
    Leaving,
    ListAsked,
    Listed,
    Load,
    LoginAnswered,
    LoginAsked,
    LoginFailed,
    Placed,
    Ready,
    Reload,
    Report,
    emission,
)
from tickstorm.workers.link_end import LIMITS
from tickstorm.workers.process import LAST_WORDS, LOAD_DELAY, REPORT_INTERVAL, Worker
from tickstorm.workers.silence import BUSY
from tickstorm.workers.spec import WorkerSpec


class Parent:
    """A parent in memory, with its worker."""

    def __init__(
        self, *, slots=(0,), asks_for_logins=False, elsewhere=None, bidders=None, **settings
    ):
        settings = {
            "username": USER,
            "password": PASSWORD,
            "port": ("tcp:1", "unix:/x"),
            **settings,
        }
        self.settings = Settings(**settings)
        elsewhere = {PortKind.SUBSCRIBERS: elsewhere or {}, PortKind.BIDDERS: bidders or {}}
        elsewhere = {kind: counts for kind, counts in elsewhere.items() if counts}
        spec = WorkerSpec(2, self.settings, "epoch-1", slots, 1, asks_for_logins, elsewhere, {})
        self.reactor = Reactor()
        self.clock = simulated_clock(self.reactor)
        self.worker = Worker(spec, self.reactor, self.clock)
        self.giver, taker = pair()
        ours, theirs = socket.socketpair()
        with ours:
            self.worker.start(theirs, taker)
        (link,) = self.reactor.adopted
        self.link = Far(link)
        self._next_id = 1
        self._stack = ExitStack()

    def hand(self, count=1, address="10.0.0.1", port=0):
        """Hand over connections, which the worker has not taken yet; the clients' sockets."""
        self.reactor.peer = address
        ends = [socket.socketpair() for _ in range(count)]
        servers = [server for _, server in ends]
        descriptors = [server.fileno() for server in servers]
        assert hand_over(self.giver, Handed(port, socket.AF_UNIX, self._next_id, descriptors))
        self._next_id += count
        for client, server in ends:
            server.close()
            client.setblocking(False)
            self._stack.enter_context(client)
        return [client for client, _ in ends]

    def connect(self, count=1, address="10.0.0.1", port=0):
        """Clients of the worker."""
        before = len(self.reactor.adopted)
        self.hand(count, address, port)
        self.reactor.turn()
        return self.reactor.adopted[before:]

    def client(self, *arguments, **named):
        (client,) = self.connect(*arguments, **named)
        return client

    def place(self, number=7, next_sequence=5, snapshot=()):
        """Answer the join that the worker has asked for."""
        (join,) = self.link.heard(Join)
        self.link.say(
            Placed(join.request, number, 0, "epoch-1", next_sequence, next_sequence, snapshot)
        )
        return join

    def emit(self, *prices, number=7, sequence=5):
        """Send a batch of a stream to the worker."""
        hub = Hub("epoch-1", self.clock.wall_ns)
        stream = hub.open(Subscription(Mode.TICK))
        stream.next_sequence = sequence
        stream.join("somebody")
        hub.publish([Tick("EURUSD", price, 1.0) for price in prices])
        ((_, frames),) = hub.ticks.flush()
        self.link.link.dataReceived(
            emission(number, stream.next_sequence, self.clock.monotonic(), frames)
        )

    @property
    def ended(self):
        return self.reactor.hasStopped

    def close(self):
        self._stack.close()
        self.giver.close()
        self.reactor.turn()


@pytest.fixture(name="parent")
def make_parent():
    """Makes parents, and clears them away."""
    made = []

    def parent(**options):
        made.append(Parent(**options))
        return made[-1]

    yield parent
    for each in made:
        each.close()


# What it says of itself.


def test_it_says_that_it_serves_and_then_how_it_is(parent):
    one = parent()
    ready, load, report = one.link.heard()
    assert (ready, load) == (Ready(), Load(0, 0))
    assert (report.reading.connections, report.cpu_seconds >= 0) == (0, True)
    assert report.resident_bytes > 2**20
    assert one.reactor.families == [socket.AF_UNIX]


def test_it_reports_each_second(parent):
    one = parent()
    one.connect(3)
    one.link.heard()
    for _ in range(5):
        one.reactor.advance(REPORT_INTERVAL)
        load, report = one.link.heard()
        assert load == Load(3, 3)
        assert type(report) is Report
        assert (report.reading.connections, report.reading.metrics.connections_opened) == (3, 3)


def test_closed_connections_are_told_of_soon_and_together(parent):
    one = parent()
    clients = one.connect(5)
    one.link.heard()
    for client in clients[:3]:
        client.vanish()
    one.reactor.advance(LOAD_DELAY / 2)
    clients[3].vanish()
    assert one.link.heard(Load) == []
    one.reactor.advance(LOAD_DELAY / 2)
    assert one.link.heard() == [Load(5, 1)]
    one.reactor.advance(LOAD_DELAY)
    assert one.link.heard() == []
    clients[4].vanish()
    one.reactor.advance(LOAD_DELAY)
    assert one.link.heard() == [Load(5, 0)]


def test_its_connections_are_listed_when_it_is_asked(parent):
    one = parent()
    one.connect(3)
    one.link.heard()
    one.link.say(ListAsked(9, Query(limit=1, after=1)))
    (listed,) = one.link.heard()
    assert (type(listed), listed.request, listed.listing.total) == (Listed, 9, 3)
    assert [row["id"] for row in listed.listing.rows] == [2]


def test_ids_are_those_that_the_parent_has_chosen(parent):
    one = parent()
    one._next_id = 1000
    one.connect(2)
    one._next_id = 5
    one.connect(1, port=1)
    assert sorted(one.worker.factory.connections) == [5, 1000, 1001]


# Subscribers.


def test_a_subscriber_is_served_by_the_parent_s_hub(parent):
    one = parent(slots=(3, 8))
    client = one.client()
    client.send(auth(), subscribe(SECOND, "EURUSD"))
    assert client.names() == ["ACK"]
    join = one.place()
    assert (join.subscription.mode, join.subscription.symbols, join.slot) == (
        Mode.SECOND,
        frozenset({"EURUSD"}),
        3,
    )
    (ack,) = client.read()
    assert (ack.metadata["epoch"], ack.metadata["next_sequence"]) == ("epoch-1", "5")
    one.emit(1.5, 2.5)
    (batch,) = client.read()
    assert ([tick.price for tick in batch.ticks], batch.batch_sequence) == ([1.5, 2.5], 5)
    client.vanish()
    assert one.link.heard(Leave) == [Leave(7, 1)]


def test_two_subscribers_are_one_of_the_parent_s(parent):
    one = parent()
    clients = one.connect(2)
    for client in clients:
        client.send(auth(), subscribe(TICK))
        if client is clients[0]:
            one.place()
    assert one.link.heard(Join) == []
    one.emit(1.5)
    assert [client.names() for client in clients] == [["ACK", "ACK", [1.5]]] * 2


# Logins.


def test_the_settings_decide_who_may_log_in(parent):
    one = parent()
    right, wrong = one.connect(2)
    right.send(auth())
    wrong.send(auth(password="wrong"))
    assert (right.names(), wrong.names()) == (["ACK"], ["INVALID_AUTH"])
    assert one.link.heard(LoginAsked) == []


def test_or_the_parent_does(parent):
    one = parent(asks_for_logins=True, username="", password="")
    good, bad = one.connect(2, "10.0.0.7")
    good.send(auth("bob", "his"))
    bad.send(auth("eve", "guess"))
    asked = one.link.heard(LoginAsked)
    assert asked == [
        LoginAsked(1, Login("bob", "his"), Peer("10.0.0.7")),
        LoginAsked(2, Login("eve", "guess"), Peer("10.0.0.7")),
    ]
    one.link.say(LoginAnswered(2, InvalidAuth("no")), LoginAnswered(1, User("bob")))
    assert (good.names(), bad.names()) == (["ACK"], ["INVALID_AUTH"])
    assert one.worker.factory.metrics.logins == {"accepted": 1, "INVALID_AUTH": 1}


def test_a_login_that_failed_is_told(parent):
    one = parent()
    one.client(address="10.0.0.7").send(auth(password="wrong"))
    assert one.link.heard(LoginFailed) == [LoginFailed("10.0.0.7")]


def test_those_that_failed_elsewhere_count_here(parent):
    one = parent(max_login_failures=3)
    one.link.say(*[LoginFailed("10.0.0.7")] * 3)
    one.link.heard()
    guess, other = one.client(address="10.0.0.7"), one.client(address="10.0.0.8")
    for client in (guess, other):
        client.send(auth())
    assert (guess.names(), other.names()) == (["RATE_LIMITED"], ["ACK"])
    assert one.link.heard(LoginFailed) == []  # it was no failure, and is not told again


# How many from one address.


def test_who_comes_and_goes_is_told_where_that_is_limited(parent):
    one = parent(max_connections_per_address=2)
    clients = one.connect(3, "10.0.0.7")
    assert one.link.heard(AtAddress) == [AtAddress("10.0.0.7", 1)] * 2
    assert [client.names() for client in clients] == [[], [], ["RATE_LIMITED"]]
    clients[2].vanish()
    clients[0].vanish()
    assert one.link.heard(AtAddress) == [AtAddress("10.0.0.7", -1)]


def test_and_not_where_it_is_not(parent):
    one = parent()
    one.client(address="10.0.0.7").vanish()
    assert one.link.heard(AtAddress) == []


def test_the_limit_is_that_of_all_workers(parent):
    one = parent(max_connections_per_address=2, elsewhere={"10.0.0.7": 1})
    first, second = one.connect(2, "10.0.0.7")
    assert (first.names(), second.names()) == ([], ["RATE_LIMITED"])
    one.link.say(AtAddress("10.0.0.7", -1))
    assert one.client(address="10.0.0.7").names() == []
    one.link.say(AtAddress("10.0.0.8", 2))
    assert one.client(address="10.0.0.8").names() == ["RATE_LIMITED"]


def test_what_the_others_say_is_not_told_back(parent):
    one = parent(max_connections_per_address=2, elsewhere={"10.0.0.9": 1})
    one.link.say(AtAddress("10.0.0.7", 1))
    assert one.link.heard(AtAddress) == []


def test_its_share_is_its_limit(parent):
    one = parent(max_connections=2)
    clients = one.connect(3)
    assert [client.names() for client in clients] == [[], [], ["OVERLOADED"]]


# The end.


def test_a_drain_sees_the_clients_off_and_ends_the_process(parent):
    one = parent()
    clients = one.connect(2)
    one.link.heard()
    one.link.say(Drain(3.0, 0.0))
    assert one.link.heard() == [Leaving()]
    assert [client.names() for client in clients] == [["SHUTTING_DOWN"]] * 2
    assert [client.closed for client in clients] == [True, True]
    for client in clients:
        assert not one.ended
        client.vanish()
    assert one.link.heard(Drained) == [Drained()]
    one.reactor.advance(0)
    assert one.ended


def test_who_does_not_go_is_cut(parent):
    one = parent()
    client = one.client()
    one.link.say(Drain(3.0, 0.0))
    one.reactor.advance(2.9)
    assert not client.cut
    one.reactor.advance(0.1)
    assert client.cut


def test_its_closes_are_spread_over_the_window_and_its_streams_go_on(parent):
    one = parent()
    clients = one.connect(10)
    for client in clients:
        client.send(auth(), subscribe(TICK))
    one.place()
    one.link.say(Drain(10.0, 8.0))
    one.emit(1.5)
    assert [client.names() for client in clients] == [["ACK", "ACK", "GOAWAY", [1.5]]] * 10
    one.reactor.pump([0.02] * 200)
    closed = [client.closed for client in clients]
    assert 3 <= sum(closed) <= 7
    one.emit(2.5, sequence=6)
    got = [client.names() for client in clients]
    assert got == [[] if gone else [[2.5]] for gone in closed]
    one.reactor.pump([0.02] * 201)
    assert [client.closed for client in clients] == [True] * 10


def test_a_drain_that_is_hastened_closes_all_at_once(parent):
    one = parent()
    clients = one.connect(3)
    one.link.say(Drain(60.0, 48.0), Hasten())
    assert [client.names() for client in clients] == [["SHUTTING_DOWN"]] * 3
    one.reactor.advance(HASTE)
    assert [client.cut for client in clients] == [True] * 3


def test_so_does_one_whose_parent_is_gone(parent):
    one = parent()
    client = one.client()
    one.link.say(Drain(60.0, 48.0))
    one.link.vanish()
    assert client.names() == ["SHUTTING_DOWN"]


def test_told_by_a_signal_it_drains_as_the_settings_say(parent):
    one = parent(drain_timeout=60.0)
    one.link.say(Reload(replace(one.settings, drain_timeout=5.0), {}))
    client = one.client()
    one.worker.stop()
    assert client.names() == []
    one.reactor.pump([0.05] * 81)
    assert client.names() == ["SHUTTING_DOWN"]
    one.reactor.advance(0.9)
    assert not client.cut
    one.reactor.advance(0.1)
    assert client.cut


def test_it_drains_once(parent):
    one = parent()
    client = one.client()
    one.link.say(Drain(3.0, 0.0), Drain(1.0, 0.0))
    one.worker.drain(1.0, 0.0)
    assert one.link.heard(Leaving) == [Leaving()]
    assert client.names() == ["SHUTTING_DOWN"]
    one.reactor.advance(1.0)
    assert not client.cut


def test_who_comes_during_a_drain_is_told(parent):
    one = parent()
    one.client()
    one.link.say(Drain(3.0, 0.0))
    assert one.client().names() == ["SHUTTING_DOWN"]


@pytest.mark.parametrize("handed", [1, 2])
def test_so_is_who_was_handed_over_before_it_and_not_taken_yet(parent, handed):
    one = parent()
    for _ in range(handed):
        one.hand()
    one.link.say(Drain(3.0, 0.0))
    one.reactor.advance(0)
    clients = one.reactor.adopted[1:]
    assert [client.names() for client in clients] == [["SHUTTING_DOWN"]] * handed
    assert not one.ended
    for client in clients:
        client.vanish()
    one.reactor.advance(0)
    assert one.ended


def test_without_a_parent_it_sees_its_clients_off_and_ends(parent):
    one = parent()
    client = one.client()
    one.link.vanish()
    assert client.names() == ["SHUTTING_DOWN"]
    one.reactor.advance(LAST_WORDS)
    assert client.cut
    client.vanish()
    one.reactor.advance(0)
    assert one.ended
    assert one.worker._reports not in [call.func for call in one.reactor.getDelayedCalls()]


def test_a_parent_that_is_gone_during_a_drain_changes_nothing(parent):
    one = parent()
    client = one.client()
    one.link.say(Drain(3.0, 0.0))
    one.link.vanish()
    client.vanish()
    one.reactor.advance(0)
    assert one.ended


def test_a_subscriber_whose_parent_is_gone_is_told(parent):
    one = parent()
    client = one.client()
    client.send(auth(), subscribe(TICK))
    client.read()
    one.link.vanish()
    assert client.names() == ["SHUTTING_DOWN"]


def test_a_parent_that_reads_nothing_is_given_up(parent):
    one = parent()
    one.link.client.transport.producer.pauseProducing()
    for _ in range(int(BUSY / REPORT_INTERVAL)):
        one.reactor.advance(REPORT_INTERVAL)
    assert not one.link.given_up  # a busy one does not read either
    for _ in range(int((LIMITS.write_deadline - BUSY) / REPORT_INTERVAL)):
        one.reactor.advance(REPORT_INTERVAL)
    assert one.link.given_up


def test_when_nobody_hands_over_any_more_it_goes_on(parent):
    one = parent()
    client = one.client()
    one.giver.close()
    one.reactor.turn()
    client.send(auth())
    assert (client.names(), one.ended) == (["ACK"], False)


# Other settings.


def test_who_comes_is_held_to_the_settings_that_it_was_told_last(parent):
    one = parent(max_connections=10)
    before = one.client()
    told = {"password": "another-1", "max_connections": 2, "block": (ip_network("10.9.0.0/16"),)}
    one.link.say(Reload(replace(one.settings, **told), {}))
    assert one.client(address="10.9.0.1").names() == ["NOT_PERMITTED"]
    after = one.client()
    assert one.client().names() == ["OVERLOADED"]
    before.send(auth())
    after.send(auth(password="another-1"))
    assert (before.names(), after.names()) == (["INVALID_AUTH"], ["ACK"])


def test_where_the_parent_decides_it_still_does(parent):
    one = parent(asks_for_logins=True)
    one.link.say(Reload(one.settings, {}))
    one.client().send(auth())
    assert len(one.link.heard(LoginAsked)) == 1


def test_what_it_tells_the_log_changes_with_the_level(parent):
    one = parent(log_level="info")
    assert one.worker.threshold({"log_level": LogLevel.debug}) is PredicateResult.no
    one.link.say(Reload(replace(one.settings, log_level="debug"), {}))
    assert one.worker.threshold({"log_level": LogLevel.debug}) is PredicateResult.maybe
    assert one.worker.factory.register.verbose


def test_when_addresses_begin_to_be_limited_it_tells_of_those_that_are_in(parent):
    one = parent()
    one.connect(2, "10.0.0.1")
    one.connect(1, "10.0.0.2")
    assert one.link.heard(AtAddress) == []
    limited = replace(one.settings, max_connections_per_address=3)
    one.link.say(Reload(limited, {}), AtAddress("10.0.0.1", 1))
    assert one.link.heard(AtAddress) == [AtAddress("10.0.0.1", 2), AtAddress("10.0.0.2", 1)]
    assert one.client(address="10.0.0.1").names() == ["RATE_LIMITED"]
    one.link.say(Reload(one.settings, {}))
    assert one.client(address="10.0.0.1").names() == []
    assert one.link.heard(AtAddress) == []


# Its ports.


@pytest.fixture(name="secured")
def make_secured(parent, tmp_path):
    """A worker of a port with TLS, and the way to give that another certificate."""

    def renew():
        issued = authority().issue("server")
        return issued.certificate, *issued.save(tmp_path, "server")

    certificate, path, key = renew()
    return parent(port=(f"tls:1:cert={path}:key={key}", "tcp:2")), certificate, renew


def shown(client):
    """The certificate that a client is shown."""
    return client.connection.getHandle().get_certificate().to_cryptography()


def test_its_certificates_are_read_anew_for_the_connections_to_come(secured):
    one, old, renew = secured
    before = one.client()
    new, *paths = renew()
    assert shown(one.client()) == old
    files = {str(path): path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    one.link.say(Reload(one.settings, files))
    assert [shown(client) for client in (before, one.client())] == [old, new]


def test_a_certificate_that_cannot_be_read_leaves_all_as_it_was(secured, failures):
    one, certificate, renew = secured
    _, path, key = renew()
    files = {str(path): b"nonsense", str(key): key.read_bytes()}
    one.link.say(Reload(one.settings, files), ListAsked(1, Query()))
    assert shown(one.client()) == certificate
    assert one.link.heard(Listed)
    assert [type(failure) for failure in failures] == [ConfigError]
    failures.clear()


def test_a_port_without_a_certificate_has_nothing_to_read(parent):
    one = parent()
    one.link.say(Reload(one.settings, {}))
    one.client().send(auth())
    assert one.reactor.adopted[-1].names() == ["ACK"]


def test_a_port_that_cannot_be_shared_is_an_error():
    spec = WorkerSpec(
        1, Settings(username=USER, password=PASSWORD, port=("ssl:1",)), "e", (0,), 1, False, {}, {}
    )
    with pytest.raises(ConfigError):
        Worker(spec, Reactor(), simulated_clock(Reactor()))
