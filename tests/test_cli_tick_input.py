"""What is read, bytes as they come, to ticks with the numbers of their lines."""

import gzip
import tracemalloc
import zlib

import pytest
from test_cli_tick_lines import TIME, TIME_NS

from tickstorm.commands.tick_input import PIECE_BYTES, Row, TickInput, _Gzip
from tickstorm.commands.tick_lines import MAX_JSON_BYTES, Format
from tickstorm.errors import SourceError
from tickstorm.ticks import Tick

CSV = b"symbol,price\nA,1\n\nB,2\nC,3"
ROWS = [Row(2, Tick("A", 1.0)), Row(4, Tick("B", 2.0)), Row(5, Tick("C", 3.0))]


def read(data, size=None, **options):
    found, source = [], TickInput("in", options.pop("format", None), **options)
    for at in range(0, len(data), size or len(data)):
        found += source.rows(data[at : at + (size or len(data))])
    return [*found, *source.last_rows()]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_however_it_is_cut_the_rows_are_the_same(size, pack):
    assert read(pack(CSV), size) == ROWS


def test_a_file_of_several_compressed_ones_is_one():
    data = b"".join(gzip.compress(line) for line in CSV.splitlines(keepends=True))
    assert read(data, 5) == ROWS


def test_a_compressed_file_is_taken_a_piece_at_a_time():
    data = b"symbol,price\n" + b"A,1\n" * 100_000
    source = TickInput("in", None)
    rows = source.rows(gzip.compress(data))
    next(rows)
    assert len(source._rest) < 65_536
    assert sum(1 for _ in rows) == 99_999


def test_a_row_is_there_as_soon_as_its_line_is():
    source = TickInput("in", None)
    assert list(source.rows(b'{"symbol":"A","price":1}\n{"symbol"')) == [Row(1, Tick("A", 1))]
    assert list(source.rows(b':"B","price":2}')) == []
    assert list(source.last_rows()) == [Row(2, Tick("B", 2))]


def test_times_may_be_left_to_the_server():
    data = f"time,symbol,price\n{TIME},A,1\n".encode()
    assert read(data)[0].tick.timestamp_ns == TIME_NS
    assert read(data, now=True) == [Row(2, Tick("A", 1.0))]


def test_nothing_is_no_rows():
    assert read(b"", 1) == []


@pytest.mark.parametrize(
    ("data", "options", "why"),
    [
        (b"symbol,price\nA,1\nB,x\n", {}, "in, line 3: price 'x' is not a number"),
        (b"symbol,price\nA,1\nB", {}, "in, line 3: 1 fields do not fit 2 columns"),
        (b"symbol,price\n", {"format": Format.JSON}, "in, line 1: not JSON: "),
        (b"\n\n\xff", {}, "in, line 3: byte 1 of the line is not UTF-8"),
        (b"{" * (MAX_JSON_BYTES + 1), {}, "in, line 1: more than 65536 bytes in a line"),
        (gzip.compress(CSV)[:-1], {}, "in, line 5: the compressed file is cut off"),
        (gzip.compress(CSV)[:10] + b"\xff" * 9, {}, "in, line 1: not gzip: "),
    ],
)
def test_an_error_names_the_line(data, options, why):
    with pytest.raises(SourceError) as raised:
        read(data, **options)
    assert str(raised.value).startswith(why)


def test_a_line_without_an_end_is_refused_as_soon_as_it_is_too_long():
    source = TickInput("in", None)
    assert list(source.rows(b"{" * MAX_JSON_BYTES)) == []
    with pytest.raises(SourceError, match=r"^in, line 1: more than 65536 bytes in a line$"):
        list(source.rows(b"{"))


def test_a_line_of_json_with_an_end_is_no_longer_either():
    line = b'{"symbol":"A","price":1}'.ljust(MAX_JSON_BYTES) + b"\n"
    assert read(line) == [Row(1, Tick("A", 1))]
    with pytest.raises(SourceError, match=r"^in, line 1: more than 65536 bytes in a line$"):
        read(b" " + line)


def test_lines_with_nothing_in_them_tell_no_format():
    assert read(b'\n \r\n{"symbol":"A","price":1}\n') == [Row(3, Tick("A", 1))]


def test_a_name_tells_the_format_before_the_first_line_does():
    with pytest.raises(SourceError, match=r"^day\.jsonl, line 1: not a JSON object$"):
        list(TickInput("day.jsonl", None).rows(b"[1]\n"))


def test_a_single_byte_is_a_line_too():
    with pytest.raises(SourceError, match=r"^in, line 1: column 'x' is none of "):
        read(b"x")


def test_what_grows_when_it_is_unpacked_is_not_in_memory_at_once():
    data = gzip.compress(b"{".ljust(10_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match=r"^in, line 1: more than 65536 bytes in a line$"):
            list(TickInput("in", None).rows(data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_what_can_be_unpacked_of_a_piece_is_not_held_back():
    packed = gzip.compress(b"symbol,price\nA,1".ljust(PIECE_BYTES + 1, b"\n"))[:-9]
    plain = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(packed)
    assert len(plain) == PIECE_BYTES + 1
    assert b"".join(_Gzip().plain(packed)) == plain
