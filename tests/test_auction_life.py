"""The life of an auction: its terms, its phases, its end."""

import pytest

from tickstorm.auction.life import (
    MAX_AUCTION_ID,
    MAX_SOFT_CLOSE_MS,
    MAX_TIME_MS,
    Auction,
    InvalidAuction,
    Phase,
    closed,
    created,
    validate,
)
from tickstorm.auction.money import MAX_CENTS
from tickstorm.auction.rule import Outcome, Standing, Terms, at_first
from tickstorm.ticks import SYMBOL

TERMS = Terms(1000, 2000)


def test_a_new_auction():
    assert created(7, TERMS) == Auction(7, TERMS, Standing(0, 0, 0, 1, 2000))


@pytest.mark.parametrize("id", [-1, 0, MAX_AUCTION_ID + 1, 2**32])
def test_an_id_out_of_range(id):
    with pytest.raises(InvalidAuction, match=f"^the id {id} is not 1 to 99999999$"):
        created(id, TERMS)


def test_the_largest_id_is_part_of_a_symbol():
    assert SYMBOL.fullmatch(f"AUCTION.{MAX_AUCTION_ID}")
    assert not SYMBOL.fullmatch(f"AUCTION.{MAX_AUCTION_ID + 1}")


@pytest.mark.parametrize(
    "terms",
    [
        Terms(0, 1),
        Terms(MAX_TIME_MS - 1, MAX_TIME_MS),
        TERMS._replace(start=MAX_CENTS, increment=MAX_CENTS, reserve=MAX_CENTS),
        TERMS._replace(soft_close_ms=MAX_SOFT_CLOSE_MS),
    ],
)
def test_terms_at_their_limits(terms):
    assert validate(terms) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"opens_ms": -1}, "it opens before 1970"),
        ({"closes_ms": 1000}, "it closes before it opens"),
        ({"closes_ms": 999}, "it closes before it opens"),
        ({"closes_ms": MAX_TIME_MS + 1}, "it closes later than 9007199254740992 ms"),
        ({"start": 0}, "the start is not 0.01 to 90071992547409.92"),
        ({"start": MAX_CENTS + 1}, "the start is not 0.01 to 90071992547409.92"),
        ({"increment": 0}, "the increment is not 0.01 to 90071992547409.92"),
        ({"reserve": -1}, "the reserve is not 0.00 to 90071992547409.92"),
        ({"soft_close_ms": -1}, "the soft close is not 0 to 86400000 ms"),
        ({"soft_close_ms": 86_400_001}, "the soft close is not 0 to 86400000 ms"),
    ],
)
def test_terms_out_of_range(change, reason):
    with pytest.raises(InvalidAuction) as caught:
        created(7, TERMS._replace(**change))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("now_ms", "phase"),
    [
        (0, Phase.SCHEDULED),
        (999, Phase.SCHEDULED),
        (1000, Phase.OPEN),
        (1999, Phase.OPEN),
        (2000, Phase.CLOSED),
        (10**15, Phase.CLOSED),
    ],
)
def test_the_phases(now_ms, phase):
    assert created(7, TERMS).phase(now_ms) is phase


@pytest.mark.parametrize(("now_ms", "closes_ms"), [(500, 500), (1500, 1500), (2500, 2000)])
def test_closing(now_ms, closes_ms):
    auction = created(7, TERMS)
    ended = closed(auction, now_ms)
    assert ended == Auction(7, TERMS, at_first(TERMS)._replace(closes_ms=closes_ms))
    assert ended.phase(now_ms) is Phase.CLOSED
    assert closed(ended, now_ms + 1) == ended


@pytest.mark.parametrize(
    ("reserve", "standing", "outcome"),
    [
        (0, at_first(TERMS), Outcome.UNSOLD),
        (0, Standing(500, 9, 1, 501, 2000), Outcome.SOLD),
        (500, Standing(500, 9, 1, 501, 2000), Outcome.SOLD),
        (501, Standing(500, 9, 1, 501, 2000), Outcome.UNSOLD),
    ],
)
def test_what_becomes_of_it(reserve, standing, outcome):
    assert Auction(7, TERMS._replace(reserve=reserve), standing).final is outcome
