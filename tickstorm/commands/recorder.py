"""A recording on its way into a file, which is whole after each flush however the process ends.

A compressed one is a row of gzip members, one a flush, which read as one file.
"""

import gzip
from collections.abc import Callable
from typing import IO

from tickstorm.commands.recording_text import HEADER

MAX_HELD_BYTES = 1024 * 1024
"""Rows are written when they are more than this, without waiting for a flush."""


class Recorder:
    """Writes the header, then rows.

    Args:
        open_file: makes what takes the bytes, and is closed at the end; called by the first flush.
        compressed: whether it is a gzip file.
    """

    def __init__(self, open_file: Callable[[], IO[bytes]], *, compressed: bool) -> None:
        self.bytes_written = 0
        self._open_file = open_file
        self._file: IO[bytes] | None = None
        self._compressed = compressed
        self._held = bytearray(HEADER.encode())

    def add(self, row: str) -> None:
        """Take a row, which ends with its line end."""
        self._held += row.encode()
        if len(self._held) > MAX_HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held.

        Raises:
            OSError: it cannot be made or written.
        """
        if not self._held:
            return
        if self._file is None:
            self._file = self._open_file()
        data, self._held = bytes(self._held), bytearray()
        if self._compressed:
            data = gzip.compress(data)
        self._file.write(data)
        self._file.flush()
        self.bytes_written += len(data)

    def close(self) -> None:
        """Write what is held, and close the file.

        Raises:
            OSError: it cannot be made or written.
        """
        try:
            self.flush()
        finally:
            if self._file is not None:
                self._file.close()
