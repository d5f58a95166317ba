"""Messages: each limit at its edge and one beyond, the numbers of the wire, and exact bytes."""

import struct

import crcmod.predefined
import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.bars import Bar
from tickstorm.errors import (
    ErrorCode,
    InvalidAuth,
    InvalidMessage,
    InvalidSubscription,
    ProtocolError,
    RateLimited,
)
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.messages import (
    Gap,
    Heartbeat,
    Login,
    ack_frame,
    check_unsubscription,
    decode_heartbeat,
    decode_login,
    error_frame,
    gap_frame,
    pong_frame,
)
from tickstorm.records import bar_record, batch_frame, split_records, tick_record
from tickstorm.subscriptions import Mode, Overload, Position, Subscription, decode_subscription
from tickstorm.ticks import MAX_TICKS_PER_BATCH, NO_METADATA, Tick

NOW_MS = 1_700_000_000_000
crc32c = crcmod.predefined.mkPredefinedCrcFun("crc-32c")


def opened(frame, kind):
    """What a frame carries, as generated code reads it."""
    decoder = FrameDecoder()
    decoder.feed(frame)
    type, payload = decoder.next_frame()
    assert decoder.pending_bytes == 0
    return type, kind.FromString(payload)


def raw(type, payload):
    body = struct.pack(">HBBI", 0xF57D, 1, type, len(payload)) + payload
    return body + struct.pack(">I", crc32c(body))


def field(number, wire_type, *contents):
    """One protobuf field by hand; numbers and lengths below 128."""
    data = b"".join(contents)
    return bytes([number << 3 | wire_type]) + (bytes([len(data)]) if wire_type == 2 else b"") + data


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


# The numbers of the wire.

FIELDS = {
    "AuthRequest": {
        1: ("username", "string"),
        2: ("password", "string"),
        3: ("client_id", "string"),
        4: ("version", "string"),
        5: ("token", "string"),
    },
    "SubscribeRequest": {
        1: ("mode", "SubscriptionMode"),
        2: ("symbols", "repeated string"),
        3: ("start_time_ms", "int64"),
        4: ("metadata", "map"),
        5: ("interval_ms", "uint32"),
        6: ("overload", "OverloadPolicy"),
        7: ("resume_epoch", "string"),
        8: ("resume_after_sequence", "uint32"),
        9: ("snapshot", "bool"),
    },
    "HeartbeatRequest": {1: ("timestamp_ms", "int64"), 2: ("sequence", "uint64")},
    "HeartbeatResponse": {
        1: ("client_timestamp_ms", "int64"),
        2: ("server_timestamp_ms", "int64"),
        3: ("sequence", "uint64"),
        4: ("next_sequence", "uint32"),
        5: ("epoch", "string"),
    },
    "Tick": {
        1: ("symbol", "string"),
        2: ("timestamp_ms", "int64"),
        3: ("price", "double"),
        4: ("volume", "double"),
        5: ("bid", "double"),
        6: ("ask", "double"),
        7: ("bid_size", "int64"),
        8: ("ask_size", "int64"),
        9: ("mode", "SubscriptionMode"),
        10: ("metadata", "map"),
        11: ("open", "double"),
        12: ("high", "double"),
        13: ("low", "double"),
        14: ("vwap", "double"),
        15: ("trade_count", "uint64"),
        16: ("timestamp_ns", "int64"),
    },
    "DataBatch": {
        1: ("ticks", "repeated Tick"),
        2: ("batch_timestamp_ms", "int64"),
        3: ("batch_sequence", "uint32"),
        4: ("is_snapshot", "bool"),
        5: ("schema_version", "uint32"),
        6: ("publish_time_ns", "fixed64"),
    },
    "ErrorResponse": {
        1: ("code", "ErrorCode"),
        2: ("message", "string"),
        3: ("details", "string"),
        4: ("timestamp_ms", "int64"),
        5: ("retryable", "bool"),
        6: ("retry_after_ms", "uint32"),
    },
    "AckResponse": {
        1: ("ack_type", "MessageType"),
        2: ("success", "bool"),
        3: ("message", "string"),
        4: ("timestamp_ms", "int64"),
        5: ("metadata", "map"),
    },
    "PublishRequest": {
        1: ("ticks", "repeated Tick"),
        2: ("request_id", "uint64"),
        3: ("after_request_id", "uint64"),
    },
    "UnsubscribeRequest": {},
    "GapNotice": {
        1: ("first_sequence", "uint32"),
        2: ("last_sequence", "uint32"),
        3: ("ticks_lost", "uint64"),
        4: ("reason", "string"),
    },
    "GoAway": {1: ("retry_after_ms", "uint32"), 2: ("reason", "string")},
}
"""The protocol's tables, the rows whose feature is still to come among them."""

NOT_YET = {
    "AuthRequest": {5},
}
"""Rows without a feature so far: they may be missing, but not mean something else."""

ENUMS = {
    "MessageType": [
        *("UNSPECIFIED", "AUTH", "SUBSCRIBE", "HEARTBEAT"),
        *("DATA_BATCH", "ERROR", "ACK", "PONG", "PUBLISH"),
        *("UNSUBSCRIBE", "GAP", "GOAWAY"),
    ],
    "SubscriptionMode": ["UNSPECIFIED", "SECOND", "MINUTE", "TICK"],
    "OverloadPolicy": ["UNSPECIFIED", "CONFLATE", "DROP_OLDEST", "DISCONNECT"],
    "ErrorCode": [
        *("UNSPECIFIED", "INVALID_AUTH", "AUTH_REQUIRED", "ALREADY_AUTHENTICATED"),
        *("INVALID_SUBSCRIPTION", "ALREADY_SUBSCRIBED", "NOT_SUBSCRIBED", "HEARTBEAT_TIMEOUT"),
        *("INVALID_MESSAGE", "CHECKSUM_FAILED", "PROTOCOL_VERSION", "MESSAGE_TOO_LARGE"),
        *("RATE_LIMITED", "INTERNAL_ERROR", "SLOW_CONSUMER", "SHUTTING_DOWN"),
        *("NOT_PERMITTED", "OVERLOADED"),
    ],
}

SCALARS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_FIXED64: "fixed64",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_BOOL: "bool",
}


def described(field):
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_number
        assert {number: SCALARS[part.type] for number, part in entry.items()} == {
            1: "string",
            2: "string",
        }
        return field.name, "map"
    kind = field.enum_type or field.message_type
    name = SCALARS[field.type] if kind is None else kind.name
    return field.name, f"repeated {name}" if field.is_repeated else name


def test_the_package_is_the_protocols():
    assert pb.DESCRIPTOR.package == "tickstorm.protocol"


@pytest.mark.parametrize("message", FIELDS)
def test_every_field_has_the_number_name_and_type_of_the_table(message):
    descriptor = pb.DESCRIPTOR.message_types_by_name.get(message)
    ours = {} if descriptor is None else descriptor.fields_by_number
    later = NOT_YET.get(message, set())
    expected = {n: row for n, row in FIELDS[message].items() if n in ours or n not in later}
    assert {number: described(field) for number, field in ours.items()} == expected


def test_there_is_no_message_beside_the_table():
    assert set(pb.DESCRIPTOR.message_types_by_name) <= set(FIELDS)


@pytest.mark.parametrize("enum", ENUMS)
def test_every_enum_has_the_names_and_numbers_of_the_table(enum):
    prefix = {
        "MessageType": "MESSAGE_TYPE_",
        "SubscriptionMode": "SUBSCRIPTION_MODE_",
        "OverloadPolicy": "OVERLOAD_POLICY_",
        "ErrorCode": "ERROR_CODE_",
    }[enum]
    values = pb.DESCRIPTOR.enum_types_by_name[enum].values_by_number
    assert {number: value.name for number, value in values.items()} == {
        number: prefix + name for number, name in enumerate(ENUMS[enum])
    }


@pytest.mark.parametrize(
    ("ours", "wire", "unspecified"),
    [
        (FrameType, "MessageType", 1),
        (Overload, "OverloadPolicy", 1),
        (ErrorCode, "ErrorCode", 0),
    ],
)
def test_our_enums_are_those_of_the_wire(ours, wire, unspecified):
    names = list(enumerate(ENUMS[wire]))[unspecified:]
    assert [(member.value, member.name) for member in ours] == names


def test_the_modes_are_those_of_the_wire_and_that_of_an_interval_is_none_of_them():
    names = ["INTERVAL", *ENUMS["SubscriptionMode"][1:]]
    assert [(mode.value, mode.name) for mode in Mode] == list(enumerate(names))


# AUTH.


def login(**fields):
    fields = {"username": "alice", "password": "secret"} | fields
    return pb.AuthRequest(**fields).SerializeToString()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"username": "a"},
        {"username": "A-z_09" + "x" * 58},
        {"password": ""},
        {"password": "p" * 128},
        {"password": "\N{SNOWMAN}" * 128},
        {"client_id": "\N{SNOWMAN}" * 64},
        {"version": "1.0"},
        {"version": "10.22.333"},
        {"version": "1." + "0" * 30},
    ],
)
def test_a_login_within_its_limits(fields):
    expected = {"username": "alice", "password": "secret", "client_id": "", "version": ""} | fields
    assert decode_login(login(**fields)) == Login(**expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"username": ""}, "a username is 1 to 64 of A-Z a-z 0-9 _ -"),
        ({"username": "x" * 65}, "a username is 1 to 64 of A-Z a-z 0-9 _ -"),
        ({"username": "alice\n"}, "a username is 1 to 64 of A-Z a-z 0-9 _ -"),
        ({"username": "al ice"}, "a username is 1 to 64 of A-Z a-z 0-9 _ -"),
        ({"username": "al.ice"}, "a username is 1 to 64 of A-Z a-z 0-9 _ -"),
        ({"username": "\u0430lice"}, "a username is 1 to 64 of A-Z a-z 0-9 _ -"),
        ({"password": "p" * 129}, "a password has at most 128 characters"),
        ({"client_id": "c" * 65}, "a client_id has at most 64 characters"),
        *(
            ({"version": version}, "a version is N.N or N.N.N in at most 32 characters")
            for version in ("1", "1.", ".1", "1.2.3.4", "v1.2", "1.2-rc", "1.0\n", "1." + "0" * 31)
        ),
    ],
)
def test_a_login_beyond_its_limits(fields, message):
    with pytest.raises(InvalidAuth) as caught:
        decode_login(login(**fields))
    assert caught.value.message == message


@pytest.mark.parametrize("version", ["\u0661.0", "1.\u0662", "1.0.\u0663", "\uff11.\uff10"])
def test_a_version_is_of_ascii_digits(version):
    with pytest.raises(InvalidAuth, match=r"^a version is N\.N or N\.N\.N in "):
        decode_login(login(version=version))


def test_a_login_does_not_show_its_password():
    shown = repr(Login("alice", "secret", "terminal", "1.0"))
    assert shown == "Login(username='alice', password=<hidden>)"


def test_a_token_from_a_newer_client_is_ignored():
    token = field(5, 2, b"some token")
    assert decode_login(login() + token) == Login("alice", "secret")


# SUBSCRIBE.


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


# HEARTBEAT.


def test_an_empty_heartbeat_is_one():
    assert decode_heartbeat(b"", NOW_MS) == Heartbeat(0, 0)


DAY_MS, FIVE_MINUTES_MS = 86_400_000, 300_000


@pytest.mark.parametrize(
    "timestamp_ms", [0, NOW_MS, NOW_MS - DAY_MS, NOW_MS + FIVE_MINUTES_MS, NOW_MS + 1]
)
def test_a_heartbeat_whose_time_is_near(timestamp_ms):
    payload = pb.HeartbeatRequest(timestamp_ms=timestamp_ms, sequence=2**64 - 1).SerializeToString()
    assert decode_heartbeat(payload, NOW_MS) == Heartbeat(timestamp_ms, 2**64 - 1)


@pytest.mark.parametrize(
    "timestamp_ms",
    [NOW_MS - DAY_MS - 1, NOW_MS + FIVE_MINUTES_MS + 1, 1, -1, -(2**63), 2**63 - 1],
)
def test_a_heartbeat_whose_time_is_far(timestamp_ms):
    payload = pb.HeartbeatRequest(timestamp_ms=timestamp_ms).SerializeToString()
    with pytest.raises(InvalidMessage) as caught:
        decode_heartbeat(payload, NOW_MS)
    assert (caught.value.message, caught.value.details) == (
        "the timestamp is more than 24 h behind or 5 min ahead",
        f"it is {timestamp_ms}, the server's clock is at {NOW_MS}",
    )


# UNSUBSCRIBE.


@pytest.mark.parametrize("payload", [b"", b"\x08\x01", b"\x12\x03abc"])
def test_an_unsubscription_has_no_fields_but_those_that_nobody_knows_yet(payload):
    assert check_unsubscription(payload) is None


@pytest.mark.parametrize("payload", [b"\x08\xff", b"\x0a\x05ab", b"\x0a", b"\x0f", b"\x0c"])
def test_what_is_no_unsubscription(payload):
    with pytest.raises(InvalidMessage, match=r"^the payload is no UnsubscribeRequest$"):
        check_unsubscription(payload)


# What is no message.

UNDECODABLE = {
    "a truncated varint": b"\x08\xff",
    "a truncated string": b"\x0a\x05ab",
    "a tag without a value": b"\x0a",
    "field number 0": b"\x00\x01",
    "a wire type that is none": b"\x0f",
    "an end without a group": b"\x0c",
    "a varint of 11 bytes": b"\x08" + b"\xff" * 10 + b"\x01",
}

DECODERS = {
    "AuthRequest": decode_login,
    "SubscribeRequest": decode_subscription,
    "HeartbeatRequest": lambda payload: decode_heartbeat(payload, NOW_MS),
}


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("payload", UNDECODABLE.values(), ids=UNDECODABLE)
def test_an_undecodable_payload(kind, payload):
    with pytest.raises(InvalidMessage, match=f"^the payload is no {kind}$"):
        DECODERS[kind](payload)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("AuthRequest", b"\x0a\x01\xff"), ("SubscribeRequest", b"\x08\x01\x12\x01\xff")],
)
def test_a_string_that_is_no_utf_8(kind, payload):
    with pytest.raises(InvalidMessage, match=f"^the payload is no {kind}$"):
        DECODERS[kind](payload)


@given(st.sampled_from(list(DECODERS.values())), st.binary(max_size=200))
def test_arbitrary_payloads_give_only_our_errors(decode, payload):
    try:
        decode(payload)
    except ProtocolError as error:
        _, sent = opened(error_frame(error, NOW_MS), pb.ErrorResponse)
    else:
        sent = pb.ErrorResponse(code=0)
    assert sent.code in {0, 1, 4, 8}


# What is sent, byte by byte.

SECOND_BAR = Bar(Tick("AAPL", 2.5, volume=4.0, timestamp_ns=7_000_000))


def double(value):
    return struct.pack("<d", value)


BAR_OF_AAPL = b"".join(
    [
        field(1, 2, b"AAPL"),
        field(2, 0, varint(7)),
        field(3, 1, double(2.5)),
        field(4, 1, double(4.0)),
        field(9, 0, varint(1)),
        *(field(number, 1, double(2.5)) for number in (11, 12, 13, 14)),
        field(15, 0, varint(1)),
    ]
)

CONVERSATION = {
    "PONG": (
        pong_frame(Heartbeat(5, 6), 7),
        raw(7, field(1, 0, varint(5)) + field(2, 0, varint(7)) + field(3, 0, varint(6))),
    ),
    "PONG to an empty HEARTBEAT": (
        pong_frame(Heartbeat(0, 0), NOW_MS),
        raw(7, field(2, 0, varint(NOW_MS))),
    ),
    "ACK of AUTH": (
        ack_frame(FrameType.AUTH, "hello", NOW_MS),
        raw(
            6,
            field(1, 0, varint(1))
            + field(2, 0, varint(1))
            + field(3, 2, b"hello")
            + field(4, 0, varint(NOW_MS)),
        ),
    ),
    "ACK of SUBSCRIBE": (
        ack_frame(FrameType.SUBSCRIBE, "", 1, {"epoch": "e1"}),
        raw(
            6,
            field(1, 0, varint(2))
            + field(2, 0, varint(1))
            + field(4, 0, varint(1))
            + field(5, 2, field(1, 2, b"epoch"), field(2, 2, b"e1")),
        ),
    ),
    "ERROR": (
        error_frame(RateLimited("too fast", "ten", retry_after_ms=300), NOW_MS),
        raw(
            5,
            field(1, 0, varint(12))
            + field(2, 2, b"too fast")
            + field(3, 2, b"ten")
            + field(4, 0, varint(NOW_MS))
            + field(5, 0, varint(1))
            + field(6, 0, varint(300)),
        ),
    ),
    "DATA_BATCH": (
        batch_frame(
            [bar_record(SECOND_BAR, Mode.SECOND)],
            timestamp_ms=NOW_MS,
            sequence=2**32 - 1,
            publish_time_ns=NOW_MS * 1_000_000 + 1,
        ),
        raw(
            4,
            field(1, 2, BAR_OF_AAPL)
            + field(2, 0, varint(NOW_MS))
            + field(3, 0, varint(2**32 - 1))
            + field(5, 0, varint(1))
            + field(6, 1, struct.pack("<Q", NOW_MS * 1_000_000 + 1)),
        ),
    ),
    "GAP": (
        gap_frame(Gap(2**32 - 1, 3, 500, "dropped")),
        raw(
            10,
            field(1, 0, varint(2**32 - 1))
            + field(2, 0, varint(3))
            + field(3, 0, varint(500))
            + field(4, 2, b"dropped"),
        ),
    ),
    "an empty DATA_BATCH": (
        batch_frame([], timestamp_ms=1, sequence=2, publish_time_ns=3, is_snapshot=True),
        raw(4, bytes.fromhex("10 01 18 02 20 01 28 01 31 03 00 00 00 00 00 00 00")),
    ),
}


@pytest.mark.parametrize(("ours", "golden"), CONVERSATION.values(), ids=CONVERSATION)
def test_the_very_bytes(ours, golden):
    assert ours == golden


def test_the_very_bytes_of_what_a_client_sends():
    auth = field(1, 2, b"alice") + field(2, 2, b"secret") + field(3, 2, b"t1") + field(4, 2, b"1.0")
    assert decode_login(auth) == Login("alice", "secret", "t1", "1.0")
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
    heartbeat = field(1, 0, varint(NOW_MS)) + field(2, 0, varint(3))
    assert decode_heartbeat(heartbeat, NOW_MS) == Heartbeat(NOW_MS, 3)


def test_an_error_is_cut_to_what_the_wire_allows():
    error = InvalidMessage("\N{SNOWMAN}" * 513, "\N{SNOWMAN}" * 1025)
    assert opened(error_frame(error, NOW_MS), pb.ErrorResponse) == (
        FrameType.ERROR,
        pb.ErrorResponse(
            code=8,
            message="\N{SNOWMAN}" * 512,
            details="\N{SNOWMAN}" * 1024,
            timestamp_ms=NOW_MS,
        ),
    )


def test_an_error_at_the_limit_is_whole():
    error = InvalidMessage("m" * 512, "d" * 1024)
    _, sent = opened(error_frame(error, NOW_MS), pb.ErrorResponse)
    assert (sent.message, sent.details) == ("m" * 512, "d" * 1024)


# Ticks and bars.

QUOTE = Tick("AAPL", 2.5, 3.0, 1_700_000_000_123_456_789, 2.25, 2.75, 10, 2**63 - 1, {"venue": "x"})


def parsed(record):
    (tick,) = pb.DataBatch.FromString(record).ticks
    return tick


def test_a_tick_keeps_everything():
    assert parsed(tick_record(QUOTE)) == pb.Tick(
        symbol="AAPL",
        timestamp_ms=1_700_000_000_123,
        price=2.5,
        volume=3.0,
        bid=2.25,
        ask=2.75,
        bid_size=10,
        ask_size=2**63 - 1,
        mode=pb.SUBSCRIPTION_MODE_TICK,
        metadata={"venue": "x"},
        timestamp_ns=1_700_000_000_123_456_789,
    )


@pytest.mark.parametrize("mode", [Mode.SECOND, Mode.MINUTE])
def test_the_last_value_of_another_mode_has_milliseconds_alone(mode):
    tick = parsed(tick_record(QUOTE, mode))
    assert (tick.mode, tick.timestamp_ms, tick.timestamp_ns) == (mode, 1_700_000_000_123, 0)


def test_a_bar_is_its_last_tick_and_what_the_period_did():
    bar = Bar(Tick("AAPL", 2.0, 1.0, 1_000_000))
    bar.add(Tick("AAPL", 4.0, 2.0, 2_000_000))
    bar.add(Tick("AAPL", 1.0, 1.0, 3_000_000))
    bar.add(QUOTE)
    assert parsed(bar_record(bar, Mode.MINUTE)) == pb.Tick(
        symbol="AAPL",
        timestamp_ms=1_700_000_000_123,
        price=2.5,
        volume=7.0,
        bid=2.25,
        ask=2.75,
        bid_size=10,
        ask_size=2**63 - 1,
        mode=pb.SUBSCRIPTION_MODE_MINUTE,
        metadata={"venue": "x"},
        open=2.0,
        high=4.0,
        low=1.0,
        vwap=(2.0 + 8.0 + 1.0 + 7.5) / 7.0,
        trade_count=4,
    )


# Splitting.

TRAILER = 34
"""The longest end of a batch: the tags and values of fields 2 to 6."""


def batch(records, **fields):
    numbers = {"timestamp_ms": NOW_MS, "sequence": 2**32 - 1, "publish_time_ns": 2**63} | fields
    return batch_frame(records, **numbers)


def test_records_joined_are_a_batch_of_them():
    ticks = [Tick(symbol, 1.0, timestamp_ns=5) for symbol in ("A", "B", "C")]
    type, sent = opened(batch(map(tick_record, ticks), is_snapshot=True), pb.DataBatch)
    assert type is FrameType.DATA_BATCH
    assert sent == pb.DataBatch(
        ticks=[parsed(tick_record(tick)) for tick in ticks],
        batch_timestamp_ms=NOW_MS,
        batch_sequence=2**32 - 1,
        is_snapshot=True,
        schema_version=1,
        publish_time_ns=2**63,
    )


@pytest.mark.parametrize(
    ("count", "runs"),
    [
        (0, [0]),
        (1, [1]),
        (999, [999]),
        (1000, [1000]),
        (1001, [1000, 1]),
        (2000, [1000, 1000]),
        (2001, [1000, 1000, 1]),
    ],
)
def test_a_batch_is_split_at_a_thousand_ticks(count, runs):
    assert MAX_TICKS_PER_BATCH == 1000
    assert [len(run) for run in split_records([b"x"] * count, 65536)] == runs


def test_a_batch_is_split_at_the_limit_of_the_payload():
    record = bytes(1000)
    runs = list(split_records([record] * 131, 65536))
    assert [len(run) for run in runs] == [65, 65, 1]


def test_a_run_may_fill_all_but_the_64_bytes_set_aside_for_the_end():
    assert [len(run) for run in split_records([bytes(109)] * 8, 64 + 4 * 109)] == [4, 4]
    assert [len(run) for run in split_records([bytes(109)] * 8, 63 + 4 * 109)] == [3, 3, 2]


def test_the_longest_end_of_a_batch_fits_behind_a_full_run():
    longest = {"timestamp_ms": 2**63 - 1, "is_snapshot": True}
    assert len(batch([], **longest)) - 12 <= TRAILER
    limit = 500
    full, _ = split_records([b"x"] * 600, limit)
    assert limit - 64 <= len(batch(full, **longest)) - 12 <= limit


@given(
    st.lists(st.integers(1, 300), max_size=50),
    st.integers(1, 25),
    st.integers(400, 20_000),
)
def test_the_split_batches_are_the_input_each_within_the_limits(sizes, times, limit):
    records = [bytes([n % 251]) * size for n, size in enumerate(sizes * times)]
    runs = list(split_records(records, limit))
    assert [record for run in runs for record in run] == records
    assert len(runs) >= 1
    assert all(len(run) <= 1000 for run in runs)
    assert all(len(batch(run)) - 12 <= limit for run in runs)
    assert all(runs) == bool(records)


def test_the_largest_tick_fits_into_the_smallest_batch():
    largest = Tick(
        "ABCDEFGHIJKLMNOP",
        999_999.5,
        1e9,
        2**63 - 1,
        999_999.5,
        999_999.5,
        2**63 - 1,
        2**63 - 1,
        {chr(0x10000 + n) * 64: chr(0x10000) * 256 for n in range(20)},
    )
    records = [tick_record(largest)] * 3
    assert [len(run) for run in split_records(records, 32_768)] == [1, 1, 1]
    assert len(batch(records[:1])) - 12 <= 32_768
