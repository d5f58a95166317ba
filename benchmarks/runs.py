"""Runs: a server under a load, and two or more servers in turn."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from benchmarks.figures import NOTHING_ASKED, Asked, Figure
from benchmarks.processes import Usage, busy_cores, pss_bytes
from benchmarks.servers import Server, running
from benchmarks.storm import Load, put
from benchmarks.table import QUIET_CORES
from benchmarks.yardsticks import Tools

MEGABYTE = 1_000_000
QUIET_SECONDS = 0.5
"""How long to look at the machine before a round."""
MIN_CONNECT_S = 0.01
"""What storm.c can tell apart."""

T = TypeVar("T")


class Run(NamedTuple):
    """What a server did under a load.

    Attributes:
        cpu_us: CPU time of all its processes in the steady time, for each batch.
        p50_ms, p95_ms, p99_ms: from the beginning of a batch's fan-out to its receipt.
        handshakes_per_s: connections that came to be subscribed.
        handshake_cpu_us: CPU time for each of them.
        memory_mb: of all its processes at the end of the steady time; 0 if not measured.
        connection_bytes: what of that came with each connection.
        counted_percent: the batches of the steady time, of those that it has.
    """

    cpu_us: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    handshakes_per_s: float
    handshake_cpu_us: float
    memory_mb: float
    connection_bytes: float
    counted_percent: float


class Rounds(NamedTuple, Generic[T]):
    """Measures taken in turn.

    Attributes:
        taken: those of each round, in the order in which they were asked for.
        busy: how many cores something else kept busy as each round began.
    """

    taken: Sequence[tuple[T, ...]]
    busy: Sequence[float]


class Size(NamedTuple):
    """How large a measurement is."""

    connections: int
    seconds: int
    pairs: int
    workers: int = 1


def run(
    tools: Tools,
    server: Server,
    load: Load,
    memory: bool = False,
    beside: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Run:
    """Start a server, put a load on it, and end it.

    Args:
        tools: the load generator.
        server: what to start.
        load: what to put on it.
        memory: whether to measure that too.
        beside: what else is to run meanwhile.

    Raises:
        Unusable: it lost something.
    """
    with running(server) as pids:
        idle_bytes = pss_bytes(pids)
        with beside(), Usage(pids, memory) as usage:
            weather = put(tools, server, load)
        outcome = weather.outcome
        used_bytes = usage.pss_bytes(weather.ended)
        return Run(
            usage.cpu_s(weather.steady, weather.ended) / max(outcome.timed, 1) * 1e6,
            outcome.p50_ms,
            outcome.p95_ms,
            outcome.p99_ms,
            load.connections / max(outcome.connect_s, MIN_CONNECT_S),
            usage.cpu_s(weather.began, weather.steady) / load.connections * 1e6,
            used_bytes / MEGABYTE,
            (used_bytes - idle_bytes) / load.connections,
            outcome.timed / (load.connections * load.seconds) * 100,
        )


def in_turn(
    measures: Sequence[Callable[[], T]],
    rounds: int,
    busy_now: Callable[[], float] = partial(busy_cores, QUIET_SECONDS),
) -> Rounds[T]:
    """Take measures one after the other, and so again; every other round begins with the last.

    It says so when something else keeps the machine busy as a round begins.

    Args:
        measures: each makes one.
        rounds: how often.
        busy_now: tells how many cores are busy.
    """
    taken, busy = [], []
    for round in range(1, rounds + 1):
        busy.append(busy_now())
        note = f": {busy[-1]:.1f} cores are busy with something else"
        print(f"  round {round} of {rounds}{note if busy[-1] > QUIET_CORES else ''}", flush=True)
        taken.append(_in_order(measures, backwards=round % 2 == 0))
    return Rounds(taken, busy)


def _in_order(measures: Sequence[Callable[[], T]], backwards: bool) -> tuple[T, ...]:
    step = -1 if backwards else 1
    return tuple([measure() for measure in measures[::step]][::step])


def compared(
    name: str,
    unit: str,
    pairs: Sequence[tuple[Run, ...]],
    field: str,
    *,
    asked: Asked = NOTHING_ASKED,
    digits: int = 2,
) -> Figure:
    """Return a figure of pairs of runs: the yardstick's stands first in each."""
    ours = [getattr(pair[1], field) for pair in pairs]
    yardstick = [getattr(pair[0], field) for pair in pairs]
    return Figure(name, unit, ours, yardstick, asked, digits)
