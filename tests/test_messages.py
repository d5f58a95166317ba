"""Messages: each limit at its edge and one beyond, and the exact bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from payloads import NOW_MS, UNDECODABLE, field, opened, raw, varint

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import InvalidAuth, InvalidMessage, ProtocolError, RateLimited
from tickstorm.frames import FrameType
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

DECODERS = {
    "AuthRequest": decode_login,
    "HeartbeatRequest": lambda payload: decode_heartbeat(payload, NOW_MS),
}


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("payload", UNDECODABLE.values(), ids=UNDECODABLE)
def test_an_undecodable_payload(kind, payload):
    with pytest.raises(InvalidMessage, match=f"^the payload is no {kind}$"):
        DECODERS[kind](payload)


def test_a_string_that_is_no_utf_8():
    with pytest.raises(InvalidMessage, match=r"^the payload is no AuthRequest$"):
        decode_login(b"\x0a\x01\xff")


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
}


@pytest.mark.parametrize(("ours", "golden"), CONVERSATION.values(), ids=CONVERSATION)
def test_the_very_bytes(ours, golden):
    assert ours == golden


def test_the_very_bytes_of_what_a_client_sends():
    auth = field(1, 2, b"alice") + field(2, 2, b"secret") + field(3, 2, b"t1") + field(4, 2, b"1.0")
    assert decode_login(auth) == Login("alice", "secret", "t1", "1.0")
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
