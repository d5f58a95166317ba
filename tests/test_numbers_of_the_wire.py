"""The numbers of the wire: the definition and our enums against the protocol's tables."""

import pytest
from google.protobuf.descriptor import FieldDescriptor

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import ErrorCode
from tickstorm.frames import FrameType
from tickstorm.subscriptions import Mode, Overload

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
