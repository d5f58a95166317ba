"""Amounts: an application has Decimals, and what is sent and reckoned with is whole cents. Pure.

Whatever precision the application's decimal context has, no amount is rounded.
"""

from decimal import Context, Decimal

from tickstorm.auction.money import MAX_CENTS, cents_text, read_cents, to_amount
from tickstorm.auction.money import to_cents as cents_on_the_wire

_EXACT = Context(prec=40)
_CENT = Decimal("0.01")
_BEYOND = Decimal(10) ** 14
"""Above MAX_CENTS, and few enough digits for the context."""


def to_cents(amount: Decimal) -> int:
    """Return the cents of an amount, 1 to MAX_CENTS.

    Raises:
        TypeError: it is no Decimal. A float is none on purpose: 0.1 + 0.2 is not 0.3 there.
        ValueError: it is not above 0, not in whole cents, too much, or so much that the wire's
            double has no room for the cents (from some 70 trillion on).
    """
    if not isinstance(amount, Decimal):
        kind = type(amount).__name__
        raise TypeError(f"the amount {amount!r} is a {kind}: give a Decimal('12.50')")
    if not (amount.is_finite() and 0 < amount < _BEYOND):
        raise ValueError(f"the amount {amount} is not 0.01 to {cents_text(MAX_CENTS)}")
    rounded = amount.quantize(_CENT, context=_EXACT)
    if rounded != amount:
        raise ValueError(f"the amount {amount} is not in whole cents")
    cents = int(rounded.scaleb(2, context=_EXACT))
    if cents > MAX_CENTS or cents_on_the_wire(to_amount(cents)) != cents:
        raise ValueError(f"the amount {amount} is too much to be told to the cent")
    return cents


def to_decimal(cents: int) -> Decimal:
    """Return cents as an amount, with two places: 1250 is Decimal("12.50")."""
    return Decimal(cents).scaleb(-2, context=_EXACT)


def read_amount(text: str) -> Decimal:
    """Return the amount that a person wrote: "12", "12.5" and "12.50" are such.

    Raises:
        ValueError: it is none that can be bid.
    """
    amount = to_decimal(read_cents(text))
    to_cents(amount)
    return amount
