"""A recording in a file, gzip or not: read as it is needed, a bounded part of it at a time."""

import gzip
import zlib
from collections.abc import Generator, Iterator
from io import BufferedIOBase
from itertools import count
from pathlib import Path

from tickstorm.errors import SourceError
from tickstorm.sources.recording import MAX_LINE_BYTES, read_ticks
from tickstorm.ticks import Tick

GZIP_MAGIC = b"\x1f\x8b"


def read_recording(path: Path, name: str) -> Generator[Tick]:
    """Yield the ticks of a file. It is open from the first one until the last, or `close`.

    Args:
        path: the file, gzip or not by its first two bytes.
        name: names it in errors.

    Raises:
        SourceError: the file cannot be read, or a line of it not be used; says which and why.
    """
    with _open(path, name) as file:
        yield from read_ticks(_lines(file, name), name)


def _open(path: Path, name: str) -> BufferedIOBase:
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for its writer
            raise SourceError(f"{name}: not a regular file")
        with path.open("rb") as file:
            zipped = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        return gzip.open(path) if zipped else path.open("rb")
    except (OSError, ValueError) as error:  # a ValueError is a path that cannot be one
        raise SourceError(f"{name}: {getattr(error, 'strerror', None) or error}") from None


def _lines(file: BufferedIOBase, name: str) -> Iterator[bytes]:
    for number in count(1):
        try:
            line = file.readline(MAX_LINE_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{name}, line {number}: {error}") from None
        if not line:
            return
        yield line
