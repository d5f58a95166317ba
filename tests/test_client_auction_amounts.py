"""Amounts of a bidder: whole cents there and back, and what is none."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.money import MAX_CENTS
from tickstorm.auction.money import to_cents as on_the_wire
from tickstorm.client.auction.amounts import read_amount, to_cents, to_decimal


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        ("0.01", 1),
        ("12", 1200),
        ("12.5", 1250),
        ("12.50", 1250),
        ("12.5000", 1250),
        ("1E+3", 10**5),
    ],
)
def test_an_amount_in_cents(amount, cents):
    assert to_cents(Decimal(amount)) == cents


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        ("0", "is not 0.01 to 90071992547409.92"),
        ("-0.01", "is not 0.01 to 90071992547409.92"),
        ("NaN", "is not 0.01 to 90071992547409.92"),
        ("sNaN", "is not 0.01 to 90071992547409.92"),
        ("Infinity", "is not 0.01 to 90071992547409.92"),
        ("1E+20", "is not 0.01 to 90071992547409.92"),
        ("0.001", "is not in whole cents"),
        ("1.00000000000000000000000000000000000001", "is not in whole cents"),
        ("90071992547409.93", "is too much to be told to the cent"),
        ("90071992547409.90", "is too much to be told to the cent"),
    ],
)
def test_what_cannot_be_bid(amount, reason):
    with pytest.raises(ValueError, match=f"{reason}$"):
        to_cents(Decimal(amount))


@pytest.mark.parametrize("amount", [12.5, 12, "12.50", None])
def test_only_a_decimal_is_an_amount(amount):
    kind = type(amount).__name__
    with pytest.raises(TypeError, match=rf" is a {kind}: give a Decimal\('12.50'\)$"):
        to_cents(amount)


@given(st.integers(1, MAX_CENTS))
def test_an_amount_comes_back_or_is_refused(cents):
    with localcontext(prec=3):
        amount = to_decimal(cents)
        try:
            assert to_cents(amount) == cents
        except ValueError:
            assert on_the_wire(cents / 100) != cents


def test_cents_have_two_places():
    assert [str(to_decimal(cents)) for cents in (0, 5, 1250, 10**15)] == [
        "0.00",
        "0.05",
        "12.50",
        "10000000000000.00",
    ]


def test_what_people_write():
    assert [read_amount(text) for text in ("12", "0.5")] == [Decimal("12.00"), Decimal("0.50")]


@pytest.mark.parametrize("text", ["", "0", "-1", "1,5", "1.234", "1e3", "x", "90071992547409.90"])
def test_what_people_write_that_is_none(text):
    with pytest.raises(ValueError, match="amount"):
        read_amount(text)
