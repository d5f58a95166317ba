"""The client's messages against the server's: what one writes the other reads."""

import pytest

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.bars import Bar
from tickstorm.client.batch import Batch, ReceivedTick
from tickstorm.client.events import Gap, GoAway
from tickstorm.client.messages import (
    Ack,
    Pong,
    decode_ack,
    decode_batch,
    decode_error,
    decode_gap,
    decode_goaway,
    decode_pong,
    heartbeat_frame,
    login_frame,
    subscription_frame,
    unsubscription_frame,
)
from tickstorm.errors import PROTOCOL_ERRORS, InvalidMessage, ProtocolError
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.messages import (
    Heartbeat,
    Login,
    ack_frame,
    decode_heartbeat,
    decode_login,
    error_frame,
    pong_frame,
)
from tickstorm.records import bar_record, batch_frame, tick_record
from tickstorm.subscriptions import Mode, Overload, Position, Subscription, decode_subscription
from tickstorm.ticks import Tick

GARBAGE = b"\xff\xff\xff"


def payload_of(frame, type):
    decoder = FrameDecoder()
    decoder.feed(frame)
    read = decoder.next_frame()
    assert read.type is type
    return read.payload


def test_login():
    login = Login("ann", "secret", "screen-1", "1.2.3")
    assert decode_login(payload_of(login_frame(login), FrameType.AUTH)) == login


@pytest.mark.parametrize(
    "subscription",
    [
        Subscription(Mode.SECOND),
        Subscription(Mode.TICK, frozenset({"ACME", "B.C"}), True, 5, {"desk": "7"}),
    ],
)
def test_subscription(subscription):
    frame = subscription_frame(subscription)
    assert decode_subscription(payload_of(frame, FrameType.SUBSCRIBE)) == subscription


def asked(subscription):
    return pb.SubscribeRequest.FromString(
        payload_of(subscription_frame(subscription), FrameType.SUBSCRIBE)
    )


def test_a_subscription_with_all_that_there_is():
    assert asked(
        Subscription(
            Mode.MINUTE,
            frozenset({"EUR*", "ACME"}),
            True,
            5,
            {"desk": "7"},
            250,
            Overload.CONFLATE,
            Position("e", 2**32 - 1),
        )
    ) == pb.SubscribeRequest(
        mode=pb.SUBSCRIPTION_MODE_MINUTE,
        symbols=["ACME", "EUR*"],
        start_time_ms=5,
        metadata={"desk": "7"},
        interval_ms=250,
        overload=pb.OVERLOAD_POLICY_CONFLATE,
        resume_epoch="e",
        resume_after_sequence=2**32 - 1,
        snapshot=True,
    )


def test_a_subscription_with_nothing_is_that_of_plain_version_1():
    assert asked(Subscription(Mode.SECOND)) == pb.SubscribeRequest(mode=pb.SUBSCRIPTION_MODE_SECOND)


@pytest.mark.parametrize("overload", [None, *Overload])
def test_each_policy(overload):
    assert asked(Subscription(Mode.SECOND, overload=overload)).overload == (overload or 0)


def test_unsubscription():
    assert payload_of(unsubscription_frame(), FrameType.UNSUBSCRIBE) == b""


def test_a_gap():
    notice = pb.GapNotice(first_sequence=2**32 - 1, last_sequence=1, ticks_lost=7, reason="dropped")
    assert decode_gap(notice.SerializeToString()) == Gap(2**32 - 1, 1, 7, "dropped")


@pytest.mark.parametrize(("first", "last"), [(5, 3), (0, 2**31 - 1)])
def test_a_gap_that_ends_before_it_begins(first, last):
    notice = pb.GapNotice(first_sequence=first, last_sequence=last)
    with pytest.raises(InvalidMessage, match=f"a gap from {first} to {last}"):
        decode_gap(notice.SerializeToString())


def test_goaway():
    notice = pb.GoAway(retry_after_ms=1_500, reason="deploy")
    assert decode_goaway(notice.SerializeToString()) == GoAway(1_500, "deploy")


def test_a_pong_that_says_what_comes_next():
    response = pb.HeartbeatResponse(
        client_timestamp_ms=1, server_timestamp_ms=2, sequence=3, next_sequence=4, epoch="e"
    )
    assert decode_pong(response.SerializeToString()) == Pong(1, 2, 3, 4, "e")


def test_heartbeat_and_its_answer():
    frame = heartbeat_frame(1_000, 3)
    assert decode_heartbeat(payload_of(frame, FrameType.HEARTBEAT), 1_000) == Heartbeat(1_000, 3)
    answer = payload_of(pong_frame(Heartbeat(1_000, 3), 1_007), FrameType.PONG)
    assert decode_pong(answer) == Pong(1_000, 1_007, 3)


def test_ack():
    frame = ack_frame(FrameType.SUBSCRIBE, "subscribed", 5, {"epoch": "e"})
    ack = decode_ack(payload_of(frame, FrameType.ACK))
    assert ack == Ack(FrameType.SUBSCRIBE, True, "subscribed", {"epoch": "e"})


@pytest.mark.parametrize("kind", PROTOCOL_ERRORS.values())
def test_each_error_code_comes_out_as_its_class(kind):
    frame = error_frame(kind("why", "more", retry_after_ms=9), 5)
    error, retryable = decode_error(payload_of(frame, FrameType.ERROR))
    assert type(error) is kind
    assert (error.message, error.details, error.retry_after_ms) == ("why", "more", 9)
    assert retryable is kind.retryable


@pytest.mark.parametrize(("code", "message"), [(0, "why"), (99, "error 99: why")])
def test_a_code_of_no_class_comes_out_as_a_plain_error(code, message):
    response = pb.ErrorResponse(message="why", retryable=True)
    response.code = code
    error, retryable = decode_error(response.SerializeToString())
    assert (type(error), error.message, retryable) == (ProtocolError, message, True)


def test_a_batch_of_ticks():
    tick = Tick("ACME", 10.5, 3.0, 1_700_000_000_123_456_789, 10.0, 11.0, 7, 8, {"venue": "X"})
    frame = batch_frame(
        [tick_record(tick)], timestamp_ms=1_700_000_000_124, sequence=4, publish_time_ns=6
    )
    received = ReceivedTick(
        "ACME",
        1_700_000_000_123,
        1_700_000_000_123_456_789,
        10.5,
        3.0,
        10.0,
        11.0,
        7,
        8,
        mode=Mode.TICK,
        metadata={"venue": "X"},
    )
    batch = decode_batch(payload_of(frame, FrameType.DATA_BATCH), received_ns=9)
    assert batch == Batch((received,), 1_700_000_000_124, 4, False, 6, 9)


def test_a_batch_of_bars():
    bar = Bar(Tick("ACME", 10.0, 1.0, 1_000_000_000))
    bar.add(Tick("ACME", 12.0, 3.0, 1_500_000_000))
    frame = batch_frame(
        [bar_record(bar, Mode.SECOND)],
        timestamp_ms=2_000,
        sequence=1,
        publish_time_ns=2,
        is_snapshot=True,
    )
    received = ReceivedTick(
        "ACME",
        1_500,
        1_500_000_000,
        12.0,
        4.0,
        open=10.0,
        high=12.0,
        low=10.0,
        vwap=11.5,
        trade_count=2,
        mode=Mode.SECOND,
    )
    batch = decode_batch(payload_of(frame, FrameType.DATA_BATCH), received_ns=3)
    assert batch == Batch((received,), 2_000, 1, True, 2, 3)


def test_a_batch_of_plain_version_1():
    message = pb.DataBatch(batch_timestamp_ms=5, batch_sequence=2)
    message.ticks.add(symbol="ACME", timestamp_ms=4, price=1.5)
    batch = decode_batch(message.SerializeToString(), received_ns=6)
    assert batch == Batch((ReceivedTick("ACME", 4, 4_000_000, 1.5),), 5, 2, False, 0, 6)


@pytest.mark.parametrize(
    ("decode", "name"),
    [
        (decode_ack, "AckResponse"),
        (decode_error, "ErrorResponse"),
        (decode_pong, "HeartbeatResponse"),
        (decode_gap, "GapNotice"),
        (decode_goaway, "GoAway"),
        (lambda payload: decode_batch(payload, 0), "DataBatch"),
    ],
)
def test_an_undecodable_payload_is_one_error(decode, name):
    with pytest.raises(InvalidMessage, match=f"the payload is no {name}"):
        decode(GARBAGE)
