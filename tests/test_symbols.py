"""Sets of symbols: whole names, beginnings, and what is neither."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.symbols import KnownSymbols, SymbolSet, without_doubles


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


# The same in fewer words.


@pytest.mark.parametrize(
    ("written", "fewest"),
    [
        ([], []),
        (["A", "B"], ["A", "B"]),
        (["EUR*", "EURUSD", "EUR", "EU", "EURO*"], ["EUR*", "EU"]),
        (["E*", "EUR*", "EURUSD", "X*"], ["E*", "X*"]),
        (["A*", "A"], ["A*"]),
        (["A.*", "A", "A-B"], ["A.*", "A", "A-B"]),
        (["X" * 16, "X" * 15 + "*"], ["X" * 15 + "*"]),
    ],
)
def test_the_fewest_patterns_that_mean_the_same(written, fewest):
    assert without_doubles(written) == frozenset(fewest)


@pytest.mark.parametrize("written", [["*"], ["*", "A"], ["A*", "*", "B"]])
def test_all_symbols_are_no_pattern_at_all(written):
    assert without_doubles(written) is None


names = st.text("ABZ09._-", min_size=1, max_size=4)
patterns = names | st.text("ABZ09._-", max_size=3).map(lambda beginning: f"{beginning}*")


def meant(patterns, symbol):
    """How many of the patterns mean a symbol."""
    return sum(symbol == p or (p.endswith("*") and symbol.startswith(p[:-1])) for p in patterns)


@given(st.lists(patterns, max_size=12), st.lists(names, max_size=20))
def test_each_symbol_is_meant_by_one_pattern_of_the_fewest_or_by_none(written, symbols):
    fewest = without_doubles(written)
    for symbol in symbols:
        wanted = symbol in SymbolSet(written)
        assert wanted == bool(meant(written, symbol))
        if fewest is not None:
            assert meant(fewest, symbol) == int(wanted)
    assert (fewest is None) == ("*" in written)


@given(st.lists(patterns, max_size=8), st.randoms())
def test_however_a_set_is_written_it_is_the_same(written, random):
    again = [*written, *random.choices(written, k=3)] if written else []
    random.shuffle(again)
    assert without_doubles(again) == without_doubles(written)
    fewest = without_doubles(written)
    if fewest is not None:
        assert without_doubles(fewest) == fewest


# Those that there are.


def known(*symbols):
    there = KnownSymbols()
    for symbol in symbols:
        there.add(symbol)
    return there


def test_names_are_meant_whether_they_are_known_or_not_and_beginnings_what_is_known():
    there = known("EURUSD", "GBPUSD", "EUR", "EURGBP", "EU", "EUS")
    assert len(there) == 6
    assert there.meant_by(["GBPUSD", "XAU", "EUR*"]) == ("EUR", "EURGBP", "EURUSD", "GBPUSD", "XAU")
    assert there.meant_by(["X*"]) == there.meant_by([]) == ()
    there.add("XAG")
    assert there.meant_by(["X*"]) == ("XAG",)


def test_of_nothing_nothing_is_known():
    assert known().meant_by(["A", "B*"]) == ("A",)


@given(st.sets(names, max_size=30), st.lists(patterns, max_size=8))
def test_what_is_meant_is_what_looking_at_each_would_give(symbols, written):
    fewest = without_doubles(written)
    if fewest is None:
        return
    whole = {pattern for pattern in fewest if not pattern.endswith("*")}
    expected = whole | {symbol for symbol in symbols if meant(fewest, symbol)}
    assert known(*symbols).meant_by(fewest) == tuple(sorted(expected))
