"""Questions to all workers: one answer, whoever gives none is missing from it."""

from types import SimpleNamespace

import pytest
from places import Link
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from tickstorm.listing import Listing, Query
from tickstorm.workers.link import ListAsked, Listed
from tickstorm.workers.questions import TIMEOUT, Questions


class Asking:
    """Questions to places, and what came of each."""

    def __init__(self, *numbers):
        self.clock = Clock()
        self.questions = Questions(self.clock)
        self.places = [SimpleNamespace(number=number, link=Link()) for number in numbers]

    def ask(self, **query):
        answers = []
        answer = self.questions.ask(self.places, Query(**query))
        answer.addBoth(answers.append)
        return answers

    def asked(self, number):
        """What a worker was asked."""
        (link,) = [place.link for place in self.places if place.number == number]
        return link.sent

    def answer(self, number, *ids, request=1):
        self.questions.take(number, Listed(request, page(*ids)))

    def nothing_left(self):
        return not self.questions._open and not self.clock.getDelayedCalls()


def row(id, pending=0):
    return {"id": id, "pending_bytes": pending, "congested": pending > 0}


def page(*ids, missing=0):
    return Listing(len(ids), [row(id) for id in ids], missing)


def test_every_worker_is_asked_and_the_answers_are_one():
    asking = Asking(1, 2)
    answers = asking.ask(limit=3, after=4)
    assert asking.asked(1) == asking.asked(2) == [ListAsked(1, Query(3, 4))]
    asking.answer(2, 6, 8)
    assert answers == []
    asking.answer(1, 5, 7)
    assert answers == [Listing(4, [row(5), row(6), row(7)])]
    assert asking.nothing_left()


def test_without_workers_there_is_an_answer_at_once():
    for asking in (Asking(), Asking(1)):
        for place in asking.places:
            place.link = None
        assert asking.ask() == [Listing(0, [])]
        assert asking.nothing_left()


def test_a_place_without_a_worker_is_not_asked():
    asking = Asking(1, 2)
    asking.places[0].link = None
    answers = asking.ask()
    asking.answer(2, 5)
    assert answers == [page(5)]


def test_who_does_not_answer_in_time_is_missing():
    asking = Asking(1, 2, 3)
    answers = asking.ask()
    asking.answer(2, 5)
    asking.clock.advance(TIMEOUT - 0.01)
    assert answers == []
    asking.clock.advance(0.01)
    assert answers == [page(5, missing=2)]
    assert asking.nothing_left()
    asking.answer(1, 6)  # too late
    assert answers == [page(5, missing=2)]


def test_who_is_gone_is_missing():
    asking = Asking(1, 2)
    answers = asking.ask()
    asking.questions.forget(1)
    asking.answer(2, 5)
    assert answers == [page(5, missing=1)]
    assert asking.nothing_left()


def test_who_was_not_asked_is_not_missing():
    asking = Asking(1)
    answers = asking.ask()
    asking.questions.forget(2)
    asking.answer(2, 9)
    assert answers == []
    asking.answer(1, 5)
    assert answers == [page(5)]


def test_an_answer_counts_once():
    asking = Asking(1, 2)
    answers = asking.ask()
    asking.answer(1, 5)
    asking.answer(1, 5)
    asking.questions.forget(1)
    assert answers == []
    asking.answer(2, 6)
    assert answers == [page(5, 6)]


def test_questions_are_told_apart():
    asking = Asking(1, 2)
    first, second = asking.ask(), asking.ask(by_pending=True)
    asking.answer(1, 5, request=2)
    asking.answer(1, 7, request=1)
    asking.answer(2, 8, request=1)
    assert (first, second) == ([page(7, 8)], [])
    asking.questions.forget(2)
    assert second == [page(5, missing=1)]
    assert asking.nothing_left()


@pytest.mark.parametrize("answered_late", [True, False])
def test_who_asked_may_give_up(answered_late):
    asking = Asking(1)
    answer = asking.questions.ask(asking.places, Query())
    given_up = []
    answer.addErrback(lambda failure: given_up.append(failure.check(CancelledError)))
    answer.cancel()
    assert given_up == [CancelledError]
    if answered_late:
        asking.answer(1, 5)
    else:
        asking.clock.advance(TIMEOUT)
    assert asking.nothing_left()
