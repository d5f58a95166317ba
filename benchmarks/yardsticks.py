"""The two C programs: the server that does the least the protocol allows, and the load generator.

They are not part of this project; `--tools` says where limit.c and storm.c are.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Unusable


class Tools(NamedTuple):
    """The C programs, compiled."""

    limit: Path
    storm: Path


@contextmanager
def compiled(sources: Path) -> Iterator[Tools]:
    """Have the programs compiled in a folder that lasts as long as the block.

    Raises:
        Unusable: they are not there, or gcc cannot compile them.
    """
    with tempfile.TemporaryDirectory() as folder:
        limit, storm = (_compile(sources / f"{name}.c", Path(folder)) for name in Tools._fields)
        yield Tools(limit, storm)


def _compile(source: Path, folder: Path) -> Path:
    if not source.exists():
        raise Unusable(
            f"{source} is not there: say where limit.c and storm.c are, with --tools DIR (or make "
            f"TOOLS=DIR)"
        )
    program = folder / source.stem
    try:
        subprocess.run(["gcc", "-O2", "-w", "-o", program, source], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unusable(f"{source} cannot be compiled: {error}") from error
    return program
