"""A tick's limits, each at its edge and beyond, and the last values."""

from decimal import Decimal
from fractions import Fraction
from math import inf, nan, nextafter

import pytest

from tickstorm.errors import InvalidTick
from tickstorm.ticks import NO_METADATA, LastValues, Tick, validate

GOOD = Tick("AAPL", 1.0)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"symbol": "A"},
        {"symbol": "ABC.-_0123456789"},
        {"price": 0.0001},
        {"price": 1_000_000.0},
        {"price": 1},
        {"volume": 0.0},
        {"volume": 1e9},
        {"volume": 5e-324},
        {"timestamp_ns": 0},
        {"timestamp_ns": 2**63 - 1},
        {"bid": 0.0, "ask": 0.0},
        {"bid": 0.0001, "ask": 1_000_000.0},
        {"bid": 1_000_000.0, "ask": 0.0001},
        {"bid_size": 0, "ask_size": 0},
        {"bid_size": 2**63 - 1, "ask_size": 2**63 - 1},
        {"metadata": {}},
        {"metadata": {"": ""}},
        {"metadata": {"k" * 64: "v" * 256}},
        {"metadata": {f"k{n}": "" for n in range(20)}},
    ],
)
def test_a_tick_within_its_limits(fields):
    validate(GOOD._replace(**fields))


SYMBOL = "is not 1 to 16 of A-Z 0-9 . _ -"
PRICE = "is not 0.0001 to 1000000"
VOLUME = "is not 0 to 1000000000"
SIDE = "is neither 0 nor 0.0001 to 1000000"
SIZE = "is not 0 to 2^63 - 1"

BEYOND = [
    ({"symbol": ""}, f"symbol '' {SYMBOL}"),
    ({"symbol": "A" * 17}, f"symbol '{'A' * 17}' {SYMBOL}"),
    ({"symbol": "A" * 99}, f"symbol '{'A' * 32}' {SYMBOL}"),
    ({"symbol": "aapl"}, f"symbol 'aapl' {SYMBOL}"),
    ({"symbol": "A B"}, f"symbol 'A B' {SYMBOL}"),
    ({"symbol": "A\n"}, f"symbol 'A\\n' {SYMBOL}"),
    ({"symbol": "\u0410"}, f"symbol '\u0410' {SYMBOL}"),
    ({"price": 0.0}, f"price 0.0 {PRICE}"),
    ({"price": -1.0}, f"price -1.0 {PRICE}"),
    ({"price": nan}, f"price nan {PRICE}"),
    ({"price": inf}, f"price inf {PRICE}"),
    ({"price": -inf}, f"price -inf {PRICE}"),
    ({"price": nextafter(0.0001, 0)}, f"price {nextafter(0.0001, 0)} {PRICE}"),
    ({"price": nextafter(1e6, inf)}, f"price {nextafter(1e6, inf)} {PRICE}"),
    ({"volume": -5e-324}, f"volume -5e-324 {VOLUME}"),
    ({"volume": nan}, f"volume nan {VOLUME}"),
    ({"volume": inf}, f"volume inf {VOLUME}"),
    ({"volume": nextafter(1e9, inf)}, f"volume {nextafter(1e9, inf)} {VOLUME}"),
    ({"bid": -1.0}, f"bid -1.0 {SIDE}"),
    ({"bid": nan}, f"bid nan {SIDE}"),
    ({"bid": 0.00001}, f"bid 1e-05 {SIDE}"),
    ({"ask": inf}, f"ask inf {SIDE}"),
    ({"ask": 1e6 + 1}, f"ask 1000001.0 {SIDE}"),
    ({"bid_size": -1}, f"bid_size -1 {SIZE}"),
    ({"ask_size": 2**63}, f"ask_size {2**63} {SIZE}"),
    ({"timestamp_ns": -1}, f"timestamp_ns -1 {SIZE}"),
    ({"timestamp_ns": 2**63}, f"timestamp_ns {2**63} {SIZE}"),
    ({"metadata": {f"k{n}": "" for n in range(21)}}, "21 metadata entries are over 20"),
    (
        {"metadata": {"k" * 65: ""}},
        f"metadata '{'k' * 32}' is over 64 characters of key or 256 of value",
    ),
    ({"metadata": {"k": "v" * 257}}, "metadata 'k' is over 64 characters of key or 256 of value"),
]


@pytest.mark.parametrize(("fields", "message"), BEYOND)
def test_a_tick_beyond_its_limits(fields, message):
    with pytest.raises(InvalidTick) as caught:
        validate(GOOD._replace(**fields))
    assert str(caught.value) == message


@pytest.mark.parametrize("fields", [{"symbol": "\ud800"}, {"symbol": "A\x00"}])
def test_symbols_that_no_wire_carries(fields):
    with pytest.raises(InvalidTick):
        validate(GOOD._replace(**fields))


NOT_THE_TYPE = [
    {"symbol": None},
    {"symbol": b"AAPL"},
    {"symbol": 5},
    {"price": None},
    {"price": "1.0"},
    {"price": Decimal("1.5")},
    {"price": Fraction(3, 2)},
    {"price": 1j},
    {"price": 10**5000},
    {"volume": None},
    {"volume": "1"},
    {"volume": Decimal(1)},
    {"bid": "1"},
    {"bid": Decimal(1)},
    {"ask": None},
    {"bid_size": 1.5},
    {"ask_size": 1.0},
    {"ask_size": None},
    {"timestamp_ns": 1.7e18},
    {"timestamp_ns": None},
    {"metadata": None},
    {"metadata": [("k", "v")]},
    {"metadata": {"k": None}},
    {"metadata": {"k": 1}},
    {"metadata": {"k": ["v"]}},
    {"metadata": {"k": b"\xff"}},
    {"metadata": {1: "v"}},
    {"metadata": {"k": "\ud800"}},
]


@pytest.mark.parametrize("fields", NOT_THE_TYPE, ids=lambda fields: repr(next(iter(fields))))
def test_a_tick_of_other_types_is_no_tick(fields):
    with pytest.raises(InvalidTick):
        validate(GOOD._replace(**fields))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        ("AAPL" * 20, repr("AAPL" * 8)),
        (("AAPL", 1.0), "('AAPL', 1.0)"),
        ([0] * 100, "[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0"),
        (tuple(GOOD), "('AAPL', 1.0, 0.0, 0, 0.0, 0.0, 0"[:32]),
        (5, "5"),
        (10**5000, "of more than 19 digits"),
    ],
    ids=["None", "text", "a pair", "a list", "its fields", "a number", "a long number"],
)
def test_what_is_no_tick(value, shown):
    with pytest.raises(InvalidTick) as caught:
        validate(value)
    assert str(caught.value) == f"{shown} is no Tick"


@pytest.mark.parametrize("name", ["price", "volume", "bid", "ask", "bid_size", "timestamp_ns"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_too_long_to_be_written_out(name, sign):
    with pytest.raises(InvalidTick, match=f"^{name} of more than 19 digits is "):
        validate(GOOD._replace(**{name: sign * 10**5000}))


def test_the_metadata_that_a_tick_has_unless_it_was_given_any_is_nobodys_to_change():
    assert GOOD.metadata is NO_METADATA == {}
    with pytest.raises(TypeError):
        GOOD.metadata["k"] = "v"


def test_the_last_tick_of_each_symbol():
    last = LastValues()
    assert (len(last), last.of(None), last.of(["A"])) == (0, [], [])
    a1, b1, a2 = Tick("A", 1.0), Tick("B", 2.0), Tick("A", 3.0)
    for tick in (a1, b1, a2):
        last.put(tick)
    assert (len(last), "A" in last, "C" in last) == (2, True, False)
    assert last.of(None) == [a2, b1]
    assert last.of(["B", "C", "A"]) == [b1, a2]
    assert last.of([]) == []


def test_what_was_given_out_is_not_what_is_kept():
    last = LastValues()
    last.put(Tick("A", 1.0))
    last.of(None).clear()
    assert last.of(None) == [Tick("A", 1.0)]
