"""A connection's conversation, frame by frame: what the client says, and what it is told."""

from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY, TCP_NOTSENT_LOWAT

import pytest
from conversation import (
    MINUTE,
    NOW_MS,
    SECOND,
    TICK,
    USER,
    Server,
    WireClient,
    auth,
    epoch_of,
    error,
    heartbeat,
    subscribe,
)
from google.protobuf.message import Message

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.credentials import User
from tickstorm.frames import MAX_PAYLOAD_BYTES, FrameType, encode_frame
from tickstorm.ticks import Tick


def ack(kind, message, metadata=None):
    return pb.AckResponse(
        ack_type=kind,
        success=True,
        message=message,
        timestamp_ms=NOW_MS,
        metadata=metadata or {},
    )


AUTHENTICATED = ack(pb.MESSAGE_TYPE_AUTH, "authenticated")


def subscribed(epoch, next_sequence=1, **metadata):
    return ack(
        pb.MESSAGE_TYPE_SUBSCRIBE,
        "subscribed",
        {
            "epoch": epoch,
            "next_sequence": str(next_sequence),
            "heartbeat_interval_ms": "15000",
            "heartbeat_timeout_ms": "20000",
            **metadata,
        },
    )


EVERYTHING = subscribed(epoch_of(TICK), symbols="*")


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
        pb.ERROR_CODE_AUTH_REQUIRED,
        f"{type} is not allowed while AWAITING_AUTH",
        retryable=True,
    )
    assert (client.closed, client.cut) == (True, False)


def test_1_no_auth_in_time_is_auth_required():
    server = Server()
    client = server.connect()
    server.advance(9)
    assert client.read() == []
    server.advance(1)
    assert client.read() == [
        error(pb.ERROR_CODE_AUTH_REQUIRED, "no login within 10 s", NOW_MS + 10_000, retryable=True)
    ]
    assert client.closed


def test_1_one_byte_a_second_is_no_auth():
    server = Server()
    client = server.connect()
    for byte in auth()[:10]:
        client.send(bytes([byte]))
        server.advance(1)
    assert client.names() == ["AUTH_REQUIRED"]


def test_3_subscribe_is_acknowledged_and_batches_follow():
    server = Server()
    client = server.connect()
    client.send(auth(), subscribe(SECOND))
    assert client.read() == [AUTHENTICATED, subscribed(epoch_of(SECOND), 2, symbols="*")]
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
            batch_sequence=2,
            schema_version=1,
            publish_time_ns=(NOW_MS + 1000) * 1_000_000,
        )
    ]


def test_3_the_ack_names_the_symbols_sorted_and_once():
    client = Server().connect()
    client.send(auth(), subscribe(TICK, "MSFT", "AAPL", "MSFT"))
    epoch = epoch_of(TICK, "AAPL", "MSFT")
    assert client.read() == [AUTHENTICATED, subscribed(epoch, symbols="AAPL,MSFT")]


LONG_NAMES = [f"SYMBOL-{n:09d}" for n in range(15)]
"""Joined, 254 characters: 256 are as many as an entry of metadata may have."""


@pytest.mark.parametrize(
    ("more", "metadata"),
    [
        (["T"], {"symbols": ",".join([*LONG_NAMES, "T"])}),
        (["TT"], {"symbols": ",".join(LONG_NAMES), "symbols_2": "TT"}),
        (
            [f"TICKER-{n:09d}" for n in range(85)],
            {"symbols": ",".join(LONG_NAMES)}
            | {
                f"symbols_{entry + 2}": ",".join(
                    f"TICKER-{n:09d}" for n in range(85)[15 * entry :][:15]
                )
                for entry in range(6)
            },
        ),
    ],
)
def test_3_the_ack_names_all_symbols_in_as_many_entries_as_they_need(more, metadata):
    server = Server(batch_window=0)
    client = server.connect()
    client.send(auth(), subscribe(TICK, *more, *LONG_NAMES))
    epoch = epoch_of(TICK, *more, *LONG_NAMES)
    assert client.read() == [AUTHENTICATED, subscribed(epoch, **metadata)]
    server.publish(1.0, symbol=more[-1])
    assert client.names() == [[1.0]]


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
        (
            subscribe(TICK, "aapl"),
            "symbol 'aapl' is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)",
        ),
        (subscribe(TICK, ""), "symbol '' is not 1 to 16 of A-Z 0-9 . _ - (the last may be *)"),
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
        EVERYTHING,
    ]
    assert server.metrics.protocol_errors == {"INVALID_SUBSCRIPTION": 1}
    assert not client.closed


def test_3_a_second_subscription_is_refused_and_the_first_goes_on():
    server = Server(batch_window=0)
    client = server.subscribed(TICK, "AAPL")
    client.send(subscribe(TICK, "MSFT"), subscribe(SECOND, "AAPL"))
    assert client.read() == [
        error(pb.ERROR_CODE_ALREADY_SUBSCRIBED, "already subscribed to TICK"),
        error(
            pb.ERROR_CODE_INVALID_SUBSCRIPTION, "the mode is TICK: UNSUBSCRIBE comes before another"
        ),
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
            client_timestamp_ms=NOW_MS - 250,
            server_timestamp_ms=NOW_MS,
            sequence=7,
            next_sequence=1,
            epoch=epoch_of(),
        ),
        pb.HeartbeatResponse(server_timestamp_ms=NOW_MS, next_sequence=1, epoch=epoch_of()),
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


def test_tcp_options_are_set():
    client = WireClient(Server())
    assert client.socket.options == {
        (IPPROTO_TCP, TCP_NODELAY): 1,
        (SOL_SOCKET, SO_KEEPALIVE): 1,
        (IPPROTO_TCP, TCP_NOTSENT_LOWAT): 32_768,
    }


def test_messages_compare_whole():
    # The tests above rest on protobuf's equality.
    assert isinstance(AUTHENTICATED, Message)
    assert ack(1, "authenticated") == AUTHENTICATED != ack(2, "authenticated")
