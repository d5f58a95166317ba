"""What one process counted, and the sum of several. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from tickstorm.bench.latencies import Counts, merged
from tickstorm.bench.sequences import ahead, newest


@dataclass(slots=True)
class Tally:
    """All that a process counts. Times are nanoseconds since the Unix epoch.

    What counts the batches of the stream (`batches` to `latencies` and `corrected`) is about those
    that were due within the measured time; all else is about the whole run. A load of bids counts
    no batches: its `outcomes` are of the RESULTs that came within the measured time, and its
    latencies of the bids that were due within it.

    Attributes:
        connections: how many were begun.
        subscribed: how many of them got so far; bidders, to their first RESULT.
        refusals: why the others did not, by reason.
        closed: how many subscriptions ended before the end.
        errors: ERROR frames, by the name of the code.
        garbled: connections given up because of what the server sent.
        crc_failures: frames whose checksum was wrong.
        gaps: jumps of a connection's sequence.
        lost: batches that were jumped over.
        repeats: batches that came twice.
        restarts: jumps of a sequence so far that they cannot be counted.
        batches: that arrived.
        ticks: in these.
        bytes: of these, headers and checksums included.
        missing: batches that were due by the period, and did not come as batches of their own.
        newest: number of the last batch of TICK that any connection had OVERDUE_NS before the end;
            0 for none.
        tails: how many connections of TICK had which number last.
        unanswered: heartbeats without a PONG.
        early: batches that came before their time, as far as the clocks agree.
        outcomes: RESULTs by what they say.
        unconfirmed: bids without a RESULT.
        unsent: bids that were due, and not sent for want of RESULTs to others.
        latencies: from publishing to receipt; of a bid, from sending it to its RESULT.
        corrected: from when a batch was due to its receipt, missing ones included; of a bid at a
            rate, from when it was due to its RESULT.
        handshakes: from the beginning to connect until subscribed.
        round_trips: from a heartbeat to its PONG.
        lags: how long after a connection had something it was read, at most.
        first_begun_ns: when the first connection began; 0 for none.
        last_subscribed_ns: when the last subscription began; 0 for none.
        last_received_ns: when the last batch arrived; 0 for none.
        connecting_cpu_ns: CPU time that the process used until its last subscription.
        connecting_wall_ns: how long that took it.
        cpu_ns: CPU time that the process used in the measured time.
        wall_ns: the measured time.
    """

    connections: int = 0
    subscribed: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    closed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    garbled: int = 0
    crc_failures: int = 0
    gaps: int = 0
    lost: int = 0
    repeats: int = 0
    restarts: int = 0
    batches: int = 0
    ticks: int = 0
    bytes: int = 0
    missing: int = 0
    newest: int = 0
    tails: dict[int, int] = field(default_factory=dict)
    unanswered: int = 0
    early: int = 0
    outcomes: Counter[int] = field(default_factory=Counter)
    unconfirmed: int = 0
    unsent: int = 0
    latencies: Counts = field(default_factory=dict)
    corrected: Counts = field(default_factory=dict)
    handshakes: Counts = field(default_factory=dict)
    round_trips: Counts = field(default_factory=dict)
    lags: Counts = field(default_factory=dict)
    first_begun_ns: int = 0
    last_subscribed_ns: int = 0
    last_received_ns: int = 0
    connecting_cpu_ns: int = 0
    connecting_wall_ns: int = 0
    cpu_ns: int = 0
    wall_ns: int = 0

    @property
    def refused(self) -> int:
        """How many connections did not get as far as a subscription."""
        return sum(self.refusals.values())

    @property
    def overdue(self) -> int:
        """How many batches of TICK others had long before the end, and a connection had not."""
        if not self.newest:
            return 0
        return sum(ahead(self.newest, last) * times for last, times in self.tails.items())

    @property
    def busy(self) -> float:
        """Which part of the measured time the process ran, 0 to 1 for each of its threads."""
        return self.cpu_ns / self.wall_ns if self.wall_ns else 0.0

    @property
    def busy_connecting(self) -> float:
        """The same of the time until its last subscription."""
        wall_ns = self.connecting_wall_ns
        return self.connecting_cpu_ns / wall_ns if wall_ns else 0.0


_LATEST = ("last_subscribed_ns", "last_received_ns", "connecting_wall_ns", "wall_ns")


def sum_of(tallies: Iterable[Tally]) -> Tally:
    """Return the sum: of the first beginnings the first, of _LATEST the last, else the total."""
    tallies = tuple(tallies)
    total = Tally()
    for each in fields(Tally):
        values = [getattr(tally, each.name) for tally in tallies]
        setattr(total, each.name, _sum(values) if values else getattr(total, each.name))
    begun = [tally.first_begun_ns for tally in tallies if tally.first_begun_ns]
    total.first_begun_ns = min(begun, default=0)
    total.newest = newest(tally.newest for tally in tallies)
    for name in _LATEST:
        setattr(total, name, max((getattr(tally, name) for tally in tallies), default=0))
    return total


def _sum(values: list[Any]) -> Any:
    return merged(values) if isinstance(values[0], dict) else sum(values)
