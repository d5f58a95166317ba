"""Chaos: faults in a stream of frames, made on purpose for people who write clients. Pure.

Whether a batch gets a fault, and which, depends on the seed, the connection's number and how many
batches that connection had before, and on nothing else. Frames keep their order; what is no batch
is only ever held up by the batches before it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, unique
from itertools import pairwise
from math import inf
from random import Random
from typing import NamedTuple

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import HEADER_BYTES, Frame, FrameDecoder, FrameType, encode_frame

MAX_SEED = 2**64 - 1
DEFAULT_RATE = 0.05
DRIP_PIECES = 48
"""In how many pieces a frame drips at most: each byte of its header is one."""
DRIP_PAUSE = 0.01
"""Seconds between two of them."""
SHORTEST_DELAY, LONGEST_DELAY = 0.2, 2.0
"""Seconds that a frame is held back."""
MAX_HELD_SECONDS = 3.0
"""How long a frame waits at most, for whatever is before it and for its own fault."""
MAX_HELD_BYTES = 1024 * 1024
"""How much waits for one connection at most: beyond that the oldest goes out early."""
_ANY_LENGTH = 2**32 - 1


@unique
class Fault(Enum):
    """What can happen to a batch, by its name in the arguments of a source."""

    DRIP = "drip"
    """Its bytes come a few at a time."""
    CUT = "cut"
    """The connection ends in the middle of it."""
    DUP = "dup"
    """It comes twice."""
    GAP = "gap"
    """It does not come."""
    DELAY = "delay"
    """It comes late, and what was behind it with it."""
    BADCRC = "badcrc"
    """A bit of it is wrong, behind the header, and so its checksum is."""


_OF_NUMBERS = (Fault.DUP, Fault.GAP)
"""What a client can only notice by the numbers, and a snapshot has none of its own."""


class ChaosOptions(NamedTuple):
    """How a server misbehaves.

    Attributes:
        faults: what may happen; one at least.
        seed: 0 to MAX_SEED.
        rate: the part of the batches that it happens to, above 0 up to 1.
    """

    faults: frozenset[Fault]
    seed: int = 0
    rate: float = DEFAULT_RATE


class Injected(NamedTuple):
    """A fault that a batch was given."""

    fault: Fault
    batch_sequence: int


class Step(NamedTuple):
    """What is to be done to a connection.

    Attributes:
        at: not before this, on the clock of `Chaos.write`.
        data: to be written.
        ends: whether the connection is closed then.
        injected: the fault that begins with this.
    """

    at: float
    data: bytes
    ends: bool = False
    injected: Injected | None = None


class Chaos:
    """What becomes of the frames of one connection.

    Args:
        options: what may happen, and how often.
        connection: its number.
    """

    def __init__(self, options: ChaosOptions, connection: int) -> None:
        self._faults = [fault for fault in Fault if fault in options.faults]
        self._rate = options.rate
        self._key = f"{options.seed} {connection}"
        self._decoder = FrameDecoder(_ANY_LENGTH)
        self._batches = 0
        self._steps: deque[Step] = deque()
        self._held_bytes = 0
        self._over = False

    @property
    def due_at(self) -> float:
        """When the next step is due; infinity if there is none."""
        return self._steps[0].at if self._steps else inf

    def write(self, data: bytes, now: float) -> None:
        """Plan what becomes of frames; then take the steps that are due.

        Args:
            data: frames of this server's, cut anywhere.
            now: seconds of any monotonic clock.
        """
        self._decoder.feed(data)
        while not self._over and (frame := self._decoder.next_frame()) is not None:
            if frame.type is FrameType.DATA_BATCH:
                self._plan_batch(frame, now)
            else:
                self._plan(Step(self._free_at(now), encode_frame(*frame)))

    def close(self, now: float) -> None:
        """Plan the end, behind what was written; nothing follows."""
        if not self._over:
            self._plan(Step(self._free_at(now), b"", ends=True))

    def take(self, now: float) -> list[Step]:
        """Return the steps that are due, in order, and forget them."""
        taken = []
        while self._steps and (self._steps[0].at <= now or self._held_bytes > MAX_HELD_BYTES):
            taken.append(self._steps.popleft())
            self._held_bytes -= len(taken[-1].data)
        return taken

    def _free_at(self, now: float) -> float:
        return max(now, self._steps[-1].at) if self._steps else now

    def _plan(self, step: Step) -> None:
        self._steps.append(step)
        self._held_bytes += len(step.data)
        self._over = step.ends

    def _plan_batch(self, frame: Frame, now: float) -> None:
        batch, data = pb.DataBatch.FromString(frame.payload), encode_frame(*frame)
        begins = self._free_at(now)
        # Of its own for each batch, so that nothing that one fault draws moves the next.
        random = Random(f"{self._key} {self._batches}")  # noqa: S311 - it keeps no secret
        self._batches += 1
        fault = self._draw(random, batch.is_snapshot)
        if fault is None:
            self._plan(Step(begins, data))
            return
        injected: Injected | None = Injected(fault, batch.batch_sequence)
        for wait, piece in _PIECES[fault](data, random):
            at = min(begins + wait, now + MAX_HELD_SECONDS)
            self._plan(Step(at, piece, fault is Fault.CUT, injected))
            injected = None

    def _draw(self, random: Random, is_snapshot: bool) -> Fault | None:
        if random.random() >= self._rate:
            return None
        fault = random.choice(self._faults)
        return None if is_snapshot and fault in _OF_NUMBERS else fault


_Pieces = Sequence[tuple[float, bytes]]
"""What is written of a frame, each behind so many seconds from its turn."""


def _drip(data: bytes, random: Random) -> _Pieces:
    header, rest = range(1, HEADER_BYTES + 1), range(HEADER_BYTES + 1, len(data))
    cuts = random.sample(rest, min(len(rest), DRIP_PIECES - 1 - len(header)))
    ends = pairwise([0, *header, *sorted(cuts), len(data)])
    return [(at * DRIP_PAUSE, data[first:end]) for at, (first, end) in enumerate(ends)]


def _cut(data: bytes, random: Random) -> _Pieces:
    return [(0.0, data[: random.randrange(1, len(data))])]


def _dup(data: bytes, _: Random) -> _Pieces:
    return [(0.0, data + data)]


def _gap(_: bytes, __: Random) -> _Pieces:
    return [(0.0, b"")]


def _delay(data: bytes, random: Random) -> _Pieces:
    return [(random.uniform(SHORTEST_DELAY, LONGEST_DELAY), data)]


def _badcrc(data: bytes, random: Random) -> _Pieces:
    # Not in the header: a wrong length would have the client wait for what never comes.
    at, bit = random.randrange(HEADER_BYTES, len(data)), random.randrange(8)
    return [(0.0, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])]


_PIECES: Mapping[Fault, Callable[[bytes, Random], _Pieces]] = {
    Fault.DRIP: _drip,
    Fault.CUT: _cut,
    Fault.DUP: _dup,
    Fault.GAP: _gap,
    Fault.DELAY: _delay,
    Fault.BADCRC: _badcrc,
}
