"""What producers write, a line each, to ticks: CSV and JSON."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.commands.tick_lines import (
    CsvTicks,
    Format,
    JsonTicks,
    format_of_line,
    format_of_name,
)
from tickstorm.errors import InvalidTick, TickstormError
from tickstorm.ticks import Tick

TIME = "2026-01-02T03:04:05.000000006Z"
TIME_NS = 1_767_323_045_000_000_006
LONG = "7" * 100


def parsed(parser, *lines):
    return [parser.parse(line.encode()) for line in lines]


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
        (["symbol,price,bid_size", "ACME,1,\u0661"], "bid_size '\u0661' is not a whole number"),
        (["symbol,price,bid_size", f"ACME,1,{LONG}"], f"bid_size '{'7' * 40}' is not a whole"),
        ([f"symbol,price,{LONG}"], f"column '{'7' * 40}' is none of"),
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


def test_json_behind_a_byte_order_mark():
    assert parsed(JsonTicks(), '\ufeff{"symbol":"ACME","price":1.5}') == [Tick("ACME", 1.5)]


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
        (f'{{"symbol":"ACME","price":1,"{LONG}":1}}', f"key '{'7' * 40}' is none of"),
        (f'{{"symbol":"A","price":1,"timestamp_ms":"{LONG}"}}', f"timestamp_ms '{'7' * 40}' is"),
        ('{"symbol":"ACME","price":1,"timestamp_ms":true}', "timestamp_ms 'True' is not a whole"),
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
