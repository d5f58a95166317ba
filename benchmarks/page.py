"""The report's page: what it was measured on, what is compared, and the sections."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version

from benchmarks.table import Section, disturbance, wrapped


def machine() -> str:
    """Say what this is measured on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = ", ".join(f"{name} {version(name)}" for name in ("Twisted", "protobuf"))
    return (
        f"{os.cpu_count()} cores and {pages / 2**30:.0f} GiB of memory for everything together, "
        f"{platform.system()} {platform.release().split('-')[0]}, "
        f"CPython {platform.python_version()}, {versions}"
    )


def page(day: date, machine: str, sections: Sequence[Section]) -> str:
    """Return the page."""
    return "\n".join([_head(day, machine, sections), *map(str, sections), FOOT])


def _head(day: date, machine: str, sections: Sequence[Section]) -> str:
    said = disturbance([cores for section in sections for cores in section.busy])
    noise = f"{wrapped(said)}\n\n" if said else ""
    contents = "\n".join(f"- [{section.title}](#{anchor(section.title)})" for section in sections)
    return f"""# Benchmarks

This page is written by `make bench`. Absolute figures hold for one machine on one day; what tells
is the ratio of two servers measured side by side, run by run in turn.

Measured on {day:%Y-%m-%d}: {machine}, loopback; servers and load generator share the cores.

{noise}{contents}

`limit.c` is a C program that does the least the protocol allows: it knows no limits, no checks and
no queues, so nothing can be much faster. Tickstorm is as `twistd tickstorm` starts it, with
everything on, but that it logs no more than warnings (`--log-level warn`). The load generator
`storm.c` logs in, subscribes, sends each connection's heartbeats every 15 s, and checks every
checksum; each connection has an address of its own. CPU is user and system time of all processes of
a server over the steady time, heartbeats included. The ratio is Tickstorm's figure over the
other's, the median of the pairs, which need not be that of the two medians.

A run with a loss is refused: a connection that was refused or closed, an ERROR, a wrong checksum.
The batches of the steady time are counted: aligned they are exact; spread, the sum may be off by
what can be under way at both ends, 0.2 s of batches at the most, and the tables say what it was.
Tickstorm's own count of what it sent, `tickstorm_messages_sent_total`, is held against what came in
the whole run: it may not be lower, and higher only by what clients were still sent after they had
ended and before the server had seen them go. Throughput and latency have counts of their own, which
are exact.
"""


FOOT = """## To repeat it

`make bench` runs all of this and writes this page; `make bench-quick` runs it in reduced sizes, in
less than two minutes, and only prints. Each section is also a command of its own, with `--help`,
`--quick` and its sizes as options. All of it needs gcc and the two C programs, in the folder that
`--tools` names (`make bench TOOLS=folder`); Redis, NATS and Mosquitto are left out where they are
not installed (Debian's packages redis-server, nats-server and mosquitto).

`python -m benchmarks.soak --minutes 30 --connections 20000` is for long runs: it keeps the
connections up, and prints how memory drifted, the latest sweep, and what was lost.
"""


def anchor(title: str) -> str:
    """Return what a heading is linked by, as Markdown renderers make it."""
    kept = (character for character in title.lower() if character.isalnum() or character in " -_")
    return "".join(kept).replace(" ", "-")
