"""Confirmed bids: how many a second, in memory and in Redis, and how long one takes."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.brokers import SEARCHED, redis_arguments
from benchmarks.figures import NOTHING_ASKED, Asked, Bound, Figure, Unusable
from benchmarks.processes import Usage
from benchmarks.rows import Row, run_row
from benchmarks.runs import Size, in_turn
from benchmarks.servers import START_SECONDS, Server, free_port, running, tickstorm
from benchmarks.table import Section, counted, own_table
from benchmarks.yardsticks import Tools
from tickstorm.bench.auction_setup import create_missing
from tickstorm.bench.bid_report import BidReport
from tickstorm.bench.bid_run import run_bid_bench
from tickstorm.bench.bid_table import bid_page
from tickstorm.bench.jobs import Progress
from tickstorm.bench.run import Size as BenchSize
from tickstorm.commands.bid_options import BidTarget
from tickstorm.errors import TickstormError
from tickstorm.web.blocking_auctions import AuctionRefused, AuctionsUnreachable, BlockingAuctions

AUCTIONS = tuple(range(1, 101))
USERS = (1, 1_000_000)
PIPELINE = 16
RATE = 10_836
"""Bids a second: 650,000 a minute."""
HOUR_MS = 3_600_000
RETRY_SECONDS = 0.05
PROGRAM = "redis-server"
LEFT_OUT = f"Redis is left out: {PROGRAM} is not installed."
ANYBODY = {
    "TICKSTORM_AUCTION_AUTH": "off",
    "TICKSTORM_AUCTION_RATE_PER_USER": "0",
    "TICKSTORM_AUCTION_RATE_PER_ADDRESS": "0",
}
ALL = Asked(Bound(100, "%", at_least=True), Bound(100, "%", at_least=True))

LIMITED_BY = (
    "In memory the one core of the server is the limit: of a bid's time about 0.6 µs go into "
    "reading it, 0.4 into its turn and permit, 0.6 to 1.1 into the decision, the more if it "
    "leads, and 0.35 into its RESULT; reactor and kernel take 18 µs for each chunk that arrives, "
    "which is shared by as many bids as are in it. With one bid outstanding each that is a chunk "
    "a bid. Redis takes 1.3 µs for a bid that does not lead and 2.3 for one that does, in batches "
    "of 50, and 13 to 20 for one alone. At a rate there are too few bids for an auction in a "
    "moment to make batches of them: in a profile (py-spy) asking Redis for the one bid has 13 % "
    "of the server's time, what follows its reply a third, reading bids 12 %, telling RESULTs 12 % "
    "and epoll 13 %. So the server is busy for nine tenths of the time, and a bid waits for those "
    "that came just before it: nobody waited for a core for more than 1.8 ms (perf sched)."
)


class Kind(NamedTuple):
    """One way to bid.

    Attributes:
        name: as the table has it.
        pipeline: bids of a connection without a RESULT.
        redis: whether the auctions are kept there.
        per_second: bids a second in all; None for as fast as RESULTs come.
        asked: of the bids a second, or of the 99th percentile if there is a rate.
    """

    name: str
    pipeline: int
    redis: bool
    per_second: float | None
    asked: Asked


def _at_least(least: float, aim: float) -> Asked:
    return Asked(Bound(least, "a second", at_least=True), Bound(aim, "a second", at_least=True))


PIPELINED = f"{PIPELINE} outstanding each"
KINDS = (
    Kind(f"{PIPELINED}, in memory", PIPELINE, False, None, _at_least(80_000, 200_000)),
    Kind(f"{PIPELINED}, Redis", PIPELINE, True, None, _at_least(40_000, 100_000)),
    Kind("one outstanding each, Redis", 1, True, None, _at_least(15_000, 30_000)),
    Kind(
        f"{RATE:,} bids a second, Redis",
        1,
        True,
        RATE,
        Asked(Bound(10, "ms"), Bound(3, "ms")),
    ),
)


class Bids(NamedTuple):
    """What came of one run.

    Attributes:
        per_s: confirmed bids a second.
        p99_ms: of a bid to its RESULT; from when it was due if there is a rate.
        share: connections that got a RESULT, of those that began in the same instant, in percent.
        server_us: CPU time of the server for each confirmed bid.
        redis_us: that of Redis; 0 without it.
    """

    per_s: float
    p99_ms: float
    share: float
    server_us: float
    redis_us: float


class Unwatched:
    """Shows nothing."""

    def connecting(self, progress: Progress) -> None:
        """Take how far the connections are."""

    def measuring(self, seconds: float) -> None:
        """Take how much of the time is over."""


def auctions(**environment: str) -> Server:
    """Return Tickstorm with an auction port, which is where it is to be ready."""
    server, port = tickstorm("aligned", ticks_per_s=1), free_port()
    return server._replace(
        port=port,
        command=(*server.command, "--auction", f"tcp:{port}:interface=127.0.0.1"),
        environment={**ANYBODY, **environment},
    )


@contextmanager
def redis() -> Iterator[tuple[int, Sequence[int]]]:
    """Have a Redis without persistence: its port, and its processes.

    Raises:
        Unusable: it does not start.
    """
    program, port = shutil.which(PROGRAM, path=SEARCHED) or PROGRAM, free_port()
    with TemporaryDirectory() as folder:
        command = (program, *redis_arguments(port, Path(folder)), "--appendonly", "no")
        with running(Server("Redis", port, command)) as pids:
            yield port, pids


def create(page: int) -> None:
    """Create the auctions, as soon as the server has come so far that it can.

    Raises:
        Unusable: it never does.
    """
    closes_ms = time.time_ns() // 1_000_000 + HOUR_MS
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        try:
            create_missing(AUCTIONS, closes_ms, BlockingAuctions(f"http://127.0.0.1:{page}"))
        except (AuctionsUnreachable, AuctionRefused) as error:
            if time.monotonic() > give_up_at:
                raise Unusable(f"the server creates no auctions: {error}") from error
            time.sleep(RETRY_SECONDS)
        else:
            return


def bid(kind: Kind, size: Size) -> Bids:
    """Start the servers, bid, and end them.

    Raises:
        Unusable: a bid was lost or not decided, or a connection was.
    """
    with ExitStack() as stack:
        environment: dict[str, str] = {}
        redis_pids: Sequence[int] = ()
        if kind.redis:
            port, redis_pids = stack.enter_context(redis())
            environment["TICKSTORM_REDIS"] = f"redis://127.0.0.1:{port}"
        server = auctions(**environment)
        stack.enter_context(running(server))
        create(server.page)
        usage = stack.enter_context(Usage(redis_pids))
        report = _measured(kind, server, size)
        outcome = report.outcome
        ended = outcome.ended_ns / 1e9
        redis_s = usage.cpu_s(ended - outcome.seconds, ended)
    return came_of(report, redis_s)


def _measured(kind: Kind, server: Server, size: Size) -> BidReport:
    address = f"127.0.0.1:{server.port}"
    target = BidTarget(address, "", AUCTIONS, USERS, kind.pipeline, kind.per_second)
    try:
        return run_bid_bench(target, BenchSize(size.connections, size.seconds), Unwatched())
    except (TickstormError, OSError) as error:
        raise Unusable(f"the server takes no bids: {error}") from error


def came_of(report: BidReport, redis_s: float) -> Bids:
    """Return what a report says; connections that were refused are in `share` alone.

    Args:
        report: of a run.
        redis_s: CPU seconds of Redis in the measured time.

    Raises:
        Unusable: something else was lost, or nothing was measured.
    """
    lost = any(count for name, count in report.losses.items() if name != "refused")
    timed = report.corrected or report.latency
    if lost:
        raise Unusable(f"lost: {dict(bid_page(report).facts)['lost']}")
    if timed is None or not report.confirmed:
        raise Unusable("no bid was confirmed")
    server = report.outcome.server
    return Bids(
        report.confirmed_per_second,
        timed.percentiles[99.0],
        report.total.subscribed / report.asked.connections * 100,
        (server.cpu if server is not None else 0.0) / report.confirmed * 1e6,
        redis_s / report.confirmed * 1e6,
    )


def kinds() -> tuple[Kind, ...]:
    """Return what can be measured here; it says so if that is not all."""
    if shutil.which(PROGRAM, path=SEARCHED) is not None:
        return KINDS
    print(f"  {LEFT_OUT}")
    return tuple(kind for kind in KINDS if not kind.redis)


def figures(kinds: Sequence[Kind], rounds: Sequence[Sequence[Bids]]) -> list[Figure]:
    """Return what is asked for, and then the CPU time for each bid."""
    by_kind = list(zip(kinds, zip(*rounds, strict=True), strict=True))
    shares = [min(run.share for run in round) for round in rounds]
    return [
        *(_asked_figure(kind, runs) for kind, runs in by_kind),
        Figure("began in the same instant, and got a RESULT", "% of connections", shares, (), ALL),
        *(_cpu("the server", kind, [run.server_us for run in runs]) for kind, runs in by_kind),
        *(
            _cpu("Redis", kind, [run.redis_us for run in runs])
            for kind, runs in by_kind
            if kind.redis
        ),
    ]


def _asked_figure(kind: Kind, runs: Sequence[Bids]) -> Figure:
    if kind.per_second is None:
        per_s = [run.per_s for run in runs]
        return Figure(f"confirmed: {kind.name}", "bids a second", per_s, (), kind.asked, 0)
    p99 = [run.p99_ms for run in runs]
    return Figure(f"99th percentile: {kind.name}", "ms", p99, (), kind.asked)


def _cpu(whose: str, kind: Kind, values: Sequence[float]) -> Figure:
    return Figure(f"CPU of {whose} for a bid: {kind.name}", "µs", values, (), NOTHING_ASKED, 1)


def measure(tools: Tools, size: Size, judged: bool) -> Section:  # noqa: ARG001 - as every row
    """Measure each kind in turn, each time with new servers."""
    measured = kinds()
    rounds = in_turn([partial(bid, kind, size) for kind in measured], size.pairs)
    left_out = "" if len(measured) == len(KINDS) else f" {LEFT_OUT}"
    return Section(
        f"Auctions: {size.connections:,} bidders in {len(AUCTIONS)} auctions",
        f"A bid counts when its RESULT has come and says how the auction has decided. The load is "
        f"`tickstorm bench --auction`, which begins all connections in the same instant, without "
        f"any pause, and each bids once; then the measured time begins. An eighth of the bids are "
        f"above all before, the others too low. The 99th percentile is from when a bid was due to "
        f"its RESULT. Servers, Redis and load share the cores; Redis is Debian's, on the loopback, "
        f"without persistence. Nobody has to log in, and no rates are limited.{left_out} "
        f"{counted(size.pairs, 'round')} of {size.seconds} s each.",
        own_table(figures(measured, rounds.taken), judged),
        LIMITED_BY,
        "python -m benchmarks.auction",
        rounds.busy,
    )


ROW = Row("auction", measure, Size(1_000, 10, 3), Size(200, 1, 1))

if __name__ == "__main__":
    run_row(ROW, __doc__)
