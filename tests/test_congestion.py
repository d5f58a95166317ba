"""Congestion: who is warned, what is said of it, who has to go for the others' sake."""

import pytest
from conversation import TICK, Server, WireClient, auth, heartbeat, subscribe, unsubscribe
from lagging import FAT, Lagging
from twisted.logger import LogLevel, globalLogPublisher

from tickstorm.batches import MAX_SHARED_BATCHES, shared_batch
from tickstorm.congestion import MAX_LINES
from tickstorm.errors import SlowConsumer
from tickstorm.hub import HubLimits
from tickstorm.listing import Query, listing
from tickstorm.overload import BacklogLimits
from tickstorm.subscriptions import Overload
from tickstorm.ticks import Tick

LIMITS = BacklogLimits(max_frames=20, write_deadline=1000.0, lossy_write_deadline=1000.0)


class Crowd:
    """A server whose clients read nothing unless they are told to."""

    def __init__(self, **options):
        self.server = Server(batch_window=0, **{"backlog_limits": LIMITS, **options})
        self.congestion = self.server.factory.congestion
        self.price = 0

    def join(self, policy=Overload.DISCONNECT):
        return Lagging(self.server, policy)

    def publish(self, batches):
        for _ in range(batches):
            self.price += 1
            self.server.publish(float(self.price))

    def sweep(self):
        self.congestion.check(self.server.reactor.seconds())

    def warned(self):
        return sorted(connection.id for connection in self.congestion.warned)


@pytest.fixture
def lines():
    """What is logged in the test: the level and the text."""
    found = []

    def observe(event):
        if event["log_namespace"] == "tickstorm.congestion.Congestion":
            found.append((event["log_level"], event["log_format"].format(**event)))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


# The warning.


@pytest.mark.parametrize("policy", Overload)
def test_a_warning_begins_at_three_quarters_and_ends_at_a_half(policy, lines):
    crowd = Crowd()
    client = crowd.join(policy)
    crowd.publish(1 + 14)  # the first is with the transport
    assert (crowd.warned(), lines) == ([], [])
    crowd.publish(1)
    assert crowd.warned() == [1]
    pending = client.connection.pending_bytes
    warning = f"connection 1 from 10.0.0.1 does not keep up: {pending} bytes are waiting"
    assert lines == [(LogLevel.warn, warning)]
    crowd.publish(3)
    client.take(200)  # what the transport has, and it takes all that a piece has room for
    assert client.connection.pending_bytes == len(client.client.wire.buffered)
    ended = (LogLevel.info, "connection 1 from 10.0.0.1 is no longer behind")
    assert (crowd.warned(), lines[1:]) == ([], [ended])
    assert crowd.server.metrics.slow_warnings == 1


def test_a_warning_lasts_as_long_as_something_is_conflated():
    crowd = Crowd()
    client = crowd.join(Overload.CONFLATE)
    crowd.publish(30)
    assert client.connection.pending_bytes < 1000
    assert crowd.warned() == [1]
    client.drain()
    assert crowd.warned() == []
    assert client.account.gaps == [(2, 29, 28, "conflated")]


def test_a_warning_is_told_to_whoever_asks():
    crowd = Crowd()
    for policy in (Overload.DROP_OLDEST, Overload.DISCONNECT):
        client = crowd.join(policy)
    client.client.socket.room = None
    crowd.publish(16)
    rows = listing(crowd.server.factory, Query()).rows
    assert [(row["overload"], row["congested"], row["warned"]) for row in rows] == [
        ("DROP_OLDEST", True, True),
        ("DISCONNECT", False, False),
    ]
    assert crowd.server.factory.read().warned == 1
    crowd.publish(20)
    assert crowd.server.metrics.slow_warnings == 1


def test_who_is_ended_or_gone_is_not_warned_any_more(lines):
    crowd = Crowd()
    ended, gone = crowd.join(), crowd.join(Overload.DROP_OLDEST)
    crowd.publish(17)
    assert crowd.warned() == [1, 2]
    gone.client.vanish()
    crowd.publish(10)
    assert (crowd.warned(), crowd.server.metrics.slow_consumers) == ([], 1)
    assert crowd.congestion.connections == set()
    assert crowd.congestion.lingering == {ended.connection}
    assert crowd.congestion.queued_bytes == len(ended.client.wire.buffered)
    assert [level for level, _ in lines] == [LogLevel.warn] * 2
    assert not ended.is_alive


def test_of_many_in_one_second_the_first_are_named_and_the_others_counted(lines):
    crowd = Crowd()
    clients = [crowd.join() for _ in range(MAX_LINES + 5)]
    crowd.publish(17)
    assert len(lines) == MAX_LINES
    crowd.sweep()
    counted = "5 more began or ended not to keep up, and are not named"
    assert lines[MAX_LINES:] == [(LogLevel.warn, counted)]
    crowd.sweep()
    assert len(lines) == MAX_LINES + 1
    clients[0].drain()
    assert lines[-1] == (LogLevel.info, "connection 1 from 10.0.0.1 is no longer behind")


# The policies.


def test_dropping_tells_and_goes_on():
    crowd = Crowd()
    client = crowd.join(Overload.DROP_OLDEST)
    crowd.publish(25)
    client.drain()
    assert client.account.gaps == [(2, 5, 4, "dropped")]
    assert (client.account.expected, client.account.ticks) == (26, 21)
    assert crowd.server.metrics.ticks_lost == {"dropped": 4}
    sent = crowd.server.factory.metrics.bytes_sent
    crowd.publish(1)
    client.drain()
    assert (client.account.expected, client.account.ticks) == (27, 22)
    assert crowd.server.factory.metrics.bytes_sent > sent


@pytest.mark.parametrize("policy", Overload)
def test_what_was_sent_is_what_was_taken_whatever_was_lost(policy):
    crowd = Crowd()
    client = crowd.join(policy)
    client.read()
    before = client.connection.bytes_sent
    crowd.publish(40)
    client.client.wire.drain()
    taken = len(client.client.socket.taken)
    assert client.connection.bytes_sent - before == taken
    client.read()


@pytest.mark.parametrize(
    ("policy", "first_missed"), [(Overload.CONFLATE, 2), (Overload.DROP_OLDEST, 2)]
)
def test_who_takes_nothing_for_too_long_is_told_what_is_missing(policy, first_missed):
    crowd = Crowd(backlog_limits=LIMITS._replace(lossy_write_deadline=60.0))
    client = crowd.join(policy)
    crowd.publish(40)
    for _ in range(4):  # a sign of life every 15 s
        crowd.server.advance(15)
        client.client.send(heartbeat())
    client.drain()
    assert client.account.error.message == "what was written 60 s ago is not yet read"
    assert client.account.error.details == f"batches {first_missed} to 40 were not sent"


def test_the_policy_is_that_of_the_subscription_also_if_it_fell_behind_before():
    crowd = Crowd()
    client = Lagging(crowd.server, Overload.CONFLATE, stuck=True)
    assert client.connection in crowd.congestion.connections  # by the ACK of its login
    crowd.publish(40)
    client.drain()
    assert client.account.gaps == [(1, 39, 39, "conflated")]


# The budget.


def test_beyond_the_budget_those_with_the_most_go():
    crowd = Crowd(max_backlog_bytes=4000)
    fast = crowd.server.subscribed()
    slowest = crowd.join()
    crowd.publish(5)
    crowd.join(Overload.DROP_OLDEST)
    crowd.publish(5)
    behind = [crowd.join(Overload.CONFLATE) for _ in range(4)]
    while crowd.server.metrics.slow_consumers == 0:
        crowd.publish(1)
        assert crowd.congestion.queued_bytes <= 4000
    assert not slowest.is_alive
    assert all(client.is_alive for client in behind)
    slowest.drain()
    error = slowest.account.error
    assert error.message == "more than 4000 bytes are waiting for all clients together"
    assert error.details.startswith("batches 2 to ")
    assert fast.names() == [[float(price)] for price in range(1, crowd.price + 1)]


def test_a_flood_leaves_those_who_keep_up_alone():
    crowd = Crowd(max_backlog_bytes=10_000, backlog_limits=LIMITS._replace(max_frames=1000))
    fast = crowd.server.subscribed()
    slow = [crowd.join() for _ in range(30)]
    crowd.publish(100)
    assert fast.names() == [[float(price)] for price in range(1, 101)]
    assert crowd.congestion.queued_bytes <= 10_000
    assert sum(client.is_alive for client in slow) == len(crowd.congestion.connections)
    assert crowd.server.metrics.failures == {}


def waits(client):
    return client.connection.pending_bytes


def test_what_a_full_socket_was_handed_is_in_the_budget_until_it_is_taken():
    crowd = Crowd()
    client = crowd.join()
    crowd.publish(1)
    size = len(client.client.wire.buffered)
    found = [crowd.congestion.queued_bytes]
    for room in (size - 1, 1):
        client.take(room)
        found.append(crowd.congestion.queued_bytes)
    assert found == [size, size, 0]
    assert crowd.server.factory.read().queued_bytes == 0


def ending(crowd, *batches):
    """Clients that are ended with so many batches in their transports, and linger."""
    clients = []
    for number in batches:
        client = crowd.join()
        crowd.publish(1 + number)
        client.take(waits(client) - 1 if number else 0)
        client.connection.too_slow(SlowConsumer("so says the test"))
        clients.append(client)
    return clients


def test_who_lingers_is_given_up_before_anybody_else_and_the_largest_first():
    crowd = Crowd(max_backlog_bytes=10_000)
    small, large, middling = ending(crowd, 0, 19, 10)
    assert crowd.congestion.lingering == {each.connection for each in (small, large, middling)}
    lingering = [waits(client) for client in (small, large, middling)]
    stalled = [crowd.join() for _ in range(5)]
    while waits(large):
        crowd.publish(1)
        assert crowd.congestion.queued_bytes <= 10_000
    assert [waits(client) for client in (small, middling)] == [lingering[0], lingering[2]]
    assert crowd.congestion.lingering == {small.connection, middling.connection}
    assert crowd.congestion.queued_bytes == sum(map(waits, (small, middling, *stalled)))
    assert (all(each.is_alive for each in stalled), large.client.closed) == (True, False)
    crowd.server.reactor.advance(0)
    assert (large.client.closed, small.client.closed) == (True, False)
    assert crowd.congestion.queued_bytes == sum(map(waits, (small, middling, *stalled)))


def test_who_is_shed_is_given_up_at_once_if_the_socket_has_too_much():
    crowd = Crowd(max_backlog_bytes=1000)
    clients = [crowd.join() for _ in range(20)]
    crowd.publish(1)
    gone = [client for client in clients if not client.is_alive]
    assert 0 < len(gone) < len(clients)
    assert {waits(client) for client in gone[:-1]} == {0}
    left = [client for client in clients if client.is_alive]
    assert 800 < crowd.congestion.queued_bytes == sum(map(waits, [*gone, *left])) <= 1000
    crowd.server.reactor.advance(0)
    assert crowd.server.factory.read().connections == len(left) + len(crowd.congestion.lingering)


def test_answers_that_are_not_read_are_in_the_budget_too():
    crowd = Crowd(max_backlog_bytes=2000)
    clients = [crowd.join() for _ in range(3)]
    crowd.publish(1)
    while crowd.server.metrics.slow_consumers == 0:
        for client in clients:
            client.client.send(heartbeat())
        assert crowd.congestion.queued_bytes == sum(map(waits, clients)) <= 2000
    assert sum(client.is_alive for client in clients) == 2


def test_an_end_that_makes_it_too_much_is_looked_at_with_the_next_sweep():
    crowd = Crowd()
    first, second = crowd.join(), crowd.join()
    crowd.publish(1)
    budget = crowd.congestion.backlogs.budget
    budget.max_bytes = budget.bytes
    first.connection.too_slow(SlowConsumer("so says the test"))
    assert budget.is_exceeded
    crowd.sweep()
    assert (waits(first), budget.bytes, second.is_alive) == (0, waits(second), True)


def test_after_the_last_connection_nothing_is_left():
    crowd = Crowd(max_backlog_bytes=4000)
    clients = [crowd.join(policy) for policy in (*Overload, *Overload)]
    crowd.publish(30)
    for client in clients:
        client.client.vanish()
    congestion = crowd.congestion
    assert (congestion.connections, congestion.lingering, congestion.queued_bytes) == (
        set(),
        set(),
        0,
    )


ALL = 5000
ALL_BYTES = 48 * 2**20


@pytest.mark.parametrize("wrapped", [False, True])
def test_all_who_stall_together_stay_within_the_budget(wrapped):
    server = Server(batch_window=0, max_backlog_bytes=ALL_BYTES)
    clients = [WireClient(server, wrapped=wrapped) for _ in range(ALL)]
    for client in clients:
        client.send(auth(), subscribe(TICK))
        client.wire.drain()
        client.socket.room = 0
    for price in (1.0, 2.0):
        server.hub.publish([Tick("A", price, metadata=FAT)] * 2)
        counted = server.factory.congestion.queued_bytes
        assert counted == sum(client.connection.pending_bytes for client in clients)
        assert ALL_BYTES * 0.8 < counted <= ALL_BYTES
        server.reactor.advance(0)
        assert sum(len(c.wire.buffered) for c in clients if not c.closed) <= counted
    alive = sum(client.connection.stream is not None for client in clients)
    assert server.metrics.slow_consumers == ALL - alive
    assert alive == len(server.factory.congested) > 100


# A past that is copied for one alone, as a snapshot is.


def test_beyond_the_budget_the_newest_past_goes_and_the_older_ones_come_to_their_end():
    hub_limits = (HubLimits(max_payload_bytes=32_768),)
    server = Server(batch_window=0, hub_limits=hub_limits, max_backlog_bytes=350_000)
    for number in range(20):
        server.hub.publish([Tick(f"S{number}", 1.0, 1.0, metadata=FAT)])  # 130 KB of snapshot
    crowd = [WireClient(server, 20_000) for _ in range(4)]
    for place, client in enumerate(crowd):
        client.send(auth(), subscribe(snapshot=True))
        for _ in range(3 - place):
            client.wire.take(20_000)
        client.socket.room = 0
        assert server.factory.congestion.queued_bytes <= 350_000
    assert [client.connection.stream is None for client in crowd] == [False] * 3 + [True]
    for client in crowd:
        client.wire.drain()
    for client in crowd[:3]:
        snapshot = client.read()[2:]
        assert sum(len(batch.ticks) for batch in snapshot) == 20
    *_, told = crowd[3].read()
    assert told.message == "more than 350000 bytes are waiting for all clients together"
    assert server.factory.congestion.queued_bytes == 0


def test_who_is_shed_by_what_its_own_subscription_flushes_is_told_and_gone():
    server = Server(max_backlog_bytes=60_000, batch_window=10.0)
    largest = WireClient(server)
    largest.send(auth(), subscribe(TICK))
    largest.read()
    largest.socket.room = 0
    server.hub.publish([Tick(f"S{number}", 1.0, metadata=FAT) for number in range(7)])
    server.factory.feed.flush()
    largest.send(unsubscribe())
    other = WireClient(server)
    other.send(auth(), subscribe(TICK, "EURUSD"))
    other.read()
    other.socket.room = 0
    while server.factory.congestion.queued_bytes < 59_900:
        server.publish(*[1.0] * 5)
        server.factory.feed.flush()
    server.publish(*[1.0] * 5)
    largest.send(subscribe(TICK))
    assert (largest.connection.is_over, largest.connection.stream) == (True, None)
    assert largest.connection.outlet not in next(iter(server.hub.streams[0])).subscribers
    assert not other.connection.is_over


def test_to_unsubscribe_takes_nothing_of_the_time_for_what_was_written():
    server = Server()
    client = WireClient(server)
    client.send(auth(), subscribe(TICK, overload=Overload.CONFLATE))
    client.socket.room = 0
    server.publish(1.0)
    for _ in range(8):
        server.advance(1.0)
        client.send(heartbeat())
    client.send(unsubscribe())
    server.advance(1.0)
    assert not client.connection.is_over


def test_an_answer_that_was_refused_was_not_sent():
    server = Server()
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.socket.room = 0
    server.publish(1.0)
    while not client.connection.is_over:
        client.send(heartbeat() * 700)
    client.wire.drain()
    assert client.connection.bytes_sent == len(client.socket.taken)


def test_a_heartbeat_does_not_look_through_a_snapshot_that_waits():
    server = Server(hub_limits=(HubLimits(max_payload_bytes=32_768),))
    for number in range(0, 300, 5):
        ticks = [Tick(f"S{number + at}", 1.0, metadata=FAT) for at in range(5)]
        server.hub.publish(ticks)
    client = WireClient(server)
    client.send(auth())
    client.socket.room = 0
    client.send(subscribe(TICK, snapshot=True))
    assert len(client.connection.outlet._backlog._past) > MAX_SHARED_BATCHES
    client.send(heartbeat())
    before = shared_batch.cache_info()
    client.send(heartbeat() * 100)
    assert shared_batch.cache_info() == before
