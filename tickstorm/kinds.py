"""What a setting may be: how its value is read from text, checked, and written down again.

A check takes a value as TOML has it and returns it as `Settings` has it; whatever it returns is in
its range. Text, from the environment or an option, is first read to what TOML would have.
"""

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from ipaddress import ip_network
from typing import Any, NamedTuple

from tickstorm.auction.permits import read_bid_right
from tickstorm.descriptions import from_address, parse_description
from tickstorm.publishing import read_right

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h)")
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
PEM = "-----BEGIN"
"""How the contents of a key begin: never in a path, and never to be shown."""

MAX_WORKERS = 1024
_MAX_SHOWN = 100
"""Characters of a wrong value that an error repeats."""

_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class Kind(NamedTuple):
    """What a value may be.

    Attributes:
        allowed: the same for people, to stand behind "is not".
        check: takes what TOML gave; raises ValueError if that is not allowed.
        read: takes text and returns what TOML would give; raises ValueError if it cannot.
    """

    allowed: str
    check: Callable[[Any], Any]
    read: Callable[[str], Any] = str


def whole(low: int, high: int, unit: str = "") -> Kind:
    """A whole number of `unit`, within these bounds."""

    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"a whole number{unit and ' of '}{unit} from {low} to {high}", check, int)


def duration(low: float, high: float) -> Kind:
    """A time in seconds, within these bounds; in text with units, or a number of seconds."""

    def check(value: object) -> float:
        seconds = _seconds(value)
        if not low <= seconds <= high:
            raise ValueError
        return float(seconds)

    bounds = f'"{duration_text(low)}" to "{duration_text(high)}"'
    return Kind(f"a duration from {bounds}, or a number of seconds", check)


def milliseconds(kind: Kind) -> Kind:
    """Return a duration of which a number without unit counts milliseconds."""

    def read(text: str) -> str:
        return f"{text}ms" if _NUMBER.fullmatch(text) else text

    allowed = kind.allowed.replace("number of seconds", "number of milliseconds")
    return Kind(allowed, kind.check, read)


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = _text(value)
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise ValueError
    parts = _DURATION_PART.findall(text)
    return sum(float(number) * _UNITS_MS[unit] for number, unit in parts) / 1000


def duration_text(seconds: float) -> str:
    """Write a time as `duration` reads it."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.12g}ms"
    return f"{seconds:.12g}s"


def one_of(values: Mapping[str, object], also: Mapping[str, str] = {}) -> Kind:
    """One of these names, in any case; `also` has other spellings of them, in lower case."""

    def check(value: object) -> object:
        name = _text(value).lower()
        name = also.get(name, name)
        if name not in values:
            raise ValueError
        return values[name]

    return Kind(f"one of {', '.join(map(json.dumps, values))}", check)


def word(*words: str, also: Mapping[str, str] = {}) -> Kind:
    """One of these words; see `one_of`."""
    return one_of({word: word for word in words}, also)


def matching(pattern: str, allowed: str) -> Kind:
    """Text, the whole of which matches."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(value: object) -> str:
        text = _text(value)
        if not compiled.fullmatch(text):
            raise ValueError
        return text

    return Kind(allowed, check)


def list_of(check_item: Callable[[str], object], allowed: str, between: str, least: int) -> Kind:
    """At least so many pieces of text that `check_item` takes.

    In text they stand between the characters in `between`.
    """

    def check(value: object) -> tuple[object, ...]:
        if not isinstance(value, list | tuple) or len(value) < least:
            raise ValueError
        return tuple(check_item(_text(item)) for item in value)

    def read(text: str) -> list[str]:
        return [item for item in re.split(f"[{between}]+", text) if item]

    return Kind(allowed, check, read)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - a wrong type is as wrong as a wrong value
    return value


def _read_flag(text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise ValueError
    return _FLAGS[text.lower()]


def _check_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - a wrong type is as wrong as a wrong value
    return value


def _check_description(text: str) -> str:
    if PEM in text:
        raise ValueError
    parse_description(text)
    return text


def _check_http(value: object) -> str:
    text = _text(value)
    return "" if text in ("", "off") else _check_description(text)


_GO_CLIENT_AUTH = {
    "noclientcert": "none",
    "request": "optional",
    "requestclientcert": "optional",
    "verify": "optional",
    "verifyclientcertifgiven": "optional",
    "requireanyclientcert": "require",
    "require_verify": "require",
    "requireandverifyclientcert": "require",
}
"""Go's names. A certificate that is shown is verified here, also where Go would take any."""


def _check_workers(value: object) -> int | str:
    if value == "auto" or (type(value) is int and 0 <= value <= MAX_WORKERS):
        return value
    raise ValueError


WORKERS = Kind(
    f'a number from 0 to {MAX_WORKERS}, or "auto"',
    _check_workers,
    lambda text: int(text) if text.isdecimal() else text,
)
FLAG = Kind("true or false", _check_flag, _read_flag)
CLIENT_AUTH = word("none", "optional", "require", also=_GO_CLIENT_AUTH)
PATH = matching(rf"(?!.*{PEM})[^\0\n]*", "the path of a file")
REDIS_URL = matching(
    r"|rediss?(\+sentinel|\+cluster)?://[^\0\s]+",
    "a URL: redis://HOST, redis+sentinel://HOST,HOST/MASTER or redis+cluster://HOST,HOST, each "
    "also with rediss for TLS",
)
PORTS = list_of(
    _check_description, 'a list of endpoints such as "tcp:8080:interface=127.0.0.1"', r"\s;", 1
)
AUCTION_PORTS = list_of(
    _check_description, 'a list of endpoints such as "tcp:8081:interface=127.0.0.1"', r"\s;", 0
)
PORT_OR_OFF = Kind('an endpoint such as "tcp:9090:interface=127.0.0.1", or "off"', _check_http)
ADDRESS = Kind(
    'an address and a port such as "0.0.0.0:8080", ":8080" or "[::]:8080"',
    PORTS.check,
    lambda text: [from_address(text)],
)
SOURCES = list_of(
    matching(r"[a-z][a-z0-9_-]*:.*", "").check,
    'a list of sources such as "walk:" or "replay:FILE"',
    r"\s;",
    0,
)
PUBLISH_RIGHTS = list_of(
    read_right,
    'a list of users and what they may publish, such as "alice:*" or "bob:EUR*,GBPUSD"',
    r"\s;",
    0,
)
BID_RIGHTS = list_of(
    read_bid_right,
    'a list of logins and the users that they may bid for, such as "alice:42,43" or "bob:*"',
    r"\s;",
    0,
)
NETWORKS = list_of(
    ip_network, 'a list of networks such as "10.0.0.0/8" or "2001:db8::/32"', r"\s,", 0
)


def toml(value: object) -> str:
    """Write a value of `Settings` down as TOML has it, in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return json.dumps(duration_text(value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    text = value.value if isinstance(value, Enum) else str(value)
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def shortened(text: str) -> str:
    """Return what an error repeats of a text."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
