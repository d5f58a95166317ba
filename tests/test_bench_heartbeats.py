"""heartbeats: those that are answered, late or never, and answers to none."""

import pytest

from tickstorm.bench.heartbeats import MAX_WAITING, OVERDUE_NS, Heartbeats
from tickstorm.bench.latencies import rounded
from tickstorm.bench.tally import Tally

MS = 10**6
START = 1_700_000_000 * 10**9


@pytest.fixture(name="tally")
def make_tally():
    return Tally()


@pytest.fixture(name="heartbeats")
def make_heartbeats(tally):
    return Heartbeats(tally)


def test_an_answer_counts_from_when_its_heartbeat_was_sent(heartbeats, tally):
    heartbeats.sent(7, START)
    heartbeats.sent(7, START + 10 * MS)
    heartbeats.sent(8, START)
    heartbeats.answered(7, START + 10 * MS, START + 11 * MS)
    heartbeats.answered(8, START, START + MS)
    heartbeats.answered(7, START, START + 12 * MS)
    heartbeats.end(START + OVERDUE_NS)
    assert tally == Tally(round_trips={1000: 2, 12_000 - 12_000 % 8: 1})


def test_one_without_an_answer_is_a_loss_and_waited_until_the_end(heartbeats, tally):
    heartbeats.sent(7, START)
    heartbeats.sent(8, START + OVERDUE_NS)  # this one may still be answered
    heartbeats.end(START + 2 * OVERDUE_NS - 1)
    assert tally == Tally(unanswered=1, round_trips={rounded(1_999_999): 1})


def test_one_without_an_answer_on_a_connection_that_ended(heartbeats, tally):
    heartbeats.sent(7, START)
    heartbeats.sent(8, START)
    heartbeats.leave(7, START + OVERDUE_NS - 1)
    heartbeats.leave(8, START + OVERDUE_NS)
    heartbeats.end(START + 9 * OVERDUE_NS)
    assert tally == Tally(unanswered=1, round_trips={rounded(1_000_000): 1})


def test_answers_without_a_number_are_those_of_the_oldest(heartbeats, tally):
    heartbeats.sent(7, START)
    heartbeats.sent(7, START + MS)
    heartbeats.answered(7, 0, START + MS)
    heartbeats.answered(7, 0, START + 2 * MS)
    heartbeats.answered(7, 0, START + 3 * MS)
    assert tally == Tally(round_trips={1000: 2})


def test_answers_to_what_was_never_sent(heartbeats, tally):
    heartbeats.answered(7, START, START + MS)
    heartbeats.sent(7, START)
    heartbeats.answered(7, START + 1, START + MS)
    heartbeats.answered(8, START, START + MS)
    assert tally == Tally()


def test_what_waits_is_bounded(heartbeats, tally):
    for number in range(MAX_WAITING + 2):
        heartbeats.sent(7, START + number * MS)
    assert tally == Tally(unanswered=2, round_trips={rounded(MAX_WAITING * 1000): 2})
