"""The log: what twisted.logger publishes, as one JSON object a line or as text for people.

Writing an event never fails, whatever is in it; nothing in it can begin a new entry; and a field
that is named like a secret is masked, also inside other fields and wherever the message shows it.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from math import isfinite
from typing import IO, Any, Literal

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    PredicateResult,
    formatEvent,
)
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr
from zope.interface import implementer

MASK = "***"
MAX_DEPTH = 4
"""How deep lists and dictionaries inside a field are written."""

SAID_FORMAT = "log_said_format"
"""The key of the format that a text was made of before it came to this log."""

_SECRET = re.compile(r"pass(w|phrase|$)|token|secret|credential|private_?key", re.IGNORECASE)
_OF_LEGACY_EVENTS = frozenset({"format", "isError", "logLevel", "printed", "system", "why"})
_OURS = frozenset({"time", "level", "logger", "message", "failure"})
_RANKS = {level: rank for rank, level in enumerate(LogLevel.iterconstants())}
_COLOURS = {"warn": 33, "error": 31, "critical": 31}
_CONTROLS = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}

Line = Callable[[LogEvent], str]
"""Makes an event's entry, without the newline at its end."""


def observer(
    stream: IO[Any], format: Literal["json", "text"], threshold: "Threshold"
) -> ILogObserver:
    """Return what writes every event of a level, and of those above it.

    Args:
        stream: takes text, and is flushed after each entry. Under twistd this has to be the
            standard output as it was before the log began: from then on that goes to the log.
        format: one JSON object a line, or text for people.
        threshold: the level, as it is at each event.
    """
    line = json_line if format == "json" else _text_for(stream)
    written = FileLogObserver(stream, lambda event: _safely(line, event) + "\n")
    return FilteringLogObserver(written, [threshold])


def log_to(application: Componentized, observer: ILogObserver) -> None:
    """Have twistd log to this observer, in place of what its own options say.

    Call it before twistd starts its log: from the `setServiceParent` of the service that
    `makeService` returns, whose argument is the application.
    """
    application.setComponent(ILogObserver, observer)


def json_line(event: LogEvent) -> str:
    """Return an event as one JSON object in ASCII.

    It has time (ISO 8601, UTC, milliseconds), level, logger (the namespace) and message, then the
    event's own fields; a field of the event that has one of these names is left out. A failure's
    traceback is the field `failure`.
    """
    masked = without_secrets(event)
    entry = {
        "time": _time(masked),
        "level": _level(masked),
        "logger": _logger(masked),
        "message": _message(masked),
    }
    fields = {name: _plain(value) for name, value in _fields(masked).items()}
    traceback = _traceback(masked)
    return json.dumps({**entry, **({"failure": traceback} if traceback else {}), **fields})


def text_line(event: LogEvent, coloured: bool = False) -> str:
    """Return an event as text for people: one line, and indented ones for a failure's traceback.

    Fields that the message does not show stand behind it. Control characters are escaped.
    """
    masked = without_secrets(event)
    level = f"{_level(masked):8}"
    if coloured and _level(masked) in _COLOURS:
        level = f"\x1b[{_COLOURS[_level(masked)]}m{level}\x1b[0m"
    fields = "".join(f" {name}={_shown(_plain(value))}" for name, value in _unshown(masked).items())
    text = f"{_escaped(_logger(masked))}: {_escaped(_message(masked))}{_escaped(fields)}"
    traceback = "".join(f"\n    {_escaped(line)}" for line in _traceback(masked).splitlines())
    return f"{_time(masked) or '-'} {level} {text}{traceback}"


def _text_for(stream: IO[Any]) -> Line:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    coloured = hasattr(stream, "isatty") and stream.isatty()

    def line(event: LogEvent) -> str:
        return text_line(event, coloured).encode(encoding, "backslashreplace").decode(encoding)

    return line


def _safely(line: Line, event: LogEvent) -> str:
    try:
        return line(event)
    except Exception as error:
        return line(
            {
                "log_time": event.get("log_time"),
                "log_level": LogLevel.error,
                "log_namespace": __name__,
                "log_format": "an event could not be written: {error}",
                "error": safe_repr(error),
            }
        )


@implementer(ILogFilterPredicate)
class Threshold:
    """Lets every event of a level pass, and of those above it.

    Args:
        level: debug, info, warn, error or critical.

    Raises:
        InvalidLogLevelError: there is no such level.
    """

    def __init__(self, level: str) -> None:
        self.set(level)

    def set(self, level: str) -> None:
        """Let pass what another level says.

        Raises:
            InvalidLogLevelError: there is no such level.
        """
        self._least = _RANKS[LogLevel.levelWithName(level)]

    def __call__(self, event: LogEvent) -> Any:
        """Say whether an event is below the level; others may have more to say of those above."""
        return PredicateResult.maybe if _rank(event) >= self._least else PredicateResult.no


def _rank(event: LogEvent) -> int:
    level = event.get("log_level")
    return next((rank for known, rank in _RANKS.items() if known is level), _RANKS[LogLevel.info])


def _level(event: LogEvent) -> str:
    name: str = tuple(_RANKS)[_rank(event)].name
    return name


def _logger(event: LogEvent) -> str:
    return str(event.get("log_namespace") or "-")


def _time(event: LogEvent) -> str | None:
    try:
        time = datetime.fromtimestamp(event["log_time"], UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _failure(event: LogEvent) -> Failure | None:
    failure = event.get("log_failure", event.get("failure"))
    return failure if isinstance(failure, Failure) else None


def _traceback(event: LogEvent) -> str:
    failure = _failure(event)
    return failure.getTraceback().rstrip("\n") if failure is not None else ""


def _message(event: LogEvent) -> str:
    if "log_text" in event and _failure(event) is not None:  # of log.err: it has the traceback too
        return str(event.get("why") or "Unhandled Error")
    return formatEvent(event)


def _fields(event: LogEvent) -> dict[str, Any]:
    # Events of twisted.python.log carry its own keys, and so do those that passed its observers.
    taken = _OURS | _OF_LEGACY_EVENTS if "isError" in event else _OURS
    return {
        str(name): value
        for name, value in event.items()
        if name not in taken and not str(name).startswith("log_")
    }


def _unshown(event: LogEvent) -> dict[str, Any]:
    formats = f"{event.get('log_format')}{event.get(SAID_FORMAT, '')}"
    return {name: value for name, value in _fields(event).items() if f"{{{name}" not in formats}


# A subclass of a container has its own say in how it is shown, so only these are looked into.


def without_secrets(event: LogEvent) -> LogEvent:
    """Return an event in which what is named like a secret is MASK."""
    return {
        name: MASK if _is_secret(name) else _masked_value(value, MAX_DEPTH)
        for name, value in event.items()
    }


def _masked_value(value: Any, depth: int) -> Any:
    if type(value) not in (dict, list, tuple):
        return value
    if not depth:
        return "..."
    if isinstance(value, dict):
        return {
            name: MASK if _is_secret(name) else _masked_value(inner, depth - 1)
            for name, inner in value.items()
        }
    return type(value)(_masked_value(inner, depth - 1) for inner in value)


def _is_secret(name: object) -> bool:
    return isinstance(name, str | bytes) and bool(
        _SECRET.search(name if isinstance(name, str) else name.decode("latin-1"))
    )


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, bool):
        return value
    if type(value) is int:
        return value if abs(value) < 2**64 else hex(value)
    if type(value) is float and isfinite(value):
        return value
    if type(value) is dict:
        return {_key(name): _plain(inner) for name, inner in value.items()}
    if type(value) in (list, tuple):
        return [_plain(inner) for inner in value]
    return safe_repr(value)


def _key(name: object) -> str:
    return name if isinstance(name, str) else safe_repr(name)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _escaped(text: str) -> str:
    return text.translate(_CONTROLS)
