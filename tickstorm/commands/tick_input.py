"""What producers write, bytes as they come, to ticks with the numbers of their lines. Pure."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from tickstorm.commands.tick_lines import (
    MAX_JSON_BYTES,
    Format,
    TickParser,
    format_of_line,
    format_of_name,
    parser,
)
from tickstorm.errors import InvalidTick, SourceError
from tickstorm.sources.recording_file import GZIP_MAGIC
from tickstorm.ticks import Tick

PIECE_BYTES = 65_536
"""Compressed bytes are made into so many at a time."""
_GZIP = 16 + zlib.MAX_WBITS


class Row(NamedTuple):
    """A tick, and the number of its line, from 1."""

    line: int
    tick: Tick


class TickInput:
    """Makes rows of what is read.

    Args:
        name: names the input in errors, and may tell its format.
        format: how it is written; None for what the name or else the first line tells.
        now: whether times are left to the server, whatever is written.
    """

    def __init__(self, name: str, format: Format | None, *, now: bool = False) -> None:
        self._name = name
        self._format = format or format_of_name(name)
        self._now = now
        self._parser: TickParser | None = None
        self._zipped = _Gzip()
        self._rest = b""
        self._lines = 0

    def rows(self, data: bytes) -> Iterator[Row]:
        """Yield what is whole by now. Take all before the next call.

        Raises:
            SourceError: a line cannot be used; says which and why.
        """
        try:
            for piece in self._zipped.plain(data):
                *lines, self._rest = (self._rest + piece).split(b"\n")
                yield from self._parsed(lines)
                self._check_length(self._rest)
        except zlib.error as error:
            raise self._error(f"not gzip: {error}") from None

    def last_rows(self) -> Iterator[Row]:
        """Yield what is left when there is nothing more to read.

        Raises:
            SourceError: it cannot be used, or is not whole.
        """
        yield from self.rows(self._zipped.begun())
        if not self._zipped.whole:
            raise self._error("the compressed file is cut off")
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._parsed([rest])

    def _parsed(self, lines: list[bytes]) -> Iterator[Row]:
        for line in lines:
            self._lines += 1
            try:
                tick = self._tick(line)
            except (ValueError, InvalidTick) as error:
                raise SourceError(f"{self._name}, line {self._lines}: {error}") from None
            if tick is not None:
                yield Row(self._lines, tick._replace(timestamp_ns=0) if self._now else tick)

    def _tick(self, line: bytes) -> Tick | None:
        if self._parser is None:
            if not line.strip():
                return None
            self._parser = parser(self._format or format_of_line(line))
        if len(line) > self._parser.max_line_bytes:
            raise ValueError(f"more than {self._parser.max_line_bytes} bytes in a line")
        return self._parser.parse(line)

    def _check_length(self, rest: bytes) -> None:
        if len(rest) > MAX_JSON_BYTES:
            raise self._error(f"more than {MAX_JSON_BYTES} bytes in a line")

    def _error(self, why: str) -> SourceError:
        return SourceError(f"{self._name}, line {self._lines + 1}: {why}")


class _Gzip:
    """Takes gzip off if there is any, which the first two bytes tell."""

    def __init__(self) -> None:
        self._begun = b""
        self._compressed: bool | None = None
        self._inflate = zlib.decompressobj(_GZIP)
        self._fed = False

    @property
    def whole(self) -> bool:
        """Whether the end of what came is the end of a compressed file, or it is not compressed."""
        return not self._compressed or not self._fed

    def begun(self) -> bytes:
        """Return what was too short to tell, once there is nothing more."""
        if self._compressed is None:
            self._compressed = False
        begun, self._begun = self._begun, b""
        return begun

    def plain(self, data: bytes) -> Iterator[bytes]:
        if self._compressed is None:
            data, self._begun = self._begun + data, b""
            if len(data) < len(GZIP_MAGIC):
                self._begun = data
                return
            self._compressed = data.startswith(GZIP_MAGIC)
        if not self._compressed:
            yield data
            return
        piece = b""
        while data or len(piece) == PIECE_BYTES:
            self._fed = True
            piece = self._inflate.decompress(data, PIECE_BYTES)
            yield piece
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:  # a file may be several, one behind the other
                data = self._inflate.unused_data
                self._inflate = zlib.decompressobj(_GZIP)
                self._fed = False
