"""Makes stocks.csv.gz, the bundled recording, from the daily prices in bokeh_sampledata.

    python make.py FOLDER/bokeh_sampledata/_data/stocks.csv.gz

It needs nothing but Python. ORIGIN.md says where the prices are from and what is made of them.
"""

import csv
import gzip
import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

FIRST_DAY = date(2011, 10, 3)
NEW_YORK = ZoneInfo("America/New_York")
OPEN, CLOSE = time(9, 30), time(16)
EARLY_CLOSE = time(13)
EARLY_CLOSES = {date(2011, 11, 25), date(2012, 7, 3), date(2012, 11, 23), date(2012, 12, 24)}
"""The days on which the exchanges closed at 13:00."""
LATE_OPENS = {("FB", date(2012, 5, 18)): time(11, 30)}
"""The first day of a listing, which began to trade later."""
HEADER = ("time", "symbol", "price", "volume", "bid", "ask")

Row = tuple[str, ...]


def prints(daily: Mapping[str, str]) -> Iterator[Row]:
    """Yield the opening and the closing print of one symbol on one day."""
    symbol, day = daily["Ticker"], date.fromisoformat(daily["Date"])
    opened = LATE_OPENS.get((symbol, day), OPEN)
    closed = EARLY_CLOSE if day in EARLY_CLOSES else CLOSE
    yield (_at(day, opened), symbol, daily["Open"], "", "", "")
    yield (_at(day, closed), symbol, daily["Close"], daily["Volume"], "", "")


def _at(day: date, clock: time) -> str:
    return datetime.combine(day, clock, NEW_YORK).isoformat()


def recording(days: Iterable[Mapping[str, str]]) -> bytes:
    """Return the recording as CSV, its rows ordered by time, then by symbol.

    Args:
        days: the daily prices, with the columns of bokeh_sampledata.
    """
    rows = [
        row
        for daily in days
        if date.fromisoformat(daily["Date"]) >= FIRST_DAY
        for row in prints(daily)
    ]
    rows.sort(key=lambda row: (datetime.fromisoformat(row[0]), row[1]))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
    return text.getvalue().encode()


def compressed(data: bytes) -> bytes:
    """Return the data as gzip, the same whenever it is made."""
    return gzip.compress(data, mtime=0)


def main(source: Path) -> None:
    """Write the recording beside this script."""
    with gzip.open(source, "rt", encoding="utf-8", newline="") as file:
        data = recording(csv.DictReader(file))
    Path(__file__).with_name("stocks.csv.gz").write_bytes(compressed(data))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
