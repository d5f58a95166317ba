"""Files that a bench writes: tried before the measurement, and whole or untouched after it."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

_PUBLIC = 0o666


def check_writable(path: Path) -> None:
    """Find out whether a file can be written, and leave everything as it is.

    Raises:
        OSError: it cannot.
    """
    if path.is_dir():
        raise IsADirectoryError(None, "Is a directory", str(path))
    if not _in_place(path):
        _temporary(path).unlink()
    elif not os.access(path, os.W_OK):
        raise PermissionError(None, "Permission denied", str(path))


def save(path: Path, text: str) -> None:
    """Write a file; one that was there before stays until the new one is whole.

    Raises:
        OSError: it cannot be written.
    """
    if _in_place(path):
        path.write_text(text, encoding="utf-8")
        return
    new, target = _temporary(path), Path(os.path.realpath(path))
    try:
        new.write_text(text, encoding="utf-8")
        new.chmod(_mode(target))
        new.replace(target)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise


def _in_place(path: Path) -> bool:
    """Say whether it can only be written where it is: pipes, devices, or in a closed directory."""
    if not path.exists():
        return False
    return not path.is_file() or not os.access(Path(os.path.realpath(path)).parent, os.W_OK)


def _temporary(path: Path) -> Path:
    """Make an empty file beside one."""
    target = Path(os.path.realpath(path))
    with NamedTemporaryFile(prefix=f".{target.name}.", dir=target.parent, delete=False) as file:
        return Path(file.name)


def _mode(target: Path) -> int:
    """Return the permissions of a file, or those that a new one has."""
    if target.exists():
        return target.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return _PUBLIC & ~mask
