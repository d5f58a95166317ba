"""Money: the wire's number becomes whole cents once, on entry, and is whole from there on. Pure."""

import re

MAX_CENTS = 2**53
"""The largest amount: up to here a double, as Lua and JavaScript have them, tells all cents."""
NO_AMOUNT = 0
"""What stands for a number that is no amount."""

_WRITTEN = re.compile(r"([0-9]{1,14})(?:\.([0-9]{1,2}))?")
_BEYOND = 1e14
_CENTS_APART_BELOW = 2.0**45
"""Below it the doubles lie so close that each is nearest to one amount only."""


def to_cents(amount: float) -> int:
    """Return the whole cents nearest to `amount`, half a cent rounded up; 1 to MAX_CENTS.

    Exact: what is rounded is the number itself, not its product with 100, which is rounded already.
    NO_AMOUNT if it is no amount: not finite, not above 0, nearer to 0 than to a cent, or too much.
    """
    if not 0.0 < amount < _BEYOND:
        return NO_AMOUNT
    cents = round(amount * 100)
    if cents / 100 != amount or amount >= _CENTS_APART_BELOW:
        cents = _nearest(amount)
    return cents if cents <= MAX_CENTS else NO_AMOUNT


def to_amount(cents: int) -> float:
    """Return the double nearest to so many cents, as the wire has it."""
    return cents / 100


def read_cents(text: str) -> int:
    """Return the cents of what a person wrote: "12", "12.5" and "12.50" are amounts.

    Raises:
        ValueError: it is not 0 to MAX_CENTS in digits, with a point and cents or without.
    """
    written = _WRITTEN.fullmatch(text)
    cents = int(written[1]) * 100 + int((written[2] or "").ljust(2, "0")) if written else -1
    if not 0 <= cents <= MAX_CENTS:
        raise ValueError(f"{text!r} is not an amount of 0 to {cents_text(MAX_CENTS)}")
    return cents


def cents_text(cents: int) -> str:
    """Return an amount as people write it: 1250 is "12.50"."""
    return f"{cents // 100}.{cents % 100:02d}"


def _nearest(amount: float) -> int:
    numerator, denominator = amount.as_integer_ratio()
    return (200 * numerator + denominator) // (2 * denominator)
