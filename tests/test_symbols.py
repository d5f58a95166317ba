"""Sets of symbols: whole names, beginnings, and what is neither."""

import pytest

from tickstorm.symbols import SymbolSet


@pytest.mark.parametrize(
    ("patterns", "inside", "outside"),
    [
        (["EURUSD"], ["EURUSD"], ["EURUSD.", "EURUS", "eurusd", ""]),
        (["EUR*"], ["EUR", "EURUSD", "EUR*"], ["EU", "XEUR"]),
        (["*"], ["A", "EURUSD", "X" * 16], []),
        (["EUR*", "GBPUSD", "A.B*"], ["EURO", "GBPUSD", "A.B", "A.B-C"], ["GBPUSDX", "A.", "AXB"]),
        ([], [], ["A", ""]),
    ],
)
def test_which_symbols_are_inside(patterns, inside, outside):
    symbols = SymbolSet(patterns)
    assert [symbol in symbols for symbol in inside] == [True] * len(inside)
    assert [symbol in symbols for symbol in outside] == [False] * len(outside)


@pytest.mark.parametrize(
    "pattern",
    ["", "eur", "EUR USD", "**", "*EUR", "E*R", "EUR**", "X" * 17, "X" * 16 + "*", "EUR\n", "*\n"],
)
def test_what_is_no_pattern(pattern):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - its message is just the pattern
        SymbolSet(["EURUSD", pattern])
    assert raised.value.args == (pattern,)


def test_the_longest_patterns():
    symbols = SymbolSet(["X" * 16, "Y" * 15 + "*"])
    assert all(symbol in symbols for symbol in ("X" * 16, "Y" * 15, "Y" * 15 + "Z"))


def test_equal_are_those_of_the_same_patterns_in_any_order():
    one, other = SymbolSet(["A", "B*"]), SymbolSet(["B*", "A", "A"])
    assert (one == other, hash(one) == hash(other), str(one)) == (True, True, "A,B*")
    assert one != SymbolSet(["A", "B"])
    assert one != frozenset(["A", "B*"])
