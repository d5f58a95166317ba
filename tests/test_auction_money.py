"""Money: the nearest whole cents of what the wire has, exactly, or no amount at all."""

from fractions import Fraction
from math import inf, nan, nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.money import (
    MAX_CENTS,
    NO_AMOUNT,
    cents_text,
    read_cents,
    to_amount,
    to_cents,
)


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        (150.5, 15050),
        (0.01, 1),
        (0.1 + 0.2, 30),
        (100.1 + 0.05, 10015),
        (1.1 * 3, 330),
        (12.125, 1213),
        (12.375, 1238),
        (0.005, 1),  # the double of it lies above half a cent
        (1.005, 100),  # and this one below, though its product with 100 is 100.49999999999999
        (2.0**46 + 0.125, 7036874417766413),
        (90071992547409.92, MAX_CENTS),
    ],
)
def test_an_amount_is_rounded_to_the_nearest_cent(amount, cents):
    assert to_cents(amount) == cents


@pytest.mark.parametrize(
    "amount",
    [
        nan,
        -nan,
        inf,
        -inf,
        0.0,
        -0.0,
        -1.0,
        -0.01,
        0.001,
        0.004999,
        5e-324,
        (MAX_CENTS + 1) / 100,
        nextafter(90071992547409.92, inf),
        float(2**53 + 1),
        9.1e13,
        1e14,
        1e300,
        1.7976931348623157e308,
    ],
)
def test_what_is_no_amount(amount):
    assert to_cents(amount) == NO_AMOUNT


@given(st.integers(1, 100 * 2**45) | st.integers(100 * 2**44, 100 * 2**45))
def test_every_amount_comes_back_as_it_went(cents):
    assert to_cents(to_amount(cents)) == cents


@given(st.integers(100 * 2**45, MAX_CENTS))
def test_where_doubles_are_sparse_the_nearest_cents_of_the_double_are_taken(cents):
    amount = to_amount(cents)
    assert abs(100 * Fraction(amount) - to_cents(amount)) <= Fraction(1, 2)


def nearest(amount):
    cents = (200 * Fraction(amount) + 1) // 2
    return cents if 1 <= cents <= MAX_CENTS else NO_AMOUNT


@given(
    st.floats(min_value=0, exclude_min=True, max_value=1e14)
    | st.floats(min_value=0, max_value=1000)
    | st.floats(min_value=2.0**44, max_value=2.0**47)
)
def test_rounding_is_that_of_the_number_itself(amount):
    assert to_cents(amount) == nearest(amount)


@given(st.integers(0, 10**9), st.integers(0, 7))
def test_half_a_cent_is_rounded_up(whole, eighths):
    amount = whole + eighths / 8
    assert to_cents(amount) == nearest(amount)


@given(st.floats())
def test_any_double_at_all_gives_cents_in_range_or_none(amount):
    assert 0 <= to_cents(amount) <= MAX_CENTS


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("12", 1200),
        ("12.5", 1250),
        ("12.50", 1250),
        ("0", 0),
        ("0.01", 1),
        ("007", 700),
        ("90071992547409.92", MAX_CENTS),
    ],
)
def test_what_people_write(text, cents):
    assert read_cents(text) == cents


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ten",
        "1,50",
        "0x10",
        "1e2",
        " 1",
        "1.",
        ".5",
        "0.001",
        "12.00000000000000000000000000000001",
        "-1",
        "-0.01",
        "\u0661",
        "NaN",
        "inf",
        "90071992547409.93",
        "100000000000000",
        "9" * 5000,
    ],
)
def test_what_is_no_amount_of_anything(text):
    with pytest.raises(ValueError, match=r"is not an amount of 0 to 90071992547409\.92$"):
        read_cents(text)


@given(st.integers(0, MAX_CENTS))
def test_what_is_shown_can_be_read(cents):
    assert read_cents(cents_text(cents)) == cents


def test_cents_always_have_two_digits():
    assert [cents_text(cents) for cents in (0, 5, 50, 1250)] == ["0.00", "0.05", "0.50", "12.50"]
