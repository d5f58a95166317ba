"""Sets of symbols as people name them: whole names, and beginnings with an asterisk. Pure."""

import re
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
