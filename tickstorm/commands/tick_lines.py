"""Ticks as producers write them, a line each: CSV with a header, or JSON objects. Pure.

What a line leaves out is unknown. A time that is left out, empty or `now` is the server's when it
publishes the tick; else it is written as in a recording (`tickstorm.sources.recording`).
"""

import json
from collections.abc import Mapping
from enum import Enum, unique
from pathlib import PurePath
from typing import Any, Protocol

from tickstorm.errors import InvalidTick
from tickstorm.sources.recording import MAX_LINE_BYTES, read_number, read_time, split_row
from tickstorm.ticks import NO_METADATA, Tick, validate

NEEDED = ("symbol", "price")
NUMBERS = ("volume", "bid", "ask")
SIZES = ("bid_size", "ask_size")
TIMES = ("time", "timestamp_ms", "timestamp_ns")
CSV_COLUMNS = ("time", *NEEDED, *NUMBERS, *SIZES)
JSON_KEYS = (*TIMES, *NEEDED, *NUMBERS, *SIZES, "metadata")
MAX_JSON_BYTES = 65_536
"""A line may be this long: metadata takes room."""
NOW = "now"

_SHOWN = 40
"""How many characters of a bad field an error repeats."""


@unique
class Format(Enum):
    """How ticks are written."""

    CSV = "csv"
    JSON = "json"


_SUFFIXES = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSON,
    ".ndjson": Format.JSON,
}


class TickParser(Protocol):
    """Makes ticks of lines."""

    max_line_bytes: int
    """No line is longer."""

    def parse(self, line: bytes) -> Tick | None:
        """Return the tick of a line; None for a header, and for one with nothing in it.

        Raises:
            ValueError: the line cannot be read; the message says why.
            InvalidTick: a value is outside its limits.
        """


def format_of_name(name: str) -> Format | None:
    """Return the format that a file's name tells, compressed or not; None if it tells none."""
    return _SUFFIXES.get(PurePath(name.lower().removesuffix(".gz")).suffix)


def format_of_line(line: bytes) -> Format:
    """Return the format of a first line that is not empty."""
    return Format.JSON if line.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" else Format.CSV


def parser(format: Format) -> TickParser:
    """Return what reads a format."""
    return CsvTicks() if format is Format.CSV else JsonTicks()


class CsvTicks:
    """Ticks as CSV: the first line names the columns, in any order."""

    max_line_bytes = MAX_LINE_BYTES

    def __init__(self) -> None:
        self._columns: tuple[str, ...] = ()

    def parse(self, line: bytes) -> Tick | None:
        """Return the tick of a line; None for the header, and for one with nothing in it."""
        fields = split_row(line, "utf-8" if self._columns else "utf-8-sig")
        if not any(fields):
            return None
        if not self._columns:
            self._columns = _read_header(fields)
            return None
        if len(fields) != len(self._columns):
            raise ValueError(f"{len(fields)} fields do not fit {len(self._columns)} columns")
        return _read_row(dict(zip(self._columns, fields, strict=True)))


def _read_header(fields: list[str]) -> tuple[str, ...]:
    for column in fields:
        if column not in CSV_COLUMNS:
            raise ValueError(f"column {column[:_SHOWN]!r} is none of {', '.join(CSV_COLUMNS)}")
        if fields.count(column) > 1:
            raise ValueError(f"column {column!r} is there twice")
    for column in NEEDED:
        if column not in fields:
            raise ValueError(f"column {column!r} is missing")
    return tuple(fields)


def _read_row(row: Mapping[str, str]) -> Tick:
    time = row.get("time", "")
    volume, bid, ask = (read_number(key, row[key]) if row.get(key) else 0.0 for key in NUMBERS)
    bid_size, ask_size = (_read_size(key, row.get(key, "")) for key in SIZES)
    tick = Tick(
        row["symbol"],
        read_number("price", row["price"]),
        volume,
        0 if time in ("", NOW) else read_time(time),
        bid,
        ask,
        bid_size,
        ask_size,
    )
    validate(tick)
    return tick


def _read_size(column: str, text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < _SHOWN):
        raise ValueError(f"{column} {text[:_SHOWN]!r} is not a whole number")
    return int(text)


class JsonTicks:
    """Ticks as JSON: a line is an object with the fields of a tick as its keys."""

    max_line_bytes = MAX_JSON_BYTES

    def parse(self, line: bytes) -> Tick | None:
        """Return the tick of a line; None for one with nothing in it."""
        if not line.strip():
            return None
        found = _loaded(line)
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - a line is a value, not a type
        for key in found:
            if key not in JSON_KEYS:
                raise ValueError(f"key {key[:_SHOWN]!r} is none of {', '.join(JSON_KEYS)}")
        return _read_object({key: value for key, value in found.items() if value is not None})


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of the line is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None


def _read_object(found: Mapping[str, Any]) -> Tick:
    for key in NEEDED:
        if key not in found:
            raise ValueError(f"key {key!r} is missing")
    for key in ("price", *NUMBERS, *SIZES):
        if isinstance(found.get(key), bool):  # which Python takes for a number
            raise ValueError(f"{key} is true or false, not a number")  # noqa: TRY004 - as above
    tick = Tick(
        found["symbol"],
        found["price"],
        found.get("volume", 0.0),
        _read_json_time(found),
        found.get("bid", 0.0),
        found.get("ask", 0.0),
        found.get("bid_size", 0),
        found.get("ask_size", 0),
        found.get("metadata") or NO_METADATA,
    )
    validate(tick)
    return tick


def _read_json_time(found: Mapping[str, Any]) -> int:
    given = [key for key in TIMES if key in found]
    if len(given) > 1:
        raise ValueError(f"{given[0]} and {given[1]} are both there")
    if not given:
        return 0
    (key,) = given
    value = found[key]
    if key == "time":
        return 0 if value in ("", NOW) else read_time(str(value))
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidTick(f"{key} {str(value)[:_SHOWN]!r} is not a whole number")
    return value if key == "timestamp_ns" else value * 1_000_000
