"""What a client subscribes to: each limit at its edge and one beyond, and the exact bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import UNDECODABLE, field, varint

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import InvalidMessage, InvalidSubscription
from tickstorm.subscriptions import Mode, Overload, Position, Subscription, decode_subscription
from tickstorm.ticks import NO_METADATA


def subscription(**fields):
    return pb.SubscribeRequest(**({"mode": 1} | fields)).SerializeToString()


HUNDRED = [f"S{n}" for n in range(100)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Subscription(Mode.SECOND)),
        ({"mode": 2}, Subscription(Mode.MINUTE)),
        ({"mode": 3}, Subscription(Mode.TICK)),
        ({"symbols": ["AAPL"]}, Subscription(Mode.SECOND, frozenset({"AAPL"}))),
        ({"symbols": ["B", "A", "B"]}, Subscription(Mode.SECOND, frozenset({"A", "B"}))),
        ({"symbols": HUNDRED}, Subscription(Mode.SECOND, frozenset(HUNDRED))),
        (
            {"symbols": ["ABC.-_0123456789"]},
            Subscription(Mode.SECOND, frozenset({"ABC.-_0123456789"})),
        ),
        ({"snapshot": True}, Subscription(Mode.SECOND, snapshot=True)),
        ({"start_time_ms": 5}, Subscription(Mode.SECOND, start_time_ms=5)),
        (
            {"metadata": {"k" * 64: "v" * 256}},
            Subscription(Mode.SECOND, metadata={"k" * 64: "v" * 256}),
        ),
        (
            {"metadata": {f"k{n}": "" for n in range(20)}},
            Subscription(Mode.SECOND, metadata={f"k{n}": "" for n in range(20)}),
        ),
        ({"symbols": ["EUR*", "GBP*", "B"]}, Subscription(Mode.SECOND, {"EUR*", "GBP*", "B"})),
        ({"symbols": ["A" * 15 + "*"]}, Subscription(Mode.SECOND, {"A" * 15 + "*"})),
        ({"symbols": ["E*", "EUR*", "EURUSD", "E"]}, Subscription(Mode.SECOND, {"E*"})),
        ({"symbols": ["EUR*", "*"]}, Subscription(Mode.SECOND)),
        ({"interval_ms": 10}, Subscription(Mode.INTERVAL, interval_ms=10)),
        ({"mode": 0, "interval_ms": 250}, Subscription(Mode.INTERVAL, interval_ms=250)),
        ({"mode": 2, "interval_ms": 3_600_000}, Subscription(Mode.INTERVAL, interval_ms=3_600_000)),
        ({"mode": 2, "interval_ms": 1000}, Subscription(Mode.SECOND)),
        ({"mode": 0, "interval_ms": 60_000}, Subscription(Mode.MINUTE)),
        ({"overload": 1}, Subscription(Mode.SECOND, overload=Overload.CONFLATE)),
        ({"overload": 2}, Subscription(Mode.SECOND, overload=Overload.DROP_OLDEST)),
        ({"overload": 3}, Subscription(Mode.SECOND, overload=Overload.DISCONNECT)),
        (
            {"resume_epoch": "e" * 64, "resume_after_sequence": 2**32 - 1},
            Subscription(Mode.SECOND, resume=Position("e" * 64, 2**32 - 1)),
        ),
        ({"resume_after_sequence": 7}, Subscription(Mode.SECOND)),
    ],
)
def test_a_subscription_within_its_limits(fields, expected):
    assert decode_subscription(subscription(**fields)) == expected


def test_equal_short_subscriptions_are_one_value_and_long_ones_are_not_kept():
    short = [decode_subscription(subscription(symbols=["A"])) for _ in range(2)]
    long = [decode_subscription(subscription(symbols=HUNDRED)) for _ in range(2)]
    assert (short[0] is short[1], short[0].metadata is NO_METADATA) == (True, True)
    assert (long[0] is long[1], long[0] == long[1]) == (False, True)


NO_SYMBOL = "is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)"
METADATA = "metadata has at most 20 entries of 64 and 256 characters"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": 0}, "mode 0 is not SECOND, MINUTE or TICK"),
        ({"mode": 4}, "mode 4 is not SECOND, MINUTE or TICK"),
        ({"mode": -1}, "mode -1 is not SECOND, MINUTE or TICK"),
        ({"symbols": [*HUNDRED, "S100"]}, "101 symbols are over 100"),
        ({"symbols": ["A"] * 101}, "101 symbols are over 100"),
        ({"symbols": ["A", ""]}, "symbol '' is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)"),
        (
            {"symbols": ["A" * 17]},
            f"symbol '{'A' * 17}' is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)",
        ),
        (
            {"symbols": ["A" * 999]},
            f"symbol '{'A' * 32}' is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)",
        ),
        (
            {"symbols": ["aapl"]},
            "symbol 'aapl' is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)",
        ),
        ({"symbols": ["A\n"]}, "symbol 'A\\n' is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)"),
        ({"symbols": ["*A"]}, f"symbol '*A' {NO_SYMBOL}"),
        ({"symbols": ["E*R"]}, f"symbol 'E*R' {NO_SYMBOL}"),
        ({"symbols": ["A" * 16 + "*"]}, f"symbol '{'A' * 16}*' {NO_SYMBOL}"),
        ({"interval_ms": 9}, "interval_ms 9 is not 10 to 3600000"),
        ({"interval_ms": 3_600_001}, "interval_ms 3600001 is not 10 to 3600000"),
        ({"mode": 3, "interval_ms": 250}, "TICK has no interval_ms"),
        ({"mode": 4, "interval_ms": 250}, "mode 4 is not SECOND, MINUTE or TICK"),
        ({"overload": 4}, "overload 4 is not CONFLATE, DROP_OLDEST or DISCONNECT"),
        ({"resume_epoch": "e" * 65}, "a resume_epoch has at most 64 characters"),
        ({"metadata": {f"k{n}": "" for n in range(21)}}, METADATA),
        ({"metadata": {"k" * 65: ""}}, METADATA),
        ({"metadata": {"k": "v" * 257}}, METADATA),
    ],
)
def test_a_subscription_beyond_its_limits(fields, message):
    with pytest.raises(InvalidSubscription) as caught:
        decode_subscription(subscription(**fields))
    assert caught.value.message == message


def test_fields_of_a_newer_client_are_ignored():
    newer = field(15, 2, b"whatever comes then") + field(10, 0, varint(1))
    assert decode_subscription(subscription(symbols=["A"]) + newer) == Subscription(
        Mode.SECOND, frozenset({"A"})
    )


def test_the_very_bytes_of_a_subscription():
    subscribe = (
        field(1, 0, varint(2))
        + field(2, 2, b"AAPL")
        + field(2, 2, b"MSFT")
        + field(3, 0, varint(9))
        + field(4, 2, field(1, 2, b"k"), field(2, 2, b"v"))
        + field(9, 0, varint(1))
    )
    assert decode_subscription(subscribe) == Subscription(
        Mode.MINUTE, frozenset({"AAPL", "MSFT"}), True, 9, {"k": "v"}
    )


@pytest.mark.parametrize(
    "payload",
    [*UNDECODABLE.values(), b"\x08\x01\x12\x01\xff"],
    ids=[*UNDECODABLE, "a string that is no UTF-8"],
)
def test_an_undecodable_payload(payload):
    with pytest.raises(InvalidMessage, match=r"^the payload is no SubscribeRequest$"):
        decode_subscription(payload)


@given(st.binary(max_size=200))
def test_arbitrary_payloads_give_only_these_errors(payload):
    try:
        found = decode_subscription(payload)
    except (InvalidMessage, InvalidSubscription):
        return
    assert isinstance(found, Subscription)
