"""A recording of ticks as CSV: lines to ticks. Pure.

The first line names the columns, in any order: `time`, `symbol` and `price`, and if they are there
`volume`, `bid` and `ask`, which may be empty. Times never go back.

A time is ISO 8601 with its zone (`2012-05-18T09:30:00.25-04:00`), or a number since the Unix epoch
whose size says its unit: below 10^11 seconds, below 10^14 milliseconds, below 10^17 microseconds,
else nanoseconds. (10^11 seconds are in the year 5138, 10^11 milliseconds in March 1973.)
"""

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from tickstorm.errors import InvalidTick, SourceError
from tickstorm.ticks import MAX_WHOLE, Tick, validate

MAX_LINE_BYTES = 4096
NEEDED = ("time", "symbol", "price")
OPTIONAL = ("volume", "bid", "ask")

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_EPOCH_TIME = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,9})?")
_FRACTION = re.compile(r"(.*:[0-9]{2})[.,]([0-9]{1,9})([^0-9].*)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 40
"""How many characters of a bad field an error repeats."""


def read_time(text: str) -> int:
    """Return a time in nanoseconds since the Unix epoch; the module says how it is written.

    Raises:
        ValueError: it is no such time, has no zone, or is not after 1970 and before 2262.
    """
    epoch_time = _EPOCH_TIME.fullmatch(text)
    time_ns = _from_number(Decimal(text)) if epoch_time else _from_iso(text)
    if not 0 < time_ns <= MAX_WHOLE:
        raise ValueError(f"time {text[:_SHOWN]!r} is not after 1970 and before 2262")
    return time_ns


def _from_number(time: Decimal) -> int:
    if time < 10**11:
        return int(time * 10**9)
    if time < 10**14:
        return int(time * 10**6)
    if time < 10**17:
        return int(time * 10**3)
    return int(time)


def _from_iso(text: str) -> int:
    fraction = _FRACTION.fullmatch(text)  # datetime would keep only microseconds
    whole, nanoseconds = text, 0
    if fraction is not None:
        whole, nanoseconds = fraction[1] + fraction[3], int(fraction[2].ljust(9, "0"))
    try:
        time = datetime.fromisoformat(whole)
    except ValueError:
        raise ValueError(
            f"time {text[:_SHOWN]!r} is neither ISO 8601 nor a number since the epoch"
        ) from None
    if time.tzinfo is None:
        raise ValueError(f"time {text[:_SHOWN]!r} has no zone")
    since = time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000 + nanoseconds


def read_number(column: str, text: str) -> float:
    """Return the number in a field.

    Raises:
        ValueError: it is none; the message names the column.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{column} {text[:_SHOWN]!r} is not a number")
    return float(text)


class RowParser:
    """Makes ticks of lines, one at a time: the first is the header."""

    def __init__(self) -> None:
        self._columns: tuple[str, ...] = ()
        self._last_ns = 0

    def parse(self, line: bytes) -> Tick | None:
        """Return the tick of a line; None for the header, and for one with nothing in it.

        Raises:
            ValueError: the line is too long, not UTF-8, not CSV, or does not fit the header; or a
                field is not what its column says.
            InvalidTick: a value is outside its limits.
        """
        fields = split_row(line, "utf-8" if self._columns else "utf-8-sig")
        if not any(fields):
            return None
        if not self._columns:
            self._columns = _read_header(fields)
            return None
        return self._read_row(fields)

    def _read_row(self, fields: list[str]) -> Tick:
        if len(fields) != len(self._columns):
            raise ValueError(f"{len(fields)} fields do not fit {len(self._columns)} columns")
        values = dict(zip(self._columns, fields, strict=True))
        time_ns = read_time(values["time"])
        price = read_number("price", values["price"])
        volume, bid, ask = (
            read_number(column, values[column]) if values.get(column) else 0.0
            for column in OPTIONAL
        )
        tick = Tick(values["symbol"], price, volume, time_ns, bid, ask)
        validate(tick)
        if time_ns < self._last_ns:
            raise ValueError(f"time {values['time']!r} is before that of the row above")
        self._last_ns = time_ns
        return tick


def split_row(line: bytes, encoding: str) -> list[str]:
    """Return the fields of a line, without the spaces around them.

    Raises:
        ValueError: it is longer than MAX_LINE_BYTES, or not CSV in this encoding.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"more than {MAX_LINE_BYTES} bytes in a line")
    try:
        rows = list(csv.reader((line.decode(encoding).rstrip("\r\n"),), strict=True))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of the line is not UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None
    return [field.strip() for row in rows for field in row]


def _read_header(fields: list[str]) -> tuple[str, ...]:
    known = (*NEEDED, *OPTIONAL)
    for column in fields:
        if column not in known:
            raise ValueError(f"column {column[:_SHOWN]!r} is none of {', '.join(known)}")
        if fields.count(column) > 1:
            raise ValueError(f"column {column!r} is there twice")
    for column in NEEDED:
        if column not in fields:
            raise ValueError(f"column {column!r} is missing")
    return tuple(fields)


def read_ticks(lines: Iterable[bytes], name: str) -> Iterator[Tick]:
    """Yield the ticks of a recording, whose times are its own and never go back.

    Args:
        lines: the header and the rows, with or without their line ends.
        name: names the recording in errors.

    Raises:
        SourceError: a line cannot be used, or there are no rows; says which and why.
    """
    parser = RowParser()
    number = ticks = 0
    for number, line in enumerate(lines, 1):
        try:
            tick = parser.parse(line)
        except (ValueError, InvalidTick) as error:
            raise SourceError(f"{name}, line {number}: {error}") from None
        if tick is not None:
            ticks += 1
            yield tick
    if not ticks:
        raise SourceError(f"{name}, line {number + 1}: the file ends before the first row")
