"""An amount of money as an argument of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from decimal import Decimal


class AmountType(click.ParamType["Decimal"]):
    """An amount such as 12, 12.5 or 12.50.

    Args:
        least_cents: the least that it may be.
    """

    name = "amount"

    def __init__(self, least_cents: int = 1) -> None:
        self._least_cents = least_cents

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Return the amount, with as many places as were given."""
        from decimal import Decimal

        from tickstorm.auction.money import read_cents

        text = str(value)
        try:
            cents = read_cents(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if cents < self._least_cents:
            self.fail(f"{text!r} is too little", param, ctx)
        return Decimal(text)
