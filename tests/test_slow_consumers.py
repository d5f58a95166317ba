"""Slow consumers: who catches up misses nothing, who does not is told and closed on."""

import pytest
from conversation import (
    NOW_MS,
    TICK,
    Server,
    WireClient,
    auth,
    error,
    heartbeat,
    subscribe,
)

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.overload import BacklogLimits
from tickstorm.protocol import LINGER


def streaming(server, room=None, wrapped=False):
    """A client on Twisted's own transport that streams TICK, whose socket then has `room`."""
    client = WireClient(server, wrapped=wrapped)
    client.send(auth(), subscribe(TICK))
    client.wire.drain()
    assert client.names() == ["ACK", "ACK"]
    client.socket.room = room
    return client


def stalled(**limits):
    """A server with one client that reads nothing, and one that does."""
    server = Server(batch_window=0, backlog_limits=BacklogLimits(**limits))
    return server, streaming(server, room=0), server.subscribed(TICK)


# Who catches up.


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
    client = streaming(server, room=30)
    for price in range(1, 20):
        server.publish(float(price))
    assert server.factory.congested == {client.connection}
    assert client.connection.pending_bytes > 0
    client.wire.drain()
    assert client.names() == [[float(price)] for price in range(1, 20)]
    assert (server.factory.congested, client.connection.pending_bytes) == (set(), 0)
    server.publish(20.0)
    assert client.names() == [[20.0]]


def test_what_was_sent_is_told_whatever_way_it_took():
    server = Server(batch_window=0)
    client = streaming(server, room=30)
    before = client.connection.bytes_sent
    for price in range(1, 20):
        server.publish(float(price))
        client.send(heartbeat())
    assert client.connection.bytes_sent == before + 30
    client.wire.drain()
    assert client.connection.bytes_sent - before == len(client.socket.taken)


def test_pong_goes_ahead_of_queued_batches():
    server = Server(batch_window=0)
    client = streaming(server, room=30)
    for price in (1.0, 2.0, 3.0):
        server.publish(price)
    client.send(heartbeat())
    client.wire.drain()
    assert client.names() == [[1.0], "PONG", [2.0], [3.0]]


def test_heartbeats_keep_a_congested_client_alive():
    server = Server(batch_window=0, backlog_limits=BacklogLimits(write_deadline=1000.0))
    client = streaming(server, room=30)
    server.publish(1.0)
    server.publish(2.0)
    for _ in range(10):
        server.advance(15)
        client.send(heartbeat())
    assert server.metrics.protocol_errors == {}
    client.wire.drain()
    assert client.names() == [[1.0], *["PONG"] * 10, [2.0]]


def read_slowly(server, client, seconds):
    """Take 4,500 bytes a second: a piece of 16 KiB within the 5 s of the write deadline."""
    for _ in range(seconds):
        client.wire.take(4500)
        server.advance(1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_who_reads_slowly_but_steadily_is_kept(wrapped):
    server = Server(batch_window=0)
    client = streaming(server, room=0, wrapped=wrapped)
    for _ in range(500):
        server.publish(*[1.0] * 10)
    assert client.connection.pending_bytes > 150_000
    read_slowly(server, client, 15)
    client.send(heartbeat())
    read_slowly(server, client, 15)
    assert (server.metrics.slow_consumers, client.closed) == (0, False)
    client.wire.drain()
    answers = client.names()
    answers.remove("PONG")
    assert answers == [[1.0] * 10] * 500


# Who does not.


def test_a_slow_consumer_is_told_and_closed_on_and_others_are_served():
    server, client, other = stalled(max_frames=5)
    for price in range(1, 11):
        server.publish(float(price))
    assert other.names() == [[float(price)] for price in range(1, 11)]
    assert server.metrics.slow_consumers == 1
    assert server.metrics.protocol_errors == {"SLOW_CONSUMER": 1}
    client.wire.drain()
    first, last = client.read()
    assert ([tick.price for tick in first.ticks], last) == (
        [1.0],
        error(
            pb.ERROR_CODE_SLOW_CONSUMER,
            "more than 5 frames are waiting",
            details="batches 2 to 7 were not sent",
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


def test_a_slow_consumer_is_told_of_the_write_deadline():
    server, client, _ = stalled(write_deadline=3.0)
    server.publish(1.0)
    server.advance(3)
    client.wire.drain()
    assert client.read()[1:] == [
        error(
            pb.ERROR_CODE_SLOW_CONSUMER,
            "what was written 3 s ago is not yet read",
            NOW_MS + 3000,
            retryable=True,
        )
    ]


def test_a_slow_consumer_counts_once():
    server, _, _ = stalled(write_deadline=1.0)
    server.publish(1.0)
    server.advance(LINGER + 3)
    assert server.metrics.slow_consumers == 1


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


def test_nothing_follows_the_error_of_a_slow_consumer():
    server = Server(batch_window=0, backlog_limits=BacklogLimits(max_frames=2))
    client = server.subscribed(TICK)
    client.transport.producer.pauseProducing()
    server.publish(*[1.0] * 4001)  # five frames in one emission
    assert client.names() == ["SLOW_CONSUMER"]
