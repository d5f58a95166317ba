"""Figures: what was measured side by side, their ratios, and what is asked of them. Pure.

A ratio is taken within a pair of runs that followed each other, so that both saw the same noise;
what is reported is the median of the pairs' ratios, which need not be the ratio of the medians.
"""

from collections.abc import Sequence
from enum import Enum
from statistics import median
from typing import NamedTuple


class Unusable(Exception):
    """A run that nothing can be learnt from: it lost something, or could not be made."""


class Verdict(Enum):
    """How a figure stands to what is asked of it."""

    AIM_MET = "aim met"
    LEAST_MET = "met, the aim is not"
    MET = "met"
    AIM_NOT_MET = "aim not met"
    NOT_MET = "**not met**"
    NOT_ASKED = ""


class Bound(NamedTuple):
    """One thing that is asked.

    Attributes:
        limit: the value that is still good.
        unit: of the limit, as it is to be shown.
        of_ratio: whether it bounds the ratio to the yardstick, instead of the figure itself.
        at_least: whether more is better.
    """

    limit: float
    unit: str = ""
    of_ratio: bool = False
    at_least: bool = False

    def holds(self, value: float, ratio: float | None) -> bool:
        """Whether a figure and its ratio keep the bound; without a ratio one of ratios fails."""
        judged = ratio if self.of_ratio else value
        if judged is None:
            return False
        return judged >= self.limit if self.at_least else judged <= self.limit

    def __str__(self) -> str:
        limit = f"{self.limit:.2f} x" if self.of_ratio else f"{self.limit:,g} {self.unit}".rstrip()
        return f"{'≥' if self.at_least else '≤'} {limit}"


class Asked(NamedTuple):
    """What is asked of a figure: the least that it must reach, and the aim."""

    least: Bound | None = None
    aim: Bound | None = None

    def verdict(self, value: float, ratio: float | None) -> Verdict:
        """Judge a figure."""
        if self.least is not None and not self.least.holds(value, ratio):
            return Verdict.NOT_MET
        if self.aim is None:
            return Verdict.NOT_ASKED if self.least is None else Verdict.MET
        if self.aim.holds(value, ratio):
            return Verdict.AIM_MET
        return Verdict.AIM_NOT_MET if self.least is None else Verdict.LEAST_MET


NOTHING_ASKED = Asked()


class Ratio(NamedTuple):
    """The ratios of several pairs: ours over the yardstick's."""

    middle: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


class Figure(NamedTuple):
    """One figure over several runs.

    Attributes:
        name: what it is.
        unit: in which it is.
        ours: Tickstorm's, run by run.
        yardstick: that of the server beside it in the same pairs; nothing if there is none.
        asked: what it is held against.
        digits: behind the decimal point.
    """

    name: str
    unit: str
    ours: Sequence[float]
    yardstick: Sequence[float] = ()
    asked: Asked = NOTHING_ASKED
    digits: int = 2

    @property
    def middle(self) -> float:
        """Tickstorm's median."""
        return median(self.ours)

    @property
    def ratio(self) -> Ratio | None:
        """The ratios of the pairs; None without a yardstick, or if it is 0 in one of them."""
        if not self.yardstick or 0 in self.yardstick:
            return None
        pairs = zip(self.ours, self.yardstick, strict=True)
        ratios = [mine / theirs for mine, theirs in pairs]
        return Ratio(median(ratios), min(ratios), max(ratios))

    @property
    def verdict(self) -> Verdict:
        """How the medians stand to what is asked."""
        ratio = self.ratio
        return self.asked.verdict(self.middle, None if ratio is None else ratio.middle)
