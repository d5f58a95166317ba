"""Starting: from the command to a port that listens, beside Python and Twisted alone."""

import socket
import sys
import time

from benchmarks.figures import Asked, Bound, Figure, Unusable
from benchmarks.rows import Row, run_row
from benchmarks.runs import Size, in_turn
from benchmarks.servers import Server, free_port, started, tickstorm
from benchmarks.table import Section, counted, figures_table
from benchmarks.yardsticks import Tools

SECONDS = Asked(Bound(1.0, "s"), Bound(0.5, "s"))
LONGEST_S = 20.0
POLL_S = 0.002
TWISTED_ALONE = (
    "from twisted.internet import protocol, reactor;"
    "made = protocol.Factory.forProtocol(protocol.Protocol);"
    "reactor.listenTCP({port}, made, interface='127.0.0.1');"
    "reactor.run()"
)

LIMITED_BY = (
    "By `python -X importtime` it is nearly all imports: Twisted's own a third, then OpenSSL and "
    "cryptography with Twisted's endpoints, twisted.web for the operators' page, and protobuf."
)


def twisted_alone() -> Server:
    """Return a server that only listens."""
    port = free_port()
    return Server("Twisted", port, (sys.executable, "-c", TWISTED_ALONE.format(port=port)))


def start_seconds(server: Server) -> float:
    """Start a server, and return how long it was until its port took a connection.

    Raises:
        Unusable: LONGEST_S were not enough.
    """
    began = time.monotonic()
    with started(server):
        while time.monotonic() < began + LONGEST_S:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", server.port)) == 0:
                    return time.monotonic() - began
            time.sleep(POLL_S)
    raise Unusable(f"{server.name} does not listen after {LONGEST_S:g} s")


def measure(tools: Tools, size: Size, judged: bool) -> Section:  # noqa: ARG001 - as every row
    """Measure pairs of Twisted alone and Tickstorm; the first start is not counted."""
    start_seconds(tickstorm("aligned"))
    rounds = in_turn(
        [lambda: start_seconds(twisted_alone()), lambda: start_seconds(tickstorm("aligned"))],
        size.pairs,
    )
    alone, whole = zip(*rounds.taken, strict=True)
    figures = [Figure("import and start to listening", "s", whole, alone, SECONDS)]
    return Section(
        "Starting",
        f"From the start of the process to a port that takes a connection, with compiled bytecode "
        f"and files that were read before. Beside it Python and Twisted alone, with a port and no "
        f"protocol: limit.c has nothing to load. {counted(size.pairs, 'pair')}.",
        figures_table(figures, "Twisted alone", judged),
        LIMITED_BY,
        "python -m benchmarks.startup",
        rounds.busy,
    )


ROW = Row("startup", measure, Size(0, 0, 10), Size(0, 0, 3))

if __name__ == "__main__":
    run_row(ROW, __doc__)
