"""The whole suite: every measurement, one after the other, and the page of them."""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    auction,
    brokers,
    crowd,
    fanout,
    handshakes,
    latency,
    slow,
    spread,
    startup,
    throughput,
)
from benchmarks.figures import Unusable
from benchmarks.page import machine, page
from benchmarks.rows import Row, parser
from benchmarks.signals import ending_in_order
from benchmarks.table import Section
from benchmarks.yardsticks import Tools, compiled

ROWS = (
    fanout.ROW,
    spread.ROW,
    crowd.ROW,
    handshakes.ROW,
    latency.ROW,
    throughput.ROW,
    slow.ROW,
    startup.ROW,
    brokers.ROW,
    auction.ROW,
)


def measure(tools: Tools, row: Row, quick: bool) -> Section | None:
    """Measure a row, and print it; None if no figure is of use."""
    print(f"{row.name}:", flush=True)
    began = time.monotonic()
    try:
        section = row.measure(tools, row.quick if quick else row.full, not quick)
    except Unusable as reason:
        print(f"  no figure is of use: {reason}\n", flush=True)
        return None
    print(f"\n{section.table}\n\n{time.monotonic() - began:.0f} s\n", flush=True)
    return section


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure everything; write the page if all of it is of use."""
    parsing = parser(__doc__)
    parsing.add_argument("--quick", action="store_true", help="reduced sizes, held against nothing")
    parsing.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    options = parsing.parse_args(arguments)
    if options.quick and options.write is not None:
        parsing.error("reduced sizes make no page: leave out --quick or --write")
    try:
        with ending_in_order(), compiled(options.tools) as tools:
            measured = [measure(tools, row, options.quick) for row in ROWS]
    except Unusable as reason:
        sys.exit(str(reason))
    sections = [section for section in measured if section is not None]
    if len(sections) < len(ROWS):
        sys.exit("something could not be measured: there is no page of it")
    if options.write is not None:
        options.write.write_text(page(datetime.now(UTC).date(), machine(), sections))


if __name__ == "__main__":
    main()
