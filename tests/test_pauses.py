"""Pauses: who is not read for now, what for, and when it is read on."""

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from tickstorm.pauses import Pauses


class Reader:
    """A connection that notes what is asked of it."""

    id = 7

    def __init__(self):
        self.asked = []
        self.is_over = False
        self.broken = False

    def pause_reading(self):
        self.asked.append("pause")

    def resume_reading(self):
        self.asked.append("resume")
        if self.broken:
            raise ValueError("broken")

    def abort(self):
        self.asked.append("abort")

    def take(self, answer):
        self.asked.append(answer)

    def fail(self, reason):
        self.asked.append(reason.type)


@pytest.fixture(name="reader")
def make_reader():
    return Reader()


@pytest.fixture(name="pauses")
def make_pauses():
    return Pauses()


def waiting(pauses, reader, canceller=None):
    """An answer that a connection waits for."""
    answer = Deferred(canceller)
    pauses.wait(reader, answer, reader.take, reader.fail)
    return answer


# For an answer.


def test_who_waits_is_read_on_when_it_has_taken_its_answer(pauses, reader):
    answer = waiting(pauses, reader)
    assert (reader.asked, len(pauses)) == (["pause"], 1)
    answer.callback(5)
    assert (reader.asked, len(pauses)) == (["pause", 5, "resume"], 0)


def test_so_is_who_gets_none(pauses, reader):
    waiting(pauses, reader).errback(OSError())
    assert (reader.asked, len(pauses)) == (["pause", OSError, "resume"], 0)


@pytest.mark.parametrize(("answer", "taken"), [(succeed(5), 5), (fail(OSError()), OSError)])
def test_for_an_answer_that_is_there_nobody_pauses(pauses, reader, answer, taken):
    pauses.wait(reader, answer, reader.take, reader.fail)
    assert (reader.asked, len(pauses)) == ([taken], 0)


def test_for_one_that_is_there_but_is_not_known_yet_it_does(pauses, reader):
    last = Deferred()
    pauses.wait(reader, succeed(None).addCallback(lambda _: last), reader.take, reader.fail)
    assert reader.asked == ["pause"]
    last.callback(5)
    assert reader.asked == ["pause", 5, "resume"]


def test_it_pauses_while_the_answer_is_taken(pauses, reader):
    seen = []
    answer = Deferred()
    pauses.wait(reader, answer, lambda _: seen.append(reader in pauses), reader.fail)
    answer.callback(5)
    assert (seen, reader in pauses) == ([True], False)


def test_who_is_forgotten_gets_no_answer_and_is_not_read_on(pauses, reader):
    answer = waiting(pauses, reader)
    reader.is_over = True
    pauses.forget(reader)
    pauses.forget(reader)
    answer.callback("too late")
    assert (reader.asked, len(pauses)) == (["pause", CancelledError], 0)


def test_what_is_answered_as_it_is_cancelled_is_taken(pauses, reader):
    waiting(pauses, reader, lambda answer: answer.callback(5))
    reader.is_over = True
    pauses.forget(reader)
    assert (reader.asked, len(pauses)) == (["pause", 5], 0)


def test_who_ends_as_it_takes_its_answer_is_not_read_on(pauses, reader):
    answer = Deferred()

    def take(_):
        reader.is_over = True
        pauses.forget(reader)

    pauses.wait(reader, answer, take, reader.fail)
    answer.callback(5)
    assert (reader.asked, len(pauses)) == (["pause"], 0)


@pytest.mark.parametrize("later", [True, False])
def test_who_cannot_take_its_answer_is_cut(pauses, reader, later, failures):
    answer = Deferred() if later else succeed(0)
    pauses.wait(reader, answer, lambda number: reader.take(1 / number), reader.fail)
    if later:
        answer.callback(0)
    assert (reader.asked, len(pauses)) == ((["pause"] if later else []) + ["abort"], 0)
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    failures.clear()


# Until there is room.


def test_who_is_held_is_read_on_when_it_is_released(pauses, reader):
    pauses.hold(reader)
    assert (reader.asked, len(pauses)) == (["pause"], 1)
    pauses.release(reader)
    pauses.release(reader)
    assert (reader.asked, len(pauses)) == (["pause", "resume"], 0)


def test_who_is_forgotten_meanwhile_is_not_read_on(pauses, reader):
    pauses.hold(reader)
    pauses.forget(reader)
    pauses.release(reader)
    assert (reader.asked, len(pauses)) == (["pause"], 0)


@pytest.mark.parametrize("reason", ["answer", "room"])
def test_who_cannot_read_on_is_cut(pauses, reader, reason, failures):
    reader.broken = True
    if reason == "answer":
        waiting(pauses, reader).callback(5)
    else:
        pauses.hold(reader)
        pauses.release(reader)
    assert reader.asked[-2:] == ["resume", "abort"]
    assert [str(failure) for failure in failures] == ["broken"]
    failures.clear()


# For both.


@pytest.mark.parametrize("answered_first", [True, False])
def test_one_reason_of_two_is_enough(pauses, reader, answered_first):
    answer = waiting(pauses, reader)
    pauses.hold(reader)
    ends = [lambda: answer.callback(5), lambda: pauses.release(reader)]
    first, second = ends if answered_first else ends[::-1]
    first()
    assert ("resume" in reader.asked, len(pauses)) == (False, 1)
    second()
    assert (reader.asked, len(pauses)) == (["pause", "pause", 5, "resume"], 0)


def test_others_are_read_meanwhile(pauses, reader):
    other = Reader()
    waiting(pauses, other)
    pauses.hold(reader)
    pauses.release(reader)
    assert (reader.asked, other.asked) == (["pause", "resume"], ["pause"])


# At the end.


def test_who_has_ended_is_not_paused_any_more(pauses, reader):
    reader.is_over = True
    pauses.hold(reader)
    waiting(pauses, reader).callback(5)
    pauses.release(reader)
    assert (reader.asked, len(pauses)) == ([5], 0)
