"""Which batches arrived, when, and which did not. Pure: the caller has sockets and clock.

All connections of a stream get the same bytes. So a frame is checked and read once, for the first
connection that brings it, and each further one only compares bytes; what it means that this batch
came after that one is likewise judged once for all connections on which it did.

Two latencies are counted of each batch that was due within the measured time:

- From publishing to receipt: the wall clock at receipt, less `publish_time_ns` of the batch, or its
  `batch_timestamp_ms` if the server does not send the first.
- Corrected for coordinated omission, in SECOND and MINUTE, where a subscriber is promised a batch
  each period: from when the batch was due to receipt. It was due at `batch_timestamp_ms`, which is
  the end of its period, if that is at most MAX_LATE_NS before its publishing; else when it was
  published. A period without a batch counts as well. If a batch was due k > 1 periods (rounded)
  after the one before it on that connection, or after the subscription, then k - 1 are missing, due
  a period apart before it, and count as received when it was: a server that leaves out two seconds
  and then sends one batch in time is seen with latencies of 2 s, 1 s and nearly none. What was due
  OVERDUE_NS or more before the end and has not come by then is missing as well, also on a
  connection that was closed, and counts with the time until the end.

In TICK nothing is due. But what one connection had all others should have: what came to one
OVERDUE_NS or more before the end, and is behind the last that another one had, is overdue there.

HDR's own correction, which adds the values below a long one in steps of the interval, is not
applied: batches that were sent in time and arrive late together are all there, and would count
twice.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tickstorm.bench.batches import BatchFacts, read_batch
from tickstorm.bench.latencies import add_latencies, add_latency
from tickstorm.bench.sequences import newest
from tickstorm.bench.tally import Tally
from tickstorm.client.events import Gap, Repeated, Restarted
from tickstorm.client.sequence import SequenceTracker
from tickstorm.frames import HEADER_BYTES, OVERHEAD_BYTES
from tickstorm.sequences import is_before, later

OVERDUE_NS = 1_000_000_000
"""How late a batch is before it is missing at the end."""
MAX_LATE_NS = 3_600_000_000_000
"""How long after it was due a batch may be published: that it was still later is not believed."""
MAX_ARRIVALS_KEPT = 65_536
"""Batches of TICK of which it is known when they came first, as long as they are not overdue."""
MAX_FRAMES_KEPT = 256
"""Distinct frames that are known by their bytes."""
MAX_TIMES_KEPT = 256
"""Receipts of a frame that are not counted yet while another one is arriving."""
_CRC_BYTES = OVERHEAD_BYTES - HEADER_BYTES


class Seen:
    """A batch that arrived, on however many connections.

    Args:
        sequence: of the batch; None for none.
        due_ns: when it was due.
        publish_ns: when it was published.
        ticks: in it.
        size: bytes of its frame.
    """

    __slots__ = ("before", "due_ns", "publish_ns", "sequence", "size", "ticks", "times")

    def __init__(
        self, sequence: int | None, due_ns: int, publish_ns: int = 0, ticks: int = 0, size: int = 0
    ) -> None:
        self.sequence = sequence
        self.due_ns = due_ns
        self.publish_ns = publish_ns
        self.ticks = ticks
        self.size = size
        self.before: Seen | None = None
        """After which batch this one is what was to come; None while that is not known."""
        self.times: list[int] = []
        """When it was received, as far as that was not counted yet."""


class Current(NamedTuple):
    """The frame that most connections are expected to bring next, as the load's loop wants it.

    Attributes:
        frame: its bytes; None for none.
        seen: what it is.
        append: takes the time of a receipt.
    """

    frame: bytes | None
    seen: Seen
    append: Callable[[int], None]


class Receipts:
    """The batches of all connections of a process.

    Args:
        tally: takes the counts.
        period_ns: between two batches of a connection; 0 if there is no such promise.
        connections: numbers below this stand for connections.
        ahead_ns: how far the server's clock is ahead of the one here.
    """

    def __init__(self, tally: Tally, period_ns: int, connections: int, ahead_ns: int = 0) -> None:
        self.last: list[Seen | int] = [0] * connections
        """By connection: the batch it had last; 0 for one that can have no whole one next."""
        nothing = Seen(None, 0)
        self.current = Current(None, nothing, nothing.times.append)
        self._tally = tally
        self._period_ns = period_ns
        self._ahead_ns = ahead_ns
        self._frames: dict[bytes, Seen] = {}
        self._paused: dict[int, Seen] = {}
        self._ended: list[Seen] = []
        self._arrived: deque[tuple[int, int]] = deque(maxlen=MAX_ARRIVALS_KEPT)
        self._start_ns = self._end_ns = 0

    def measure(self, start_ns: int, end_ns: int) -> None:
        """Count the batches that are due from `start_ns` up to, and without, `end_ns`."""
        self._start_ns, self._end_ns = start_ns, end_ns

    def subscribe(self, connection: int, next_sequence: int | None, now_ns: int) -> None:
        """Expect batches on a connection, from `next_sequence` on if that is known."""
        before = None if next_sequence is None else later(next_sequence, -1)
        self.last[connection] = Seen(before, now_ns)

    def pause(self, connection: int) -> None:
        """Let no data be taken for a whole frame, as a part of one has arrived already."""
        last = self.last[connection]
        if isinstance(last, Seen):
            self._paused[connection] = last
        self.last[connection] = 0

    def resume(self, connection: int) -> None:
        """Go on after a pause."""
        self.last[connection] = self._paused.pop(connection, 0)

    def leave(self, connection: int) -> None:
        """Expect no more of a connection that should have gone on."""
        last = self._paused.pop(connection, self.last[connection])
        self.last[connection] = 0
        if isinstance(last, Seen):
            self._ended.append(last)

    def batch(self, connection: int, frame: bytes, now_ns: int) -> None:
        """Take the frame of a batch whose bytes are whole and right.

        Raises:
            InvalidMessage: its payload is none of a batch.
        """
        seen = self._frames.get(frame)
        if seen is None:
            seen = self._read(frame)
            self._keep(frame, seen)
            self._arrive(seen, now_ns)
        last = self.last[connection]
        if not isinstance(last, Seen):
            return
        if last is not seen.before and not self._follows(last, seen, now_ns):
            return
        self.last[connection] = seen
        seen.times.append(now_ns)
        if self.current.seen is not seen:
            self._make_current(frame, seen)

    def knows(self, frame: bytes) -> bool:
        """Say whether these very bytes were seen lately, and so need no check."""
        return frame in self._frames

    def end(self, now_ns: int) -> None:
        """Count what is not counted yet, and what is missing by now."""
        for seen in self._frames.values():
            self._count(seen)
        self._count(self.current.seen)
        if not self._period_ns:
            self._keep_tails(now_ns - OVERDUE_NS)
            return
        until = min(self._end_ns, now_ns - OVERDUE_NS)
        for last in self._lasts():
            self._count_missing(last.due_ns + self._period_ns, until, now_ns)

    def _read(self, frame: bytes) -> Seen:
        facts = read_batch(frame[HEADER_BYTES : len(frame) - _CRC_BYTES])
        publish_ns = facts.publish_time_ns or facts.timestamp_ms * 1_000_000
        ahead_ns = self._ahead_ns
        return Seen(
            facts.sequence,
            self._due_ns(facts, publish_ns) - ahead_ns,
            publish_ns - ahead_ns,
            facts.ticks,
            len(frame),
        )

    def _due_ns(self, facts: BatchFacts, publish_ns: int) -> int:
        due_ns = facts.timestamp_ms * 1_000_000
        believed = self._period_ns and 0 <= publish_ns - due_ns <= MAX_LATE_NS
        return due_ns if believed else publish_ns

    def _arrive(self, seen: Seen, now_ns: int) -> None:
        """Keep when a batch of TICK came first, and of all that are overdue the last."""
        arrived = self._arrived
        if self._period_ns or not seen.sequence:
            return
        if arrived and not is_before(arrived[-1][1], seen.sequence):
            return
        arrived.append((now_ns, seen.sequence))
        while len(arrived) > 1 and arrived[1][0] <= now_ns - OVERDUE_NS:
            arrived.popleft()

    def _keep_tails(self, until_ns: int) -> None:
        """Keep what had come to any connection by then, and what came to each last."""
        tally = self._tally
        tally.newest = newest(sequence for at_ns, sequence in self._arrived if at_ns <= until_ns)
        for last in self._lasts():
            if last.sequence is not None:
                tally.tails[last.sequence] = tally.tails.get(last.sequence, 0) + 1

    def _lasts(self) -> Iterator[Seen]:
        """Yield what each connection had last, those that have ended included."""
        for last in (*self.last, *self._paused.values(), *self._ended):
            if isinstance(last, Seen):
                yield last

    def _keep(self, frame: bytes, seen: Seen) -> None:
        if len(self._frames) >= MAX_FRAMES_KEPT:
            oldest = next(iter(self._frames))
            self._count(self._frames.pop(oldest))
        self._frames[frame] = seen

    def _make_current(self, frame: bytes, seen: Seen) -> None:
        old = self.current
        if len(old.seen.times) >= MAX_TIMES_KEPT or old.frame not in self._frames:
            self._count(old.seen)
        self.current = Current(frame, seen, seen.times.append)

    def _follows(self, last: Seen, seen: Seen, now_ns: int) -> bool:
        """Judge a batch that came after another one, and return whether it counts."""
        wrong = _judge(last, seen)
        tally = self._tally
        if isinstance(wrong, Repeated):
            tally.repeats += 1
            return False
        if isinstance(wrong, Gap):
            tally.gaps += 1
            tally.lost += wrong.batches
        if isinstance(wrong, Restarted):
            tally.restarts += 1
        periods = round((seen.due_ns - last.due_ns) / self._period_ns) if self._period_ns else 1
        if periods > 1:
            first = seen.due_ns - (periods - 1) * self._period_ns
            self._count_missing(first, min(seen.due_ns, self._end_ns), now_ns)
        elif wrong is None:
            seen.before = last
            last.before = None  # or each batch would keep all before it
        return True

    def _count_missing(self, due_ns: int, until_ns: int, now_ns: int) -> None:
        """Count those due at `due_ns` and each period later, within the time before `until_ns`."""
        too_early = max(0, self._start_ns - due_ns)
        first_ns = due_ns - (-too_early // self._period_ns) * self._period_ns
        for missing_ns in range(first_ns, until_ns, self._period_ns):
            self._tally.missing += 1
            add_latency(self._tally.corrected, (now_ns - missing_ns) // 1000)

    def _count(self, seen: Seen) -> None:
        times = seen.times
        tally = self._tally
        if times:
            tally.last_received_ns = max(tally.last_received_ns, times[-1])
        if self._start_ns <= seen.due_ns < self._end_ns:
            tally.batches += len(times)
            tally.ticks += len(times) * seen.ticks
            tally.bytes += len(times) * seen.size
            if times and times[0] < seen.publish_ns:
                tally.early += sum(time_ns < seen.publish_ns for time_ns in times)
            add_latencies(tally.latencies, times, seen.publish_ns)
            if self._period_ns:
                add_latencies(tally.corrected, times, seen.due_ns)
        times.clear()


def _judge(last: Seen, seen: Seen) -> Gap | Restarted | Repeated | None:
    assert seen.sequence is not None
    tracker = SequenceTracker()
    if last.sequence is not None:
        expected = later(last.sequence)
        if seen.sequence == 0 != expected:
            return None  # the server does not number its batches
        tracker.subscribed("", expected)
    return tracker.received(seen.sequence)
