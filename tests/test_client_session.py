"""The subscriber's core: a scripted server, and the server's own core at the other end."""

from math import inf
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.client.dialogue import SessionLimits
from tickstorm.client.events import (
    Authenticated,
    BatchReceived,
    Gap,
    Garbled,
    GoAway,
    Repeated,
    Restarted,
    ServerError,
    Silent,
    Subscribed,
)
from tickstorm.client.messages import (
    decode_batch,
    subscription_frame,
    unsubscription_frame,
)
from tickstorm.client.sequence import SequenceTracker
from tickstorm.client.session import Session
from tickstorm.client.states import State
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    ChecksumFailed,
    InvalidAuth,
    InvalidMessage,
    InvalidSubscription,
    MessageTooLarge,
    TickstormError,
    UnsupportedVersion,
)
from tickstorm.events import LoginRequested, SubscriptionRequested
from tickstorm.frames import FrameDecoder, FrameType, encode_frame
from tickstorm.messages import Heartbeat, Login, ack_frame, error_frame, pong_frame
from tickstorm.records import batch_frame, tick_record
from tickstorm.session import (
    Session as ServerSession,
)
from tickstorm.session import (
    SessionLimits as ServerLimits,
)
from tickstorm.subscriptions import Mode, Position, Subscription
from tickstorm.ticks import Tick

LOGIN = Login("ann", "secret", "screen", "1.0")
SUBSCRIPTION = Subscription(Mode.SECOND, frozenset({"ACME"}))
TERMS = {
    "epoch": "e",
    "next_sequence": "7",
    "heartbeat_interval_ms": "10000",
    "heartbeat_timeout_ms": "16000",
}
LOGIN_ACK = ack_frame(FrameType.AUTH, "authenticated", 5)
SUBSCRIPTION_ACK = ack_frame(FrameType.SUBSCRIBE, "subscribed", 5, TERMS)


def new_session(sequence=None, random=lambda: 0.0, subscription=SUBSCRIPTION):
    return Session(
        LOGIN,
        subscription,
        sequence if sequence is not None else SequenceTracker(),
        random=random,
        limits=SessionLimits(),
        now=0.0,
    )


def hear(session, data, now=0.0):
    session.feed(data, now, 9)
    events = []
    while (event := session.next_event()) is not None:
        events.append(event)
    return events


def streaming(sequence=None, random=lambda: 0.0, now=0.0):
    session = new_session(sequence, random)
    hear(session, LOGIN_ACK + SUBSCRIPTION_ACK, now)
    assert session.state is State.STREAMING
    session.take_output()
    return session


def batch(sequence, is_snapshot=False):
    return batch_frame(
        [tick_record(Tick("ACME", 1.0, timestamp_ns=1))],
        timestamp_ms=1,
        sequence=sequence,
        publish_time_ns=2,
        is_snapshot=is_snapshot,
    )


def gap(first, last, reason="dropped", ticks=3):
    notice = pb.GapNotice(first_sequence=first, last_sequence=last, ticks_lost=ticks, reason=reason)
    return encode_frame(FrameType.GAP, notice.SerializeToString())


def pong(next_sequence, epoch="e"):
    response = pb.HeartbeatResponse(sequence=1, next_sequence=next_sequence, epoch=epoch)
    return encode_frame(FrameType.PONG, response.SerializeToString())


GOAWAY = encode_frame(
    FrameType.GOAWAY, pb.GoAway(retry_after_ms=40, reason="deploy").SerializeToString()
)
UNSUBSCRIPTION_ACK = ack_frame(FrameType.UNSUBSCRIBE, "unsubscribed", 5)
TICKS = Subscription(Mode.TICK, frozenset({"EUR*"}))


def received(sequence, is_snapshot=False):
    decoder = FrameDecoder()
    decoder.feed(batch(sequence, is_snapshot))
    return BatchReceived(decode_batch(decoder.next_frame().payload, 9))


def frames(data):
    decoder = FrameDecoder()
    decoder.feed(data)
    return list(iter(decoder.next_frame, None))


def types(data):
    return [frame.type for frame in frames(data)]


def same_error(event, kind, error_class, text=""):
    assert type(event) is kind
    assert type(event.error) is error_class
    assert text in event.error.message


def test_both_cores_see_the_same_conversation():
    client = new_session()
    server = ServerSession(ServerLimits(heartbeat_interval=10, heartbeat_timeout=16), 0.0)
    seen = []
    for event in server.receive(client.take_output(), 0.0, 5):
        seen.append(event)
        server.accept_login(0.0, 5)
    assert seen == [LoginRequested(LOGIN)]
    assert hear(client, server.take_output()) == [Authenticated()]
    for event in server.receive(client.take_output(), 1.0, 5):
        seen.append(event)
        server.accept_subscription(
            Subscription(Mode.SECOND),
            {"epoch": "e", "next_sequence": "7"},
            SimpleNamespace(epoch="", next_sequence=0),
            5,
        )
    assert seen[1:] == [SubscriptionRequested(SUBSCRIPTION)]
    assert hear(client, server.take_output(), 1.0) == [Subscribed("e", 7, 10.0, 16.0)]
    assert client.wake(11.0, 5) is None
    assert list(server.receive(client.take_output(), 11.0, 5)) == []
    assert server.deadline == 27.0
    assert hear(client, server.take_output(), 11.0) == []
    assert hear(client, batch(7), 12.0) == [received(7)]


@pytest.mark.parametrize("kind", PROTOCOL_ERRORS.values())
def test_each_error_of_the_server_core(kind):
    client, server = streaming(), ServerSession(ServerLimits(), 0.0)
    for _ in server.receive(new_session().take_output(), 0.0, 0):
        server.accept_login(0.0, 0)
    server.take_output()
    server.answer(kind("why", retry_after_ms=40), 5)
    (event,) = hear(client, server.take_output())
    same_error(event, ServerError, kind, "why")
    assert event.retryable is kind.retryable
    assert event.error.retry_after_ms == 40
    assert client.state is (State.CLOSED if kind.closes else State.STREAMING)


@pytest.mark.parametrize("answers", [b"", LOGIN_ACK])
@pytest.mark.parametrize("kind", PROTOCOL_ERRORS.values())
def test_before_the_stream_each_error_is_the_end(kind, answers):
    client = new_session()
    hear(client, answers)
    hear(client, error_frame(kind("why"), 5))
    assert client.state is State.CLOSED


def test_a_server_of_plain_version_1():
    client = new_session()
    assert types(client.take_output()) == [FrameType.AUTH]
    assert hear(client, ack_frame(FrameType.AUTH, "", 0)) == [Authenticated()]
    assert types(client.take_output()) == [FrameType.SUBSCRIBE]
    bare_ack = ack_frame(FrameType.SUBSCRIBE, "", 0)
    assert hear(client, bare_ack) == [Subscribed("", None, 15.0, 20.0)]
    assert client.deadline == 15.0
    assert hear(client, batch(3) + batch(5)) == [received(3), Gap(4, 4), received(5)]


def test_snapshots_do_not_count():
    client = streaming()
    frames = batch(6, is_snapshot=True) + batch(6, is_snapshot=True) + batch(7)
    assert hear(client, frames) == [received(6, True), received(6, True), received(7)]


def test_a_repeated_number_is_told_and_dropped():
    assert hear(streaming(), batch(7) + batch(7) + batch(8)) == [
        received(7),
        Repeated(7),
        received(8),
    ]


def test_a_gap_over_a_reconnect():
    sequence = SequenceTracker()
    hear(streaming(sequence), batch(7))
    again = new_session(sequence)
    terms = {**TERMS, "next_sequence": "10"}
    events = hear(again, LOGIN_ACK + ack_frame(FrameType.SUBSCRIBE, "", 5, terms) + batch(10))
    assert events == [Authenticated(), Subscribed("e", 10, 10.0, 16.0), Gap(8, 9), received(10)]


def test_a_restart_over_a_reconnect():
    sequence = SequenceTracker()
    hear(streaming(sequence), batch(7))
    terms = {**TERMS, "epoch": "f"}
    events = hear(new_session(sequence), LOGIN_ACK + ack_frame(FrameType.SUBSCRIBE, "", 5, terms))
    assert events == [Authenticated(), Subscribed("f", 7, 10.0, 16.0), Restarted()]


@pytest.mark.parametrize(
    ("acknowledged", "answers", "kind"),
    [
        (FrameType.AUTH, b"", InvalidAuth),
        (FrameType.SUBSCRIBE, LOGIN_ACK, InvalidSubscription),
    ],
)
def test_an_ack_without_success_is_a_refusal(acknowledged, answers, kind):
    client = new_session()
    hear(client, answers)
    ack = pb.AckResponse(ack_type=int(acknowledged), success=False, message="no")
    (event,) = hear(client, encode_frame(FrameType.ACK, ack.SerializeToString()))
    same_error(event, ServerError, kind, "no")
    assert event.retryable is False
    assert client.state is State.CLOSED


def flipped(frame, at):
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (flipped(batch(7), 0), InvalidMessage),
        (flipped(batch(7), 2), UnsupportedVersion),
        (flipped(batch(7), 9), ChecksumFailed),
        (flipped(batch(7), len(batch(7)) - 1), ChecksumFailed),
        (b"\xf5\x7d\x01\x04\x00\x01\x00\x01", MessageTooLarge),
        (encode_frame(FrameType.DATA_BATCH, b"\xff"), InvalidMessage),
        (encode_frame(FrameType.SUBSCRIBE, b""), InvalidMessage),
        (ack_frame(FrameType.HEARTBEAT, "", 0), InvalidMessage),
        (ack_frame(FrameType.PUBLISH, "", 0, {"request_id": "7"}), InvalidMessage),
        (LOGIN_ACK, InvalidMessage),
        (SUBSCRIPTION_ACK, InvalidMessage),
    ],
)
def test_what_is_not_the_protocol_ends_it_once(data, kind):
    client = streaming()
    (event,) = hear(client, data + batch(7))
    same_error(event, Garbled, kind)
    assert (client.state, client.deadline) == (State.CLOSED, inf)
    assert hear(client, batch(7)) == []


@pytest.mark.parametrize("data", [batch(7), pong_frame(Heartbeat(1, 1), 2), SUBSCRIPTION_ACK])
def test_what_comes_too_early_ends_it(data):
    (event,) = hear(new_session(), data)
    same_error(event, Garbled, InvalidMessage, "is not expected while AUTHENTICATING")


@given(st.integers(1, 400))
def test_a_stream_cut_anywhere_says_the_same(size):
    data = LOGIN_ACK + SUBSCRIPTION_ACK + batch(7) + batch(9)
    client = new_session()
    events = []
    for at in range(0, len(data), size):
        events += hear(client, data[at : at + size])
    assert events == hear(new_session(), data)


@given(st.binary(max_size=300))
def test_anything_else_gives_only_our_errors(data):
    for event in hear(streaming(), data):
        assert isinstance(event, Garbled)
        assert isinstance(event.error, TickstormError)


def test_heartbeats_are_counted_and_come_up_to_a_fifth_early():
    draws = iter([0.0, 0.5, 0.999])
    client = streaming(random=lambda: next(draws))
    assert client.deadline == 10.0
    assert client.wake(10.0, 1_000) is None
    decoder = FrameDecoder()
    decoder.feed(client.take_output())
    request = pb.HeartbeatRequest.FromString(decoder.next_frame().payload)
    assert (request.timestamp_ms, request.sequence) == (1_000, 1)
    assert client.deadline == 16.0  # the silence first
    hear(client, pong_frame(Heartbeat(1_000, 1), 1_001), 10.1)
    assert client.deadline == 19.0
    client.wake(19.0, 1_000)
    hear(client, batch(7), 19.0)
    assert client.deadline == pytest.approx(27.002)


def test_woken_early_it_does_nothing():
    client = streaming()
    assert client.wake(9.9, 0) is None
    assert client.take_output() == b""


def test_silence_ends_it():
    client = streaming()
    client.wake(10.0, 0)
    assert client.wake(16.0, 0) == Silent(16.0)
    assert client.state is State.CLOSED


def test_silence_instead_of_an_answer_ends_it():
    client = new_session()
    assert client.deadline == 10.0
    hear(client, LOGIN_ACK, 4.0)
    assert client.deadline == 14.0
    assert client.wake(14.0, 0) == Silent(10.0)


def test_anything_is_a_sign_of_life():
    client = streaming()
    client.wake(10.0, 0)
    hear(client, batch(7)[:1], 12.0)
    assert client.wake(16.0, 0) is None
    assert client.deadline == 20.0


def test_who_looks_late_blames_nobody():
    client = streaming()
    client.wake(10.0, 0)
    assert client.wake(40.0, 0) is None
    assert types(client.take_output()) == [FrameType.HEARTBEAT] * 2
    assert client.deadline == 50.0


def test_while_nothing_is_read_heartbeats_go_out_and_silence_means_nothing():
    client = streaming()
    client.pause()
    for now in (10.0, 20.0, 30.0):
        assert client.deadline == now
        assert client.wake(now, 0) is None
        assert types(client.take_output()) == [FrameType.HEARTBEAT]
    client.feed(batch(7)[:3], 31.0, 0)
    client.wake(40.0, 0)
    assert client.deadline == 50.0
    client.resume(45.0)
    client.wake(50.0, 0)
    assert client.deadline == 60.0
    assert client.wake(60.0, 0) is None
    assert client.wake(61.0, 0) == Silent(16.0)


class TestTold:
    """What the server tells of what does not come."""

    def test_a_gap_is_told_once(self):
        data = batch(7) + gap(8, 10) + pong(11) + batch(11)
        assert hear(streaming(), data) == [received(7), Gap(8, 10, 3, "dropped"), received(11)]

    def test_what_it_does_not_tell_of_is_a_gap_too(self):
        assert hear(streaming(), gap(9, 10) + batch(12)) == [
            Gap(7, 8),
            Gap(9, 10, 3, "dropped"),
            Gap(11, 11),
            received(12),
        ]

    @pytest.mark.parametrize("reason", ["conflated", "dropped"])
    def test_a_gap_is_told_with_the_batch_behind_it(self, reason):
        sequence = SequenceTracker()
        client = streaming(sequence)
        told = gap(7, 9, reason) + pong(10) + batch(6, is_snapshot=True)
        assert hear(client, told) == [received(6, is_snapshot=True)]
        assert sequence.position == Position("e", 6)
        assert hear(client, batch(10)) == [Gap(7, 9, 3, reason), received(10)]
        assert sequence.position == Position("e", 10)

    def test_a_gap_is_told_before_one_behind_it(self):
        told = [Gap(7, 9, 3, "conflated"), Gap(10, 12, 3, "dropped"), received(13)]
        assert hear(streaming(), gap(7, 9, "conflated") + gap(10, 12) + batch(13)) == told

    def test_a_loss_in_a_quiet_time_shows_at_the_next_heartbeat(self):
        data = pong(7) + batch(7) + pong(7) + pong(9) + pong(9) + batch(9)
        assert hear(streaming(), data) == [received(7), Gap(8, 8), received(9)]

    @pytest.mark.parametrize("data", [pong(9, "f"), pong(9, ""), pong_frame(Heartbeat(1, 1), 2)])
    def test_a_pong_of_something_else_says_nothing(self, data):
        assert hear(streaming(), data + batch(7)) == [received(7)]

    def test_goaway_is_the_end(self):
        client = streaming()
        assert hear(client, batch(7) + GOAWAY + batch(8)) == [received(7), GoAway(40, "deploy")]
        assert (client.state, client.deadline) == (State.CLOSED, inf)

    @pytest.mark.parametrize("frame", [gap(7, 7), GOAWAY, UNSUBSCRIPTION_ACK])
    def test_what_comes_too_early_ends_it(self, frame):
        (event,) = hear(new_session(), frame)
        same_error(event, Garbled, InvalidMessage, "is not expected while AUTHENTICATING")


class TestResume:
    RESUMED = SUBSCRIPTION._replace(resume=Position("e", 6))

    def resumed(self, subscription=RESUMED, **terms):
        sequence = SequenceTracker(Position("e", 6))
        client = new_session(sequence, subscription=subscription)
        ack = ack_frame(FrameType.SUBSCRIBE, "subscribed", 5, {**TERMS, **terms})
        return hear(client, LOGIN_ACK + ack + batch(7))

    def test_what_is_recovered_goes_on(self):
        assert self.resumed(recovered="true") == [
            Authenticated(),
            Subscribed("e", 7, 10.0, 16.0, True),
            received(7),
        ]

    def test_what_is_not_recovered_is_told(self):
        assert self.resumed(recovered="false") == [
            Authenticated(),
            Subscribed("e", 7, 10.0, 16.0, False),
            Restarted(),
            received(7),
        ]

    def test_a_past_that_is_not_all_there_is_no_hole_of_this_subscription_s(self):
        past = SUBSCRIPTION._replace(start_time_ms=5)
        assert self.resumed(past, recovered="false") == [
            Authenticated(),
            Subscribed("e", 7, 10.0, 16.0, False),
            received(7),
        ]


class TestChange:
    def change(self, client, subscription=TICKS):
        sequence = SequenceTracker()
        client.change(subscription, sequence)
        return sequence

    def test_what_still_comes_of_the_old_is_dropped_and_the_new_one_streams(self):
        client = streaming()
        sequence = self.change(client)
        assert client.take_output() == unsubscription_frame()
        assert hear(client, batch(7) + gap(8, 9) + batch(99) + pong(100)) == []
        assert hear(client, UNSUBSCRIPTION_ACK) == []
        assert client.take_output() == subscription_frame(TICKS)
        terms = {**TERMS, "next_sequence": "3"}
        data = pong(0, "") + ack_frame(FrameType.SUBSCRIBE, "", 5, terms) + batch(3)
        assert hear(client, data) == [Subscribed("e", 3, 10.0, 16.0), received(3)]
        assert sequence.position == Position("e", 3)

    def test_while_the_login_is_checked_there_is_nothing_to_take_back(self):
        client = new_session()
        client.take_output()
        self.change(client)
        assert hear(client, LOGIN_ACK) == [Authenticated()]
        assert client.take_output() == subscription_frame(TICKS)

    def test_one_that_is_asked_for_already_is_taken_back_when_it_is_there(self):
        client = new_session()
        hear(client, LOGIN_ACK)
        client.take_output()
        self.change(client)
        assert client.take_output() == b""
        assert hear(client, SUBSCRIPTION_ACK + batch(7)) == []
        assert client.take_output() == unsubscription_frame()
        assert hear(client, UNSUBSCRIPTION_ACK) == []
        assert client.take_output() == subscription_frame(TICKS)
        assert hear(client, SUBSCRIPTION_ACK) == [Subscribed("e", 7, 10.0, 16.0)]

    def test_a_refusal_of_one_that_is_no_longer_wanted_is_no_end(self):
        client = new_session()
        hear(client, LOGIN_ACK)
        client.take_output()
        self.change(client)
        assert hear(client, error_frame(InvalidSubscription("no such symbol"), 5)) == []
        assert client.take_output() == subscription_frame(TICKS)
        assert hear(client, SUBSCRIPTION_ACK) == [Subscribed("e", 7, 10.0, 16.0)]

    def test_the_refusal_of_the_one_that_is_wanted_then_is(self):
        client = new_session()
        hear(client, LOGIN_ACK)
        self.change(client)
        refused = error_frame(InvalidSubscription("no such symbol"), 5)
        (event,) = hear(client, refused + refused)
        same_error(event, ServerError, InvalidSubscription)
        assert (event.retryable, client.state) == (False, State.CLOSED)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (b"", LOGIN_ACK),
            (LOGIN_ACK, SUBSCRIPTION_ACK + UNSUBSCRIPTION_ACK),
            (LOGIN_ACK + SUBSCRIPTION_ACK, UNSUBSCRIPTION_ACK),
        ],
    )
    def test_the_last_wish_counts(self, before, after):
        client = new_session()
        hear(client, before)
        self.change(client, Subscription(Mode.MINUTE))
        self.change(client)
        hear(client, after)
        requests = frames(client.take_output())
        assert requests[-1:] == frames(subscription_frame(TICKS))
        assert hear(client, SUBSCRIPTION_ACK) == [Subscribed("e", 7, 10.0, 16.0)]

    def test_what_one_frame_says_of_the_old_is_dropped_too(self):
        client = streaming()
        client.feed(gap(7, 8) + batch(10), 0.0, 9)
        assert client.next_event() == Gap(7, 8, 3, "dropped")
        assert client.next_event() == Gap(9, 9)
        self.change(client)
        assert client.next_event() is None

    def test_a_gap_of_the_old_is_none_of_the_new(self):
        client = streaming()
        hear(client, gap(7, 9, "conflated"))
        self.change(client)
        data = UNSUBSCRIPTION_ACK + SUBSCRIPTION_ACK + batch(7)
        assert hear(client, data) == [Subscribed("e", 7, 10.0, 16.0), received(7)]

    def test_a_server_that_knows_no_unsubscribe_may_be_asked_on_another_connection(self):
        client = streaming()
        self.change(client)
        (event,) = hear(client, error_frame(InvalidMessage("unknown frame type 0x09"), 5))
        same_error(event, ServerError, InvalidMessage)
        assert (event.retryable, client.state) == (True, State.CLOSED)

    @pytest.mark.parametrize("kind", PROTOCOL_ERRORS.values())
    def test_each_error_is_the_end(self, kind):
        client = streaming()
        self.change(client)
        (event,) = hear(client, error_frame(kind("why"), 5))
        assert client.state is State.CLOSED
        assert event.retryable is (kind.retryable or kind is InvalidMessage)

    def test_goaway_comes_before_the_new_one(self):
        client = streaming()
        self.change(client)
        assert hear(client, batch(7) + GOAWAY) == [GoAway(40, "deploy")]

    def test_one_that_is_over_stays_so(self):
        client = streaming()
        client.close()
        self.change(client)
        assert (client.state, client.take_output()) == (State.CLOSED, b"")

    def test_a_batch_behind_the_acknowledgement_ends_it(self):
        client = streaming()
        self.change(client)
        (event,) = hear(client, UNSUBSCRIPTION_ACK + batch(7))
        same_error(event, Garbled, InvalidMessage, "BATCH is not expected while SUBSCRIBING")
