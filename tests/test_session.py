"""The conversation: every frame that a state does not allow, and whole conversations."""

import struct
from itertools import product
from math import inf
from typing import NamedTuple

import crcmod.predefined
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_states import TABLE, refusal

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import (
    PROTOCOL_ERRORS,
    AlreadyAuthenticated,
    AlreadySubscribed,
    AuthRequired,
    ChecksumFailed,
    HeartbeatTimeout,
    InternalError,
    InvalidAuth,
    InvalidMessage,
    InvalidSubscription,
    MessageTooLarge,
    NotSubscribed,
    UnsupportedVersion,
)
from tickstorm.events import (
    Failed,
    LoginRequested,
    Refused,
    SubscriptionRequested,
    Unsubscribed,
)
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.messages import Login
from tickstorm.session import MAX_HEARTBEAT_BYTES, MAX_HELD_BYTES, Session, SessionLimits
from tickstorm.states import TRANSITIONS, State
from tickstorm.subscriptions import Mode, Subscription

NOW_MS = 1_700_000_000_000
crc32c = crcmod.predefined.mkPredefinedCrcFun("crc-32c")
KINDS = {
    FrameType.ACK: pb.AckResponse,
    FrameType.ERROR: pb.ErrorResponse,
    FrameType.PONG: pb.HeartbeatResponse,
}


def raw(type, payload=b"", *, version=1, length=None):
    """A frame made by nothing of ours."""
    if not isinstance(payload, bytes):
        payload = payload.SerializeToString()
    size = len(payload) if length is None else length
    body = struct.pack(">HBBI", 0xF57D, version, type, size) + payload
    return body + struct.pack(">I", crc32c(body))


AUTH = raw(1, pb.AuthRequest(username="alice", password="secret"))
SUBSCRIBE = raw(2, pb.SubscribeRequest(mode=1))
SUBSCRIBE_MINUTE = raw(2, pb.SubscribeRequest(mode=2))
SUBSCRIBE_NOTHING = raw(2, pb.SubscribeRequest(mode=0))
HEARTBEAT = raw(3)
UNSUBSCRIBE = raw(9)


class Place(NamedTuple):
    """Where a client is in its stream."""

    epoch: str
    next_sequence: int


PLACE = Place("e", 7)


class Edge:
    """The other side of the session's events: lets everybody in and subscribes them, or not yet."""

    def __init__(self, *, accept=True, limits=SessionLimits(), now=0.0):
        self.session = Session(limits, now)
        self.accept = accept
        self.events = []

    def receive(self, data, now=0.0):
        for event in self.session.receive(data, now, NOW_MS):
            self.events.append(event)
            if isinstance(event, LoginRequested) and self.accept:
                self.session.accept_login(now, NOW_MS)
            elif isinstance(event, SubscriptionRequested) and self.accept:
                self.session.accept_subscription(event.subscription, {}, PLACE, NOW_MS)
        return self

    def said(self):
        """What was sent since the last time, each as its type and what tells it from others."""
        decoder = FrameDecoder()
        decoder.feed(self.session.take_output())
        words = []
        for frame in iter(decoder.next_frame, None):
            message = KINDS[frame.type].FromString(frame.payload)
            if frame.type is FrameType.ACK:
                assert (message.success, message.timestamp_ms) == (True, NOW_MS)
                words.append(("ACK", message.ack_type))
            elif frame.type is FrameType.ERROR:
                assert message.timestamp_ms == NOW_MS
                words.append(("ERROR", pb.ErrorCode.Name(message.code).removeprefix("ERROR_CODE_")))
            else:
                words.append(("PONG", message.sequence))
        assert decoder.pending_bytes == 0
        return words

    def kinds(self):
        return [
            type(event.error) if isinstance(event, Refused | Failed) else type(event)
            for event in self.events
        ]


def in_state(state, limits=SessionLimits(), now=0.0):
    """A session that has come to this state by itself, with everything said taken."""
    edge = Edge(accept=False, limits=limits, now=now)
    session = edge.session
    if state is State.CLOSED:
        session.answer(InternalError("over"), NOW_MS)
    inside = {State.AUTHENTICATED, State.SUBSCRIBING, State.STREAMING}
    if state in {State.AUTHENTICATING, *inside}:
        edge.receive(AUTH, now)
    if state in inside:
        session.accept_login(now, NOW_MS)
    if state in {State.SUBSCRIBING, State.STREAMING}:
        edge.receive(SUBSCRIBE, now)
    if state is State.STREAMING:
        session.accept_subscription(Subscription(Mode.SECOND), {}, PLACE, NOW_MS)
    session.take_output()
    edge.events.clear()
    assert session.state is state
    return edge


ACK_AUTH, ACK_SUBSCRIBE = ("ACK", 1), ("ACK", 2)


# A step that is not in the table.

READING = [State.AWAITING_AUTH, State.AUTHENTICATED, State.STREAMING]
ILLEGAL = [
    step
    for step in product(READING, FrameType)
    if step not in TRANSITIONS and refusal(*step).closes
]


@pytest.mark.parametrize(("state", "type"), ILLEGAL)
def test_each_frame_that_a_state_does_not_allow_is_one_error_and_the_end(state, type):
    edge = in_state(state).receive(raw(type.value) + HEARTBEAT)
    (event,) = edge.events
    error = refusal(state, type)
    assert isinstance(event, Failed)
    assert (event.error.__class__, event.error.message) == (
        error,
        f"{type.name} is not allowed while {state.name}",
    )
    assert (edge.said(), edge.session.state) == ([("ERROR", error.code.name)], State.CLOSED)


def test_to_unsubscribe_without_a_subscription_is_refused_and_the_conversation_goes_on():
    edge = in_state(State.AUTHENTICATED).receive(UNSUBSCRIBE + HEARTBEAT)
    assert (edge.said(), edge.kinds()) == (
        [("ERROR", "NOT_SUBSCRIBED"), ("PONG", 0)],
        [NotSubscribed],
    )
    assert edge.session.state is State.AUTHENTICATED


# Whole conversations.


def test_a_subscription_is_given_up_and_another_follows():
    edge = in_state(State.STREAMING)
    edge.accept = True
    edge.receive(UNSUBSCRIBE + HEARTBEAT + SUBSCRIBE_MINUTE)
    assert edge.said() == [("ACK", 9), ("PONG", 0), ACK_SUBSCRIBE]
    assert edge.events == [Unsubscribed(), SubscriptionRequested(Subscription(Mode.MINUTE))]
    assert edge.session.state is State.STREAMING


def test_a_pong_says_which_batch_comes_next_while_there_is_a_subscription():
    edge = in_state(State.AUTHENTICATED)
    edge.accept = True
    edge.receive(HEARTBEAT + SUBSCRIBE + HEARTBEAT)
    edge.receive(HEARTBEAT)  # alone
    edge.receive(UNSUBSCRIBE + HEARTBEAT + SUBSCRIBE_MINUTE + HEARTBEAT)
    decoder = FrameDecoder()
    decoder.feed(edge.session.take_output())
    frames = [frame for frame in iter(decoder.next_frame, None) if frame.type is FrameType.PONG]
    pongs = [pb.HeartbeatResponse.FromString(frame.payload) for frame in frames]
    assert [(pong.epoch, pong.next_sequence) for pong in pongs] == [
        ("", 0),
        ("e", 7),
        ("e", 7),
        ("", 0),
        ("e", 7),
    ]


def test_from_the_first_frame_to_the_stream():
    edge = Edge().receive(AUTH)
    assert edge.events == [LoginRequested(Login("alice", "secret"))]
    assert (edge.said(), edge.session.state) == ([ACK_AUTH], State.AUTHENTICATED)
    edge.receive(SUBSCRIBE)
    assert edge.events[1:] == [SubscriptionRequested(Subscription(Mode.SECOND))]
    assert (edge.said(), edge.session.state) == ([ACK_SUBSCRIBE], State.STREAMING)
    edge.receive(HEARTBEAT)
    assert (edge.said(), edge.events[2:]) == ([("PONG", 0)], [])


@given(st.lists(st.integers(1, 200), max_size=10))
def test_a_conversation_cut_anywhere_is_the_same(cuts):
    stream = AUTH + SUBSCRIBE_NOTHING + HEARTBEAT + SUBSCRIBE + SUBSCRIBE_MINUTE + AUTH + HEARTBEAT
    places = sorted(min(cut, len(stream)) for cut in cuts)
    edge = Edge()
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        edge.receive(stream[start:end])
    assert edge.kinds() == [
        LoginRequested,
        InvalidSubscription,
        SubscriptionRequested,
        InvalidSubscription,
        AlreadyAuthenticated,
    ]
    assert edge.said() == [
        ACK_AUTH,
        ("ERROR", "INVALID_SUBSCRIPTION"),
        ("PONG", 0),
        ACK_SUBSCRIBE,
        ("ERROR", "INVALID_SUBSCRIPTION"),
        ("ERROR", "ALREADY_AUTHENTICATED"),
    ]


def test_the_very_bytes_of_a_version_1_conversation():
    auth = bytes.fromhex("f57d0101 0000000f") + b"\x0a\x05alice\x12\x06secret"
    subscribe = bytes.fromhex("f57d0102 00000008") + b"\x08\x01\x12\x04AAPL"
    heartbeat = bytes.fromhex("f57d0103 00000009 08 80d095ffbc31 10 05")
    session = Session(SessionLimits(), 0.0)
    said = []
    for body in (auth, subscribe, heartbeat):
        for event in session.receive(body + struct.pack(">I", crc32c(body)), 0.0, NOW_MS):
            if isinstance(event, LoginRequested):
                session.accept_login(0.0, NOW_MS)
            else:
                session.accept_subscription(
                    Subscription(Mode.SECOND), {"epoch": "e"}, Place("", 0), NOW_MS
                )
        said.append(session.take_output())
    time = bytes.fromhex("80d095ffbc31")
    ack = bytes.fromhex("f57d0106 0000001a 0801 1001") + b"\x1a\x0dauthenticated" + b"\x20" + time
    pong = bytes.fromhex("f57d0107 00000010 08") + time + b"\x10" + time + b"\x18\x05"
    assert said[0] == ack + struct.pack(">I", crc32c(ack))
    assert said[2] == pong + struct.pack(">I", crc32c(pong))
    decoder = FrameDecoder()
    decoder.feed(said[1])
    assert pb.AckResponse.FromString(decoder.next_frame().payload) == pb.AckResponse(
        ack_type=pb.MESSAGE_TYPE_SUBSCRIBE,
        success=True,
        message="subscribed",
        timestamp_ms=NOW_MS,
        metadata={"epoch": "e", "heartbeat_interval_ms": "15000", "heartbeat_timeout_ms": "20000"},
    )


@pytest.mark.parametrize("first", [SUBSCRIBE, HEARTBEAT, *map(raw, (4, 5, 6, 7))])
def test_anything_before_auth(first):
    edge = Edge().receive(first + AUTH)
    assert (edge.said(), edge.kinds()) == ([("ERROR", "AUTH_REQUIRED")], [AuthRequired])


@pytest.mark.parametrize("state", [State.AUTHENTICATED, State.STREAMING])
@pytest.mark.parametrize("payload", [b"", b"\xff", AUTH[8:-4]])
def test_a_second_auth_whatever_is_in_it(state, payload):
    edge = in_state(state).receive(raw(1, payload) + HEARTBEAT)
    assert edge.said() == [("ERROR", "ALREADY_AUTHENTICATED")]
    assert (edge.kinds(), edge.session.state) == ([AlreadyAuthenticated], State.CLOSED)


def test_a_second_subscribe_of_the_same_mode_is_refused_and_the_stream_goes_on():
    edge = in_state(State.STREAMING)
    edge.receive(SUBSCRIBE + raw(2, pb.SubscribeRequest(mode=1, symbols=["A"])) + HEARTBEAT)
    assert edge.said() == [("ERROR", "ALREADY_SUBSCRIBED")] * 2 + [("PONG", 0)]
    assert [type(event) for event in edge.events] == [Refused, Refused]
    assert edge.session.state is State.STREAMING


@pytest.mark.parametrize("mode", [0, 2, 3, 99])
def test_a_second_subscribe_of_another_mode_is_refused_and_the_stream_goes_on(mode):
    edge = in_state(State.STREAMING).receive(raw(2, pb.SubscribeRequest(mode=mode)) + HEARTBEAT)
    assert edge.said() == [("ERROR", "INVALID_SUBSCRIPTION"), ("PONG", 0)]
    assert edge.kinds() == [InvalidSubscription]
    assert isinstance(edge.events[0], Refused)
    assert edge.session.state is State.STREAMING


@pytest.mark.parametrize(
    "invalid",
    [
        pb.SubscribeRequest(),
        pb.SubscribeRequest(mode=1, symbols=["lower"]),
        pb.SubscribeRequest(mode=1, symbols=["A"] * 101),
    ],
)
def test_an_invalid_subscribe_and_then_a_valid_one(invalid):
    edge = in_state(State.AUTHENTICATED)
    edge.accept = True
    edge.receive(raw(2, invalid) + SUBSCRIBE)
    assert edge.said() == [("ERROR", "INVALID_SUBSCRIPTION"), ACK_SUBSCRIBE]
    assert edge.session.state is State.STREAMING


def test_a_subscription_that_the_server_refuses_may_be_followed_by_another():
    edge = in_state(State.AUTHENTICATED).receive(SUBSCRIBE)
    refused = edge.session.answer(InvalidSubscription("not today"), NOW_MS)
    assert (type(refused), edge.session.state) == (Refused, State.AUTHENTICATED)
    edge.accept = True
    edge.receive(SUBSCRIBE_MINUTE)
    assert edge.said() == [("ERROR", "INVALID_SUBSCRIPTION"), ACK_SUBSCRIBE]


def test_what_the_edge_says_of_a_subscription_is_in_its_ack():
    edge = in_state(
        State.AUTHENTICATED, SessionLimits(heartbeat_interval=0.0005, heartbeat_timeout=2.5)
    )
    edge.receive(SUBSCRIBE)
    edge.session.accept_subscription(
        Subscription(Mode.SECOND), {"epoch": "e", "heartbeat_interval_ms": "7"}, PLACE, NOW_MS
    )
    decoder = FrameDecoder()
    decoder.feed(edge.session.take_output())
    ack = pb.AckResponse.FromString(decoder.next_frame().payload)
    assert dict(ack.metadata) == {
        "epoch": "e",
        "heartbeat_interval_ms": "7",
        "heartbeat_timeout_ms": "2500",
    }


def test_an_accepted_subscription_cannot_be_accepted_again():
    session = in_state(State.STREAMING).session
    with pytest.raises(InvalidMessage):
        session.accept_subscription(Subscription(Mode.MINUTE), {}, PLACE, NOW_MS)
    assert session.take_output() == b""


@pytest.mark.parametrize("state", [State.AWAITING_AUTH, State.AUTHENTICATED, State.STREAMING])
def test_a_login_that_nobody_asked_for_cannot_be_accepted(state):
    session = in_state(state).session
    with pytest.raises(InvalidMessage):
        session.accept_login(0.0, NOW_MS)
    assert (session.state, session.take_output()) == (state, b"")


# A login that takes its time.


def test_frames_behind_auth_wait_until_the_login_is_accepted():
    edge = Edge(accept=False).receive(AUTH + HEARTBEAT)
    edge.receive(SUBSCRIBE + HEARTBEAT[:5])
    edge.receive(HEARTBEAT[5:])
    assert (edge.said(), edge.kinds()) == ([], [LoginRequested])
    edge.accept = True
    edge.session.accept_login(1.0, NOW_MS)
    edge.receive(b"")
    assert edge.said() == [ACK_AUTH, ("PONG", 0), ACK_SUBSCRIBE, ("PONG", 0)]


def test_as_much_as_some_reads_may_wait_behind_auth():
    assert MAX_HELD_BYTES == 256 * 1024
    count = MAX_HELD_BYTES // len(HEARTBEAT)
    edge = Edge(accept=False).receive(AUTH)
    for _ in range(count):
        edge.receive(HEARTBEAT)
    edge.receive(HEARTBEAT[: MAX_HELD_BYTES % len(HEARTBEAT)])
    assert (edge.said(), edge.kinds()) == ([], [LoginRequested])
    edge.session.accept_login(0.0, NOW_MS)
    edge.receive(b"")
    assert edge.said() == [ACK_AUTH, *[("PONG", 0)] * count]


@pytest.mark.parametrize("pieces", [[MAX_HELD_BYTES, 1], [MAX_HELD_BYTES + 1], [1] * 5 + [2**20]])
def test_more_than_that_behind_auth_is_the_end(pieces):
    edge = Edge(accept=False).receive(AUTH)
    for size in pieces:
        assert edge.session.state is State.AUTHENTICATING
        edge.receive(bytes(size))
    assert edge.kinds() == [LoginRequested, InvalidMessage]
    assert edge.events[1].error.message == "262144 bytes came behind an unanswered request"
    assert isinstance(edge.events[1], Failed)
    assert (edge.said(), edge.session.state) == ([("ERROR", "INVALID_MESSAGE")], State.CLOSED)
    with pytest.raises(InvalidMessage):
        edge.session.accept_login(0.0, NOW_MS)
    edge.receive(bytes(65536))
    assert (edge.session._decoder, edge.said()) == (None, [])


def test_what_came_with_auth_counts_as_behind_it():
    edge = Edge(accept=False).receive(AUTH + bytes(MAX_HELD_BYTES))
    assert edge.kinds() == [LoginRequested]
    edge.receive(b"\x00")
    assert edge.kinds() == [LoginRequested, InvalidMessage]


def test_so_much_is_not_too_much_once_the_login_is_accepted():
    edge = Edge().receive(AUTH)
    edge.receive(HEARTBEAT * (MAX_HELD_BYTES // len(HEARTBEAT) + 1))
    assert edge.kinds() == [LoginRequested]
    assert edge.session.state is State.AUTHENTICATED


def test_frames_behind_a_refused_login_are_not_read():
    edge = Edge(accept=False).receive(AUTH + HEARTBEAT)
    edge.session.answer(InvalidAuth("no"), NOW_MS)
    edge.receive(b"").receive(SUBSCRIBE)
    assert (edge.said(), edge.kinds()) == ([("ERROR", "INVALID_AUTH")], [LoginRequested])


def test_a_second_auth_behind_the_first_waits_and_is_the_end():
    edge = Edge().receive(AUTH + AUTH + HEARTBEAT)
    assert edge.said() == [ACK_AUTH, ("ERROR", "ALREADY_AUTHENTICATED")]


def test_wrong_bytes_behind_auth_are_judged_after_it():
    edge = Edge(accept=False).receive(AUTH + b"GET / HTTP/1.1")
    assert edge.said() == []
    edge.session.accept_login(0.0, NOW_MS)
    edge.receive(b"")
    assert edge.said() == [ACK_AUTH, ("ERROR", "INVALID_MESSAGE")]


# Heartbeats.


def test_ten_thousand_heartbeats_in_one_segment_have_ten_thousand_answers_in_order():
    edge = in_state(State.STREAMING)
    edge.receive(b"".join(raw(3, pb.HeartbeatRequest(sequence=n)) for n in range(10_000)))
    assert edge.said() == [("PONG", n) for n in range(10_000)]
    assert edge.events == []


def test_a_heartbeat_is_allowed_before_a_subscription():
    edge = in_state(State.AUTHENTICATED).receive(HEARTBEAT)
    assert (edge.said(), edge.session.state) == ([("PONG", 0)], State.AUTHENTICATED)


@pytest.mark.parametrize("state", [State.AUTHENTICATED, State.STREAMING])
@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        pb.HeartbeatRequest(timestamp_ms=1).SerializeToString(),
        pb.HeartbeatRequest(timestamp_ms=NOW_MS + 300_001).SerializeToString(),
    ],
)
def test_a_heartbeat_that_is_none(state, payload):
    edge = in_state(state).receive(raw(3, payload) + HEARTBEAT)
    assert (edge.said(), edge.session.state) == ([("ERROR", "INVALID_MESSAGE")], State.CLOSED)


# Errors.

BAD_BYTES = {
    "magic": (b"\x00" * 8, InvalidMessage),
    "version": (raw(3, version=2), UnsupportedVersion),
    "type": (raw(12), InvalidMessage),
    "length": (struct.pack(">HBBI", 0xF57D, 1, 3, 65537), MessageTooLarge),
    "checksum": (HEARTBEAT[:-1] + b"\x00", ChecksumFailed),
}


@pytest.mark.parametrize("state", READING)
@pytest.mark.parametrize(("data", "error"), BAD_BYTES.values(), ids=BAD_BYTES)
def test_bytes_that_are_no_frame_are_one_error_in_every_state_and_nothing_after_them_is_read(
    state, data, error
):
    edge = in_state(state).receive(data + AUTH + HEARTBEAT).receive(HEARTBEAT)
    assert edge.said() == [("ERROR", error.code.name)]
    assert ([type(e) for e in edge.events], edge.kinds()) == ([Failed], [error])
    assert edge.session.state is State.CLOSED


def test_what_comes_after_the_end_is_not_even_kept():
    edge = in_state(State.STREAMING).receive(HEARTBEAT[:-1] + b"\x00")
    for _ in range(100):
        edge.receive(bytes(65536))
    assert edge.session._decoder is None


@pytest.mark.parametrize("cut", range(len(HEARTBEAT) + 1))
def test_a_lone_heartbeat_is_read_like_one_in_pieces(cut):
    assert TRANSITIONS[State.STREAMING, FrameType.HEARTBEAT] is State.STREAMING
    edge = in_state(State.STREAMING).receive(HEARTBEAT[:cut], 1.0).receive(HEARTBEAT[cut:], 2.0)
    alive_at = 1.0 if cut == len(HEARTBEAT) else 2.0
    assert (edge.said(), edge.events) == ([("PONG", 0)], [])
    assert edge.session.deadline == alive_at + SessionLimits().heartbeat_timeout


def test_a_lone_heartbeat_is_refused_like_one_among_others():
    late = raw(3, pb.HeartbeatRequest(timestamp_ms=1).SerializeToString())
    assert len(late) <= MAX_HEARTBEAT_BYTES
    lone = in_state(State.STREAMING).receive(late, 1.0)
    among = in_state(State.STREAMING).receive(late + late[:1], 1.0)
    assert lone.kinds() == among.kinds() == [InvalidMessage]
    assert lone.session.take_output() == among.session.take_output()


def test_a_heartbeat_longer_than_any_needs_to_be_is_answered_too():
    unknown = bytes([0xFA, 0x01, 100]) + bytes(100)  # field 31
    assert in_state(State.STREAMING).receive(raw(3, unknown)).said() == [("PONG", 0)]


def test_between_whole_frames_a_session_keeps_neither_a_decoder_nor_a_list():
    edge = in_state(State.STREAMING)
    edge.receive(HEARTBEAT + HEARTBEAT[:5]).said()
    assert edge.session._decoder.pending_bytes == 5
    edge.receive(HEARTBEAT[5:]).said()
    assert (edge.session._decoder, edge.session._out) == (None, None)


@pytest.mark.parametrize(("data", "error"), BAD_BYTES.values(), ids=BAD_BYTES)
def test_frames_before_wrong_bytes_are_answered(data, error):
    edge = in_state(State.STREAMING).receive(HEARTBEAT + HEARTBEAT + data)
    assert edge.said() == [("PONG", 0), ("PONG", 0), ("ERROR", error.code.name)]


@pytest.mark.parametrize(
    ("state", "type"), [(State.AWAITING_AUTH, 1), (State.AUTHENTICATED, 2), (State.STREAMING, 2)]
)
def test_an_undecodable_payload_is_the_end(state, type):
    edge = in_state(state).receive(raw(type, b"\xff") + HEARTBEAT)
    assert (edge.said(), edge.session.state) == ([("ERROR", "INVALID_MESSAGE")], State.CLOSED)


def test_a_login_over_its_limits_is_the_end():
    edge = Edge().receive(raw(1, pb.AuthRequest(username="x" * 65)) + HEARTBEAT)
    assert (edge.said(), edge.kinds()) == ([("ERROR", "INVALID_AUTH")], [InvalidAuth])


def test_nothing_is_read_until_a_subscription_is_answered():
    edge = in_state(State.SUBSCRIBING).receive(HEARTBEAT + SUBSCRIBE_MINUTE, 1.0)
    assert (edge.said(), edge.events, edge.session.state) == ([], [], State.SUBSCRIBING)
    edge.session.accept_subscription(Subscription(Mode.SECOND), {}, PLACE, NOW_MS)
    edge.receive(b"", 2.0)
    assert edge.said() == [ACK_SUBSCRIBE, ("PONG", 0), ("ERROR", "INVALID_SUBSCRIPTION")]


def test_a_subscription_that_is_refused_later_may_be_followed_by_another():
    edge = in_state(State.SUBSCRIBING).receive(SUBSCRIBE_MINUTE)
    edge.session.answer(InvalidSubscription("not this"), NOW_MS)
    edge.receive(b"")
    assert edge.said() == [("ERROR", "INVALID_SUBSCRIPTION")]
    assert edge.events == [SubscriptionRequested(Subscription(Mode.MINUTE))]


def test_a_subscription_that_is_never_answered_is_an_internal_error():
    session = in_state(State.SUBSCRIBING, now=5.0).session
    assert session.expire(24.9, NOW_MS) is None
    (error,) = session.expire(25.0, NOW_MS)
    assert (error.code.name, error.message) == (
        "INTERNAL_ERROR",
        "the subscription could not be served in time",
    )


OPEN = [state for state in State if state is not State.CLOSED]


@pytest.mark.parametrize(("state", "error"), list(product(OPEN, PROTOCOL_ERRORS.values())))
def test_every_error_in_every_state(state, error):
    edge = in_state(state)
    step, event = ("FAILED", Failed) if error.closes else ("REFUSED", Refused)
    following = TABLE.get((state.name, step))
    if following is None:
        with pytest.raises(InvalidMessage, match=f"^{step} is not allowed while {state.name}$"):
            edge.session.answer(error("for a reason"), NOW_MS)
        assert (edge.said(), edge.session.state) == ([], state)
        return
    answer = edge.session.answer(error("for a reason"), NOW_MS)
    assert (type(answer), answer.error.message) == (event, "for a reason")
    assert (edge.said(), edge.session.state) == ([("ERROR", error.code.name)], State[following])


def test_nothing_is_said_after_the_end():
    session = in_state(State.CLOSED).session
    with pytest.raises(InvalidMessage):
        session.answer(InternalError("once more"), NOW_MS)
    assert session.take_output() == b""


def test_nothing_is_refused_after_the_end():
    session = in_state(State.CLOSED).session
    with pytest.raises(InvalidMessage):
        session.answer(AlreadySubscribed("once more"), NOW_MS)
    assert session.take_output() == b""


@given(st.lists(st.binary(max_size=60) | st.sampled_from([AUTH, SUBSCRIBE, HEARTBEAT]), max_size=8))
def test_whatever_comes_the_session_raises_nothing_and_says_at_most_one_last_word(pieces):
    edge = Edge()
    for piece in pieces:
        edge.receive(piece)
    failures = [event for event in edge.events if isinstance(event, Failed)]
    closed = edge.session.state is State.CLOSED
    assert len(failures) == int(closed)
    if closed:
        assert edge.said()[-1] == ("ERROR", failures[0].error.code.name)
        assert edge.events[-1] is failures[0]


@pytest.mark.parametrize("state", State)
def test_a_lost_connection_is_the_end_without_a_word(state):
    edge = in_state(state)
    if state is State.STREAMING:
        edge.receive(HEARTBEAT)
    edge.session.lose()
    assert (edge.session.state, edge.session.deadline, edge.said()) == (State.CLOSED, inf, [])
    edge.receive(AUTH + HEARTBEAT)
    assert (edge.events, edge.said()) == ([], [])


# Deadlines.

LIMITS = SessionLimits(auth_timeout=10.0, heartbeat_interval=15.0, heartbeat_timeout=20.0)


def test_what_a_session_is_held_to_by_default():
    assert SessionLimits() == SessionLimits(10.0, 15.0, 20.0, 65536)


def test_a_client_that_sends_nothing():
    session = Session(LIMITS, 100.0)
    assert (session.deadline, session.expire(109.999, NOW_MS)) == (110.0, None)
    failed = session.expire(110.0, NOW_MS)
    assert (type(failed.error), failed.error.message) == (AuthRequired, "no login within 10 s")
    assert (session.state, session.deadline) == (State.CLOSED, inf)


def test_one_byte_a_second_moves_no_deadline():
    edge = Edge(limits=LIMITS)
    for second, byte in enumerate(AUTH[:11]):
        edge.receive(bytes([byte]), float(second))
        assert edge.session.deadline == 10.0
    failed = edge.session.expire(10.0, NOW_MS)
    assert (type(failed.error), edge.said()) == (AuthRequired, [("ERROR", "AUTH_REQUIRED")])


def test_half_a_heartbeat_moves_no_deadline():
    edge = in_state(State.STREAMING, LIMITS)
    edge.receive(HEARTBEAT[:11], 19.0)
    assert edge.session.deadline == 20.0
    edge.receive(HEARTBEAT[11:], 19.5)
    assert edge.session.deadline == 39.5


@pytest.mark.parametrize("state", [State.AUTHENTICATED, State.STREAMING])
def test_a_heartbeat_timeout_is_at_exactly_its_time(state):
    edge = in_state(state, LIMITS, now=50.0)
    assert edge.session.deadline == 70.0
    assert edge.session.expire(69.999, NOW_MS) is None
    failed = edge.session.expire(70.0, NOW_MS)
    assert (type(failed.error), failed.error.message) == (
        HeartbeatTimeout,
        "nothing heard for 20 s",
    )
    assert (edge.said(), edge.session.state) == ([("ERROR", "HEARTBEAT_TIMEOUT")], State.CLOSED)


@pytest.mark.parametrize(
    "frame",
    [HEARTBEAT, SUBSCRIBE, SUBSCRIBE_MINUTE, SUBSCRIBE_NOTHING],
    ids=["heartbeat", "subscribe", "subscribe to another mode", "subscribe to nothing"],
)
@pytest.mark.parametrize("state", [State.AUTHENTICATED, State.STREAMING])
def test_any_valid_frame_moves_the_deadline(state, frame):
    edge = in_state(state, LIMITS).receive(frame, 19.5)
    assert edge.session.deadline == 39.5
    assert edge.session.expire(39.25, NOW_MS) is None


def test_time_itself_and_what_is_sent_move_no_deadline():
    edge = in_state(State.STREAMING, LIMITS)
    edge.receive(b"", 15.0)
    edge.session.take_output()
    assert edge.session.deadline == 20.0


def test_the_login_has_its_own_time_from_its_auth_on():
    edge = Edge(accept=False, limits=LIMITS).receive(AUTH, 9.0)
    assert edge.session.deadline == 19.0
    edge.session.accept_login(15.0, NOW_MS)
    assert edge.session.deadline == 35.0


def test_a_login_that_is_never_decided():
    edge = Edge(accept=False, limits=LIMITS).receive(AUTH, 9.0)
    assert edge.session.expire(18.999, NOW_MS) is None
    failed = edge.session.expire(19.0, NOW_MS)
    assert (type(failed.error), failed.error.message) == (
        InternalError,
        "the login could not be checked in time",
    )
    assert (edge.said(), edge.session.state) == ([("ERROR", "INTERNAL_ERROR")], State.CLOSED)


def test_what_is_closed_does_not_expire():
    edge = in_state(State.CLOSED)
    assert (edge.session.deadline, edge.session.expire(1e9, NOW_MS), edge.said()) == (inf, None, [])


def test_a_frame_of_its_own_limit():
    edge = Edge(limits=SessionLimits(max_payload_bytes=100))
    edge.receive(struct.pack(">HBBI", 0xF57D, 1, 1, 101))
    assert edge.kinds() == [MessageTooLarge]


def test_output_is_given_once():
    edge = in_state(State.STREAMING).receive(HEARTBEAT + HEARTBEAT)
    assert (edge.said(), edge.said()) == ([("PONG", 0), ("PONG", 0)], [])
