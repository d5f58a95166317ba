"""Pacing: how many bids a user and an address may send."""

from tickstorm.auction.pacing import PaceLimits, Pacing
from tickstorm.auction.rule import Answer, Bid, Outcome
from tickstorm.auction.turns import Turn


def judged(pacing, *users, address="10.0.0.1", now=0.0):
    """Which bids of a turn, each of a user, are too many; and their answers."""
    turn = Turn([Bid(1, user, 100 + place) for place, user in enumerate(users)])
    pacing.judge(turn, address, now)
    undecided = set(turn.undecided())
    return [place for place in range(len(users)) if place not in undecided], turn


def test_each_user_has_a_rate_of_its_own():
    pacing = Pacing(PaceLimits(2, 0))
    assert judged(pacing, 1, 2, 1, 1, 2, 2)[0] == [3, 5]
    assert judged(pacing, 1, 2, 3)[0] == [0, 1]


def test_it_comes_back_with_time():
    pacing = Pacing(PaceLimits(2, 0))
    judged(pacing, 1, 1)
    assert judged(pacing, 1, now=0.49)[0] == [0]
    assert judged(pacing, 1, now=0.5)[0] == []


def test_the_users_of_an_address_share_its_rate_and_have_their_own_beside_it():
    pacing = Pacing(PaceLimits(2, 3))
    assert judged(pacing, 1, 1, 1, 2, 3)[0] == [2, 4]
    assert judged(pacing, 4, address="10.0.0.2")[0] == []
    assert judged(pacing, 4)[0] == [0]


def test_an_answer_says_when_to_try_again():
    pacing = Pacing(PaceLimits(2, 0))
    _, turn = judged(pacing, 1, 1, 1)
    (too_many,) = (answer for answer in turn._answers if answer is not None)
    assert too_many == Answer(Outcome.RATE_LIMITED, 102, retry_after_ms=500)


def test_without_rates_there_is_no_limit():
    assert judged(Pacing(PaceLimits(0, 0)), *[1] * 10_000)[0] == []


def test_a_peer_without_an_address_has_no_rate_of_that():
    assert judged(Pacing(PaceLimits(0, 1)), 1, 1, 1, address="")[0] == []


def test_who_is_answered_already_takes_nothing():
    pacing = Pacing(PaceLimits(1, 1))
    turn = Turn([Bid(1, 7, 0)])
    turn.answer(0, Answer(Outcome.MALFORMED, 0))
    pacing.judge(turn, "10.0.0.1", 0.0)
    assert judged(pacing, 7)[0] == []
