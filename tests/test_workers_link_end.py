"""A link's end: messages pass in order, a failure costs one, who does not read is given up."""

from contextlib import contextmanager

import pytest
from conversation import Wire
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tickstorm.clock import simulated_clock
from tickstorm.errors import ProtocolError
from tickstorm.frames import encode_frame
from tickstorm.overload import BacklogLimits
from tickstorm.workers.link import Drain, LinkDecoder, LinkType, Load, Ready, control
from tickstorm.workers.link_end import LIMITS, LinkEnd, Once
from tickstorm.workers.silence import BUSY


class End:
    """One end of a link, what it took, and why it was lost."""

    def __init__(self, transport=None):
        self.reactor = MemoryReactorClock()
        self.transport = transport or StringTransport()
        self.taken = []
        self.lost = []
        self.fails_at = None
        self.link = LinkEnd(simulated_clock(self.reactor), self._take, self.lost.append)

    def connect(self):
        self.link.makeConnection(self.transport)
        self.link.connectionMade()
        return self

    def _take(self, message):
        if message == self.fails_at:
            raise ValueError("no")
        self.taken.append(message)

    def sent(self):
        return list(LinkDecoder().receive(self.transport.value()))

    def vanish(self):
        self.link.connectionLost(Failure(ConnectionDone()))


def on_a_socket(room):
    """An end on Twisted's own transport, whose socket has room for so many bytes."""
    end = End()
    wire = Wire(end.link, end.reactor, room)
    end.transport, end.wire = wire.transport, wire
    return end.connect()


@contextmanager
def logged():
    """What is logged meanwhile."""
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def messages(count):
    return [Load(number, 0) for number in range(count)]


def test_it_is_a_protocol_and_the_only_one_of_its_factory():
    end = End()
    assert verifyObject(IProtocol, end.link)
    assert Once(end.link).buildProtocol(None) is end.link


def test_what_is_sent_is_written_in_its_order():
    end = End().connect()
    for message in messages(5):
        end.link.send(message)
    assert end.sent() == messages(5)


def test_a_message_and_a_stream_s_frames_do_not_overtake_each_other():
    end = on_a_socket(room=10)
    for message in messages(4):
        end.link.send(message)
        end.link.outlet.deliver(control(message))
    end.wire.drain()
    arrived = list(LinkDecoder().receive(bytes(end.wire.socket.taken)))
    assert arrived == [message for message in messages(4) for _ in range(2)]


def test_what_arrives_is_taken_in_its_order():
    end = End().connect()
    data = b"".join(map(control, messages(3)))
    for at in range(len(data)):
        end.link.dataReceived(data[at : at + 1])
    assert end.taken == messages(3)


def test_a_message_that_cannot_be_acted_on_is_logged_and_the_next_one_is_taken(failures):
    end = End().connect()
    end.fails_at = Load(1, 0)
    end.link.dataReceived(b"".join(map(control, messages(3))))
    assert end.taken == [Load(0, 0), Load(2, 0)]
    assert [str(failure) for failure in failures] == ["no"]
    assert end.transport.disconnected is False
    failures.clear()


def test_a_message_that_cannot_be_read_is_logged_and_the_next_one_is_taken():
    end = End().connect()
    garbage = encode_frame(LinkType.CONTROL, b"cnowhere\nNothing\n.")
    with logged() as events:
        end.link.dataReceived(control(Load(1, 0)) + garbage + control(Load(2, 0)))
    assert end.taken == [Load(1, 0), Load(2, 0)]
    assert [(event["log_level"], formatEvent(event)) for event in events] == [
        (
            LogLevel.error,
            "a message of another process cannot be read: "
            "ModuleNotFoundError: No module named 'nowhere'",
        )
    ]
    assert end.transport.disconnected is False


def test_what_is_no_message_at_all_ends_it_in_the_reactor():
    end = End().connect()
    with pytest.raises(ProtocolError):
        end.link.dataReceived(b"what is no frame at all")
    assert end.taken == []


def test_before_and_after_it_is_open_nothing_is_sent():
    end = End()
    end.link.send(Ready())
    end.connect()
    end.link.send(Drain(1.0, 0.0))
    end.vanish()
    end.link.send(Ready())
    assert end.sent() == [Drain(1.0, 0.0)]


def test_why_it_is_lost_is_passed_on():
    end = End().connect()
    end.vanish()
    assert end.lost == ["Connection was closed cleanly."]


def test_it_can_be_closed_at_once():
    end = End().connect()
    end.link.abort()
    assert end.transport.disconnected


# An end that does not read.


def test_what_is_not_read_is_kept_and_comes_in_its_order():
    end = on_a_socket(room=10)
    for message in messages(100):
        end.link.send(message)
    assert end.link.outlet.pending_bytes > 0
    end.wire.drain()
    assert list(LinkDecoder().receive(bytes(end.wire.socket.taken))) == messages(100)
    assert end.link.outlet.pending_bytes == 0
    assert end.lost == []


def test_who_reads_nothing_for_too_long_is_given_up():
    end = on_a_socket(room=0)
    end.link.send(Ready())
    end.reactor.advance(LIMITS.write_deadline - 0.1)
    end.link.check(end.reactor.seconds())
    assert end.reactor.getDelayedCalls() == []
    end.reactor.advance(0.1)
    end.link.check(end.reactor.seconds())
    end.reactor.advance(0)
    assert end.lost == ["what was written 90 s ago is not yet read"]


def test_who_reads_all_is_not():
    end = End().connect()
    end.link.send(Ready())
    end.reactor.advance(100)
    end.link.check(end.reactor.seconds())
    assert end.transport.disconnected is False


def test_who_is_too_far_behind_is_given_up():
    end = End().connect()
    end.transport.producer.pauseProducing()
    for _ in range(LIMITS.max_frames):
        end.link.outlet.deliver(b"frame")
    assert end.transport.disconnected is False
    end.link.outlet.deliver(b"frame")
    assert end.transport.disconnected
    end.link.send(Ready())  # it is not lost yet, and nothing more is said of it
    end.vanish()
    assert end.lost == ["more than 100000 frames are waiting"]


def test_the_bounds_are_named():
    assert BacklogLimits(max_frames=100_000, max_bytes=256 * 2**20, write_deadline=90.0) == LIMITS
    assert LIMITS.write_deadline > BUSY  # who works does not read meanwhile


def test_a_second_of_silence_in_reading_is_over_when_it_reads():
    end = on_a_socket(room=0)
    end.link.send(Ready())
    end.reactor.advance(LIMITS.write_deadline - 0.1)
    end.wire.drain()
    end.reactor.advance(LIMITS.write_deadline)
    end.link.check(end.reactor.seconds())
    end.reactor.advance(0)
    assert end.lost == []
