"""A connection to Redis: what goes out together, and whose reply is whose."""

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tickstorm.auction.redis_connection import RedisConnection, _protocol
from tickstorm.auction.redis_replies import ConnectionGone, Refused
from tickstorm.clock import simulated_clock


class Line:
    """A connection in memory, what Redis has read of it since the last look, and what it says."""

    def __init__(self):
        self.reactor = Clock()
        self.transport = StringTransport()
        self.protocol = _protocol(None)
        self.protocol.makeConnection(self.transport)
        self.connection = RedisConnection(self.protocol, simulated_clock(self.reactor))
        self.came = []

    def ask(self, *words):
        """Ask for some commands of one word each."""
        for word in words:
            asked = self.connection.ask(word)
            asked.addBoth(lambda came, word=word: self.came.append((word, _plain(came))))

    def read(self):
        self.reactor.advance(0)
        written = self.transport.value()
        self.transport.clear()
        return written.split(b"\r\n")[2::3]

    def say(self, *replies):
        self.protocol.dataReceived(b"".join(b"+%b\r\n" % reply for reply in replies))


def _plain(came):
    return type(came.value) if isinstance(came, Failure) else came


@pytest.fixture
def line():
    return Line()


def test_what_is_asked_for_in_one_turn_goes_out_in_one_write(line):
    line.ask(b"a", b"b")
    assert line.transport.value() == b""
    assert line.read() == [b"a", b"b"]


def test_what_is_asked_for_meanwhile_goes_out_with_the_last_reply(line):
    line.ask(b"a", b"b")
    line.read()
    line.ask(b"c")
    line.ask(b"d")
    assert line.read() == []
    line.say(b"1")
    assert line.read() == []
    line.say(b"2")
    assert line.read() == [b"c", b"d"]
    line.say(b"3", b"4")
    assert line.came == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"d", b"4")]


def test_what_a_reply_leads_to_goes_out_with_what_waits(line):
    line.ask(b"a")
    line.read()
    line.ask(b"b")
    line.connection.ask(b"c").addCallback(lambda _: line.ask(b"d"))
    line.say(b"1")
    assert line.read() == [b"b", b"c"]
    line.say(b"2", b"3")
    assert line.read() == [b"d"]


def test_who_asks_alone_does_not_wait(line):
    for word in (b"a", b"b", b"c"):
        line.ask(word)
        assert line.read() == [word]
        line.say(word)
    assert [word for word, _ in line.came] == [b"a", b"b", b"c"]


def test_an_error_is_the_reply_to_its_command_alone(line):
    line.ask(b"a", b"b")
    line.read()
    line.protocol.dataReceived(b"-ERR no\r\n+2\r\n")
    assert line.came == [(b"a", Refused), (b"b", b"2")]


def test_a_connection_that_is_lost_owes_no_reply(line):
    line.ask(b"a")
    line.read()
    line.ask(b"b")
    line.protocol.connectionLost(Failure(ConnectionDone()))
    assert line.came == [(b"a", ConnectionGone), (b"b", ConnectionGone)]
    assert line.connection.oldest is None
    with pytest.raises(ConnectionGone):
        line.connection.ask(b"c")


def test_the_oldest_is_from_when_it_was_asked_for(line):
    line.ask(b"a")
    line.reactor.advance(1)
    line.ask(b"b")
    first = line.connection.oldest
    line.reactor.advance(1)
    line.say(b"1")
    assert line.connection.oldest == first + 1
    line.say(b"2")
    assert line.connection.oldest is None
