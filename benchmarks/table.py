"""Tables and sections of the report, as Markdown. Pure."""

from collections.abc import Iterable, Sequence
from statistics import median
from textwrap import fill
from typing import NamedTuple

from benchmarks.figures import Bound, Figure

LINE_WIDTH = 120
"""Of the page's text."""
QUIET_CORES = 0.2
"""How many cores may be busy with something else: it passes for nothing."""


class Section(NamedTuple):
    """One measurement as the report has it.

    Attributes:
        title: its heading.
        about: what is compared, and how.
        table: the figures.
        limited_by: what keeps the figures from being better, from a profile.
        command: repeats it.
        busy: how many cores something else kept busy as each round began.
    """

    title: str
    about: str
    table: str
    limited_by: str
    command: str
    busy: Sequence[float] = ()

    def __str__(self) -> str:
        return (
            f"## {self.title}\n\n{wrapped(self.about)}\n\n{self.table}\n\n"
            f"{wrapped(self.limited_by)}\n\n"
            f"To repeat it: `{self.command}`.\n"
        )


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [_line(header), "|---" * len(header) + "|", *map(_line, rows)]
    return "\n".join(lines)


def figures_table(
    figures: Iterable[Figure], yardstick: str, judged: bool = True, ours: str = "Tickstorm"
) -> str:
    """Return a table of figures beside a yardstick.

    Args:
        figures: a row each.
        yardstick: the name of what stands beside.
        judged: whether to show what is asked; reduced sizes are held against nothing.
        ours: the name of what is held against it.
    """
    header = ["", yardstick, ours, "ratio: median (lowest to highest)"]
    if not judged:
        return markdown(header, map(_measured, figures))
    return markdown(
        [*header, "asked", "aim", "reached"],
        ([*_measured(figure), *_judged(figure)] for figure in figures),
    )


def own_table(figures: Iterable[Figure], judged: bool = True) -> str:
    """Return a table of figures beside which nothing stands.

    Args:
        figures: a row each.
        judged: as for `figures_table`.
    """
    header = ["", "median", "lowest to highest"]
    if not judged:
        return markdown(header, map(_alone, figures))
    return markdown(
        [*header, "asked", "aim", "reached"],
        ([*_alone(figure), *_judged(figure)] for figure in figures),
    )


def number(values: Sequence[float], digits: int) -> str:
    """Return the median of some values, with separators; a dash if there are none."""
    return f"{median(values):,.{digits}f}" if values else "-"


def disturbance(busy: Sequence[float]) -> str:
    """Say how much something else kept the machine busy as rounds began; nothing if it did not."""
    disturbed = [cores for cores in busy if cores > QUIET_CORES]
    if not disturbed:
        return ""
    return (
        f"As {counted(len(disturbed), 'round')} of {len(busy):,} began, something else kept the "
        f"machine busy, with up to {max(disturbed):.1f} cores: their figures tell less."
    )


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts, in words: "1 pair", "3 pairs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def wrapped(text: str) -> str:
    """Return a paragraph in lines of the page's width."""
    return fill(text, LINE_WIDTH, break_long_words=False, break_on_hyphens=False)


def _line(cells: Iterable[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


def _measured(figure: Figure) -> list[str]:
    return [
        f"{figure.name}, {figure.unit}",
        number(figure.yardstick, figure.digits),
        number(figure.ours, figure.digits),
        "-" if figure.ratio is None else str(figure.ratio),
    ]


def _alone(figure: Figure) -> list[str]:
    lowest, highest = min(figure.ours), max(figure.ours)
    return [
        f"{figure.name}, {figure.unit}",
        number(figure.ours, figure.digits),
        f"{lowest:,.{figure.digits}f} to {highest:,.{figure.digits}f}",
    ]


def _judged(figure: Figure) -> list[str]:
    asked = figure.asked
    return [_bound(asked.least), _bound(asked.aim), figure.verdict.value]


def _bound(bound: Bound | None) -> str:
    return "" if bound is None else str(bound)
