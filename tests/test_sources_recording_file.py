"""Recordings as files: zipped or not, whole or broken, and never held whole."""

import gzip
import os
import tracemalloc
from itertools import islice

import pytest

from tickstorm.errors import SourceError
from tickstorm.sources.recording_file import read_recording
from tickstorm.ticks import Tick

CSV = b"time,symbol,price\n5,A,1\n6,B,2\n"
TICKS = [Tick("A", 1.0, 0.0, 5_000_000_000), Tick("B", 2.0, 0.0, 6_000_000_000)]


def written(folder, data):
    path = folder / "a.csv"
    path.write_bytes(data)
    return path


def error(path):
    with pytest.raises(SourceError) as caught:
        list(read_recording(path, "a.csv"))
    return str(caught.value)


@pytest.mark.parametrize("data", [CSV, gzip.compress(CSV), gzip.compress(CSV) + b"\0" * 9])
def test_the_content_says_whether_it_is_zipped(tmp_path, data):
    assert list(read_recording(written(tmp_path, data), "a.csv")) == TICKS


LONG = CSV + b"".join(b"7,A,%d.%d\n" % (n % 97 + 1, n * 7919 % 9973) for n in range(20_000))
SPOILT = gzip.compress(LONG)[:20_000] + b"\xff" * 100 + gzip.compress(LONG)[20_100:]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "a.csv, line 1: the file ends before the first row"),
        (b"\x1f\x8b", "a.csv, line 1: Compressed file ended before"),
        (b"\x1f\x8b rubbish", "a.csv, line 1: "),
        (gzip.compress(CSV)[:-9], "a.csv, line "),
        (gzip.compress(CSV)[:-4] + b"\0\0\0\0", "a.csv, line "),
        (gzip.compress(CSV) + b"rubbish", "a.csv, line "),
        (gzip.compress(LONG)[:-100], "a.csv, line "),
        (SPOILT, "a.csv, line "),
        (b"x" * 1_000_000, "a.csv, line 1: more than 4096 bytes in a line"),
        (b"\0" * 1_000_000, "a.csv, line 1: more than 4096 bytes in a line"),
        (CSV + b"7,\xe9,1\n", "a.csv, line 4: byte 3 of the line is not UTF-8"),
    ],
)
def test_a_broken_file_names_the_line(tmp_path, data, expected):
    message = error(written(tmp_path, data))
    assert message.startswith(expected)
    assert "\n" not in message


def test_a_file_cut_short_gives_what_is_whole(tmp_path):
    rows = read_recording(written(tmp_path, gzip.compress(LONG)[:-100]), "a.csv")
    assert len(list(islice(rows, 10_000))) == 10_000
    with pytest.raises(SourceError, match=r"line [0-9]{5}: Compressed file ended"):
        list(rows)


def test_a_line_without_end_is_not_held(tmp_path):
    path = written(tmp_path, gzip.compress(b"x" * 20_000_000))
    tracemalloc.start()
    try:
        assert error(path) == "a.csv, line 1: more than 4096 bytes in a line"
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_files_that_cannot_be_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert error(tmp_path / "none.csv") == "a.csv: No such file or directory"
    assert error(tmp_path) == "a.csv: not a regular file"
    assert error(tmp_path / "pipe") == "a.csv: not a regular file"
    assert error(tmp_path / "\0") == "a.csv: embedded null byte"


def test_only_what_is_asked_for_is_read(tmp_path):
    path = written(tmp_path, LONG)
    rows = read_recording(path, "a.csv")
    assert next(rows) == TICKS[0]
    with path.open("r+b") as file:
        file.truncate(len(LONG) // 2)
        file.seek(0, os.SEEK_END)
        file.write(b"\n5,A,1\n")
    with pytest.raises(SourceError, match=r"a\.csv, line [0-9]{5}: "):
        list(rows)
    rows.close()
