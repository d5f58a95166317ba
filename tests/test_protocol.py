"""A connection: whole conversations frame by frame, logins that take time, all kinds of end."""

import pytest
from conversation import (
    PASSWORD,
    START,
    USER,
    Server,
    WireClient,
    auth,
    heartbeat,
    keep_failures,  # noqa: F401 - a fixture
    names,
    subscribe,
)
from google.protobuf.message import Message
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.credentials import Peer, User
from tickstorm.errors import InvalidAuth, NotPermitted, ShuttingDown
from tickstorm.frames import MAX_PAYLOAD_BYTES, FrameType, encode_frame
from tickstorm.overload import BacklogLimits
from tickstorm.protocol import LINGER
from tickstorm.session import State
from tickstorm.ticks import Tick

SECOND, MINUTE, TICK = (
    pb.SUBSCRIPTION_MODE_SECOND,
    pb.SUBSCRIPTION_MODE_MINUTE,
    pb.SUBSCRIPTION_MODE_TICK,
)
NOW_MS = round(START * 1000)


def ack(kind, message, metadata=None):
    return pb.AckResponse(
        ack_type=kind,
        success=True,
        message=message,
        timestamp_ms=NOW_MS,
        metadata=metadata or {},
    )


def error(code, message, timestamp_ms=NOW_MS, **fields):
    return pb.ErrorResponse(code=code, message=message, timestamp_ms=timestamp_ms, **fields)


AUTHENTICATED = ack(pb.MESSAGE_TYPE_AUTH, "authenticated")


def subscribed(next_sequence=1, symbols="*"):
    return ack(
        pb.MESSAGE_TYPE_SUBSCRIBE,
        "subscribed",
        {
            "epoch": "epoch-1",
            "next_sequence": str(next_sequence),
            "symbols": symbols,
            "heartbeat_interval_ms": "15000",
            "heartbeat_timeout_ms": "20000",
        },
    )


# The conversation, line by line.


def test_1_the_first_frame_is_auth():
    server = Server()
    client = server.connect()
    assert client.read() == []
    client.send(auth())
    assert client.read() == [AUTHENTICATED]
    assert (client.connection.user, client.closed) == (User(USER), False)
    assert server.metrics.logins == {"accepted": 1}


@pytest.mark.parametrize("frame", [subscribe(), heartbeat(), encode_frame(FrameType.PONG, b"")])
def test_1_anything_else_first_is_auth_required(frame):
    server = Server()
    client = server.connect()
    client.send(frame, auth())
    (answer,) = client.read()
    type = FrameType(frame[3]).name
    assert answer == error(
        pb.ERROR_CODE_AUTH_REQUIRED, f"{type} is not allowed while AWAITING_AUTH"
    )
    assert (client.closed, client.cut) == (True, False)


def test_1_no_auth_in_time_is_auth_required():
    server = Server()
    client = server.connect()
    server.advance(9)
    assert client.read() == []
    server.advance(1)
    assert client.read() == [
        error(pb.ERROR_CODE_AUTH_REQUIRED, "no login within 10 s", NOW_MS + 10_000)
    ]
    assert client.closed


def test_1_one_byte_a_second_is_no_auth():
    server = Server()
    client = server.connect()
    for byte in auth()[:10]:
        client.send(bytes([byte]))
        server.advance(1)
    assert client.names() == ["AUTH_REQUIRED"]


def test_2_a_wrong_login_is_invalid_auth():
    server = Server()
    for username, password in ((USER, "wrong"), ("bob", PASSWORD), (USER, "")):
        client = server.connect()
        client.send(auth(username, password))
        assert client.read() == [
            error(pb.ERROR_CODE_INVALID_AUTH, "the name or the password is wrong")
        ]
        assert client.closed
    assert server.metrics.logins == {"INVALID_AUTH": 3}
    assert server.metrics.protocol_errors == {"INVALID_AUTH": 3}


def test_2_ten_failures_a_minute_are_rate_limited():
    server = Server()
    for _ in range(10):
        client = server.connect()
        client.send(auth(password="guess"))
        assert client.names() == ["INVALID_AUTH"]
        server.reactor.advance(1)
    client = server.connect()
    client.send(auth())  # the right one
    (answer,) = client.read()
    assert answer == error(
        pb.ERROR_CODE_RATE_LIMITED,
        "10 failed logins within 60 s",
        NOW_MS + 10_000,
        retryable=True,
        retry_after_ms=50_000,
    )
    assert client.closed
    assert server.metrics.logins == {"INVALID_AUTH": 10, "RATE_LIMITED": 1}
    elsewhere = server.connect("10.0.0.2")
    elsewhere.send(auth())
    assert elsewhere.names() == ["ACK"]


def test_2_the_limit_is_over_when_it_said():
    server = Server()
    for _ in range(10):
        server.connect().send(auth(password="guess"))
    server.reactor.advance(59.999)
    client = server.connect()
    client.send(auth())
    (answer,) = client.read()
    assert answer.retry_after_ms == 1
    server.reactor.advance(0.001)
    client = server.connect()
    client.send(auth())
    assert client.names() == ["ACK"]


@pytest.mark.xfail(strict=True, reason="a wait is rounded, not rounded up: 0 is no advice")
def test_2_retry_after_is_never_too_early():
    server = Server()
    server.reactor.advance(0.0003)
    for _ in range(10):
        server.connect().send(auth(password="guess"))
    server.reactor.advance(59.9996)
    client = server.connect()
    client.send(auth())
    (answer,) = client.read()
    assert answer.retry_after_ms > 0
    server.reactor.advance(answer.retry_after_ms / 1000)
    client = server.connect()
    client.send(auth())
    assert client.names() == ["ACK"]


def test_3_subscribe_is_acknowledged_and_batches_follow():
    server = Server()
    client = server.connect()
    client.send(auth(), subscribe(SECOND))
    assert client.read() == [AUTHENTICATED, subscribed()]
    server.publish(1.25, 1.5, 1.0)
    server.advance(1)
    assert client.read() == [
        pb.DataBatch(
            ticks=[
                pb.Tick(
                    symbol="EURUSD",
                    timestamp_ms=NOW_MS,
                    price=1.0,
                    volume=3.0,
                    mode=SECOND,
                    open=1.25,
                    high=1.5,
                    low=1.0,
                    vwap=1.25,
                    trade_count=3,
                )
            ],
            batch_timestamp_ms=NOW_MS + 1000,
            batch_sequence=1,
            schema_version=1,
            publish_time_ns=(NOW_MS + 1000) * 1_000_000,
        )
    ]


def test_3_the_ack_names_the_symbols_sorted_and_once():
    client = Server().connect()
    client.send(auth(), subscribe(TICK, "MSFT", "AAPL", "MSFT"))
    assert client.read() == [AUTHENTICATED, subscribed(symbols="AAPL,MSFT")]


@pytest.mark.xfail(strict=True, reason="100 symbols of 16 are 1,699 characters in one value")
def test_3_the_ack_keeps_the_limits_of_metadata():
    client = Server().connect()
    client.send(auth(), subscribe(TICK, *(f"SYMBOL-{n:09d}" for n in range(100))))
    _, answer = client.read()
    assert {key: len(value) for key, value in answer.metadata.items() if len(value) > 256} == {}


def test_3_the_ack_tells_the_number_of_the_next_batch():
    server = Server(batch_window=0)
    first = server.subscribed(TICK)
    server.publish(1.0)
    server.publish(2.0)
    second = server.connect()
    second.send(auth(), subscribe(TICK))
    _, answer = second.read()
    server.publish(3.0)
    (batch,) = second.read()
    assert answer.metadata["next_sequence"] == str(batch.batch_sequence)
    assert first.read()[-1] == batch


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (subscribe(0), "mode 0 is not SECOND, MINUTE or TICK"),
        (subscribe(9), "mode 9 is not SECOND, MINUTE or TICK"),
        (subscribe(TICK, "aapl"), "symbol 'aapl' is not 1 to 16 of A-Z 0-9 . _ -"),
        (subscribe(TICK, ""), "symbol '' is not 1 to 16 of A-Z 0-9 . _ -"),
        (subscribe(TICK, *["A"] * 101), "101 symbols are over 100"),
    ],
)
def test_3_an_invalid_subscription_may_be_followed_by_another(request_, message):
    server = Server()
    client = server.connect()
    client.send(auth(), request_, subscribe(TICK))
    assert client.read() == [
        AUTHENTICATED,
        error(pb.ERROR_CODE_INVALID_SUBSCRIPTION, message),
        subscribed(),
    ]
    assert server.metrics.protocol_errors == {"INVALID_SUBSCRIPTION": 1}
    assert not client.closed


def test_3_a_second_subscription_is_refused_and_the_first_goes_on():
    server = Server(batch_window=0)
    client = server.subscribed(TICK, "AAPL")
    client.send(subscribe(TICK, "MSFT"), subscribe(SECOND, "AAPL"))
    assert client.read() == [
        error(pb.ERROR_CODE_ALREADY_SUBSCRIBED, "already subscribed to TICK"),
        error(pb.ERROR_CODE_INVALID_SUBSCRIPTION, "the mode is TICK and cannot change"),
    ]
    server.publish(1.0, symbol="AAPL")
    server.publish(2.0, symbol="MSFT")
    assert (client.names(), client.closed) == ([[1.0]], False)


def test_3_a_snapshot_is_sent_when_asked_for():
    server = Server()
    server.publish(1.0, 2.0)
    server.publish(7.0, symbol="USDJPY")
    client = server.connect()
    client.send(auth(), subscribe(TICK, snapshot=True))
    *_, batch = client.read()
    assert [(tick.symbol, tick.price) for tick in batch.ticks] == [("EURUSD", 2.0), ("USDJPY", 7.0)]
    assert (batch.is_snapshot, batch.publish_time_ns) == (True, NOW_MS * 1_000_000)


@pytest.mark.parametrize("window", [0, 0.005])
def test_3_a_snapshot_and_the_stream_have_nothing_in_common_and_nothing_between(window):
    server = Server(batch_window=window)
    early = server.subscribed(TICK)
    prices = iter(range(1, 100))
    late = None
    for step in range(12):
        server.publish(float(next(prices)))
        if step == 7:
            late = server.connect()
            late.send(auth(), subscribe(TICK, snapshot=True))
        server.publish(float(next(prices)))
        server.reactor.advance(0.002)
    server.reactor.advance(1)
    everything = [price for batch in early.names() for price in batch]
    _, answer, snapshot, *batches = late.read()
    assert snapshot.is_snapshot
    assert snapshot.batch_sequence == batches[0].batch_sequence - 1
    assert answer.metadata["next_sequence"] == str(batches[0].batch_sequence)
    following = [tick.price for batch in batches for tick in batch.ticks]
    assert everything == [float(price) for price in range(1, 25)]
    assert following == everything[everything.index(snapshot.ticks[-1].price) + 1 :]


def test_3_a_snapshot_of_many_symbols_is_several_frames():
    server = Server()
    server.hub.publish([Tick(f"S{n}", 1.0) for n in range(2500)])
    client = server.connect()
    client.send(auth(), subscribe(TICK, snapshot=True))
    _, _, *batches = client.read()
    assert [len(batch.ticks) for batch in batches] == [1000, 1000, 500]
    assert all(batch.is_snapshot for batch in batches)


def test_4_a_heartbeat_is_answered_by_pong():
    server = Server()
    client = server.subscribed()
    client.send(heartbeat(7, NOW_MS - 250), encode_frame(FrameType.HEARTBEAT, b""))
    assert client.read() == [
        pb.HeartbeatResponse(
            client_timestamp_ms=NOW_MS - 250, server_timestamp_ms=NOW_MS, sequence=7
        ),
        pb.HeartbeatResponse(server_timestamp_ms=NOW_MS),
    ]


def test_4_twenty_seconds_of_silence_end_it():
    server = Server()
    client = server.connect()
    client.send(auth())
    server.advance(19.5)
    client.send(heartbeat())
    server.advance(19.5)
    assert client.names() == ["ACK", "PONG"]
    server.advance(1.5)
    last = client.read()[-1]
    assert (last.code, last.message) == (pb.ERROR_CODE_HEARTBEAT_TIMEOUT, "nothing heard for 20 s")
    assert client.closed


@pytest.mark.parametrize("frame", [heartbeat(), subscribe(TICK), subscribe(0)])
def test_4_any_valid_frame_is_a_sign_of_life(frame):
    server = Server()
    client = server.subscribed(TICK)
    for _ in range(4):
        server.advance(15)
        client.send(frame)
    assert not client.closed


def test_4_bytes_that_are_no_frame_yet_are_no_sign_of_life():
    server = Server()
    client = server.subscribed(MINUTE)
    for byte in heartbeat():
        server.advance(2)
        if not client.closed:
            client.send(bytes([byte]))
    assert client.names()[-1] == "HEARTBEAT_TIMEOUT"


BAD = {
    "magic": (b"\xf5\x7e\x01\x03\0\0\0\0", pb.ERROR_CODE_INVALID_MESSAGE),
    "version": (b"\xf5\x7d\x02\x03\0\0\0\0", pb.ERROR_CODE_PROTOCOL_VERSION),
    "type 0": (b"\xf5\x7d\x01\x00\0\0\0\0", pb.ERROR_CODE_INVALID_MESSAGE),
    "type 99": (b"\xf5\x7d\x01\x63\0\0\0\0", pb.ERROR_CODE_INVALID_MESSAGE),
    "one byte too long": (
        b"\xf5\x7d\x01\x03" + (MAX_PAYLOAD_BYTES + 1).to_bytes(4),
        pb.ERROR_CODE_MESSAGE_TOO_LARGE,
    ),
    "2^32 - 1": (b"\xf5\x7d\x01\x03\xff\xff\xff\xff", pb.ERROR_CODE_MESSAGE_TOO_LARGE),
    "checksum": (heartbeat(5)[:-1] + b"\0", pb.ERROR_CODE_CHECKSUM_FAILED),
    "payload": (encode_frame(FrameType.HEARTBEAT, b"\xff"), pb.ERROR_CODE_INVALID_MESSAGE),
    "clock": (heartbeat(1, NOW_MS + 300_001), pb.ERROR_CODE_INVALID_MESSAGE),
    "second auth": (auth(), pb.ERROR_CODE_ALREADY_AUTHENTICATED),
    "a server's frame": (encode_frame(FrameType.DATA_BATCH, b""), pb.ERROR_CODE_INVALID_MESSAGE),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("streams", [False, True])
def test_5_one_error_then_close_and_nothing_more_is_read(name, streams):
    frame, code = BAD[name]
    server = Server(batch_window=0)
    client = server.connect()
    client.send(auth(), subscribe(TICK) if streams else b"")
    client.read()
    client.send(heartbeat(), frame, heartbeat(), subscribe(TICK))
    pong, answer = client.read()
    assert (type(pong), answer.code, client.closed) == (pb.HeartbeatResponse, code, True)
    client.send(heartbeat(), frame, auth())
    server.publish(1.0)
    server.advance(1)
    assert client.read() == []
    assert sum(server.metrics.protocol_errors.values()) == 1
    client.vanish()
    assert server.left_behind() == {}


@pytest.mark.parametrize("at", range(len(auth() + subscribe(TICK, "AAPL") + heartbeat(3))))
def test_a_conversation_cut_anywhere_is_the_same(at):
    said = auth() + subscribe(TICK, "AAPL") + heartbeat(3)
    client = Server().connect()
    client.send(said[:at])
    client.send(said[at:])
    assert client.names() == ["ACK", "ACK", "PONG"]


def test_ten_thousand_heartbeats_in_one_segment():
    client = Server().subscribed()
    client.send(*[heartbeat(n) for n in range(10_000)])
    assert [pong.sequence for pong in client.read()] == list(range(10_000))
    assert not client.closed


# Logins that take time.


class Slow:
    """An authenticator that waits to be told."""

    def __init__(self, canceller=None):
        self.canceller = canceller
        self.asked = []
        self.cancelled = 0

    def authenticate(self, login, peer):
        answer = Deferred(self._cancel)
        self.asked.append((login, peer, answer))
        return answer

    def _cancel(self, answer):
        self.cancelled += 1
        if self.canceller is not None:
            self.canceller(answer)

    @property
    def answer(self):
        return self.asked[-1][2]


def waiting(*pipelined, canceller=None, **options):
    """A server and a client whose login is being checked."""
    slow = Slow(canceller)
    server = Server(slow, **options)
    client = server.connect()
    client.send(auth(), *pipelined)
    assert client.read() == []
    return server, client, slow


def test_a_login_that_takes_time_pauses_reading():
    _, client, slow = waiting()
    assert client.transport.producerState == "paused"
    slow.answer.callback(User("somebody"))
    assert client.transport.producerState == "producing"
    assert (client.read(), client.connection.user) == ([AUTHENTICATED], User("somebody"))
    (login, peer, _), *_ = slow.asked
    assert (login.username, login.password, peer) == (USER, PASSWORD, Peer("10.0.0.1"))


def test_frames_behind_a_slow_login_are_read_after_it():
    server, client, slow = waiting(subscribe(TICK, snapshot=True), heartbeat(3), heartbeat(4)[:9])
    slow.answer.callback(User(USER))
    assert client.names() == ["ACK", "ACK", [], "PONG"]
    client.send(heartbeat(4)[9:])
    assert client.names() == ["PONG"]
    server.publish(1.0)
    server.reactor.advance(0.005)
    assert client.names() == [[1.0]]


def test_frames_that_come_while_a_login_is_checked_wait_too():
    _, client, slow = waiting()
    client.send(subscribe(TICK), heartbeat())
    assert client.read() == []
    slow.answer.callback(User(USER))
    assert client.names() == ["ACK", "ACK", "PONG"]


def test_a_bad_frame_behind_a_slow_login_ends_it_after_the_ack():
    _, client, slow = waiting(auth(), heartbeat())
    slow.answer.callback(User(USER))
    assert (client.names(), client.closed) == (["ACK", "ALREADY_AUTHENTICATED"], True)


@pytest.mark.parametrize("answer", [User(USER), succeed])
def test_a_login_that_is_answered_at_once(answer):
    class Quick:
        def authenticate(self, login, peer):
            return answer(User(USER)) if answer is succeed else answer

    client = Server(Quick()).connect()
    client.send(auth(), subscribe(TICK), heartbeat())
    assert client.names() == ["ACK", "ACK", "PONG"]
    assert client.transport.producerState == "producing"


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (InvalidAuth("no"), "INVALID_AUTH"),
        (LoginFailed("secret detail"), "INVALID_AUTH"),
        (UnauthorizedLogin("secret detail"), "INVALID_AUTH"),
        (NotPermitted("not today"), "NOT_PERMITTED"),
    ],
)
def test_a_login_that_is_refused(later, reason, code):
    server, client, slow = waiting(heartbeat()) if later else (None, None, None)
    if later:
        slow.answer.errback(reason)
    else:

        class Refusing:
            def authenticate(self, login, peer):
                raise reason

        server = Server(Refusing())
        client = server.connect()
        client.send(auth(), heartbeat())
    (answer,) = client.read()
    assert (names([answer]), client.closed) == ([code], True)
    assert "secret" not in answer.message + answer.details
    assert len(server.factory.login_failures) == (code == "INVALID_AUTH")


@pytest.mark.parametrize("later", [False, True])
def test_a_login_that_cannot_be_checked_is_an_internal_error(later, failures):
    class Broken:
        def authenticate(self, login, peer):
            if later:
                return fail(OSError("the database is at 10.9.8.7"))
            raise OSError("the database is at 10.9.8.7")

    server = Server(Broken())
    client = server.connect()
    client.send(auth(), heartbeat())
    assert client.read() == [
        error(pb.ERROR_CODE_INTERNAL_ERROR, "the login could not be checked", retryable=True)
    ]
    assert client.closed
    assert [str(failure) for failure in failures] == ["the database is at 10.9.8.7"]
    assert len(server.factory.login_failures) == 0
    failures.clear()


@pytest.mark.xfail(strict=True, raises=AttributeError, reason="it is taken for a Deferred")
@pytest.mark.parametrize("answer", [None, "alice", True])
def test_an_authenticator_that_breaks_its_word_is_an_internal_error(answer, failures):
    class Wrong:
        def authenticate(self, login, peer):
            return answer

    client = Server(Wrong()).connect()
    client.send(auth())
    failures.clear()
    assert client.names() == ["INTERNAL_ERROR"]


@pytest.mark.xfail(strict=True, reason="user = None is logged in")
def test_a_deferred_that_gives_no_user_is_an_internal_error(failures):
    _, client, slow = waiting()
    slow.answer.callback(None)
    failures.clear()
    assert client.names() == ["INTERNAL_ERROR"]


def test_a_login_that_takes_too_long():
    server, client, slow = waiting(heartbeat())
    server.advance(10)
    assert client.read() == [
        error(pb.ERROR_CODE_AUTH_REQUIRED, "no login within 10 s", NOW_MS + 10_000)
    ]
    assert client.closed
    client.vanish()
    assert (slow.cancelled, server.left_behind()) == (1, {})


@pytest.mark.xfail(strict=True, reason="it is cancelled only when the connection is gone")
def test_a_timeout_while_a_login_is_checked_cancels_it_at_once():
    server, _, slow = waiting()
    server.advance(10)
    assert slow.cancelled == 1


def test_a_login_that_comes_after_its_timeout_is_too_late():
    server, client, slow = waiting()
    server.advance(10)
    client.read()
    slow.answer.callback(User(USER))
    assert (client.read(), client.connection.user, server.metrics.logins) == ([], None, {})


@pytest.mark.xfail(strict=True, reason="the CancelledError is logged as a failed check")
def test_a_client_that_goes_while_its_login_is_checked():
    server, client, slow = waiting(subscribe(TICK))
    client.vanish()
    assert slow.cancelled == 1
    assert client.read() == []
    assert server.metrics.protocol_errors == {}
    assert server.left_behind() == {}


def test_a_client_that_goes_while_its_login_is_checked_leaves_nothing(failures):
    server, client, _ = waiting(subscribe(TICK))
    client.vanish()
    failures.clear()  # see above
    assert server.left_behind() == {}


@pytest.mark.xfail(strict=True, reason="the session does not know that the connection is gone")
def test_a_login_that_succeeds_when_cancelled_subscribes_nobody(failures):
    server, client, _ = waiting(
        subscribe(TICK), canceller=lambda answer: answer.callback(User(USER))
    )
    client.transport._lenient = True
    client.vanish()
    assert server.left_behind() == {}
    assert server.metrics.logins == {}


@pytest.mark.xfail(strict=True, reason="those that are being checked do not count as tries")
def test_guesses_in_flight_count_too():
    slow = Slow()
    server = Server(slow)
    for n in range(30):
        server.connect().send(auth(password=f"guess-{n}"))
    assert len(slow.asked) == 10


# Falling behind, and every kind of end.


def test_a_connection_over_tcp_streams_and_answers():
    server = Server(batch_window=0)
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    server.publish(1.0)
    client.send(heartbeat())
    assert client.names() == ["ACK", "ACK", [1.0], "PONG"]
    assert client.socket.sends == 4 - 1  # both ACKs are said before the second of them is due
    assert client.connection.bytes_sent > 0


def test_a_client_that_falls_behind_and_catches_up_has_everything():
    server = Server(batch_window=0)
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.read()
    client.socket.room = 30
    for price in range(1, 20):
        server.publish(float(price))
    assert server.factory.congested == {client.connection}
    assert client.connection.pending_bytes > 0
    client.wire.take(None)
    assert client.names() == [[float(price)] for price in range(1, 20)]
    assert (server.factory.congested, client.connection.pending_bytes) == (set(), 0)


@pytest.mark.xfail(
    strict=True, reason="a transport with bufferSize 0 reads recv(0), an end of file"
)
def test_pong_goes_ahead_of_queued_batches():
    server = Server(batch_window=0)
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.read()
    client.socket.room = 30
    for price in (1.0, 2.0, 3.0):
        server.publish(price)
    client.send(heartbeat())
    client.wire.take(None)
    client.wire.turn()
    assert client.names() == [[1.0], "PONG", [2.0], [3.0]]


def stalled(**limits):
    """A server with one client that reads nothing, and one that does."""
    server = Server(batch_window=0, backlog_limits=BacklogLimits(**limits))
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.read()
    client.socket.room = 0
    other = server.subscribed(TICK)
    return server, client, other


def test_a_slow_consumer_is_told_and_closed_on_and_others_are_served():
    server, client, other = stalled(max_frames=5)
    for price in range(1, 11):
        server.publish(float(price))
    assert other.names() == [[float(price)] for price in range(1, 11)]
    assert server.metrics.slow_consumers == 1
    assert server.metrics.protocol_errors == {"SLOW_CONSUMER": 1}
    client.wire.take(None)
    while client.transport in server.reactor.writers:
        client.wire.turn()
    first, last = client.read()
    assert ([tick.price for tick in first.ticks], last) == (
        [1.0],
        error(
            pb.ERROR_CODE_SLOW_CONSUMER,
            "more than 5 frames are waiting",
            retryable=True,
        ),
    )
    assert (client.closed, client.wire.lost) == (True, 1)
    assert set(server.factory.connections.values()) == {other.connection}


def test_a_slow_consumer_that_takes_nothing_is_cut_after_the_linger():
    server, client, _ = stalled(write_deadline=3.0)
    server.publish(1.0)
    server.advance(2)
    assert server.metrics.slow_consumers == 0
    server.advance(1)
    assert server.metrics.protocol_errors == {"SLOW_CONSUMER": 1}
    server.advance(LINGER - 1)
    assert not client.closed
    server.advance(2)
    assert (client.closed, bytes(client.socket.taken)) == (True, b"")
    assert client.connection not in server.factory.connections.values()


@pytest.mark.xfail(
    strict=True, reason="the closing connection is congested again, and judged again"
)
def test_a_slow_consumer_counts_once():
    server, _, _ = stalled(write_deadline=1.0)
    server.publish(1.0)
    server.advance(LINGER + 3)
    assert server.metrics.slow_consumers == 1


@pytest.mark.xfail(
    strict=True, reason="the closing connection is congested again, and judged again"
)
def test_a_silent_client_is_no_slow_consumer():
    server, _, _ = stalled(write_deadline=3.0)
    server.advance(19.5)
    server.publish(1.0)
    server.advance(5)
    assert server.metrics.protocol_errors == {"HEARTBEAT_TIMEOUT": 2}
    assert server.metrics.slow_consumers == 0


def test_a_client_that_never_reads_its_pongs_is_bounded():
    server = Server()
    client = server.subscribed()
    client.transport.producer.pauseProducing()  # as TLS does
    sent = 0
    while not client.closed:
        client.send(*[heartbeat(n) for n in range(100)])
        sent += 100
        assert sent <= 10_000
    assert client.names()[-1] == "SLOW_CONSUMER"


@pytest.mark.xfail(strict=True, reason="an outlet that is closed in a fan-out still delivers")
def test_nothing_follows_the_error_of_a_slow_consumer():
    server = Server(batch_window=0, backlog_limits=BacklogLimits(max_frames=2))
    client = server.subscribed(TICK)
    client.transport.producer.pauseProducing()
    server.publish(*[1.0] * 4001)  # five frames in one emission
    assert client.names() == ["SLOW_CONSUMER"]


def test_a_connection_reset_in_a_fan_out_ends_once_and_alone():
    server = Server(batch_window=0)
    broken = WireClient(server)
    broken.send(auth(), subscribe(TICK))
    other = server.subscribed(TICK)
    broken.socket.broken = True
    server.publish(1.0)
    server.publish(2.0)
    assert other.names() == [[1.0], [2.0]]
    broken.wire.turn()
    assert (broken.wire.lost, broken.closed) == (1, True)
    assert set(server.factory.connections.values()) == {other.connection}
    assert server.factory.congested == set()


def test_a_connection_that_does_not_close_is_cut():
    server = Server()
    client = server.connect()
    client.send(heartbeat())
    server.advance(LINGER - 1)
    assert (client.closed, client.cut) == (True, False)
    server.advance(2)
    assert client.cut
    client.vanish()
    assert server.left_behind() == {}


STATES = {
    State.AWAITING_AUTH: lambda client: None,
    State.AUTHENTICATED: lambda client: client.send(auth()),
    State.STREAMING: lambda client: client.send(auth(), subscribe(TICK)),
    State.CLOSED: lambda client: client.send(heartbeat()),
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
@pytest.mark.parametrize("reason", [ConnectionLost])
def test_a_lost_connection_leaves_nothing_in_any_table(state, reason):
    server = Server()
    client = server.connect()
    STATES[state](client)
    assert client.connection._session.state is state
    client.vanish(reason)
    assert server.left_behind() == {}
    before = dict(server.metrics.protocol_errors)
    server.publish(1.0)
    server.advance(60)
    assert server.metrics.protocol_errors == before


def test_a_lost_connection_that_was_congested_leaves_nothing():
    server, client, other = stalled()
    server.publish(1.0)
    assert server.factory.congested == {client.connection}
    client.vanish()
    other.vanish()
    assert server.left_behind() == {}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_the_deadline_of_one_that_is_gone_is_infinite(state, request):
    client = Server().connect()
    STATES[state](client)
    client.vanish()
    if state is not State.CLOSED:
        request.applymarker(
            pytest.mark.xfail(strict=True, reason="only a session that is CLOSED has none")
        )
    assert client.connection.deadline == float("inf")


def test_fail_after_the_end_is_nothing():
    server = Server()
    client = server.connect()
    client.connection.fail(ShuttingDown("once"))
    client.connection.fail(ShuttingDown("twice"))
    assert client.names() == ["SHUTTING_DOWN"]
    assert server.metrics.protocol_errors == {"SHUTTING_DOWN": 1}


def test_no_secret_is_ever_logged():
    from twisted.logger import formatEvent, globalLogPublisher

    events = []
    globalLogPublisher.addObserver(events.append)
    server = Server()
    server.connect().send(auth(password="hunter-2"))
    globalLogPublisher.removeObserver(events.append)
    assert events
    assert not [event for event in events if "hunter-2" in formatEvent(event) + repr(event)]


def test_tcp_options_are_set():
    from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY

    client = WireClient(Server())
    assert client.socket.options == {(IPPROTO_TCP, TCP_NODELAY): 1, (SOL_SOCKET, SO_KEEPALIVE): 1}


def test_messages_compare_whole():
    # The tests above rest on protobuf's equality.
    assert isinstance(AUTHENTICATED, Message)
    assert ack(1, "authenticated") == AUTHENTICATED != ack(2, "authenticated")
