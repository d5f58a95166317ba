"""The publisher's core: a scripted server, and the server's own core at the other end."""

from math import inf
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.client.dialogue import SessionLimits
from tickstorm.client.events import Admitted, Garbled, Held, ServerError, Silent
from tickstorm.client.publication import Call, Published
from tickstorm.client.publisher_session import CallsEnded, PublisherSession
from tickstorm.client.states import State
from tickstorm.client.window import Window
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    ChecksumFailed,
    InvalidAuth,
    InvalidMessage,
    InvalidPublication,
    MayNotPublish,
    MessageTooLarge,
    OutOfTurn,
    PublicationFailed,
    PublishingTooFast,
    ShuttingDown,
    TickstormError,
)
from tickstorm.events import LoginRequested, PublicationRequested
from tickstorm.frames import MAX_PAYLOAD_BYTES, FrameDecoder, FrameType, encode_frame
from tickstorm.messages import (
    Heartbeat,
    Login,
    ack_frame,
    decode_publication,
    error_frame,
    pong_frame,
)
from tickstorm.records import batch_frame
from tickstorm.session import Session as ServerSession
from tickstorm.session import SessionLimits as ServerLimits
from tickstorm.ticks import Tick

LOGIN = Login("ann", "secret", "desk-1", "1.0")
TERMS = {"epoch": "e", "heartbeat_interval_ms": "10000", "heartbeat_timeout_ms": "16000"}
LOGIN_ACK = ack_frame(FrameType.AUTH, "authenticated", 5, TERMS)
ACME = Tick("ACME", 101.25, 5.0)


class Desk:
    """A session and its window."""

    def __init__(self, window=None, now=0.0):
        self.window = window or Window(4, MAX_PAYLOAD_BYTES, 7)
        self.session = PublisherSession(
            LOGIN, self.window, random=lambda: 0.0, limits=SessionLimits(), now=now
        )

    def publish(self, *ticks):
        call = Call(ticks)
        self.window.add(call)
        return call

    def hear(self, data, now=0.0):
        self.session.feed(data, now, 9)
        events = []
        while (event := self.session.next_event()) is not None:
            events.append(event)
        return events

    def ended(self):
        ended = list(self.window.ended)
        self.window.ended.clear()
        return ended

    def sent(self):
        decoder = FrameDecoder()
        decoder.feed(self.session.take_output())
        return list(iter(decoder.next_frame, None))

    def types(self):
        return [frame.type for frame in self.sent()]


def admitted():
    desk = Desk()
    assert desk.hear(LOGIN_ACK) == [Admitted("e", 10.0, 16.0)]
    assert desk.types() == [FrameType.AUTH]
    return desk


def published(request_id, **metadata):
    metadata = {"request_id": str(request_id), "ticks": "1", **metadata}
    return ack_frame(FrameType.PUBLISH, "published", 5, metadata)


def refused(request_id, error):
    error.details = f"request {request_id}"
    return error_frame(error, 5)


class Unlimited(NamedTuple):
    """Requests to publish, of which there may be any number."""

    publishing_epoch: str
    is_full: bool = False


def test_both_cores_see_the_same_conversation():
    desk = Desk()
    call = desk.publish(ACME, ACME)
    server = ServerSession(ServerLimits(heartbeat_interval=10, heartbeat_timeout=16), 0.0)
    seen = []
    for event in server.receive(desk.session.take_output(), 0.0, 5):
        seen.append(event)
        server.accept_login(0.0, 5, Unlimited("e"))
    assert seen == [LoginRequested(LOGIN)]
    assert desk.hear(server.take_output()) == [Admitted("e", 10.0, 16.0)]
    (asked,) = server.receive(desk.session.take_output(), 1.0, 5)
    assert asked == PublicationRequested(asked.request)
    assert (asked.request.request_id, asked.request.ticks) == (7, [ACME, ACME])
    server.answer_publication(published(7))
    assert desk.hear(server.take_output(), 1.0) == [CallsEnded()]
    assert desk.ended() == [call]
    assert call.result() == Published(2, 1, 0)
    assert desk.session.wake(10.0, 5) is None
    assert list(server.receive(desk.session.take_output(), 10.0, 5)) == []
    assert server.deadline == 26.0
    assert desk.hear(server.take_output(), 10.0) == []


def test_nothing_is_published_before_the_login():
    desk = Desk()
    desk.publish(ACME)
    assert desk.types() == [FrameType.AUTH]
    desk.hear(LOGIN_ACK)
    assert desk.types() == [FrameType.PUBLISH]


def test_a_server_that_says_nothing_of_heartbeats():
    desk = Desk()
    assert desk.hear(ack_frame(FrameType.AUTH, "", 0)) == [Admitted("", 15.0, 20.0)]
    assert desk.session.deadline == 15.0


def test_a_repeated_answer_is_counted():
    desk = admitted()
    call = desk.publish(ACME)
    desk.sent()
    assert desk.hear(published(7, repeated="true")) == [CallsEnded()]
    assert desk.ended() == [call]
    assert call.result() == Published(1, 1, 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidPublication("no"), InvalidPublication),
        (MayNotPublish("no"), MayNotPublish),
        (PublicationFailed("no"), PublicationFailed),
        (ShuttingDown("no"), ShuttingDown),
    ],
)
def test_what_is_refused_comes_out_as_what_it_was(error, kind):
    desk = admitted()
    call = desk.publish(ACME)
    desk.sent()
    assert desk.hear(refused(7, error)) == [CallsEnded()]
    assert desk.ended() == [call]
    with pytest.raises(kind, match=r"^no; no tick was published") as raised:
        call.result()
    assert raised.type is kind
    assert desk.session.state is State.PUBLISHING


def test_who_is_too_fast_is_woken_when_the_time_is_over():
    desk = admitted()
    desk.publish(ACME)
    desk.sent()
    assert desk.hear(refused(7, PublishingTooFast("", retry_after_ms=3000)), 1.0) == [Held(3.0)]
    assert (desk.types(), desk.session.deadline) == ([], 4.0)
    assert desk.session.wake(4.0, 0) is None
    assert desk.types() == [FrameType.PUBLISH]


def test_a_wait_that_ends_before_the_next_login_wakes_nobody_until_then():
    desk = admitted()
    desk.publish(ACME)
    desk.sent()
    desk.hear(refused(7, PublishingTooFast("", retry_after_ms=3000)), 1.0)
    desk.session.close()
    again = Desk(desk.window, now=10.0)
    assert (again.session.deadline, again.types()) == (20.0, [FrameType.AUTH])
    assert again.hear(LOGIN_ACK, 10.5) == [Admitted("e", 10.0, 16.0)]
    assert again.types() == [FrameType.PUBLISH]
    assert again.session.deadline == 20.5


def test_who_is_out_of_turn_asks_again_without_a_word():
    desk = admitted()
    desk.publish(ACME)
    desk.sent()
    assert desk.hear(refused(7, OutOfTurn("not now"))) == []
    (frame,) = desk.sent()
    assert decode_publication(frame.payload, 0) == (7, [ACME], 0)


@pytest.mark.parametrize("kind", PROTOCOL_ERRORS.values())
@pytest.mark.parametrize("answers", [b"", LOGIN_ACK])
def test_an_error_of_no_request_is_the_end(kind, answers):
    desk = Desk()
    desk.hear(answers)
    (event,) = desk.hear(error_frame(kind("why", "because", 40), 5))
    assert (type(event), type(event.error)) == (ServerError, kind)
    assert (event.retryable, event.error.retry_after_ms) == (kind.retryable, 40)
    assert desk.session.over


def test_an_ack_without_success_is_a_refusal():
    ack = pb.AckResponse(ack_type=pb.MESSAGE_TYPE_AUTH, success=False, message="no")
    desk = Desk()
    (event,) = desk.hear(encode_frame(FrameType.ACK, ack.SerializeToString()))
    assert (type(event.error), event.retryable) == (InvalidAuth, False)
    assert desk.session.over


@pytest.mark.parametrize("how", ["closed", "silent", "refused", "garbled"])
def test_what_has_no_answer_at_the_end_is_left_to_the_next_one(how):
    desk = admitted()
    call = desk.publish(ACME)
    desk.sent()
    if how == "closed":
        desk.session.close()
    elif how == "silent":
        desk.session.wake(10.0, 0)
        assert desk.types() == [FrameType.HEARTBEAT]
        assert desk.session.wake(16.0, 0) == Silent(16.0)
    elif how == "refused":
        desk.hear(error_frame(ShuttingDown("bye"), 5))
    else:
        desk.hear(b"nonsense")
    assert (desk.session.over, desk.session.deadline, desk.types()) == (True, inf, [])
    again = Desk(desk.window)
    again.hear(LOGIN_ACK)
    _, request = again.sent()
    assert decode_publication(request.payload, 0).request_id == 7
    assert again.hear(published(7, repeated="true")) == [CallsEnded()]
    assert again.ended() == [call]


BATCH = batch_frame([], timestamp_ms=1, sequence=1, publish_time_ns=2)
UNSUCCESSFUL = pb.AckResponse(
    ack_type=pb.MESSAGE_TYPE_PUBLISH, success=False, metadata={"request_id": "7"}
)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (BATCH[:-1] + b"!", ChecksumFailed),
        (b"\xf5\x7d\x01\x06\x00\x01\x00\x01", MessageTooLarge),
        (encode_frame(FrameType.ACK, b"\xff"), InvalidMessage),
        (BATCH, InvalidMessage),
        (LOGIN_ACK, InvalidMessage),
        (ack_frame(FrameType.SUBSCRIBE, "", 0), InvalidMessage),
        (ack_frame(FrameType.HEARTBEAT, "", 0), InvalidMessage),
        (ack_frame(FrameType.PUBLISH, "", 0), InvalidMessage),
        (ack_frame(FrameType.PUBLISH, "", 0, {"request_id": "x"}), InvalidMessage),
        (encode_frame(FrameType.ACK, UNSUCCESSFUL.SerializeToString()), InvalidMessage),
        (published(8), InvalidMessage),
        (refused(8, OutOfTurn("")), InvalidMessage),
    ],
)
def test_what_is_not_the_protocol_ends_it_once(data, kind):
    desk = admitted()
    desk.publish(ACME)
    desk.sent()
    (event,) = desk.hear(data + published(7))
    assert (type(event), type(event.error)) == (Garbled, kind)
    assert desk.session.over
    assert desk.hear(published(7)) == []


@pytest.mark.parametrize(
    "data", [published(7), refused(7, OutOfTurn("")), pong_frame(Heartbeat(1, 1), 2)]
)
def test_what_comes_too_early_ends_it(data):
    (event,) = Desk().hear(data)
    assert isinstance(event, Garbled)
    assert "is not expected while AUTHENTICATING" in event.error.message


@given(st.integers(1, 200))
def test_a_stream_cut_anywhere_says_the_same(size):
    desk, data = admitted(), pong_frame(Heartbeat(1, 1), 2) + published(7) + published(8)
    calls = [desk.publish(ACME), desk.publish(ACME)]
    desk.sent()
    events = []
    for at in range(0, len(data), size):
        events += desk.hear(data[at : at + size])
    assert events == [CallsEnded()] * 2
    assert desk.ended() == calls


@given(st.binary(max_size=300))
def test_anything_else_gives_only_our_errors(data):
    for event in admitted().hear(data):
        assert isinstance(event, Garbled)
        assert isinstance(event.error, TickstormError)
