"""The way to one server: what is asked is written or refused at once, and never waits for long."""

import pytest
from redis_fakes import BEAT, Bench, end_of
from twisted.internet.error import ConnectionRefusedError as Refusal

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.redis_replies import Refused

CLOSED, PROBING, OPEN = BreakerState.CLOSED, BreakerState.PROBING, BreakerState.OPEN


def told(ends):
    """What came of a question: its type, its words, and what it advises."""
    (end,) = ends
    return type(end), getattr(end, "retry_after_ms", None)


def test_it_is_open_once_a_beat_was_answered():
    bench = Bench()
    tried = end_of(bench.link.start())
    connection = bench.accept()
    assert (bench.link.state, connection.commands, tried) == (PROBING, [BEAT], [])
    connection.reply("time")
    assert (bench.link.state, bench.beats, bench.rises, tried) == (CLOSED, ["time"], 1, [None])


def test_what_is_asked_goes_out_at_once_and_has_its_reply():
    bench = Bench()
    connection = bench.open()
    ends = [end_of(bench.link.ask(b"GET", key)) for key in (b"a", b"b")]
    assert connection.commands == [(b"GET", b"a"), (b"GET", b"b")]
    connection.reply(b"1")
    connection.refuse("ERR no")
    assert ends[0] == [b"1"]
    assert isinstance(ends[1][0], Refused)
    assert bench.link.state is CLOSED


def test_before_it_is_open_it_refuses():
    bench = Bench()
    assert told(end_of(bench.link.ask(b"GET"))) == (StoreUnavailable, 100)
    bench.link.start()
    assert told(end_of(bench.link.ask(b"GET"))) == (StoreUnavailable, 100)
    assert len(bench.dialed) == 1


def test_a_lost_connection_answers_all_and_another_is_looked_for():
    bench = Bench()
    connection = bench.open()
    ends = end_of(bench.link.ask(b"GET"))
    connection.lose()
    assert (told(ends), bench.link.state) == ((AnswerLost, 100), OPEN)
    bench.clock.advance(0.04)
    assert told(end_of(bench.link.ask(b"GET"))) == (StoreUnavailable, 60)
    bench.clock.advance(0.06)
    assert bench.link.state is PROBING
    bench.open()
    assert (bench.link.state, bench.rises) == (CLOSED, 2)


def test_a_late_reply_costs_the_connection():
    bench = Bench()
    connection = bench.open()
    bench.clock.advance(0.5)
    ends = end_of(bench.link.ask(b"GET"))
    bench.clock.advance(0.5)  # the link looks, and finds that it is not late yet
    assert (bench.link.state, connection.aborted) == (CLOSED, False)
    bench.clock.advance(0.5)
    assert (bench.link.state, connection.aborted) == (OPEN, True)
    connection.lose()
    assert told(ends) == (AnswerLost, 100)
    assert len(bench.dialed) == 0  # it was not lost twice


def test_a_process_that_stood_still_reads_before_it_judges():
    bench = Bench()
    connection = bench.open()
    ends = end_of(bench.link.ask(b"GET"))
    # After a long turn the reactor does first what is due, and only then reads what has arrived.
    bench.clock.callLater(1.0, connection.reply, b"1")
    bench.clock.advance(5.0)
    assert (ends, bench.link.state) == ([b"1"], CLOSED)


def test_a_process_that_stood_still_sends_before_it_judges():
    for replies in (True, False):
        bench = Bench()
        connection = bench.open()
        bench.link.ask(b"GET")
        bench.clock.advance(1.6)  # the turn in which it was asked: only now it is sent
        bench.clock.advance(0.5)
        assert (bench.link.state, connection.aborted) == (CLOSED, False)
        if replies:
            connection.reply(b"1")
        bench.clock.advance(0.2)
        assert connection.aborted is not replies


def test_replies_in_time_cost_nothing():
    bench = Bench()
    connection = bench.open()
    for _ in range(50):
        bench.link.ask(b"GET")
        bench.clock.advance(0.9)
        while connection.asked:
            connection.reply(b"")
    assert bench.link.state is CLOSED


def test_an_idle_connection_is_asked_for_a_beat():
    bench = Bench()
    connection = bench.open()
    bench.clock.advance(1.0)
    assert connection.commands == [BEAT]
    connection.reply("time")
    assert bench.beats == ["time"]
    bench.clock.pump([1.0, 1.0])
    assert (bench.link.state, connection.aborted) == (OPEN, True)


def test_a_beat_that_makes_no_sense_costs_the_connection():
    bench = Bench()
    connection = bench.open()
    bench.clock.advance(1.0)
    connection.refuse("ERR what")
    assert (bench.link.state, connection.aborted) == (OPEN, True)


def test_three_replies_in_a_row_that_it_cannot_do_it_now():
    bench = Bench()
    connection = bench.open()
    for reply in (None, "LOADING", "LOADING", None, "LOADING", "BUSY"):
        bench.link.ask(b"GET").addErrback(lambda _: None)
        if reply is None:
            connection.reply(b"")
        else:
            connection.refuse(reply)
    assert bench.link.state is CLOSED
    ends = end_of(bench.link.ask(b"GET"))
    connection.refuse("OOM")
    assert isinstance(ends[0], Refused)
    assert (bench.link.state, connection.aborted) == (OPEN, True)


@pytest.mark.parametrize("text", ["READONLY", "MASTERDOWN", "NOAUTH"])
def test_a_server_that_is_not_the_one_is_left_at_once(text):
    bench = Bench()
    connection = bench.open()
    bench.link.ask(b"GET").addErrback(lambda _: None)
    connection.refuse(text)
    assert (bench.link.state, connection.aborted) == (OPEN, True)


@pytest.mark.parametrize("text", ["NOSCRIPT", "MOVED 1 a:1", "TRYAGAIN", "ERR what"])
def test_other_errors_say_that_it_is_there(text):
    bench = Bench()
    connection = bench.open()
    for _ in range(5):
        bench.link.ask(b"GET").addErrback(lambda _: None)
        connection.refuse(text)
    assert bench.link.state is CLOSED


def test_a_dial_that_fails_is_made_again_and_again():
    bench = Bench()
    tried = end_of(bench.link.start())
    waits = []
    for _ in range(5):
        bench.dialed.pop().errback(Refusal())
        waits.append(bench.link.retry_after_ms)
        bench.clock.advance(waits[-1] / 1000)
    assert (waits, tried, bench.rises) == ([100, 200, 400, 500, 500], [None], 0)
    bench.open()
    assert bench.link.state is CLOSED


def test_a_dial_that_takes_too_long_is_given_up():
    bench = Bench()
    bench.link.start()
    connection = bench.accept()  # but the beat is not answered
    bench.clock.advance(2.0)
    assert (bench.link.state, connection.aborted) == (OPEN, True)


def test_a_dial_whose_beat_is_refused_is_given_up():
    bench = Bench()
    bench.link.start()
    connection = bench.accept()
    connection.refuse("NOPERM")
    assert (bench.link.state, connection.aborted, bench.rises) == (OPEN, True, 0)


def test_dropped_from_outside_it_looks_for_another():
    bench = Bench()
    connection = bench.open()
    bench.link.drop("it was said so")
    bench.link.drop("and again")
    assert (bench.link.state, connection.aborted) == (OPEN, True)
    bench.clock.advance(0.1)
    bench.open()
    assert bench.link.state is CLOSED


def test_it_stops_when_it_is_open():
    bench = Bench()
    connection = bench.open()
    bench.link.stop()
    assert (connection.aborted, bench.clock.getDelayedCalls()) == (True, [])
    connection.lose()
    assert bench.clock.getDelayedCalls() == []
    assert told(end_of(bench.link.ask(b"GET")))[0] is StoreUnavailable


def test_it_stops_while_it_dials():
    bench = Bench()
    bench.link.start()
    bench.link.stop()
    assert bench.clock.getDelayedCalls() == []


def test_it_stops_while_it_waits():
    bench = Bench()
    bench.link.start()
    bench.dialed.pop().errback(Refusal())
    bench.link.stop()
    assert bench.clock.getDelayedCalls() == []
