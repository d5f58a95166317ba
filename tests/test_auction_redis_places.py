"""Which server has an auction: slots, maps, redirections, and what Sentinels say."""

import pytest
from redis_fakes import Bench, FakeConnection, end_of
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import StoreUnavailable
from tickstorm.auction.redis_places import Cluster, Node, Sentinels, slot_of
from tickstorm.auction.redis_replies import Address, ConnectionGone, Refused
from tickstorm.auction.redis_time import RedisClock
from tickstorm.clock import simulated_clock

A, B, C = (Address(host, 1) for host in "abc")


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 12739),  # from the specification of Redis Cluster: 0x31C3
        (b"foo", 12182),
        (b"{foo}:record", 12182),
        (b"x{foo}{bar}", 12182),
        (b"foo{}", slot_of(b"foo{}")),
        (b"", 0),
    ],
)
def test_the_slot_of_a_key(key, slot):
    assert slot_of(key) == slot


def test_an_empty_tag_is_none():
    assert slot_of(b"{}a") != slot_of(b"{}b")
    assert slot_of(b"{a") != slot_of(b"{b")


def node(*addresses):
    return [[address.host.encode(), address.port, b"id"] for address in addresses]


class Nodes:
    """A Cluster whose nodes are benches.

    Attributes:
        benches: by address, those that were ever asked for.
    """

    def __init__(self):
        self.benches = {}
        self.map = Bench()
        self.cluster = Cluster([A, C], self._node_at, lambda _anywhere, _beat: self.map.link)

    def _node_at(self, address):
        bench = self.benches[address] = Bench()
        return Node(bench.link, RedisClock(bench.clock.seconds, lambda: 0))

    def owner(self, slot):
        (key,) = (key for key in KEYS_BY_SLOT if slot_of(key) == slot)
        link = self.cluster.of(key).link
        return next(address for address, bench in self.benches.items() if bench.link is link)


KEYS_BY_SLOT = (b"foo", b"123456789", b"")
FOO, NUMBERS, EMPTY = map(slot_of, KEYS_BY_SLOT)


def test_before_a_map_nobody_has_anything():
    nodes = Nodes()
    with pytest.raises(StoreUnavailable) as caught:
        nodes.cluster.of(b"foo")
    assert caught.value.retry_after_ms > 0
    assert nodes.cluster.state is BreakerState.PROBING


def test_a_map_says_who_has_what():
    nodes = Nodes()
    nodes.cluster.learn([[0, FOO, *node(A, C)], [FOO + 1, 16383, *node(B)]])
    assert (nodes.owner(FOO), nodes.owner(EMPTY), nodes.owner(NUMBERS)) == (A, A, B)
    assert set(nodes.benches) == {A, B}
    assert all(bench.dialed for bench in nodes.benches.values())


def test_another_map_takes_its_place():
    nodes = Nodes()
    nodes.cluster.learn([[0, 16383, *node(A)]])
    nodes.benches[A].open()
    nodes.cluster.learn([[0, FOO, *node(A)], [FOO + 1, 16000, *node(B)]])
    assert nodes.owner(NUMBERS) == B
    assert nodes.benches[A].link.state is BreakerState.CLOSED  # it was kept
    nodes.cluster.learn([[0, 16383, *node(B)]])
    assert nodes.benches[A].clock.getDelayedCalls() == []  # it was stopped


def test_a_node_that_does_not_know_its_address_has_nothing():
    nodes = Nodes()
    nodes.cluster.learn([[0, 16383, [b"", 1, b"id"]]])
    with pytest.raises(StoreUnavailable):
        nodes.cluster.of(b"foo")


def test_moved_is_remembered_and_ask_is_not():
    nodes = Nodes()
    nodes.cluster.learn([[0, 16383, *node(A)]])
    first = nodes.cluster.of(b"foo")
    for text, owner in ((f"ASK {FOO} b:1", A), (f"MOVED {FOO} b:1", B)):
        other = nodes.cluster.redirected(Refused(text), first)
        assert other.link is nodes.benches[B].link
        assert nodes.owner(FOO) == owner
    assert nodes.owner(NUMBERS) == A
    assert nodes.cluster.redirected(Refused("MOVED"), first) is None


def test_a_redirection_without_a_host_is_to_another_port():
    nodes = Nodes()
    nodes.cluster.learn([[0, 16383, *node(A)]])
    nodes.cluster.redirected(Refused(f"MOVED {FOO} :9"), nodes.cluster.of(b"foo"))
    assert nodes.owner(FOO) == Address("a", 9)


def test_the_state_is_the_worst():
    nodes = Nodes()
    nodes.cluster.start()
    nodes.map.open()
    nodes.cluster.learn([[0, FOO, *node(A)], [FOO + 1, 16383, *node(B)]])
    for bench in nodes.benches.values():
        bench.open()
    assert nodes.cluster.state is BreakerState.CLOSED
    nodes.benches[B].link.drop("it is gone")
    assert nodes.cluster.state is BreakerState.OPEN
    nodes.cluster.stop()
    assert all(not bench.clock.getDelayedCalls() for bench in nodes.benches.values())


def test_a_start_waits_for_all_nodes_of_the_map():
    nodes = Nodes()
    started = end_of(nodes.cluster.start())
    nodes.map.accept()
    nodes.cluster.learn([[0, 16383, *node(A)]])
    nodes.map.dialed.clear()
    nodes.map.clock.advance(3.0)  # the map's own link may fail: the first try counts
    assert started == []
    nodes.benches[A].open()
    assert started == [None]


def test_somewhere_is_another_node_each_time():
    nodes = Nodes()
    nodes.cluster.learn([[0, 16383, *node(A, B)]])
    asked = [end_of(Deferred.fromCoroutine(nodes.cluster.anywhere()))[0] for _ in range(4)]
    assert asked == [B, C, A, B]


class SentinelDoor:
    """Knocks at Sentinels; the test answers."""

    def __init__(self, clock):
        self.knocked = []
        self._clock = clock

    async def knock(self, address, heard=None):
        connection = FakeConnection(self._clock)
        connection.heard = heard
        self.knocked.append((address, connection))
        return connection


class Watchmen:
    def __init__(self):
        self.clock = Clock()
        self.door = SentinelDoor(self.clock)
        self.sentinels = Sentinels([A, B], "house", self.door, simulated_clock(self.clock))

    def find(self):
        return end_of(Deferred.fromCoroutine(self.sentinels()))


def test_a_sentinel_says_where_the_master_is():
    watchmen = Watchmen()
    found = watchmen.find()
    ((_, connection),) = watchmen.door.knocked
    assert connection.commands == [(b"SENTINEL", b"get-master-addr-by-name", b"house")]
    connection.reply([b"10.0.0.1", b"6380"])
    assert (found, connection.aborted) == ([Address("10.0.0.1", 6380)], True)


def test_each_time_another_sentinel_is_asked_first():
    watchmen = Watchmen()
    for _ in range(3):
        watchmen.find()
        watchmen.door.knocked[-1][1].reply([b"10.0.0.1", b"6380"])
    assert [address for address, _ in watchmen.door.knocked] == [B, A, B]


def test_one_that_does_not_know_or_answer_is_passed_over():
    for end in ("none", "silence", "error"):
        watchmen = Watchmen()
        found = watchmen.find()
        first = watchmen.door.knocked[0][1]
        if end == "none":
            first.reply(None)
        elif end == "error":
            first.refuse("NOAUTH")
        else:
            watchmen.clock.advance(0.5)
        watchmen.door.knocked[1][1].reply([b"10.0.0.1", b"6380"])
        assert (found, first.aborted) == ([Address("10.0.0.1", 6380)], True)


def test_nobody_knows():
    watchmen = Watchmen()
    found = watchmen.find()
    watchmen.clock.pump([0.5, 0.5])
    assert isinstance(found[0], ConnectionGone)
    assert str(found[0]) == "no Sentinel knows where 'house' is"


def test_once_given_up_no_other_is_asked():
    watchmen = Watchmen()
    asking = Deferred.fromCoroutine(watchmen.sentinels())
    ends = end_of(asking)
    asking.cancel()
    ((_, connection),) = watchmen.door.knocked
    assert isinstance(ends[0], CancelledError)
    assert connection.aborted


def test_news_of_another_master():
    watchmen = Watchmen()
    assert watchmen.sentinels.is_switch(b"house 10.0.0.1 6379 10.0.0.2 6379")
    assert not watchmen.sentinels.is_switch(b"houses 10.0.0.1 6379 10.0.0.2 6379")
    heard = []
    subscribed = end_of(Deferred.fromCoroutine(watchmen.sentinels.subscribe(heard.append)))
    ((_, connection),) = watchmen.door.knocked
    assert (connection.commands, connection.heard) == (
        [(b"SUBSCRIBE", b"+switch-master")],
        heard.append,
    )
    connection.reply([b"subscribe", b"+switch-master", 1])
    assert subscribed == [connection]
