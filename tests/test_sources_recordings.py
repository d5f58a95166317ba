"""The bundled recording: what it holds, and that its script makes it."""

import gzip
import hashlib
from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tickstorm.sources.recording_file import read_recording
from tickstorm.sources.recordings.make import compressed, recording
from tickstorm.sources.replay import BUNDLED

NEW_YORK = ZoneInfo("America/New_York")


def ticks():
    return list(read_recording(BUNDLED, "bundled"))


def test_five_symbols_and_some_thousands_of_prints():
    assert Counter(tick.symbol for tick in ticks()) == {
        "AAPL": 708,
        "FB": 392,
        "GOOG": 708,
        "IBM": 708,
        "MSFT": 708,
    }


def test_prices_are_those_of_their_day_unadjusted():
    low_high = {}
    for tick in ticks():
        low, high = low_high.get(tick.symbol, (tick.price, tick.price))
        low_high[tick.symbol] = (min(low, tick.price), max(high, tick.price))
    assert low_high == {
        "AAPL": (363.57, 702.41),
        "FB": (17.729, 42.05),
        "GOOG": (490.03, 806.85),
        "IBM": (171.54, 211.15),
        "MSFT": (24.3, 32.91),
    }


def test_prints_are_at_the_hours_of_the_exchanges_with_the_volume_on_the_close():
    hours = Counter()
    for tick in ticks():
        time = datetime.fromtimestamp(tick.timestamp_ns // 10**9, UTC).astimezone(NEW_YORK)
        hours[time.strftime("%H:%M"), tick.volume > 0] += 1
    assert hours == {
        ("09:30", False): 1611,
        ("11:30", False): 1,
        ("13:00", True): 19,
        ("16:00", True): 1593,
    }


def test_it_is_the_one_that_its_origin_describes():
    digest = hashlib.sha256(gzip.decompress(BUNDLED.read_bytes())).hexdigest()
    assert digest in BUNDLED.with_name("ORIGIN.md").read_text()


def day(symbol, date, opened, closed, volume):
    return {"Ticker": symbol, "Date": date, "Open": opened, "Close": closed, "Volume": volume}


def test_the_script_makes_two_prints_of_a_day():
    days = [
        day("FB", "2012-05-18", "42.05", "38.2318", "573576400"),
        day("FB", "2012-12-24", "26.93", "26.93", "8828300"),
        day("AAPL", "2011-09-30", "1", "1", "1"),
        day("AAPL", "2012-05-18", "533.96", "530.38", "26153300"),
    ]
    assert recording(days).decode().splitlines() == [
        "time,symbol,price,volume,bid,ask",
        "2012-05-18T09:30:00-04:00,AAPL,533.96,,,",
        "2012-05-18T11:30:00-04:00,FB,42.05,,,",
        "2012-05-18T16:00:00-04:00,AAPL,530.38,26153300,,",
        "2012-05-18T16:00:00-04:00,FB,38.2318,573576400,,",
        "2012-12-24T09:30:00-05:00,FB,26.93,,,",
        "2012-12-24T13:00:00-05:00,FB,26.93,8828300,,",
    ]


def test_the_script_zips_without_the_time_of_day():
    assert compressed(b"data")[4:8] == b"\0\0\0\0"
    assert gzip.decompress(compressed(b"data")) == b"data"
