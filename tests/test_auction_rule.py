"""The rule: every answer, each at its edge; what leads changes the standing, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.money import MAX_CENTS
from tickstorm.auction.rule import Outcome, Standing, Terms, at_first, decide, led_by

TERMS = Terms(opens_ms=1000, closes_ms=2000, start=500, increment=50)
LED = Standing(price=700, bidder=7, sequence=3, minimum=750, closes_ms=2000)


def test_how_an_auction_stands_at_first():
    assert at_first(TERMS) == Standing(0, 0, 0, minimum=500, closes_ms=2000)


@pytest.mark.parametrize(
    ("cents", "outcome"),
    [
        (1, Outcome.TOO_LOW),
        (499, Outcome.TOO_LOW),
        (500, Outcome.ACCEPTED),
        (501, Outcome.ACCEPTED),
        (MAX_CENTS, Outcome.ACCEPTED),
    ],
)
def test_the_first_bid(cents, outcome):
    assert decide(TERMS, at_first(TERMS), cents, 1500) is outcome


@pytest.mark.parametrize(
    ("cents", "outcome"),
    [
        (1, Outcome.TOO_LOW),
        (699, Outcome.TOO_LOW),
        (700, Outcome.EQUAL),
        (701, Outcome.TOO_LOW),
        (749, Outcome.TOO_LOW),
        (750, Outcome.ACCEPTED),
        (MAX_CENTS, Outcome.ACCEPTED),
    ],
)
def test_a_bid_against_one_that_leads(cents, outcome):
    assert decide(TERMS, LED, cents, 1500) is outcome


@pytest.mark.parametrize(
    ("now_ms", "outcome"),
    [
        (0, Outcome.NOT_OPEN),
        (999, Outcome.NOT_OPEN),
        (1000, Outcome.ACCEPTED),
        (1999, Outcome.ACCEPTED),
        (2000, Outcome.CLOSED),
        (10**15, Outcome.CLOSED),
    ],
)
def test_the_time_decides_first(now_ms, outcome):
    assert decide(TERMS, LED, 10_000, now_ms) is outcome


def test_what_is_closed_before_it_opened_is_closed():
    assert decide(TERMS, LED._replace(closes_ms=500), 10_000, 700) is Outcome.CLOSED


def test_who_leads():
    assert led_by(TERMS, LED, 9, 800, 1500) == Standing(800, 9, 4, 850, 2000)


def test_the_least_that_leads_may_be_more_than_there_is():
    standing = led_by(TERMS, LED, 9, MAX_CENTS, 1500)
    assert decide(TERMS, standing, MAX_CENTS, 1500) is Outcome.EQUAL


@pytest.mark.parametrize(
    ("now_ms", "closes_ms"), [(1000, 2000), (1700, 2000), (1701, 2001), (1999, 2299)]
)
def test_a_late_bid_extends(now_ms, closes_ms):
    terms = TERMS._replace(soft_close_ms=300)
    standing = led_by(terms, at_first(terms), 9, 800, now_ms)
    assert standing == Standing(800, 9, 1, 850, closes_ms)


def test_a_soft_close_goes_on_from_the_close_as_it_is_now():
    terms = TERMS._replace(soft_close_ms=300)
    standing = led_by(terms, at_first(terms), 9, 800, 1999)
    assert led_by(terms, standing, 8, 900, 2000).closes_ms == 2300


amounts = st.integers(1, 40)


@given(
    st.integers(1, 20),
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 3), amounts, st.integers(0, 9))),
)
def test_the_price_is_always_the_highest_of_the_valid_bids(start, increment, bids):
    terms = Terms(2, 8, start, increment)
    standing = at_first(terms)
    led = []
    for bidder, cents, now_ms in bids:
        outcome = decide(terms, standing, cents, now_ms)
        if outcome is Outcome.ACCEPTED:
            assert 2 <= now_ms < 8
            assert cents >= (led[-1][1] + increment if led else start)
            standing = led_by(terms, standing, bidder, cents, now_ms)
            led.append((bidder, cents))
        assert standing.sequence == len(led)
        assert (standing.bidder, standing.price) == (led[-1] if led else (0, 0))
    valid = [cents for _, cents, now_ms in bids if 2 <= now_ms < 8 and cents >= start]
    if increment == 1 and valid:
        assert standing.price == max(valid)


def test_the_bytes_of_the_outcomes():
    assert {outcome.name: int(outcome) for outcome in Outcome} == {
        "ACCEPTED": 1,
        "TOO_LOW": 2,
        "EQUAL": 3,
        "CLOSED": 4,
        "NOT_OPEN": 5,
        "UNKNOWN_AUCTION": 6,
        "MALFORMED": 7,
        "NOT_PERMITTED": 8,
        "RATE_LIMITED": 9,
        "UNAVAILABLE": 10,
        "UNDECIDED": 11,
        "SOLD": 32,
        "UNSOLD": 33,
    }


def test_what_an_auction_has_decided():
    assert [outcome.name for outcome in Outcome if outcome.is_decided] == [
        "ACCEPTED",
        "TOO_LOW",
        "EQUAL",
        "CLOSED",
        "NOT_OPEN",
    ]
