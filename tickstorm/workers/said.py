"""A worker's log: what is said there is said by the parent, so that there is one log."""

from collections.abc import Callable
from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    formatEvent,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from tickstorm.log import SAID_FORMAT, Threshold, without_secrets
from tickstorm.workers.link import Said

_TAKEN = frozenset({"text", "worker", "level", "format"})
"""What the parent's own event has, or `Logger.emit` takes."""


def said_observer(send: Callable[[Said], object], threshold: Threshold) -> ILogObserver:
    """Return what sends every event of a level, and of those above it, to the parent."""
    return FilteringLogObserver(_Sender(send), [threshold])


def say(said: Said, worker: int) -> None:
    """Log here what a worker has said."""
    Logger(said.namespace).emit(
        LogLevel.levelWithName(said.level), "{text}", text=said.text, worker=worker, **said.fields
    )


@implementer(ILogObserver)
class _Sender:
    def __init__(self, send: Callable[[Said], object]) -> None:
        self._send = send

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level", LogLevel.info)
        namespace = str(event.get("log_namespace") or "-")
        self._send(Said(level.name, namespace, formatEvent(without_secrets(event)), _fields(event)))


def _fields(event: LogEvent) -> dict[str, Any]:
    fields = {
        name: value
        for name, value in event.items()
        if not name.startswith("log_")
        and name not in _TAKEN
        and type(value) in (str, int, float, bool, type(None))
    }
    fields[SAID_FORMAT] = str(event.get("log_format"))
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        fields["traceback"] = failure.getTraceback()
    return fields
