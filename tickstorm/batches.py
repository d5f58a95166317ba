"""DATA_BATCH frames that are already encoded, taken apart no further than somebody asks.

The ticks of a batch are never decoded: what is made of batches is made of their records, as they
are.
"""

from collections.abc import Iterator
from functools import cached_property, lru_cache

from tickstorm.frames import HEADER_BYTES, OVERHEAD_BYTES, FrameType, encode_frame
from tickstorm.records import BatchTrailer, read_trailer

MAX_SHARED_BATCHES = 32
"""How many are kept for whoever gets the same frame: more than one fan-out has, as a rule."""

_BEGINNING = encode_frame(FrameType.DATA_BATCH, b"")[:4]
_CRC_BYTES = OVERHEAD_BYTES - HEADER_BYTES
_FIELD_1 = 0x0A
"""The tag of a length-delimited field 1: of a record in a batch, of the symbol in a record."""


class Batch:
    """One frame that waits.

    Args:
        frame: whole; as this server makes them if it is a DATA_BATCH.
    """

    def __init__(self, frame: bytes) -> None:
        self.frame = frame

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def is_numbered(self) -> bool:
        """Whether it is one of the batches that a subscriber counts: not so a snapshot."""
        return self.frame.startswith(_BEGINNING) and not self.trailer.is_snapshot

    @cached_property
    def ticks(self) -> int:
        """How many ticks it has."""
        return sum(1 for _ in self._spans())

    @cached_property
    def trailer(self) -> BatchTrailer:
        """What it has beside its ticks."""
        return read_trailer(self.frame[self._records_end : -_CRC_BYTES])

    @property
    def sequence(self) -> int:
        """Its number."""
        return self.trailer.sequence

    def records(self) -> list[tuple[bytes, bytes]]:
        """Return the symbol of each tick, with the tick as it stands in the frame."""
        frame = self.frame
        found = []
        for start, body, end in self._spans():
            symbol = body + 2  # behind the tag and the length, which is below 128
            found.append((frame[symbol : symbol + frame[body + 1]], frame[start:end]))
        return found

    @property
    def records_bytes(self) -> int:
        """How long they are together."""
        return self._records_end - HEADER_BYTES

    @cached_property
    def _records_end(self) -> int:
        return max((end for _, _, end in self._spans()), default=HEADER_BYTES)

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        # Of each record: where it starts, where its body does, and where it ends.
        frame, at = self.frame, HEADER_BYTES
        end = len(frame) - _CRC_BYTES
        while at < end and frame[at] == _FIELD_1:
            body, size = _varint(frame, at + 1)
            yield at, body, body + size
            at = body + size


shared_batch = lru_cache(MAX_SHARED_BATCHES)(Batch)
"""Returns the one Batch of a frame, for all the connections that it goes to at a time."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at, value
        shift += 7
