"""What the next connection asks for, by what came on those before."""

import pytest

from tickstorm.client.batch import Batch
from tickstorm.client.events import Subscribed
from tickstorm.client.resumption import Resumption
from tickstorm.subscriptions import Mode, Position, Subscription

PLAIN = Subscription(Mode.SECOND, frozenset({"ACME"}))
AGO = PLAIN._replace(start_time_ms=5, snapshot=True)
SNAPSHOT = PLAIN._replace(snapshot=True)


def behind(epoch, sequence):
    return PLAIN._replace(resume=Position(epoch, sequence))


class Course:
    """A resumption, and what a session would tell it."""

    def __init__(self, subscription, resumes=True):
        self.resumption = Resumption(subscription, resumes=resumes)

    def acked(self, epoch="e", next_sequence=7, recovered=None):
        self.resumption.sequence.subscribed(epoch, next_sequence)
        self.resumption.subscribed(
            Subscribed(epoch, next_sequence, 15.0, 20.0, recovered=recovered)
        )
        return self

    def got(self, sequence, is_snapshot=False):
        if not is_snapshot:
            self.resumption.sequence.received(sequence)
        self.resumption.received(Batch((), 0, sequence, is_snapshot))
        return self

    @property
    def asks(self):
        return self.resumption.next_subscription()


@pytest.mark.parametrize("resumes", [True, False])
@pytest.mark.parametrize("subscription", [PLAIN, AGO, SNAPSHOT, behind("e", 3)])
def test_the_first_connection_asks_for_what_is_wanted(subscription, resumes):
    assert Course(subscription, resumes).asks == subscription


def test_it_goes_on_behind_the_last_batch():
    course = Course(PLAIN)
    assert course.acked().asks == behind("e", 6)
    assert course.got(7).got(8).asks == behind("e", 8)
    assert course.acked("e-17", 2**32 - 1).got(2**32 - 1).got(0).asks == behind("e-17", 0)


def test_it_goes_on_behind_what_it_was_given():
    course = Course(SNAPSHOT._replace(resume=Position("e", 3)))
    assert course.asks == behind("e", 3)
    assert course.acked("e", 4, True).asks == behind("e", 3)
    assert course.got(4).asks == behind("e", 4)


def test_the_past_is_asked_for_until_there_is_a_batch_of_it():
    course = Course(AGO)
    assert course.acked("e", 7, False).got(6, is_snapshot=True).asks == AGO
    assert course.got(7).asks == behind("e", 7)


def test_the_past_without_a_snapshot_is_gone_on_with():
    course = Course(AGO._replace(snapshot=False))
    assert course.acked("e", 7, False).got(7).asks == behind("e", 7)


def test_a_snapshot_behind_the_past_is_due_until_the_batch_behind_it():
    course = Course(AGO).acked("e", 7, False)
    assert course.got(7).got(8).asks == SNAPSHOT
    assert course.got(8, is_snapshot=True).got(8, is_snapshot=True).asks == SNAPSHOT
    assert course.got(9).asks == behind("e", 9)


def test_a_snapshot_that_was_cut_off_behind_the_past_is_the_next_connection_s_beginning():
    course = Course(AGO).acked("e", 7, False).got(7)
    assert course.acked("e", 20).asks == SNAPSHOT
    assert course.got(19, is_snapshot=True).asks == SNAPSHOT
    assert course.got(20).asks == behind("e", 20)


def test_the_past_may_come_on_the_connection_behind_one_that_had_none():
    course = Course(AGO).acked("e", 7, True).got(6, is_snapshot=True)
    assert course.acked("e", 7, True).got(7).asks == SNAPSHOT
    assert course.got(7, is_snapshot=True).got(8).asks == behind("e", 8)


@pytest.mark.parametrize("subscription", [PLAIN, SNAPSHOT])
def test_a_snapshot_that_may_not_have_come_whole_is_asked_for_again(subscription):
    course = Course(subscription)
    course.acked().got(6, is_snapshot=True)
    assert course.asks == (SNAPSHOT if subscription is SNAPSHOT else behind("e", 6))
    assert course.got(7).asks == behind("e", 7)
    assert course.acked("f", 20, False).asks == SNAPSHOT
    assert course.got(19, is_snapshot=True).asks == SNAPSHOT
    assert course.got(20).asks == behind("f", 20)


@pytest.mark.parametrize("subscription", [PLAIN, SNAPSHOT])
@pytest.mark.parametrize("epoch", ["", "e" * 65])
def test_without_an_epoch_that_a_server_takes_back_each_connection_is_a_first_one(
    subscription, epoch
):
    course = Course(subscription)
    assert course.acked(epoch).got(7).asks == subscription
    assert course.resumption.position is None


@pytest.mark.parametrize(
    "subscription", [PLAIN, SNAPSHOT, SNAPSHOT._replace(resume=Position("e", 3)), AGO]
)
def test_who_does_not_resume_asks_for_what_comes(subscription):
    course = Course(subscription, resumes=False)
    assert course.acked().asks == subscription
    assert course.got(7).asks == subscription._replace(start_time_ms=0, resume=None)
