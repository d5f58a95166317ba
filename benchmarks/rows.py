"""A row of the report as a command of its own."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Unusable
from benchmarks.runs import Size
from benchmarks.servers import ROOT
from benchmarks.signals import ending_in_order
from benchmarks.table import Section
from benchmarks.yardsticks import Tools, compiled

TOOLS = ROOT.parent / "shared" / "tools"


class Row(NamedTuple):
    """One measurement of the suite.

    Attributes:
        name: its module's.
        measure: makes it; the last argument is whether it is held against what is asked.
        full: the size that what is asked is about.
        quick: a reduced one.
    """

    name: str
    measure: Callable[[Tools, Size, bool], Section]
    full: Size
    quick: Size


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what every command takes."""
    parsing = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parsing.add_argument(
        "--tools", type=Path, default=TOOLS, metavar="DIR", help="where limit.c and storm.c are"
    )
    return parsing


def size_of(row: Row, options: argparse.Namespace) -> Size:
    """Return the size that was asked for: the full or the quick one, and what differs from it."""
    size = row.quick if options.quick else row.full
    given = {field: getattr(options, field) for field in Size._fields}
    return size._replace(**{field: value for field, value in given.items() if value is not None})


def positive(text: str) -> int:
    """Read a whole number of at least 1.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"not a whole number of at least 1: {text!r}")
    return int(text)


def row_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what the command of one row takes."""
    parsing = parser(description)
    parsing.add_argument("--quick", action="store_true", help="a reduced size")
    for field in Size._fields:
        parsing.add_argument(f"--{field}", type=positive, metavar="N")
    return parsing


def run_row(row: Row, description: str | None, arguments: Sequence[str] | None = None) -> None:
    """Measure one row, and print its section."""
    options = row_parser(description).parse_args(arguments)
    size = size_of(row, options)
    try:
        with ending_in_order(), compiled(options.tools) as tools:
            print(row.measure(tools, size, size == row.full))
    except Unusable as reason:
        sys.exit(f"no figure is of use: {reason}")
