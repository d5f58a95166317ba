"""A connection to Redis: what goes out together, and whose reply is whose."""

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tickstorm.auction.redis_connection import RedisConnection
from tickstorm.auction.redis_replies import ConnectionGone, Refused
from tickstorm.clock import simulated_clock


class Line:
    """A connection in memory, what Redis has read of it since the last look, and what it says."""

    def __init__(self, heard=None):
        self.reactor = Clock()
        self.transport = StringTransport()
        self.connection = RedisConnection(simulated_clock(self.reactor), heard)
        self.connection.makeConnection(self.transport)
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
        self.connection.dataReceived(b"".join(b"+%b\r\n" % reply for reply in replies))


def _plain(came):
    return type(came.value) if isinstance(came, Failure) else came


@pytest.fixture
def line():
    return Line()


def test_what_is_asked_for_meanwhile_goes_out_with_the_last_reply(line):
    line.ask(b"a")
    assert line.read() == [b"a"]
    line.ask(b"b", b"c")
    line.ask(b"d")
    assert line.read() == []
    line.say(b"1")
    assert line.read() == [b"b", b"c", b"d"]
    line.ask(b"e")
    line.say(b"2", b"3")
    assert line.read() == []
    line.say(b"4")
    assert line.read() == [b"e"]
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
    line.connection.dataReceived(b"-ERR no\r\n+2\r\n")
    assert line.came == [(b"a", Refused), (b"b", b"2")]


def test_a_connection_that_is_lost_owes_no_reply(line):
    line.ask(b"a")
    line.read()
    line.ask(b"b")
    line.connection.connectionLost(Failure(ConnectionDone()))
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


def test_bytes_that_are_no_reply_end_the_connection(line):
    line.ask(b"a")
    line.read()
    line.connection.dataReceived(b"HTTP/1.1 400 Bad Request\r\n")
    assert line.transport.disconnecting
    assert line.came == []
    line.connection.connectionLost(Failure(ConnectionDone()))
    assert line.came == [(b"a", ConnectionGone)]


def test_a_reply_to_nothing_ends_the_connection(line):
    line.say(b"1")
    assert line.transport.disconnecting


def test_nothing_is_written_behind_the_end(line):
    line.ask(b"a")
    line.read()
    line.ask(b"b")
    line.connection.connectionLost(Failure(ConnectionDone()))
    assert line.read() == []
    assert line.came == [(b"a", ConnectionGone), (b"b", ConnectionGone)]


class FullSocket:
    """A socket that takes some bytes, and then none."""

    def __init__(self, room):
        self.room = room
        self.sent = b""

    def send(self, data):
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.sent += taken
        return len(taken)


@pytest.mark.parametrize("room", [0, 1, 10, 11, 1000])
def test_what_the_socket_does_not_take_at_once_is_left_to_the_transport(line, room):
    line.connection._socket = taking = FullSocket(room)
    line.ask(b"a")
    assert taking.sent + line.transport.value() == b"*1\r\n$1\r\na\r\n"
    assert len(taking.sent) == min(room, 11)


def test_a_reply_that_comes_in_pieces(line):
    line.ask(b"a")
    line.read()
    for byte in b"*2\r\n$1\r\nx\r\n:7\r\n":
        assert line.came == []
        line.connection.dataReceived(bytes((byte,)))
    assert line.came == [(b"a", [b"x", 7])]


def test_what_nobody_waits_for_any_more_takes_its_reply_all_the_same(line):
    given_up = line.connection.ask(b"a")
    given_up.addErrback(lambda _: None)
    line.ask(b"b")
    line.read()
    given_up.cancel()
    line.say(b"1", b"2")
    assert line.came == [(b"b", b"2")]


def test_a_message_is_no_reply():
    messages = []
    line = Line(messages.append)
    line.ask(b"SUBSCRIBE", b"PING")
    line.read()
    line.connection.dataReceived(
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
        b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"
        b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    )
    assert messages == [b"hello"]
    assert line.came == [(b"SUBSCRIBE", [b"subscribe", b"c", 1]), (b"PING", [b"pong", b""])]
