"""Recordings, line by line: every good row is its tick, every bad one names its line."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.errors import SourceError
from tickstorm.sources.recording import MAX_LINE_BYTES, read_ticks, read_time
from tickstorm.ticks import MAX_PRICE, MAX_VOLUME, MIN_PRICE, Tick

HEADER = b"time,symbol,price,volume,bid,ask\n"
PLAIN = b"time,symbol,price\n"


def ticks(*lines):
    return list(read_ticks(lines, "a.csv"))


def error(*lines):
    with pytest.raises(SourceError) as caught:
        ticks(*lines)
    return str(caught.value)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([HEADER, b"5,AAPL,1.5,7,1.4,1.6\n"], Tick("AAPL", 1.5, 7.0, 5_000_000_000, 1.4, 1.6)),
        ([HEADER, b"5,AAPL,1.5,,,"], Tick("AAPL", 1.5, 0.0, 5_000_000_000)),
        ([b"price,time,symbol", b"1.5,5,AAPL"], Tick("AAPL", 1.5, 0.0, 5_000_000_000)),
        ([b"ask,symbol,price,time", b"2,A,1,5"], Tick("A", 1.0, 0.0, 5_000_000_000, 0.0, 2.0)),
        ([b"\xef\xbb\xbftime,symbol,price\r\n", b"5,A,1\r\n"], Tick("A", 1.0, 0.0, 5 * 10**9)),
        ([b" time , symbol, price", b' 5 ," A ","1"'], Tick("A", 1.0, 0.0, 5_000_000_000)),
        ([b"\n", b"time,symbol,price\n", b"\n", b"5,A,1\n", b"\n"], Tick("A", 1.0, 0.0, 5 * 10**9)),
        ([HEADER, b"5,A,1e2,+.5,0,0"], Tick("A", 100.0, 0.5, 5_000_000_000)),
    ],
)
def test_a_row_is_a_tick(lines, expected):
    assert ticks(*lines) == [expected]


def test_rows_keep_their_order_and_may_share_a_time():
    lines = [b"time,symbol,price", b"5,B,1", b"5,A,2", b"5,B,3", b"6,A,4"]
    assert [(tick.symbol, tick.price) for tick in ticks(*lines)] == [
        ("B", 1.0),
        ("A", 2.0),
        ("B", 3.0),
        ("A", 4.0),
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "line 1: the file ends before the first row"),
        ([HEADER], "line 2: the file ends before the first row"),
        ([HEADER, b"\n"], "line 3: the file ends before the first row"),
        ([b"time,symbol,volume\n"], "line 1: column 'price' is missing"),
        ([b"time,symbol,price,time\n"], "line 1: column 'time' is there twice"),
        (
            [b"time,symbol,price,size\n"],
            "line 1: column 'size' is none of time, symbol, price, volume, bid, ask",
        ),
        ([b"5,A,1\n"], "line 1: column '5' is none of time, symbol, price, volume, bid, ask"),
        ([HEADER, b"5,A,1\n"], "line 2: 3 fields do not fit 6 columns"),
        ([HEADER, b"5,A,1,,,,\n"], "line 2: 7 fields do not fit 6 columns"),
        ([HEADER, b"5,A,x,,,\n"], "line 2: price 'x' is not a number"),
        ([HEADER, b"5,A,,,,\n"], "line 2: price '' is not a number"),
        ([HEADER, b"5,A,nan,,,\n"], "line 2: price 'nan' is not a number"),
        ([HEADER, b"5,A,-inf,,,\n"], "line 2: price '-inf' is not a number"),
        ([HEADER, b"5,A,1_0,,,\n"], "line 2: price '1_0' is not a number"),
        ([HEADER, b"5,A,1e999,,,\n"], "line 2: price inf is not 0.0001 to 1000000"),
        ([HEADER, b"5,A,-1,,,\n"], "line 2: price -1.0 is not 0.0001 to 1000000"),
        ([HEADER, b"5,A,0,,,\n"], "line 2: price 0.0 is not 0.0001 to 1000000"),
        ([HEADER, b"5,A,1000001,,,\n"], "line 2: price 1000001.0 is not 0.0001 to 1000000"),
        ([HEADER, b"5,A,1,-1,,\n"], "line 2: volume -1.0 is not 0 to 1000000000"),
        ([HEADER, b"5,A,1,NaN,,\n"], "line 2: volume 'NaN' is not a number"),
        ([HEADER, b"5,A,1,,inf,\n"], "line 2: bid 'inf' is not a number"),
        ([HEADER, b"5,A,1,,,-2\n"], "line 2: ask -2.0 is neither 0 nor 0.0001 to 1000000"),
        ([HEADER, b"5,a,1,,,\n"], "line 2: symbol 'a' is not 1 to 16 of A-Z 0-9 . _ -"),
        ([HEADER, b"5,,1,,,\n"], "line 2: symbol '' is not 1 to 16 of A-Z 0-9 . _ -"),
        ([HEADER, b"soon,A,1,,,\n"], "line 2: time 'soon' is neither ISO 8601 nor a number since"),
        ([HEADER, b"5,A,1,,,\n", b"4,A,1,,,\n"], "line 3: time '4' is before that of the row"),
        ([HEADER, b"5,\xff,1,,,\n"], "line 2: byte 3 of the line is not UTF-8"),
        ([HEADER, b'5,"A,1,,,\n'], "line 2: not CSV: "),
        ([HEADER, b"5,A\r5,1,,,\n"], "line 2: not CSV: "),
        ([b"x" * (MAX_LINE_BYTES + 1)], f"line 1: more than {MAX_LINE_BYTES} bytes in a line"),
        ([HEADER, b"5,A,1,,,\n", b"\n", b"5,A,x,,,\n"], "line 4: price 'x' is not a number"),
    ],
)
def test_a_bad_line_is_named(lines, expected):
    message = error(*lines)
    assert message.startswith(f"a.csv, {expected}")
    assert "\n" not in message


def test_the_rows_before_a_bad_one_are_given():
    rows = read_ticks([b"time,symbol,price", b"5,A,1", b"5,A,0"], "a.csv")
    assert next(rows) == Tick("A", 1.0, 0.0, 5_000_000_000)
    with pytest.raises(SourceError, match=r"a\.csv, line 3: price 0"):
        next(rows)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1", 1_000_000_000),
        ("99999999999", 99_999_999_999 * 10**9),
        ("100000000000", 100_000_000_000 * 10**6),
        ("99999999999999", 99_999_999_999_999 * 10**6),
        ("100000000000000", 100_000_000_000_000 * 10**3),
        ("99999999999999999", 99_999_999_999_999_999 * 10**3),
        ("100000000000000000", 100_000_000_000_000_000),
        ("9223372036854775807", 2**63 - 1),
        ("1337347800.123456789", 1_337_347_800_123_456_789),
        ("1337347800123.5", 1_337_347_800_123_500_000),
        ("2012-05-18T09:30:00-04:00", 1_337_347_800_000_000_000),
        ("2012-05-18T13:30:00Z", 1_337_347_800_000_000_000),
        ("2012-05-18 13:30:00+00:00", 1_337_347_800_000_000_000),
        ("20120518T133000Z", 1_337_347_800_000_000_000),
        ("2012-05-18T13:30:00.5Z", 1_337_347_800_500_000_000),
        ("2012-05-18T13:30:00,123456Z", 1_337_347_800_123_456_000),
        ("2012-05-18T13:30:00.123456789Z", 1_337_347_800_123_456_789),
    ],
)
def test_times(text, time_ns):
    if time_ns <= 2**63 - 1:
        assert read_time(text) == time_ns
    else:
        with pytest.raises(ValueError, match="is not after 1970 and before 2262"):
            read_time(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is neither"),
        ("-5", "is neither"),
        ("1e9", "is neither"),
        ("nan", "is neither"),
        ("12345678901234567890", "is neither"),
        ("2012-05-18T25:30:00Z", "is neither"),
        ("2012-05-18T13:30:00", "has no zone"),
        ("2012-05-18", "has no zone"),
        ("0", "is not after 1970"),
        ("1969-12-31T23:59:59Z", "is not after 1970"),
        ("0001-01-01T00:00:00+23:59", "is not after 1970"),
        ("9999-12-31T23:59:59-23:59", "is not after 1970 and before 2262"),
        ("\u0665", "is neither"),
    ],
)
def test_times_that_are_none(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_time(text)


@given(st.datetimes(datetime(1970, 1, 2), datetime(2262, 1, 1), timezones=st.timezones()))
def test_any_iso_time_is_exact(time):
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds
    assert read_time(time.isoformat()) == microseconds * 1000


def prices():
    return st.floats(MIN_PRICE, MAX_PRICE)


TICKS = st.builds(
    Tick,
    symbol=st.from_regex(r"\A[A-Z0-9._-]{1,16}\Z"),
    price=prices(),
    volume=st.floats(0, MAX_VOLUME),
    timestamp_ns=st.integers(10**17, 2**63 - 1),
    bid=st.just(0.0) | prices(),
    ask=st.just(0.0) | prices(),
    bid_size=st.just(0),
    ask_size=st.just(0),
    metadata=st.just({}),
)


@given(st.lists(TICKS, min_size=1), st.permutations(range(6)))
def test_what_is_written_is_read(written, order):
    written.sort(key=lambda tick: tick.timestamp_ns)
    columns = ("time", "symbol", "price", "volume", "bid", "ask")
    lines = [",".join(columns[at] for at in order).encode()]
    for tick in written:
        fields = (tick.timestamp_ns, tick.symbol, *map(repr, tick[1:3]), tick.bid, tick.ask)
        lines.append(",".join(str(fields[at]) for at in order).encode())
    assert ticks(*lines) == written


@given(st.lists(st.binary(max_size=40) | st.just(b"5,A,1")))
def test_any_bytes_are_rows_or_our_error(lines):
    with suppress(SourceError):
        assert all(tick == Tick("A", 1.0, 0.0, 5 * 10**9) for tick in ticks(PLAIN, *lines))
