"""Sets of symbols as people name them: whole names, and beginnings with an asterisk. Pure."""

import re
from bisect import bisect_left, insort
from collections.abc import Iterable

PATTERN = re.compile(r"[A-Z0-9._-]{1,16}|[A-Z0-9._-]{0,15}\*")


class SymbolSet:
    """Symbols by their name or by how they begin.

    Args:
        patterns: "EURUSD" is that symbol, "EUR*" every one that begins so, "*" every one at all.

    Raises:
        ValueError: one of them is no such pattern; the message is the pattern.

    Attributes:
        patterns: as they were given, each once.
    """

    __slots__ = ("_beginnings", "_names", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = frozenset(patterns)
        for pattern in self.patterns:
            if not PATTERN.fullmatch(pattern):
                raise ValueError(pattern)
        beginnings = {pattern for pattern in self.patterns if pattern.endswith("*")}
        self._names = self.patterns - beginnings
        self._beginnings = tuple(sorted(pattern[:-1] for pattern in beginnings))

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._names or symbol.startswith(self._beginnings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymbolSet) and other.patterns == self.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)

    def __str__(self) -> str:
        return ",".join(sorted(self.patterns))


def without_doubles(patterns: Iterable[str]) -> frozenset[str] | None:
    """Return the fewest patterns that mean the same; None if they mean every symbol.

    Each symbol is then meant by one of them at most.
    """
    given = frozenset(patterns)
    if "*" in given:
        return None
    return frozenset(pattern for pattern in given if not _is_covered(pattern, given))


def _is_covered(pattern: str, patterns: frozenset[str]) -> bool:
    longest = len(pattern) - (2 if pattern.endswith("*") else 0)
    return any(f"{pattern[:length]}*" in patterns for length in range(1, longest + 1))


class KnownSymbols:
    """Some symbols, in order, so that those with one beginning stand together.

    Args:
        names: theirs, each once.
    """

    __slots__ = ("_names",)

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = sorted(names)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, symbol: str) -> None:
        """Know one more."""
        insort(self._names, symbol)

    def meant_by(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """Return the names among the patterns, known or not, and what is known of the rest.

        Args:
            patterns: as `without_doubles` returns them.

        Returns:
            In order.
        """
        meant: list[str] = []
        for pattern in patterns:
            if pattern.endswith("*"):
                meant += self._beginning(pattern[:-1])
            else:
                meant.append(pattern)
        return tuple(sorted(meant))

    def _beginning(self, beginning: str) -> list[str]:
        first = bisect_left(self._names, beginning)
        behind = bisect_left(self._names, f"{beginning}\U0010ffff")
        return self._names[first:behind]
