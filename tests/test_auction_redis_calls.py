"""Calls of the script: what was certainly not done is asked for once more, and then given up."""

import struct

import pytest
from redis_fakes import Bench, end_of

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.redis_calls import SCRIPT, CallOptions, Calls
from tickstorm.auction.redis_packing import Reply
from tickstorm.auction.redis_places import Node
from tickstorm.auction.redis_replies import Meaning
from tickstorm.auction.redis_time import RedisClock

NOTHING = struct.pack(">Q", 5_000_000)
KEYS = (b"auction:{12}", b"auction:{12}:ids:0", b"auction:{12}:ids:1", b"auction:{12}:record")


class Server:
    """A server with a link that is open, and its clock."""

    def __init__(self, now_ms):
        self.bench = Bench()
        self.connection = self.bench.open()
        self.clock = RedisClock(self.bench.clock.seconds, lambda: now_ms)
        self.node = Node(self.bench.link, self.clock)


class TwoServers:
    """Places: an auction is at the first, until a redirection says otherwise."""

    def __init__(self, replicas=0):
        self.first, self.second = Server(1_000_000), Server(2_000_000)
        self.redirections = []
        self.known = True
        options = CallOptions(patience_ms=1000, record=50, replicas=replicas)
        self.clock = RedisClock(lambda: 0.0, lambda: 77)
        self.calls = Calls(self, options, self.clock)

    def of(self, key):
        if not self.known:
            raise StoreUnavailable("no node has the slot", 77)
        return self.first.node

    def redirected(self, refused, by):
        assert by is self.first.node
        self.redirections.append(refused.meaning)
        return None if "nowhere" in str(refused) else self.second.node


def begin(servers):
    ends = end_of(servers.calls.run(12, b"bid", b"x", b"y"))
    ((name, sha, *words),) = servers.first.connection.commands
    assert (name, len(sha)) == (b"EVALSHA", 40)
    return ends, words


def words(not_after):
    return [b"4", *KEYS, b"bid", not_after, b"12", b"50", b"bid_updates", b"x", b"y"]


def kind(ends):
    (end,) = ends
    return type(end)


def test_a_call_is_one_command():
    servers = TwoServers()
    ends, sent = begin(servers)
    assert sent == words(b"1001000")
    servers.first.connection.reply(NOTHING)
    assert ends == [Reply(5_000_000, None)]
    # Each reply tells the time.
    assert (servers.first.clock.now_ms(), servers.clock.now_ms()) == (5_000_000, 5_000_000)
    assert begin(servers)[1] == words(b"5001000")


def test_a_script_that_is_not_known_is_sent_along():
    servers = TwoServers()
    ends, sent = begin(servers)
    servers.first.connection.refuse("NOSCRIPT no matching script")
    assert servers.first.connection.commands == [(b"EVAL", SCRIPT, *sent)]
    servers.first.connection.reply(NOTHING)
    assert ends == [Reply(5_000_000, None)]


def test_what_came_too_late_is_asked_for_once_more_on_the_clock_of_the_server():
    servers = TwoServers()
    ends, _ = begin(servers)
    servers.first.connection.refuse("PASTDUE 4000000 this was to begin earlier")
    ((_, _, *sent),) = servers.first.connection.commands
    assert sent == words(b"4001000")
    servers.first.connection.refuse("PASTDUE 4002000 this was to begin earlier")
    assert kind(ends) is StoreUnavailable
    assert servers.first.bench.link.state is BreakerState.CLOSED  # however often that happens


def test_a_slot_that_moved_is_asked_for_where_it_is_now():
    servers = TwoServers()
    ends, _ = begin(servers)
    servers.first.connection.refuse("MOVED 1 b:1")
    ((_, _, *sent),) = servers.second.connection.commands
    assert sent == words(b"2001000")  # on the clock of that server
    servers.second.connection.reply(NOTHING)
    assert ends == [Reply(5_000_000, None)]
    assert servers.first.clock.now_ms() == 1_000_000
    assert servers.redirections == [Meaning.MOVED]


def test_a_slot_that_is_moving_is_asked_for_once():
    servers = TwoServers()
    ends, _ = begin(servers)
    servers.first.connection.refuse("ASK 1 b:1")
    asking, again = servers.second.connection.commands
    assert (asking, list(again[2:])) == ((b"ASKING",), words(b"2001000"))
    servers.second.connection.reply(b"OK")
    servers.second.connection.reply(NOTHING)
    assert ends == [Reply(5_000_000, None)]


@pytest.mark.parametrize("text", ["LOADING", "OOM", "READONLY", "TRYAGAIN", "MOVED nowhere"])
def test_what_was_not_done_is_unavailable(text):
    servers = TwoServers()
    ends, _ = begin(servers)
    servers.first.connection.refuse(text)
    assert kind(ends) is StoreUnavailable
    assert ends[0].retry_after_ms > 0
    assert servers.second.connection.commands == []


def test_what_may_have_been_done_is_lost():
    servers = TwoServers()
    ends, _ = begin(servers)
    servers.first.connection.refuse("ERR in the middle")
    assert kind(ends) is AnswerLost


@pytest.mark.parametrize(
    ("text", "end"),
    [("MOVED 1 c:1", StoreUnavailable), ("NOSCRIPT", StoreUnavailable), ("ERR", AnswerLost)],
)
def test_nothing_is_asked_for_a_third_time(text, end):
    servers = TwoServers()
    ends, _ = begin(servers)
    servers.first.connection.refuse("MOVED 1 b:1")
    servers.second.connection.refuse(text)
    assert kind(ends) is end
    assert servers.first.connection.commands == servers.second.connection.commands == []


def test_a_connection_that_is_lost_is_asked_nothing_more():
    servers = TwoServers()
    ends, _ = begin(servers)
    servers.first.connection.lose()
    assert kind(ends) is AnswerLost


def test_a_reply_that_makes_no_sense_costs_the_connection(failures):
    servers = TwoServers()
    ends, _ = begin(servers)
    servers.first.connection.reply(b"hello")
    assert kind(ends) is AnswerLost
    assert servers.first.connection.aborted
    assert len(failures) == 1
    failures.clear()


def test_nobody_is_known_to_have_it():
    servers = TwoServers()
    servers.known = False
    (end,) = end_of(servers.calls.run(12, b"bid"))
    assert (type(end), end.retry_after_ms) == (StoreUnavailable, 77)


def replicated(count):
    """A call that was done, and a question how many replicas have it, answered with `count`."""
    servers = TwoServers(replicas=2)
    ends, _ = begin(servers)
    servers.first.connection.reply(NOTHING)
    assert (ends, servers.first.connection.commands) == ([], [(b"WAIT", b"2", b"500")])
    return servers.first.connection, ends


def test_replicas_have_to_have_it():
    for count in (2, 3):
        connection, ends = replicated(count)
        connection.reply(count)
        assert ends == [Reply(5_000_000, None)]


def test_to_read_waits_for_nobody():
    servers = TwoServers(replicas=2)
    ends = end_of(servers.calls.run(12, b"read"))
    servers.first.connection.reply(NOTHING)
    assert ends == [Reply(5_000_000, None)]


@pytest.mark.parametrize("end", [0, 1, "ERR", "lost"])
def test_it_is_not_known_whether_replicas_have_it(end):
    connection, ends = replicated(end)
    if end == "lost":
        connection.lose()
    elif end == "ERR":
        connection.refuse("ERR")
    else:
        connection.reply(end)
    assert kind(ends) is AnswerLost


def test_any_command_about_a_key():
    servers = TwoServers()
    ends = end_of(servers.calls.ask(b"auction:ids", b"ZRANGE", b"auction:ids", b"0", b"-1"))
    assert servers.first.connection.commands == [(b"ZRANGE", b"auction:ids", b"0", b"-1")]
    servers.first.connection.reply([b"1"])
    assert ends == [[b"1"]]
