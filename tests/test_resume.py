"""Going on where a client was: whole conversations over a lost connection."""

from hashlib import sha256

import pytest
from conversation import (
    MINUTE,
    NOW_MS,
    PASSWORD,
    SECOND,
    TICK,
    USER,
    Server,
    WireClient,
    auth,
    epoch_of,
    error,
    heartbeat,
    names,
    publish,
    read,
    subscribe,
    unsubscribe,
)
from hypothesis import given
from hypothesis import strategies as st
from lagging import FAT
from listening import AMPLE, KEEPS

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.errors import ShuttingDown
from tickstorm.hub import HubLimits
from tickstorm.outlet import PIECE_BYTES
from tickstorm.overload import BacklogLimits
from tickstorm.session import SessionLimits
from tickstorm.ticks import Tick

AT_ONCE = {"hub_limits": KEEPS, "batch_window": 0}


def resumed(server, *request, epoch=None, after, **fields):
    """A client that resumes, the metadata of its ACK, and what came behind that."""
    client = server.connect()
    position = {"resume_epoch": epoch or epoch_of(*request), "resume_after_sequence": after}
    client.send(auth(), subscribe(*request, **position, **fields))
    _, ack, *batches = client.read()
    assert ack.ack_type == pb.MESSAGE_TYPE_SUBSCRIBE
    return client, dict(ack.metadata), batches


def sequences(batches):
    return [batch.batch_sequence for batch in batches]


# What is said and sent.


def test_who_comes_back_gets_what_it_missed_and_goes_on():
    server = Server(**AT_ONCE)
    first = server.subscribed(TICK, "EURUSD")
    server.publish(1.0)
    (seen,) = first.read()
    first.vanish()
    server.publish(2.0)
    server.publish(9.0, symbol="GBPUSD")
    server.publish(3.0)
    again, terms, batches = resumed(server, TICK, "EURUSD", after=seen.batch_sequence)
    assert terms == {
        "epoch": epoch_of(TICK, "EURUSD"),
        "next_sequence": "2",
        "recovered": "true",
        "symbols": "EURUSD",
        "heartbeat_interval_ms": "15000",
        "heartbeat_timeout_ms": "20000",
    }
    assert (names(batches), sequences(batches)) == ([[2.0], [3.0]], [2, 3])
    server.publish(4.0)
    (live,) = again.read()
    assert ([tick.price for tick in live.ticks], live.batch_sequence) == ([4.0], 4)


def test_what_comes_again_is_what_was_sent_byte_for_byte():
    server = Server(**AT_ONCE)
    watching, gone = server.subscribed(TICK), server.subscribed(TICK)
    gone.vanish()
    server.publish(1.0, 2.0)
    server.advance(1)
    server.publish(3.0)
    sent = watching.transport.value()
    again = server.connect()
    again.send(auth(), subscribe(TICK, resume_epoch=epoch_of(), resume_after_sequence=0))
    assert again.transport.value().endswith(sent)


@pytest.mark.parametrize(
    ("epoch", "after"),
    [("epoch-0", 2), (epoch_of(), 7), ("x" * 64, 2)],
    ids=["another epoch", "a number that is yet to come", "a long epoch"],
)
def test_what_cannot_be_told_is_said_to_be_so_and_a_snapshot_follows(epoch, after):
    server = Server(**AT_ONCE)
    server.subscribed(TICK)
    server.publish(1.0)
    server.publish(2.0, symbol="GBPUSD")
    client, terms, batches = resumed(server, TICK, epoch=epoch, after=after)
    assert (terms["recovered"], terms["next_sequence"]) == ("false", "3")
    assert terms["epoch"] == epoch_of()
    assert [(batch.is_snapshot, batch.batch_sequence) for batch in batches] == [(True, 2)]
    assert names(batches) == [[1.0, 2.0]]
    server.publish(3.0)
    assert sequences(client.read()) == [3]


STREAMS = {
    "ticks": ((TICK, "A", "B"), {}),
    "ticks of fewer": ((TICK, "A"), {}),
    "ticks of all": ((TICK,), {}),
    "ticks by their beginnings": ((TICK, "A*", "B*"), {}),
    "seconds": ((SECOND, "A", "B"), {}),
    "minutes": ((MINUTE, "A", "B"), {}),
    "half seconds": ((0, "A", "B"), {"interval_ms": 500}),
}
"""All that have had the same numbers, as all of them have had what was published."""


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("wanted", STREAMS)
@pytest.mark.parametrize("had", STREAMS)
def test_a_position_in_a_stream_is_none_in_another(had, wanted, slots):
    server = Server(**AT_ONCE, slots=slots)
    clients = {name: server.subscribed(*STREAMS[name][0], **STREAMS[name][1]) for name in STREAMS}
    server.publish(1.0, symbol="A")
    server.publish(2.0, symbol="B")
    stream = clients[had].connection.stream
    request, fields = STREAMS[wanted]
    after = stream.next_sequence - 1
    client, terms, batches = resumed(server, *request, epoch=stream.epoch, after=after, **fields)
    if had == wanted:
        assert (client.connection.stream, terms["recovered"], batches) == (stream, "true", [])
        return
    prices = {"A": 1.0} if wanted == "ticks of fewer" else {"A": 1.0, "B": 2.0}
    assert (terms["recovered"], batches[0].is_snapshot) == ("false", True)
    assert {tick.symbol: tick.price for tick in batches[0].ticks} == prices


@pytest.mark.parametrize("symbols", [("A", "B"), ("B", "A"), ("A", "B", "A"), ("B", "B", "A", "A")])
def test_a_position_is_in_the_stream_of_a_set_however_it_is_written(symbols):
    server = Server(**AT_ONCE)
    server.subscribed(TICK, "A", "B").vanish()
    server.publish(1.0, symbol="A")
    _, terms, batches = resumed(server, TICK, *symbols, epoch=epoch_of(TICK, "A", "B"), after=0)
    assert (terms["recovered"], names(batches)) == ("true", [[1.0]])


def test_an_epoch_that_is_too_long_is_refused():
    server = Server(**AT_ONCE)
    client = server.connect()
    client.send(auth(), subscribe(TICK, resume_epoch="x" * 65), subscribe(TICK))
    answers = client.read()
    assert names(answers) == ["ACK", "INVALID_SUBSCRIPTION", "ACK"]
    assert answers[1] == error(
        pb.ERROR_CODE_INVALID_SUBSCRIPTION, "a resume_epoch has at most 64 characters"
    )


def test_a_number_without_an_epoch_is_no_wish_to_resume():
    server = Server(**AT_ONCE)
    server.subscribed(TICK)
    server.publish(1.0)
    client = server.connect()
    client.send(auth(), subscribe(TICK, resume_after_sequence=0))
    _, ack, *batches = client.read()
    assert ("recovered" in ack.metadata, batches) == (False, [])


@pytest.mark.parametrize(
    ("start", "recovered", "count"), [(0, None, 0), (1, "true", 2), (500, "true", 1)]
)
def test_who_names_a_time_begins_with_what_is_kept_since_then(start, recovered, count):
    server = Server(**AT_ONCE)
    server.subscribed(TICK)
    for price in (1.0, 2.0):
        server.advance(0.25)
        server.publish(price)
        server.advance(0.25)
    client = server.connect()
    start_time_ms = NOW_MS + start if start else 0
    client.send(auth(), subscribe(TICK, start_time_ms=start_time_ms))
    _, ack, *batches = client.read()
    assert ack.metadata.get("recovered") == recovered
    assert ack.metadata["next_sequence"] == str(3 - count)
    assert names(batches) == [[1.0], [2.0]][2 - count :]


@pytest.mark.parametrize(("mode", "seconds"), [(SECOND, 1), (MINUTE, 60)])
def test_bars_are_gone_on_with_too(mode, seconds):
    patient = SessionLimits(heartbeat_timeout=1000)
    server = Server(hub_limits=KEEPS, session_limits=patient)
    client = server.subscribed(mode)
    server.advance(seconds)
    (seen,) = client.read()
    client.vanish()
    for price in (1.0, 2.0):
        server.publish(price)
        server.advance(seconds)
    _, terms, batches = resumed(server, mode, after=seen.batch_sequence)
    assert (terms["recovered"], names(batches)) == ("true", [[1.0], [2.0]])


def test_in_spread_the_epoch_is_that_of_the_moment_and_leads_back_to_it():
    server = Server(hub_limits=KEEPS, slots=4)
    clients = [server.connect() for _ in range(4)]
    for client in clients:
        client.send(auth(), subscribe(SECOND))
    told = [client.read()[1].metadata for client in clients]
    epochs = [epoch_of(SECOND, slot=slot) for slot in range(4)]
    assert [terms["epoch"] for terms in told] == epochs
    server.publish(1.0)
    server.advance(2, step=0.25)
    seen = [client.read()[0].batch_sequence for client in clients]
    for client in clients:
        client.vanish()
    for slot in (3, 0, 2, 1):
        _, terms, batches = resumed(server, SECOND, epoch=epochs[slot], after=seen[slot])
        assert (terms["epoch"], terms["recovered"]) == (epochs[slot], "true")
        assert terms["next_sequence"] == str(seen[slot] + 1)
        assert sequences(batches) == [seen[slot] + 1]


def test_a_stream_of_a_hub_that_does_not_spread_this_mode_has_no_moment_in_its_epoch():
    server = Server(hub_limits=KEEPS, slots=4)
    for request, fields in (((TICK,), {}), ((0,), {"interval_ms": 101})):
        client = server.connect()
        client.send(auth(), subscribe(*request, **fields))
        assert client.read()[1].metadata["epoch"] == epoch_of(*request, **fields)


def test_a_long_set_goes_on_in_further_entries():
    server = Server()
    symbols = [f"SYMBOL-{number:03}-LONG" for number in range(98)] + ["A*", "A"]
    client = server.connect()
    client.send(auth(), subscribe(SECOND, *symbols))
    terms = client.read()[1].metadata
    keys = sorted(
        (key for key in terms if key.startswith("symbols")), key=lambda key: (len(key), key)
    )
    assert keys == ["symbols", *(f"symbols_{number}" for number in range(2, len(keys) + 1))]
    assert all(len(terms[key]) <= 256 for key in keys)
    assert ",".join(terms[key] for key in keys).split(",") == ["A*", *symbols[:98]]
    assert len(keys) == 7


@given(st.sets(st.text("AB.-_9", min_size=1, max_size=16), min_size=1, max_size=100))
def test_the_symbols_of_any_set_are_told_in_whole(symbols):
    server = Server()
    client = server.connect()
    client.send(auth(), subscribe(SECOND, *symbols))
    terms = client.read()[1].metadata
    keys = ["symbols", *(f"symbols_{number}" for number in range(2, 8))]
    told = [terms[key] for key in keys if key in terms]
    assert ",".join(told).split(",") == sorted(symbols)
    assert max(map(len, told)) <= 256


def test_what_it_was_given_of_the_past_counts_as_sent():
    server = Server(**AT_ONCE)
    server.subscribed(TICK).vanish()
    for price in (1.0, 2.0, 3.0):
        server.publish(price)
    client = server.connect()
    client.send(auth(), subscribe(TICK, resume_epoch=epoch_of(), resume_after_sequence=0))
    server.publish(4.0)
    assert client.connection.bytes_sent == len(client.transport.value())
    assert server.metrics.messages_sent == 4


def test_nothing_is_left_when_all_have_gone_and_their_time_is_over():
    server = Server(hub_limits=(HubLimits(history=AMPLE._replace(seconds=2.0)),))
    clients = [
        server.subscribed(*request, **fields)
        for request, fields in (
            ((TICK,), {}),
            ((SECOND, "A*", "B"), {}),
            ((0, "A"), {"interval_ms": 50}),
            ((TICK, "EUR*"), {"resume_epoch": epoch_of(TICK, "EUR*")}),
        )
    ]
    server.publish(1.0)
    server.advance(1, step=0.05)
    for client in clients:
        client.vanish()
    assert server.left_behind() == {"streams": 4}
    server.advance(4, step=0.05)
    assert (server.left_behind(), server.hub.history.bytes) == ({}, 0)
    assert sorted(server.hub.bars) == [1000, 60_000]


# Where it is now.


def pong(client):
    """Epoch and number in the answer to a heartbeat, which has to be the last that came."""
    client.send(heartbeat())
    answer = client.read()[-1]
    assert isinstance(answer, pb.HeartbeatResponse)
    return answer.epoch, answer.next_sequence


@pytest.mark.parametrize("long_way", [False, True], ids=["short", "long"])
def test_a_pong_says_which_batch_comes_next(long_way):
    server = Server(hub_limits=KEEPS)
    client = server.connect()
    more = heartbeat(sequence=2**63) if long_way else b""
    client.send(auth())
    assert pong(client) == ("", 0)
    client.send(subscribe(SECOND), more)
    for expected in (2, 3, 4):
        assert pong(client) == (epoch_of(SECOND), expected)
        server.publish(1.0)
        server.advance(1)
    client.send(unsubscribe(), more)
    assert pong(client) == ("", 0)
    client.send(subscribe(TICK), more)
    assert pong(client) == (epoch_of(), 2)


def test_a_pong_does_not_count_what_is_being_collected():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(1.0)
    assert pong(client) == (epoch_of(), 1)
    server.advance(0.005)
    client.send(heartbeat())
    batch, answer = client.read()
    assert (batch.batch_sequence, answer.next_sequence) == (1, 2)


def test_behind_what_was_missed_a_pong_says_what_is_live():
    server = Server(**AT_ONCE)
    server.subscribed(TICK).vanish()
    for price in (1.0, 2.0):
        server.publish(price)
    client = server.connect()
    client.send(
        auth(), subscribe(TICK, resume_epoch=epoch_of(), resume_after_sequence=0), heartbeat()
    )
    *_, last, answer = client.read()
    assert (last.batch_sequence, answer.next_sequence) == (2, 3)


# Beside the queue.


def slow_client(server, room, *frames):
    """A client whose socket has only so much room."""
    client = WireClient(server, room)
    client.send(*frames)
    return client


def test_a_pong_that_overtakes_batches_says_the_first_of_them():
    server = Server(**AT_ONCE)
    client = slow_client(server, None, auth(), subscribe(TICK))
    client.read()
    client.socket.room = 10
    for price in (1.0, 2.0, 3.0):
        server.publish(price)
    client.send(heartbeat())
    client.wire.drain()
    got = client.read()
    at = names(got).index("PONG")
    assert got[at].next_sequence == got[at + 1].batch_sequence


@pytest.mark.parametrize("limits", [BacklogLimits(max_frames=10), BacklogLimits(max_bytes=2000)])
def test_a_past_longer_than_a_queue_may_be_is_no_sign_of_a_slow_client(limits):
    server = Server(backlog_limits=limits, **AT_ONCE)
    server.subscribed(TICK).vanish()
    for price in range(1, 101):
        server.publish(float(price))
    client = slow_client(
        server,
        1000,
        auth(USER, PASSWORD),
        subscribe(TICK, resume_epoch=epoch_of(), resume_after_sequence=0),
    )
    client.wire.drain()
    assert names(client.read())[2:] == [[float(price)] for price in range(1, 101)]
    server.publish(101.0)
    assert names(read(client.socket.taken)) == [[101.0]]


def test_a_past_is_written_in_pieces():
    server = Server(**AT_ONCE)
    server.subscribed(TICK).vanish()
    for price in range(1, 101):
        server.publish(float(price))
    client = WireClient(server)
    client.send(auth(), subscribe(TICK, resume_epoch=epoch_of(), resume_after_sequence=0))
    assert len([each for each in client.read() if isinstance(each, pb.DataBatch)]) == 100
    assert client.socket.sends < 10


def test_a_pong_is_ahead_of_the_batch_that_it_announces():
    server = Server(publishers=["alice:*"], **AT_ONCE)
    client = server.subscribed(TICK)
    client.send(heartbeat() + publish(1.0))
    pong, batch, _ = client.read()
    assert pong.next_sequence == batch.batch_sequence


# What a history keeps is read from there.


FULL = HubLimits(history=AMPLE._replace(stream_bytes=4 * 2**20))


def publish_fat(server, *prices):
    """Publish batches of 6.5 KB, so that a history is full soon."""
    for price in prices:
        server.hub.publish([Tick("EURUSD", float(price), 1.0, metadata=FAT)])


def full(limits=FULL, **options):
    """A server whose history of TICK is full, the number of its oldest batch, and of the next."""
    server = Server(hub_limits=(limits,), batch_window=0, **options)
    server.subscribed(TICK).vanish()
    (stream,) = server.hub.streams[0]
    price = 0
    while stream.ring.first_place == 0:
        price += 1
        publish_fat(server, price)
    return server, stream, stream.ring.entry(stream.ring.first_place).sequence


def resuming(server, after, room, **options):
    return slow_client(
        server,
        room,
        auth(),
        subscribe(TICK, resume_epoch=epoch_of(), resume_after_sequence=after, **options),
    )


def test_a_storm_of_resumes_costs_nothing_beside_what_is_kept():
    server, stream, first = full(max_backlog_bytes=200 * PIECE_BYTES)
    last = stream.next_sequence - 1
    crowd = [resuming(server, first - 1, 20_000) for _ in range(200)]
    congestion = server.factory.congestion
    assert sum(client.connection.pending_bytes for client in crowd) > 200 * 3.5 * 2**20
    assert congestion.queued_bytes == sum(len(client.wire.buffered) for client in crowd)
    watched, sums = bytearray(), [sha256() for _ in crowd]
    while congestion.connections:
        for client, sum_ in zip(crowd, sums, strict=True):
            client.wire.take(1_000_000)
            sum_.update(client.socket.taken)
            if client is crowd[0]:
                watched += client.socket.taken
            client.socket.taken.clear()
        assert congestion.queued_bytes == sum(len(client.wire.buffered) for client in crowd)
    assert sequences(read(watched)[2:]) == list(range(first, last + 1))
    assert {sum_.digest() for sum_ in sums} == {sha256(watched).digest()}
    assert {client.connection.bytes_sent for client in crowd} == {len(watched)}
    assert (server.metrics.slow_consumers, len(server.factory.connections)) == (0, 200)
    assert congestion.queued_bytes == 0


def test_who_reads_faster_than_the_history_turns_over_has_everything():
    server, stream, first = full()
    client = resuming(server, first - 1, 20_000)
    price = stream.next_sequence - 1
    for _ in range(200):
        price += 1
        publish_fat(server, price)
        client.wire.take(50_000)
    assert stream.ring.entry(stream.ring.first_place).sequence == first + 200
    assert client.connection.next_sequence > first + 300
    client.wire.drain()
    assert sequences(client.read()[2:]) == list(range(first, price + 1))
    assert server.metrics.slow_consumers == 0


def test_who_is_overtaken_by_the_history_is_told_so_and_comes_back_to_a_snapshot():
    server, stream, first = full()
    client = resuming(server, first - 1, 20_000)
    due = client.connection.next_sequence
    assert due > first
    price = stream.next_sequence - 1
    while stream.ring.entry(stream.ring.first_place).sequence <= due:
        price += 1
        publish_fat(server, price)
    client.wire.drain()
    *batches, told = client.read()[2:]
    assert sequences(batches) == list(range(first, due))
    assert told == error(
        pb.ERROR_CODE_SLOW_CONSUMER,
        "the next of what it missed is not kept any more: it was not read in time",
        details=f"batches {due} to {price} were not sent",
        retryable=True,
    )
    assert server.metrics.slow_consumers == 1
    assert server.factory.congestion.queued_bytes == 0
    _, terms, (snapshot,) = resumed(server, TICK, after=due - 1)
    assert (terms["recovered"], snapshot.is_snapshot, names([snapshot])) == (
        "false",
        True,
        [[float(price)]],
    )


def test_who_is_overtaken_when_the_server_drains_is_told_that():
    server, stream, first = full()
    client = resuming(server, first - 1, 20_000)
    due = client.connection.next_sequence
    server.hub.history.forget(stream.ring)
    client.connection.see_off(ShuttingDown("the server is being stopped"))
    client.wire.drain()
    *batches, told = client.read()[2:]
    assert sequences(batches) == list(range(first, due))
    assert (names([told]), told.details) == (
        ["SLOW_CONSUMER"],
        f"batches {due} to {stream.next_sequence - 1} were not sent",
    )


def test_who_is_seen_off_in_the_middle_has_all_of_it_before_the_last_words():
    server, stream, first = full()
    client = resuming(server, first - 1, 20_000)
    client.connection.see_off(ShuttingDown("the server is being stopped"))
    client.wire.drain()
    *batches, told = client.read()[2:]
    assert sequences(batches) == list(range(first, stream.next_sequence))
    assert names([told]) == ["SHUTTING_DOWN"]


def test_of_what_is_kept_and_a_snapshot_behind_it_the_snapshot_counts():
    server, stream, first = full()
    client = slow_client(server, 20_000, auth(), subscribe(TICK, start_time_ms=1, snapshot=True))
    (snapshot,) = server.hub.snapshot(client.connection.subscription, stream)
    counted = len(snapshot) + len(client.wire.buffered)
    assert server.factory.congestion.queued_bytes == client.connection.cost == counted
    client.wire.drain()
    *batches, last = client.read()[2:]
    assert sequences(batches) == list(range(first, stream.next_sequence))
    assert (last.is_snapshot, server.factory.congestion.queued_bytes) == (True, 0)


def test_beyond_the_budget_it_is_not_who_reads_what_is_kept_that_goes():
    server, stream, first = full(max_backlog_bytes=100_000)
    slow = slow_client(server, None, auth(), subscribe(TICK))
    slow.socket.room = 0
    price = stream.next_sequence + 4
    publish_fat(server, *range(price - 4, price + 1))
    client = resuming(server, first + 199, 20_000)
    while server.metrics.slow_consumers == 0:
        price += 1
        publish_fat(server, price)
        client.wire.take(20_000)
    assert client.connection.pending_bytes > 10 * 100_000
    assert (slow.connection.stream, client.connection.stream) == (None, stream)
    client.wire.drain()
    assert sequences(client.read()[2:]) == list(range(first + 200, price + 1))
