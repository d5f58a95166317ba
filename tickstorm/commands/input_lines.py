"""The lines of an input, as they are wanted: nothing is read ahead but what came with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from tickstorm.errors import SourceError

MAX_LINE = 256
"""Bytes of a line."""


class Reader(Protocol):
    """Reads the input, a piece for each `resume`."""

    def resume(self) -> None:
        """Read once more."""

    def stop(self) -> None:
        """Read no more."""


class InputLines:
    """Gives lines.

    Args:
        read: makes the reader, given what gets each piece, and what gets the error that ends it.
    """

    def __init__(
        self, read: Callable[[Callable[[bytes], None], Callable[[OSError], None]], Reader]
    ) -> None:
        self._reader = read(self._take, self._unreadable)
        self._held = b""
        self._complete = False
        self._awaited: Deferred[bytes] | None = None

    async def next(self) -> str | None:
        """Return the next line, without white space around it; None at the end.

        Raises:
            SourceError: the input cannot be read, or a line is too long.
        """
        while b"\n" not in self._held and not self._complete:
            if len(self._held) > MAX_LINE:
                raise SourceError(f"a line of the input is over {MAX_LINE} bytes")
            self._awaited = Deferred()
            self._reader.resume()
            data = await self._awaited
            self._held += data
            self._complete = not data
        return self._first_line()

    def stop(self) -> None:
        """Read no more, and be at the end."""
        self._reader.stop()
        self._held, self._complete = b"", True
        self._take(b"")

    def _first_line(self) -> str | None:
        if not self._held:
            return None
        line, _, self._held = self._held.partition(b"\n")
        return line.decode(errors="replace").strip()

    def _take(self, data: bytes) -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is not None and not awaited.called:
            awaited.callback(data)

    def _unreadable(self, error: OSError) -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is not None and not awaited.called:
            awaited.errback(SourceError(f"standard input: {error.strerror or error}"))
