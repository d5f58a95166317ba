"""`tickstorm publish`: lines to ticks, as they come, to a publisher that says how far it came."""

import gzip
import io
import json
import os
from contextlib import suppress

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_client_publisher import FIRST_ID, Desk, published, requests, result
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactor
from twisted.python.failure import Failure

from tickstorm.cli import main
from tickstorm.client import PublisherLimits, Totals
from tickstorm.client.dialogue import SessionLimits
from tickstorm.commands.file_reader import FileReader
from tickstorm.commands.publish import _arguments
from tickstorm.commands.publish_progress import showing, summary
from tickstorm.commands.publishing import MAX_CALLS, NotPublished, Publishing
from tickstorm.commands.stream_options import DEFAULT_ADDRESS
from tickstorm.commands.tick_input import Row, TickInput
from tickstorm.commands.tick_lines import (
    MAX_JSON_BYTES,
    CsvTicks,
    Format,
    JsonTicks,
    format_of_line,
    format_of_name,
)
from tickstorm.errors import (
    InvalidAuth,
    InvalidPublication,
    InvalidTick,
    MayNotPublish,
    OutOfTurn,
    SourceError,
    TickstormError,
)
from tickstorm.messages import error_frame
from tickstorm.ticks import Tick

TIME = "2026-01-02T03:04:05.000000006Z"
TIME_NS = 1_767_323_045_000_000_006


def parsed(parser, *lines):
    return [parser.parse(line.encode()) for line in lines]


# Lines.


def test_csv_in_full():
    assert parsed(
        CsvTicks(),
        "time,symbol,price,volume,bid,ask,bid_size,ask_size",
        f"{TIME},ACME,101.25,5,101,101.5,3,4",
        "now,ACME,1,,,,,",
        ",ACME,1,,,,,",
        "",
    ) == [
        None,
        Tick("ACME", 101.25, 5.0, TIME_NS, 101.0, 101.5, 3, 4),
        Tick("ACME", 1.0),
        Tick("ACME", 1.0),
        None,
    ]


def test_csv_has_any_columns_in_any_order():
    assert parsed(CsvTicks(), "\ufeffprice, symbol", "1.5,ACME\r") == [None, Tick("ACME", 1.5)]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["ACME,1"], "column 'ACME' is none of time, symbol, price, volume, bid, ask, bid_size"),
        (["symbol"], "column 'price' is missing"),
        (["symbol,price,price"], "column 'price' is there twice"),
        (["symbol,price", "ACME"], "1 fields do not fit 2 columns"),
        (["symbol,price", "ACME,"], "price '' is not a number"),
        (["symbol,price", "ACME,nan"], "price 'nan' is not a number"),
        (["symbol,price", "ACME,0"], "price 0.0 is not 0.0001 to 1000000"),
        (["symbol,price,volume", "ACME,1,x"], "volume 'x' is not a number"),
        (["symbol,price,bid_size", "ACME,1,1.5"], "bid_size '1.5' is not a whole number"),
        (["symbol,price,time", "ACME,1,noon"], "time 'noon' is neither ISO 8601 nor a number"),
        (["symbol,price", '"ACME,1'], "not CSV: "),
        (["symbol,price", "x" * 4097], "more than 4096 bytes in a line"),
    ],
)
def test_csv_that_cannot_be_used(lines, why):
    parser = CsvTicks()
    parsed(parser, *lines[:-1])
    with pytest.raises((ValueError, InvalidTick)) as raised:
        parser.parse(lines[-1].encode())
    assert str(raised.value).startswith(why)


@pytest.mark.parametrize(
    ("line", "tick"),
    [
        ({}, Tick("ACME", 1.5)),
        ({"volume": 5, "bid": 1, "ask": 2}, Tick("ACME", 1.5, 5, 0, 1, 2)),
        ({"bid_size": 3, "ask_size": 4}, Tick("ACME", 1.5, bid_size=3, ask_size=4)),
        ({"time": TIME}, Tick("ACME", 1.5, timestamp_ns=TIME_NS)),
        ({"time": 1_767_323_045}, Tick("ACME", 1.5, timestamp_ns=1_767_323_045 * 10**9)),
        ({"time": "now"}, Tick("ACME", 1.5)),
        ({"time": ""}, Tick("ACME", 1.5)),
        ({"timestamp_ms": 1_767_323_045_000}, Tick("ACME", 1.5, timestamp_ns=TIME_NS - 6)),
        ({"timestamp_ns": TIME_NS}, Tick("ACME", 1.5, timestamp_ns=TIME_NS)),
        ({"metadata": {"venue": "X"}}, Tick("ACME", 1.5, metadata={"venue": "X"})),
        ({"bid": None, "time": None, "metadata": None}, Tick("ACME", 1.5)),
    ],
)
def test_json(line, tick):
    (found,) = parsed(JsonTicks(), json.dumps({"symbol": "ACME", "price": 1.5, **line}))
    assert found == tick


def test_an_empty_line_of_json_is_nothing():
    assert parsed(JsonTicks(), "", " \r") == [None, None]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[]", "not a JSON object"),
        ("{", "not JSON: Expecting property name enclosed in double quotes at character 2"),
        ("[" * 60_000, "not JSON: nested too deeply"),
        ('{"symbol":"ACME"}', "key 'price' is missing"),
        ('{"symbol":"ACME","price":1,"Price":1}', "key 'Price' is none of time, timestamp_ms"),
        ('{"symbol":"ACME","price":"1"}', "price '1' is not 0.0001 to 1000000"),
        ('{"symbol":"ACME","price":true}', "price is true or false, not a number"),
        ('{"symbol":"ACME","price":NaN}', "price nan is not 0.0001 to 1000000"),
        ('{"symbol":1,"price":1}', "symbol 1 is not 1 to 16 of"),
        ('{"symbol":"ACME","price":1,"time":"noon"}', "time 'noon' is neither"),
        ('{"symbol":"ACME","price":1,"timestamp_ms":1.5}', "timestamp_ms '1.5' is not a whole"),
        ('{"symbol":"ACME","price":1,"timestamp_ns":-1}', "timestamp_ns -1 is not 0 to 2^63"),
        ('{"symbol":"ACME","price":1,"time":1,"timestamp_ms":1}', "time and timestamp_ms are both"),
        ('{"symbol":"ACME","price":1,"metadata":[1]}', "metadata [1] is no mapping"),
    ],
)
def test_json_that_cannot_be_used(line, why):
    with pytest.raises((ValueError, InvalidTick)) as raised:
        JsonTicks().parse(line.encode())
    assert str(raised.value).startswith(why)


@given(st.binary(max_size=200))
def test_anything_else_gives_only_these_errors(line):
    for parser in (CsvTicks(), JsonTicks()):
        with suppress(ValueError, TickstormError):
            parser.parse(line)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("day.csv", Format.CSV),
        ("DAY.CSV.GZ", Format.CSV),
        ("a/b.jsonl", Format.JSON),
        ("x.ndjson", Format.JSON),
        ("x.json", Format.JSON),
        ("csv", None),
        ("day.txt", None),
        ("standard input", None),
    ],
)
def test_a_name_may_tell_the_format(name, format):
    assert format_of_name(name) is format


@pytest.mark.parametrize(
    ("line", "format"),
    [(b' {"a"', Format.JSON), (b"\xef\xbb\xbf{", Format.JSON), (b"symbol", Format.CSV)],
)
def test_else_the_first_line_does(line, format):
    assert format_of_line(line) is format


# What is read.

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


# From what is read to the server.


class ScriptedReader:
    """A reader that gives what the test says."""

    def __init__(self, take, failed):
        self.take, self.failed = take, failed
        self.wanted = 0
        self.stopped = False

    def resume(self):
        self.wanted += 1

    def stop(self):
        self.stopped = True

    def give(self, data):
        assert self.wanted == 1
        self.wanted = 0
        self.take(data)


class Session:
    """A publishing, and the server that it publishes to."""

    def __init__(self, limits=PublisherLimits()):
        self.desk = Desk(limits=limits)
        self.shown = []
        self.waits = []
        self.publishing = Publishing(
            self.desk.publisher,
            TickInput("in", None),
            "in",
            read=self._reader,
            confirmed=lambda read, totals: self.shown.append((read, totals.ticks)),
            waiting=lambda: self.waits.append(self.publishing.totals.ticks),
        )
        self.ended = Deferred.fromCoroutine(self.publishing.run())
        self._first = FIRST_ID

    def _reader(self, take, failed):
        self.reader = ScriptedReader(take, failed)
        return self.reader

    def begin(self, data):
        self.reader.give(data)
        self.server = self.desk.connect()

    def sizes(self):
        return [len(request.ticks) for request in requests(self.server)]

    def confirm(self, count=1):
        for _ in range(count):
            self.server.say(published(self._first))
            self._first += 1

    def close(self):
        self.server.lose()
        return result(self.ended)


def lines(count):
    return b"symbol,price\n" + b"".join(b"A,%d\n" % (1 + n) for n in range(count))


def test_all_is_published_and_then_it_ends():
    session = Session()
    session.begin(lines(2))
    assert session.sizes() == [2]
    session.reader.give(b"B,1\n")
    assert session.sizes() == [1]
    session.reader.give(b"")
    assert not session.ended.called
    session.confirm(2)
    assert session.close() is None
    assert session.publishing.totals == Totals(3, 2, 0)
    size = len(lines(2)) + 4
    assert session.shown == [(size, 2), (size, 3), (size, 3)]


def test_what_comes_is_published_at_once_and_no_more_is_read_than_is_answered():
    session = Session()
    session.begin(lines(MAX_CALLS * 1000 + 500))
    assert session.sizes() == [1000] * MAX_CALLS
    assert session.reader.wanted == 0
    session.confirm()
    assert session.sizes() == [500]
    assert session.reader.wanted == 1
    session.confirm(MAX_CALLS)
    session.reader.give(b"")
    assert session.close() is None


def test_a_bad_line_ends_it_when_what_stands_above_is_published():
    session = Session()
    session.begin(lines(3) + b"A,x\nA,9\n")
    assert session.sizes() == [3]
    assert not session.ended.called
    session.confirm()
    session.server.lose()
    error = result(session.ended)
    assert (type(error), str(error)) == (SourceError, "in, line 5: price 'x' is not a number")
    assert session.publishing.totals.ticks == 3


def refuse(session, number, error):
    error.details = f"request {FIRST_ID + number}"
    session.server.say(error_frame(error, 5))


def test_a_line_that_the_server_refuses_ends_it_when_what_stands_above_is_published():
    session = Session()
    session.begin(lines(2500))
    assert session.sizes() == [1000, 1000, 500]
    session.confirm()
    refuse(session, 1, MayNotPublish("tick 7: not this one"))
    assert not session.ended.called  # the one behind it has no answer yet
    assert session.sizes() == []
    refuse(session, 2, OutOfTurn("not now"))
    (request,) = requests(session.server)
    assert [tick.price for tick in request.ticks] == [1001.0 + n for n in range(7)]
    session.server.say(published(FIRST_ID + 3))
    session.server.lose()
    error = result(session.ended)
    assert (type(error), str(error)) == (
        NotPublished,
        "in, line 1009: NOT_PERMITTED: not this one",
    )
    assert (session.sizes(), session.publishing.totals.ticks) == ([], 1007)
    assert session.reader.stopped


def test_a_first_line_that_the_server_refuses_leaves_nothing_to_publish():
    session = Session()
    session.begin(lines(2))
    refuse(session, 0, InvalidPublication("tick 0: too old"))
    session.server.lose()
    assert str(result(session.ended)) == "in, line 2: INVALID_MESSAGE: too old"
    assert session.publishing.totals.ticks == 0


def test_a_refusal_of_what_stands_above_a_refused_line_is_the_one_that_is_told():
    session = Session()
    session.begin(lines(9))
    session.reader.give(b"")
    refuse(session, 0, InvalidPublication("tick 7: too old"))
    assert session.sizes() == [9, 7]
    refuse(session, 1, InvalidPublication("tick 3: too many symbols"))
    assert session.sizes() == [3]
    assert not session.ended.called
    session.server.say(published(FIRST_ID + 2))
    session.server.lose()
    assert str(result(session.ended)) == "in, line 5: INVALID_MESSAGE: too many symbols"
    assert session.publishing.totals.ticks == 3


def test_what_is_published_of_the_refused_call_is_not_published_again():
    session = Session(PublisherLimits(session=SessionLimits(max_payload_bytes=400)))
    session.begin(lines(60))
    first, *others = session.sizes()
    assert len(others) == 2
    session.confirm()
    refuse(session, 1, InvalidPublication("tick 2: too old"))
    refuse(session, 2, OutOfTurn("not now"))
    (request,) = requests(session.server)
    assert [tick.price for tick in request.ticks] == [first + 1.0, first + 2.0]
    session.server.say(published(FIRST_ID + 3))
    session.server.lose()
    assert str(result(session.ended)) == f"in, line {first + 4}: INVALID_MESSAGE: too old"
    assert session.publishing.totals.ticks == first + 2


def test_a_refusal_of_no_line():
    session = Session()
    session.begin(lines(1))
    refuse(session, 0, MayNotPublish("this user may not publish"))
    session.server.lose()
    assert str(result(session.ended)) == "NOT_PERMITTED: this user may not publish"


def test_a_server_that_was_started_again_leaves_a_doubt():
    session = Session()
    session.begin(lines(1))
    session.server.lose()
    session.desk.clock.advance(0.25)
    session.desk.connect("another").lose()
    assert str(result(session.ended)) == (
        "INTERNAL_ERROR: the server was started again, so more may be published than is confirmed"
    )


def test_a_wrong_password_is_the_end():
    session = Session()
    session.reader.give(lines(1))
    server = session.desk.endpoint.accept()
    server.say(error_frame(InvalidAuth("wrong"), 5))
    server.lose()
    assert str(result(session.ended)) == "INVALID_AUTH: wrong"
    assert session.reader.stopped


def test_an_input_that_cannot_be_read():
    session = Session()
    session.begin(lines(1))
    session.reader.failed(OSError(5, "Input/output error"))
    assert not session.ended.called
    session.confirm()
    session.server.lose()
    assert str(result(session.ended)) == "in: Input/output error"


def test_who_is_interrupted_waits_for_the_answers_to_what_is_under_way():
    session = Session()
    session.begin(lines(MAX_CALLS * 1000 + 500))
    session.confirm(1)
    session.publishing.stop()
    assert session.reader.stopped
    assert session.waits == [1000]
    session.confirm(MAX_CALLS)
    assert session.close() is None
    assert session.publishing.totals.ticks == MAX_CALLS * 1000 + 500


def test_who_is_interrupted_with_nothing_under_way_is_told_of_no_wait():
    session = Session()
    session.begin(lines(1))
    session.confirm()
    session.publishing.stop()
    assert session.close() is None
    assert session.waits == []


def test_who_is_interrupted_does_not_wait_for_ever():
    session = Session()
    session.begin(lines(1))
    session.publishing.stop()
    session.desk.clock.advance(5.0)
    session.server.lose()
    assert result(session.ended) is None
    assert session.publishing.totals.ticks == 0


# The reader.


def test_a_reader_reads_once_a_call():
    reactor, taken = MemoryReactor(), []
    descriptor, other = os.pipe()
    reader = FileReader(reactor, descriptor, taken.append, taken.append)
    reader.resume()
    assert reactor.readers == {reader}
    os.write(other, b"abc")
    reader.doRead()
    assert (taken, reactor.readers) == ([b"abc"], set())
    os.close(other)
    reader.resume()
    reader.doRead()
    reader.connectionLost(Failure(Exception()))
    assert taken == [b"abc", b"", b""]
    os.close(descriptor)


def test_a_reader_tells_what_went_wrong():
    taken = []
    descriptor = os.open("/", os.O_RDONLY)
    FileReader(MemoryReactor(), descriptor, taken.append, taken.append).doRead()
    os.close(descriptor)
    assert [type(error) for error in taken] == [IsADirectoryError]


# The command.


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), (DEFAULT_ADDRESS, "-")),
        (("-",), (DEFAULT_ADDRESS, "-")),
        (("day.csv",), (DEFAULT_ADDRESS, "day.csv")),
        (("host:8080",), ("host:8080", "-")),
        (("host:8080", "day.csv"), ("host:8080", "day.csv")),
    ],
)
def test_one_argument_alone_is_what_it_looks_like(arguments, found):
    assert _arguments(arguments) == found


def test_a_file_with_a_colon_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:1").touch()
    assert _arguments(("a:1",)) == (DEFAULT_ADDRESS, "a:1")


LOGIN = {"STREAM_USER": "u", "STREAM_PASS": "p"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("a", "b", "c"), 2, "Got unexpected extra argument (c)"),
        (("/nonexistent.csv",), 1, "Error: /nonexistent.csv: No such file or directory"),
        (("/tmp",), 1, "Error: /tmp: it is a directory"),
        (("x.csv", "--format", "xml"), 2, "'xml' is not one of 'csv', 'json'."),
    ],
)
def test_mistakes_are_one_line(arguments, code, words):
    done = CliRunner().invoke(main, ["publish", *arguments], env=LOGIN)
    assert (done.exit_code, done.stdout) == (code, "")
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "Unknown endpoint type: '127.0.0.1'"),
        ("foo:bar", "Unknown endpoint type: 'foo'"),
        ("localhost:", "Unknown endpoint type: 'localhost'"),
        ("localhost:99999", "port '99999' is not 1 to 65535"),
    ],
)
def test_an_address_that_is_none_is_one_line(tmp_path, address, why):
    file = tmp_path / "day.csv"
    file.write_bytes(lines(1))
    done = CliRunner().invoke(main, ["publish", address, str(file)], env=LOGIN)
    assert (done.exit_code, done.stdout, done.stderr) == (
        1,
        "",
        f"tickstorm: address {address!r}: {why}\n",
    )


def test_the_summary():
    assert summary(Totals(1_500_000, 1501, 1), 12.0) == (
        "1,500,000 ticks, 1,501 requests, 12.0 s, 125,000 ticks/s, 1 repeated"
    )
    assert summary(Totals(), 0.0) == "0 ticks, 0 requests, 0.0 s, 0 ticks/s, 0 repeated"


def test_progress_is_for_terminals():
    for is_terminal, shown in ((False, False), (True, True)):
        output = io.StringIO()
        console = Console(file=output, force_terminal=is_terminal, width=80)
        with showing(console, 100) as show:
            show(50, Totals(7))
        assert ("7 ticks" in output.getvalue()) is shown
