"""What is read on its way to the server, by a publisher that says how far it came."""

import pytest
from test_client_publisher import FIRST_ID, Desk, published, requests, result
from twisted.internet.defer import Deferred

from tickstorm.client import PublisherLimits, Totals
from tickstorm.client.dialogue import SessionLimits
from tickstorm.commands.publishing import MAX_CALLS, NotPublished, Publishing
from tickstorm.commands.tick_input import TickInput
from tickstorm.errors import (
    InvalidAuth,
    InvalidPublication,
    MayNotPublish,
    OutOfTurn,
    PublicationFailed,
    SourceError,
)
from tickstorm.messages import error_frame


class ScriptedReader:
    """A reader that gives what the test says."""

    def __init__(self, take, failed):
        self.take, self.failed = take, failed
        self.wanted = 0
        self.stopped = False

    def resume(self):
        self.wanted += 1

    def stop(self):
        self.stopped = True

    def give(self, data):
        assert self.wanted == 1
        self.wanted = 0
        self.take(data)


class Session:
    """A publishing, and the server that it publishes to."""

    def __init__(self, limits=PublisherLimits()):
        self.desk = Desk(limits=limits)
        self.shown = []
        self.waits = []
        self.publishing = Publishing(
            self.desk.publisher,
            TickInput("in", None),
            "in",
            read=self._reader,
            confirmed=lambda read, totals: self.shown.append((read, totals.ticks)),
            waiting=lambda: self.waits.append(self.publishing.totals.ticks),
        )
        self.ended = Deferred.fromCoroutine(self.publishing.run())
        self._first = FIRST_ID

    def _reader(self, take, failed):
        self.reader = ScriptedReader(take, failed)
        return self.reader

    def begin(self, data):
        self.reader.give(data)
        self.server = self.desk.connect()

    def sizes(self):
        return [len(request.ticks) for request in requests(self.server)]

    def confirm(self, count=1):
        for _ in range(count):
            self.server.say(published(self._first))
            self._first += 1

    def close(self):
        self.server.lose()
        return result(self.ended)


def lines(count):
    return b"symbol,price\n" + b"".join(b"A,%d\n" % (1 + n) for n in range(count))


def test_all_is_published_and_then_it_ends():
    session = Session()
    session.begin(lines(2))
    assert session.sizes() == [2]
    session.reader.give(b"B,1\n")
    assert session.sizes() == [1]
    session.reader.give(b"")
    assert not session.ended.called
    session.confirm(2)
    assert not session.ended.called  # the connection is still to end
    assert session.server.transport.disconnecting
    assert session.close() is None
    assert session.publishing.totals == Totals(3, 2, 0)
    size = len(lines(2)) + 4
    assert session.shown == [(size, 2), (size, 3), (size, 3)]


def test_what_comes_is_published_at_once_and_no_more_is_read_than_is_answered():
    session = Session()
    session.begin(lines(MAX_CALLS * 1000 + 500))
    assert session.sizes() == [1000] * MAX_CALLS
    assert session.reader.wanted == 0
    session.confirm()
    assert session.sizes() == [500]
    assert session.reader.wanted == 1
    session.confirm(MAX_CALLS)
    session.reader.give(b"")
    assert session.close() is None


def test_a_bad_line_ends_it_when_what_stands_above_is_published():
    session = Session()
    session.begin(lines(3) + b"A,x\nA,9\n")
    assert session.sizes() == [3]
    assert not session.ended.called
    session.confirm()
    session.server.lose()
    error = result(session.ended)
    assert (type(error), str(error)) == (SourceError, "in, line 5: price 'x' is not a number")
    assert session.publishing.totals.ticks == 3


def refuse(session, number, error):
    error.details = f"request {FIRST_ID + number}"
    session.server.say(error_frame(error, 5))


def test_a_line_that_the_server_refuses_ends_it_when_what_stands_above_is_published():
    session = Session()
    session.begin(lines(2500))
    assert session.sizes() == [1000, 1000, 500]
    session.confirm()
    refuse(session, 1, MayNotPublish("tick 7: not this one"))
    assert not session.ended.called  # the one behind it has no answer yet
    assert session.sizes() == []
    refuse(session, 2, OutOfTurn("not now"))
    (request,) = requests(session.server)
    assert [tick.price for tick in request.ticks] == [1001.0 + n for n in range(7)]
    session.server.say(published(FIRST_ID + 3))
    session.server.lose()
    error = result(session.ended)
    assert (type(error), str(error)) == (
        NotPublished,
        "in, line 1009: NOT_PERMITTED: not this one",
    )
    assert (session.sizes(), session.publishing.totals.ticks) == ([], 1007)
    assert session.reader.stopped


def test_a_first_line_that_the_server_refuses_leaves_nothing_to_publish():
    session = Session()
    session.begin(lines(2))
    refuse(session, 0, InvalidPublication("tick 0: too old"))
    session.server.lose()
    assert str(result(session.ended)) == "in, line 2: INVALID_MESSAGE: too old"
    assert session.publishing.totals.ticks == 0


def test_a_refusal_of_what_stands_above_a_refused_line_is_the_one_that_is_told():
    session = Session()
    session.begin(lines(9))
    session.reader.give(b"")
    refuse(session, 0, InvalidPublication("tick 7: too old"))
    assert session.sizes() == [9, 7]
    refuse(session, 1, InvalidPublication("tick 3: too many symbols"))
    assert session.sizes() == [3]
    assert not session.ended.called
    session.server.say(published(FIRST_ID + 2))
    session.server.lose()
    assert str(result(session.ended)) == "in, line 5: INVALID_MESSAGE: too many symbols"
    assert session.publishing.totals.ticks == 3


def test_what_is_published_of_the_refused_call_is_not_published_again():
    session = Session(PublisherLimits(session=SessionLimits(max_payload_bytes=400)))
    session.begin(lines(60))
    first, *others = session.sizes()
    assert len(others) == 2
    session.confirm()
    refuse(session, 1, InvalidPublication("tick 2: too old"))
    refuse(session, 2, OutOfTurn("not now"))
    (request,) = requests(session.server)
    assert [tick.price for tick in request.ticks] == [first + 1.0, first + 2.0]
    session.server.say(published(FIRST_ID + 3))
    session.server.lose()
    assert str(result(session.ended)) == f"in, line {first + 4}: INVALID_MESSAGE: too old"
    assert session.publishing.totals.ticks == first + 2


def test_a_refusal_of_no_line():
    session = Session()
    session.begin(lines(1))
    refuse(session, 0, MayNotPublish("this user may not publish"))
    session.server.lose()
    assert str(result(session.ended)) == "NOT_PERMITTED: this user may not publish"


def test_a_server_that_was_started_again_leaves_a_doubt():
    session = Session()
    session.begin(lines(1))
    session.server.lose()
    session.desk.clock.advance(0.25)
    session.desk.connect("another").lose()
    assert str(result(session.ended)) == (
        "INTERNAL_ERROR: the server was started again, so more may be published than is confirmed"
    )


def test_a_wrong_password_is_the_end():
    session = Session()
    session.reader.give(lines(1))
    server = session.desk.endpoint.accept()
    server.say(error_frame(InvalidAuth("wrong"), 5))
    server.lose()
    assert str(result(session.ended)) == "INVALID_AUTH: wrong"
    assert session.reader.stopped


def test_an_input_that_cannot_be_read():
    session = Session()
    session.begin(lines(1))
    session.reader.failed(OSError(5, "Input/output error"))
    assert not session.ended.called
    session.confirm()
    session.server.lose()
    assert str(result(session.ended)) == "in: Input/output error"


def test_who_is_interrupted_waits_for_the_answers_to_what_is_under_way():
    session = Session()
    session.begin(lines(MAX_CALLS * 1000 + 500))
    session.confirm(1)
    session.publishing.stop()
    assert session.reader.stopped
    assert session.waits == [1000]
    session.confirm(MAX_CALLS)
    assert session.close() is None
    assert session.publishing.totals.ticks == MAX_CALLS * 1000 + 500


def test_who_is_interrupted_with_nothing_under_way_is_told_of_no_wait():
    session = Session()
    session.begin(lines(1))
    session.confirm()
    session.publishing.stop()
    session.publishing.stop()
    assert session.close() is None
    assert session.waits == []


def test_who_is_interrupted_does_not_wait_for_ever():
    session = Session()
    session.begin(lines(1))
    session.publishing.stop()
    session.desk.clock.advance(5.0)
    session.server.lose()
    assert result(session.ended) is None
    assert session.publishing.totals.ticks == 0


def test_what_stands_above_is_published_above_a_second_refusal_too():
    session = Session(PublisherLimits(session=SessionLimits(max_payload_bytes=400)))
    session.begin(lines(60))
    first, *others = session.sizes()
    assert (first > 2, len(others)) == (True, 2)
    session.confirm()
    refuse(session, 1, InvalidPublication("tick 5: too old"))
    refuse(session, 2, OutOfTurn("not now"))
    assert session.sizes() == [5]
    refuse(session, 3, InvalidPublication("tick 2: too many symbols"))
    assert session.sizes() == [2]
    session.server.say(published(FIRST_ID + 4))
    session.server.lose()
    assert str(result(session.ended)) == f"in, line {first + 4}: INVALID_MESSAGE: too many symbols"
    assert session.publishing.totals.ticks == first + 2


def test_nothing_more_is_read_or_published_behind_a_refused_line():
    session = Session()
    session.begin(lines(MAX_CALLS * 1000 + 500))
    assert session.sizes() == [1000] * MAX_CALLS
    refuse(session, 0, MayNotPublish("tick 7: not this one"))
    assert session.reader.stopped
    for number in range(1, MAX_CALLS):
        refuse(session, number, OutOfTurn("not now"))
    assert session.sizes() == [7]
    session.server.say(published(FIRST_ID + MAX_CALLS))
    assert session.sizes() == []
    session.server.lose()
    assert str(result(session.ended)) == "in, line 9: NOT_PERMITTED: not this one"


def test_a_tick_that_the_server_could_not_publish_leaves_a_doubt_and_ends_it_at_once():
    session = Session()
    session.begin(lines(9))
    refuse(session, 0, PublicationFailed("tick 3: no more disk"))
    session.server.lose()
    assert str(result(session.ended)) == (
        "INTERNAL_ERROR: tick 3: no more disk, so more may be published than is confirmed"
    )
    assert (session.sizes(), session.publishing.totals.ticks) == ([9], 0)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("tick 1: \x1b[31mred\n", "in, line 3: NOT_PERMITTED: \\x1b[31mred\\n"),
        ("\x1b[31mred\n", "NOT_PERMITTED: \\x1b[31mred\\n"),
    ],
)
def test_a_servers_words_do_not_command_the_terminal(message, told):
    session = Session()
    session.begin(lines(2))
    refuse(session, 0, MayNotPublish(message))
    if session.sizes() != [2]:
        session.server.say(published(FIRST_ID + 1))
    session.server.lose()
    assert str(result(session.ended)) == told


def test_a_failure_without_a_line_sends_nothing_of_the_calls_behind_it():
    session = Session()
    session.begin(lines(1500))
    assert session.sizes() == [1000, 500]
    refuse(session, 0, MayNotPublish("this user may not publish"))
    refuse(session, 1, OutOfTurn("not now"))
    assert session.sizes() == []
    session.server.lose()
    assert str(result(session.ended)) == "NOT_PERMITTED: this user may not publish"


def test_who_is_interrupted_publishes_what_was_read_though_it_is_not_sent_yet():
    session = Session(PublisherLimits(max_requests=1))
    session.begin(lines(1500))
    assert session.sizes() == [1000]
    session.publishing.stop()
    session.confirm()
    assert session.sizes() == [500]
    session.confirm()
    assert session.close() is None
    assert session.publishing.totals.ticks == 1500


class Failing:
    """A publisher that fails with an error that is no server's."""

    totals = Totals(5, 1, 0)

    def __init__(self):
        self.closed = False

    async def publish(self, ticks):
        raise OSError("no more memory")

    async def close(self):
        self.closed = True


def test_what_else_goes_wrong_comes_out_as_it_is():
    publisher, readers = Failing(), []

    def read(take, failed):
        readers.append(ScriptedReader(take, failed))
        return readers[0]

    publishing = Publishing(
        publisher,
        TickInput("in", None),
        "in",
        read=read,
        confirmed=lambda *_: None,
        waiting=lambda: None,
    )
    ended = Deferred.fromCoroutine(publishing.run())
    readers[0].give(lines(1))
    error = result(ended)
    assert (type(error), str(error)) == (OSError, "no more memory")
    assert (readers[0].stopped, publisher.closed) == (True, True)


def test_an_error_of_the_input_without_a_reason_of_the_system():
    session = Session()
    session.begin(lines(1))
    session.confirm()
    session.reader.failed(OSError("gone"))
    session.server.lose()
    assert str(result(session.ended)) == "in: gone"


def test_behind_a_bad_line_and_at_the_end_nothing_more_is_read():
    for last in (b"A,x\n", b""):
        session = Session()
        session.begin(lines(1))
        session.reader.give(last)
        assert session.reader.wanted == 0
        session.confirm()
        assert session.server.transport.disconnecting
        assert not session.ended.called
        session.close()
        assert session.reader.stopped
