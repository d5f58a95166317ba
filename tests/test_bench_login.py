"""login: the two requests and their answers, and every way in which it can end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.bench.login import Login, Requests
from tickstorm.client.events import Subscribed
from tickstorm.errors import (
    ChecksumFailed,
    InvalidAuth,
    InvalidMessage,
    InvalidSubscription,
    Overloaded,
)
from tickstorm.frames import FrameType, encode_frame
from tickstorm.messages import ack_frame, error_frame

REQUESTS = Requests(b"<auth>", b"<subscribe>")
METADATA = {"epoch": "e1", "next_sequence": "7", "heartbeat_interval_ms": "3000"}
ACKS = ack_frame(FrameType.AUTH, "in", 1), ack_frame(FrameType.SUBSCRIBE, "on", 1, METADATA)
PONG = encode_frame(FrameType.PONG, b"")


def refusal(kind):
    answer = pb.AckResponse(ack_type=pb.MessageType.ValueType(kind), message="not you")
    return encode_frame(FrameType.ACK, answer.SerializeToString())


def test_a_login():
    login = Login(REQUESTS, number=3, began_ns=5)
    assert login.received(ACKS[0]) == b"<subscribe>"
    assert login.subscribed is None
    assert login.received(ACKS[1]) == b""
    assert login.subscribed == Subscribed("e1", 7, 3.0, 20.0)
    assert (login.rest, login.number, login.began_ns) == (b"", 3, 5)


@given(st.binary(max_size=20), st.data())
def test_however_it_is_cut(rest, data):
    stream = b"".join(ACKS) + rest
    login, sent, at = Login(REQUESTS), b"", 0
    while login.subscribed is None:
        end = data.draw(st.integers(at + 1, len(stream)))
        sent += login.received(stream[at:end])
        at = end
    assert sent == b"<subscribe>"
    assert login.rest + stream[at:] == rest


@pytest.mark.parametrize("before", [(), (ACKS[0],)])
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (error_frame(Overloaded("full"), 1), Overloaded),
        (PONG, InvalidMessage),
        (b"HTTP/1.1 400 Bad Request", InvalidMessage),
        (ACKS[0][:-1] + b"\0", ChecksumFailed),
    ],
)
def test_what_ends_it(before, answer, error):
    login = Login(REQUESTS)
    for ack in before:
        login.received(ack)
    with pytest.raises(error):
        login.received(answer)


def test_an_ack_that_says_no():
    with pytest.raises(InvalidAuth, match="not you"):
        Login(REQUESTS).received(refusal(FrameType.AUTH))
    login = Login(REQUESTS)
    login.received(ACKS[0])
    with pytest.raises(InvalidSubscription, match="not you"):
        login.received(refusal(FrameType.SUBSCRIBE))


def test_the_password_is_not_shown():
    assert "auth" not in repr(REQUESTS)
