"""The load: storm.c opens the connections and says what arrived. A run with a loss is refused.

What counts is the steady time, which begins when every connection is subscribed and takes a whole
number of seconds, so that it holds as many periods of each connection. Exact means:

- no connection was refused or closed, no ERROR came, every checksum was right; and
- aligned: the batches of the steady time are connections x seconds, to the last one. For that it
  must not begin while a second's batches are under way, so the connections are opened at a fixed
  rate, and from a moment at which the last of them comes when a second's batches are out;
- spread: there is no such moment, so a batch under way at either end is counted or not by chance.
  The sum may differ by those that EDGE_SECONDS and the longest latency of the run have room for,
  but by no more than LONGEST_EDGE_SECONDS of batches; and
- of a server that says how many batches it sent: no more came than that, and less only by those
  that it sent to clients that had ended and that it had not yet seen go, see `unread`.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from math import ceil, floor
from typing import NamedTuple

from benchmarks.figures import Unusable
from benchmarks.operators_page import sent as sent_by
from benchmarks.servers import LOGIN, Server
from benchmarks.yardsticks import Tools
from tickstorm.subscriptions import Mode

CONNECTIONS_PER_PROCESS = 19_000
"""Of the 20,000 files that a process may have open."""
RAMP = 5000
"""Connections a second, unless the row is about them."""
EDGE_SECONDS = 0.05
"""How late a server's timer may be at an end of the steady time."""
LONGEST_EDGE_SECONDS = 0.2
"""A server that is later than this cannot be told from one that loses batches."""
CONNECT_SECONDS = 320
"""storm.c gives up by itself a little before."""
LAST_COMES = 0.7
"""The part of a second at which the last connection is to come."""
QUIET = (0.5, 0.97)
"""The part of a second in which the steady time may begin: the batches of that second are out."""
ATTEMPTS = 3


class Counting(Enum):
    """How the batches of the steady time can be counted."""

    ALIGNED = "aligned"
    SPREAD = "spread"
    NOT = "not"


class Load(NamedTuple):
    """What is put on a server.

    Attributes:
        connections: in all.
        seconds: the steady time.
        counting: when the server sends.
        ramp: connections a second; 0 is as fast as they are taken.
        mode: of the subscriptions.
        protocol: as storm.c calls it.
        check: whether each checksum is checked.
    """

    connections: int
    seconds: int
    counting: Counting = Counting.ALIGNED
    ramp: int = RAMP
    mode: Mode = Mode.SECOND
    protocol: str = "ts"
    check: bool = True

    @property
    def processes(self) -> int:
        """How many processes the connections need."""
        return -(-self.connections // CONNECTIONS_PER_PROCESS)


class Outcome(NamedTuple):
    """What storm.c saw; the names are its own.

    Attributes:
        connect_s: from the first connection to the last subscription.
        batches: all that came.
        timed: those of the steady time.
    """

    subscribed: int
    closed: int
    refused: int
    errors: int
    badcrc: int
    connect_s: float
    batches: int
    ticks: int
    timed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Weather(NamedTuple):
    """One load on a server, from its beginning to its end.

    Attributes:
        began: time.time() of the first connection.
        steady: that of the last subscription.
        ended: that of the end of the steady time.
        outcome: what arrived.
    """

    began: float
    steady: float
    ended: float
    outcome: Outcome


def parse_outcome(text: str) -> Outcome:
    """Read the line that storm.c prints."""
    line = json.loads(text)
    return Outcome(**{field: line[field] for field in Outcome._fields})


def fault(load: Load, outcome: Outcome) -> str | None:
    """Return what went wrong with the connections."""
    for field in ("closed", "refused", "errors", "badcrc"):
        count = getattr(outcome, field)
        if count:
            return f"the load generator saw {field} {count:,} times"
    if outcome.subscribed != load.connections or outcome.connect_s < 0:
        return f"{outcome.subscribed:,} of {load.connections:,} connections were subscribed"
    return None


def miscount(load: Load, outcome: Outcome) -> str | None:
    """Return how the batches of the steady time are not those that it has; see above for exact."""
    if load.counting is Counting.NOT:
        return None
    expected = load.connections * load.seconds
    if abs(outcome.timed - expected) <= edge(load, outcome):
        return None
    return f"{outcome.timed:,} batches came instead of {expected:,}"


def edge(load: Load, outcome: Outcome) -> int:
    """Return how many batches may be under way at the ends of the steady time."""
    if load.counting is not Counting.SPREAD:
        return 0
    late_s = min(outcome.max_ms / 1e3 + EDGE_SECONDS, LONGEST_EDGE_SECONDS)
    return round(load.connections * late_s)


def missent(load: Load, weather: Weather, sent: int, gone: float) -> str | None:
    """Return how what came is not what was sent.

    Args:
        load: what was put on the server.
        weather: what came.
        sent: how many batches the server sent for it.
        gone: the time.time() by which it had seen everybody go.
    """
    came = weather.outcome.batches
    if 0 <= sent - came <= unread(load, weather.ended, gone):
        return None
    return f"{came:,} batches came of {sent:,} that were sent"


def unread(load: Load, ended: float, gone: float) -> int:
    """Return how many batches a server may have sent that the load generator did not read.

    A batch may still be under way when the load ends, and a server goes on until it has seen a
    client go. If it sends to all at once, that is what it sent at each second from where those of
    the second before are out; else a connection may have had one in each second that has begun.
    """
    if load.counting is Counting.SPREAD:
        return load.connections * ceil(gone - ended + LONGEST_EDGE_SECONDS)
    return load.connections * (floor(gone) - floor(ended - QUIET[0]))


def begins_quietly(load: Load, steady: float) -> bool:
    """Whether the steady time begins at a moment from which batches can be counted."""
    if load.counting is not Counting.ALIGNED:
        return True
    return QUIET[0] <= steady % 1 <= QUIET[1]


def wait_until_start(load: Load, now: float) -> float:
    """Return the seconds to wait, so that a second's batches are out when the last one comes."""
    if load.counting is not Counting.ALIGNED or not load.ramp:
        return 0.0
    return (LAST_COMES - load.connections / load.ramp - now) % 1


def put(tools: Tools, server: Server, load: Load) -> Weather:
    """Put a load on a server that runs.

    A sum that is wrong because the steady time began while batches were under way says nothing:
    then it is tried again.

    Raises:
        Unusable: something was lost, or the steady time never began at a moment to count from.
    """
    for _ in range(ATTEMPTS):
        before = sent_by(server) if server.page else None
        weather = _attempt(tools, server, load)
        outcome = weather.outcome
        lost = fault(load, outcome)
        if lost is None and before is not None:
            after = sent_by(server)
            lost = missent(load, weather, after.batches - before.batches, after.at)
        wrong = miscount(load, outcome)
        if lost is None and wrong is None:
            return weather
        if lost is not None or begins_quietly(load, weather.steady):
            raise Unusable(f"{server.name}: {lost or wrong}")
    raise Unusable(f"{server.name}: connections came too late {ATTEMPTS} times, it is too busy")


def command(tools: Tools, port: int, load: Load) -> list[str]:
    """Return the command of storm.c for a load."""
    numbers = (port, load.connections, load.seconds, load.processes, load.ramp, int(load.mode))
    return [str(tools.storm), load.protocol, *map(str, numbers)]


def environment(load: Load) -> dict[str, str]:
    """Return the environment of storm.c: each connection has an address of its own."""
    checked = {"CRC": "1"} if load.check else {}
    return {**os.environ, **LOGIN, "PERIP": "1", **checked}


@contextmanager
def started(tools: Tools, server: Server, load: Load) -> Iterator[subprocess.Popen[str]]:
    """Have a load put on a server as long as the block."""
    with subprocess.Popen(
        command(tools, server.port, load),
        env=environment(load),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


def _attempt(tools: Tools, server: Server, load: Load) -> Weather:
    time.sleep(wait_until_start(load, time.time()))
    began = time.time()
    with started(tools, server, load) as process:
        try:
            line, _ = process.communicate(timeout=CONNECT_SECONDS + load.seconds)
        except subprocess.TimeoutExpired as error:
            raise Unusable(f"{server.name}: the load generator does not end") from error
    if process.returncode or not line:
        raise Unusable(f"the load generator failed, with exit code {process.returncode}")
    outcome = parse_outcome(line)
    steady = began + outcome.connect_s
    return Weather(began, steady, steady + load.seconds, outcome)
