r"""The arguments of a source: `FILE:key=value:key=value`, read in one way for all of them. Pure.

Colons separate; a backslash takes the character behind it as it is (`\:`, `\=`, `\\`), as in the
endpoint strings of Twisted. The first argument may be without a key; all others have one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from tickstorm.errors import SourceError

T = TypeVar("T")
D = TypeVar("D")

_ARGUMENT = re.compile(r"(?:[^\\:]|\\.)*", re.DOTALL)
_KEY_VALUE = re.compile(r"((?:[^\\=]|\\.)*)=(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SHOWN = 64
"""How many characters of a bad argument an error repeats."""


class Kind(NamedTuple, Generic[T]):
    """What a value may be.

    Attributes:
        read: makes the value of its text, or raises ValueError.
        allowed: for people, behind "is not": what `read` takes.
    """

    read: Callable[[str], T]
    allowed: str


def number(low: float, high: float) -> Kind[float]:
    """Return the kind of the numbers from `low` to `high`, both included."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # NaN is not, either
            raise ValueError(text)
        return value

    return Kind(read, f"a number {low:.10g} to {high:.10g}")


def whole_number(low: int, high: int) -> Kind[int]:
    """Return the kind of the whole numbers from `low` to `high`, both included."""

    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return Kind(read, f"a whole number {low} to {high}")


def choice(values: Mapping[str, T]) -> Kind[T]:
    """Return the kind of a few words, and what each means."""

    def read(text: str) -> T:
        if text not in values:
            raise ValueError(text)
        return values[text]

    return Kind(read, " or ".join(values))


class Arguments:
    """What one source was told: take each argument that it knows, then `finish`.

    Args:
        source: the name of the source, which begins each error.
        text: what stands behind the first colon.

    Raises:
        SourceError: the text is not arguments, or one is given twice.
    """

    def __init__(self, source: str, text: str) -> None:
        self._source = source
        self._values: dict[str, str] = {}
        self._known: list[str] = []
        first, *others = self._split(text)
        if first and not _KEY_VALUE.fullmatch(first):
            self.first = _plain(first)
        else:
            self.first = ""
            others = [first, *others] if first else others
        for argument in others:
            self._add(argument)

    def take(self, key: str, kind: Kind[T], default: D) -> T | D:
        """Return the value given for a key, or else the default.

        Raises:
            SourceError: it is not of its kind.
        """
        self._known.append(key)
        text = self._values.pop(key, None)
        if text is None:
            return default
        try:
            return kind.read(text)
        except ValueError:
            raise self._error(f"{key}={text[:_SHOWN]} is not {kind.allowed}") from None

    def finish(self) -> None:
        """Make sure that every argument was taken.

        Raises:
            SourceError: one was not: the source has no such argument.
        """
        for key in self._values:
            known = ", ".join(f"{key}=" for key in self._known)
            raise self._error(f"there is no argument {key[:_SHOWN]}=; the arguments are: {known}")

    def refuse_first(self) -> None:
        """Make sure that no argument is without a key.

        Raises:
            SourceError: one is.
        """
        if self.first:
            raise self._error(f"{self.first[:_SHOWN]!r} is not KEY=VALUE")

    def _split(self, text: str) -> list[str]:
        arguments, at = [], 0
        while True:
            argument = _ARGUMENT.match(text, at)
            assert argument is not None  # it matches nothing, too
            arguments.append(argument[0])
            at = argument.end() + 1
            if at > len(text):
                return arguments
            if text[at - 1] == "\\":
                raise self._error("a backslash stands at the end, with nothing behind it")

    def _add(self, argument: str) -> None:
        pair = _KEY_VALUE.fullmatch(argument)
        if pair is None:
            raise self._error(f"{_plain(argument)[:_SHOWN]!r} is not KEY=VALUE")
        key, value = map(_plain, pair.groups())
        if key in self._values:
            raise self._error(f"{key[:_SHOWN]}= is given twice")
        self._values[key] = value

    def _error(self, message: str) -> SourceError:
        return SourceError(f"{self._source}: {message}")


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)
