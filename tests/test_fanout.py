"""The fan-out: who gets what when, encoded once, on whole periods and as ticks come."""

import pytest
from conversation import (
    MINUTE,
    SECOND,
    START,
    TICK,
    Server,
    auth,
    heartbeat,
    subscribe,
)

from tickstorm.broadcast import TIMED_RUN
from tickstorm.fanout import FanOut
from tickstorm.subscriptions import PERIOD_MS, Mode
from tickstorm.ticks import MAX_TICKS_PER_BATCH, Tick


def pending(server):
    return [call for call in server.reactor.getDelayedCalls() if call.active()]


def sequences(messages):
    return [batch.batch_sequence for batch in messages]


# Aligned.


def test_seconds_go_out_at_whole_seconds():
    server = Server(start=START + 0.25)
    client = server.subscribed(SECOND)
    server.publish(1.5)
    server.advance(0.5, step=0.25)
    assert client.read() == []
    server.advance(0.25)
    (batch,) = client.read()
    assert batch.batch_timestamp_ms == (START + 1) * 1000
    assert [(bar.symbol, bar.price, bar.trade_count) for bar in batch.ticks] == [("EURUSD", 1.5, 1)]
    server.advance(3, step=0.25)
    assert [each.batch_timestamp_ms for each in client.read()] == [
        (START + second) * 1000 for second in (2, 3, 4)
    ]


def test_minutes_go_out_at_whole_minutes():
    server = Server(start=START)  # 40 s into a minute
    client = server.subscribed(MINUTE)
    other = server.subscribed(SECOND)
    server.publish(2.0, 4.0)
    server.advance(19)
    assert (client.names(), len(other.read())) == ([], 19)
    client.send(heartbeat())
    assert client.names() == ["PONG"]
    server.advance(1)
    (batch,) = client.read()
    assert batch.batch_timestamp_ms % 60_000 == 0
    (bar,) = batch.ticks
    assert (bar.open, bar.high, bar.low, bar.price, bar.volume, bar.vwap) == (2, 4, 2, 4, 2, 3)


def test_every_subscriber_gets_the_same_bytes_encoded_once():
    server = Server()
    clients = [server.connect() for _ in range(200)]
    for client in clients:
        client.send(auth(), subscribe(SECOND))
        client.transport.clear()
    written = []
    for client in clients:
        client.transport.write = written.append
    server.publish(1.0)
    server.advance(1)
    assert len(written) == 200
    assert len({id(frame) for frame in written}) == 1


def test_symbol_sets_are_streams_of_their_own_and_equal_sets_share_one():
    server = Server()
    everything = server.subscribed(SECOND)
    one = server.subscribed(SECOND, "A")
    same = server.subscribed(SECOND, "B", "A", "B")
    both = server.subscribed(SECOND, "A", "B")
    assert len(server.hub.bars[1000].streams) == 3
    for symbol, price in (("A", 1.0), ("B", 2.0), ("C", 3.0)):
        server.publish(price, symbol=symbol)
    server.advance(1)
    assert everything.names() == [[1.0, 2.0, 3.0]]
    assert one.names() == [[1.0]]
    assert sorted(same.names()[0]) == sorted(both.names()[0]) == [1.0, 2.0]


def test_a_quiet_period_is_an_empty_batch_with_its_number():
    server = Server()
    client = server.subscribed(SECOND)
    server.advance(3)
    batches = client.read()
    assert [len(batch.ticks) for batch in batches] == [0, 0, 0]
    assert sequences(batches) == [sequences(batches)[0] + n for n in range(3)]


def test_aligned_merges_the_periods_of_a_blocked_reactor():
    server = Server()
    client = server.subscribed(SECOND)
    server.publish(1.0)
    server.reactor.advance(5.5)
    server.publish(2.0)
    server.reactor.advance(0.5)
    first, second = client.read()
    assert ([bar.price for bar in first.ticks], [bar.price for bar in second.ticks]) == ([1], [2])
    assert second.batch_sequence == first.batch_sequence + 1
    assert second.batch_timestamp_ms - first.batch_timestamp_ms == 1000


def test_a_subscriber_that_leaves_during_a_fan_out_takes_nobody_along():
    server = Server()
    clients = [server.subscribed(SECOND) for _ in range(5)]

    write = clients[1].transport.write

    def cut_the_next(data):
        clients[1].transport.write = write
        clients[2].vanish()

    clients[1].transport.write = cut_the_next
    server.publish(1.0)
    server.advance(1)
    assert [clients[n].names() for n in (0, 3, 4)] == [[[1.0]]] * 3
    server.advance(1)
    assert clients[4].names() == [[]]


def failing(client):
    """Make a client's transport raise at every write."""

    def fail(data):
        raise ValueError("no")

    client.transport.write = fail


@pytest.mark.parametrize("which", [{0}, {2}, {4}, {1, 2, 4}, {0, 1, 2, 3, 4}])
def test_a_subscriber_that_fails_takes_nobody_along(which, failures):
    server = Server()
    clients = [server.subscribed(SECOND) for _ in range(5)]
    for n in which:
        failing(clients[n])
    server.advance(1)
    assert [client.names() for n, client in enumerate(clients) if n not in which] == [[[]]] * (
        5 - len(which)
    )
    assert server.metrics.failures == {"deliver": len(which)}
    assert [str(failure) for failure in failures] == ["no"] * len(which)
    failures.clear()


def test_a_subscriber_that_fails_spares_other_streams_and_later_frames_and_runs(failures):
    server = Server(batch_window=0)
    clients = [server.subscribed(TICK) for _ in range(TIMED_RUN + 2)]
    other = server.subscribed(TICK, "EURUSD")
    failing(clients[1])
    server.publish(*[1.0] * 1001)  # two frames
    names = [[1.0] * 1000, [1.0]]
    assert [client.names() for client in (clients[0], clients[2], clients[-1], other)] == [
        names
    ] * 4
    assert server.metrics.failures == {"deliver": 2}
    failures.clear()


@pytest.mark.parametrize(("mode", "seconds"), [(Mode.SECOND, 1), (Mode.MINUTE, 60)])
def test_a_period_that_cannot_be_ended_is_counted_and_the_next_one_is(mode, seconds, failures):
    server = Server(start=START + 20)  # a whole minute
    client = server.subscribed(mode)
    close = server.hub.bars[PERIOD_MS[mode]].close

    def fail(end):
        raise ValueError("no")

    server.hub.bars[PERIOD_MS[mode]].close = fail
    for _ in range(seconds):
        client.send(heartbeat())
        server.advance(1)
    server.hub.bars[PERIOD_MS[mode]].close = close
    for _ in range(seconds):
        client.send(heartbeat())
        server.advance(1)
    assert [name for name in client.names() if name != "PONG"] == [[]]
    assert server.metrics.failures == {mode.name: 1}
    failures.clear()


# A wall clock that is set.


@pytest.mark.parametrize("seconds", [-3600.25, -1.0, -0.25, 0.25, 1.0, 3600.25])
def test_aligned_goes_on_and_loses_nothing_when_the_clock_is_set(seconds):
    server = Server()
    client = server.subscribed(SECOND)
    server.advance(2, step=0.125)
    before = sequences(client.read())
    server.set_wall_clock(seconds)
    server.publish(1.0)
    server.advance(4, step=0.125)
    batches = client.read()
    assert [bar.price for batch in batches for bar in batch.ticks] == [1.0]
    numbers = before + sequences(batches)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(batches) >= 3
    at = [batch.batch_timestamp_ms for batch in batches]
    assert at == sorted(set(at))


# Ticks.


def test_ticks_are_collected_for_the_window():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(1.0)
    server.reactor.advance(0.003)
    server.publish(2.0)
    server.reactor.advance(0.001)
    assert client.names() == []
    server.reactor.advance(0.001)
    assert client.names() == [[1.0, 2.0]]
    server.publish(3.0)
    server.reactor.advance(0.0049)
    assert client.names() == []
    server.reactor.advance(0.0001)
    assert client.names() == [[3.0]]


def test_a_full_batch_does_not_wait():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(*[1.0] * (MAX_TICKS_PER_BATCH - 1))
    assert client.names() == []
    waiting = len(pending(server))
    server.publish(2.0)
    (batch,) = client.read()
    assert len(batch.ticks) == MAX_TICKS_PER_BATCH
    assert len(pending(server)) == waiting - 1
    server.reactor.advance(0.01)
    assert client.names() == []


def test_more_than_a_batch_at_once_is_several():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(*[1.0] * (2 * MAX_TICKS_PER_BATCH + 1))
    batches = client.read()
    assert [len(batch.ticks) for batch in batches] == [1000, 1000, 1]
    assert sequences(batches) == [sequences(batches)[0] + n for n in range(3)]


def test_without_a_window_every_publish_goes_out_at_once():
    server = Server(batch_window=0)
    client = server.subscribed(TICK)
    server.publish(1.0)
    server.publish(2.0, 3.0)
    assert client.names() == [[1.0], [2.0, 3.0]]


def test_ticks_that_nobody_wants_schedule_nothing():
    server = Server()
    before = len(pending(server))
    server.publish(1.0)
    assert len(pending(server)) == before


def test_ticks_of_other_symbols_send_nothing():
    server = Server(batch_window=0)
    client = server.subscribed(TICK, "GBPUSD")
    server.publish(1.0)
    server.publish(2.0, symbol="GBPUSD")
    assert client.names() == [[2.0]]


def test_a_newcomer_gets_nothing_of_what_was_collected_before():
    server = Server()
    early = server.subscribed(TICK)
    server.publish(1.0)
    late = server.subscribed(TICK)
    server.publish(2.0)
    server.reactor.advance(0.005)
    assert (early.names(), late.names()) == ([[1.0], [2.0]], [[2.0]])


def test_the_last_leaves_with_ticks_collected():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(1.0)
    client.vanish()
    server.reactor.advance(0.005)
    again = server.subscribed(TICK)
    server.publish(2.0)
    server.reactor.advance(0.005)
    assert again.names() == [[2.0]]


def test_numbers_are_kept_while_nobody_listens():
    server = Server(batch_window=0)
    client = server.subscribed(TICK)
    server.publish(1.0)
    (before,) = client.read()
    client.vanish()
    server.publish(2.0)
    client = server.subscribed(TICK)
    server.publish(3.0)
    (after,) = client.read()
    assert after.batch_sequence > before.batch_sequence + 1  # the hole tells of the loss


def test_publish_time_is_taken_as_the_fan_out_begins():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(1.0)
    server.reactor.advance(0.005)
    (batch,) = client.read()
    assert batch.publish_time_ns == round((START + 0.005) * 1e9)
    assert batch.ticks[0].timestamp_ns == round(START * 1e9)


# Stop and count.


def test_stop_sends_what_is_pending():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(1.0)
    server.factory.stopFactory()
    assert client.names() == [[1.0]]
    assert pending(server) == []


def test_nothing_is_sent_after_stop():
    server = Server()
    client = server.subscribed(TICK)
    server.factory.stopFactory()
    server.publish(1.0)
    server.reactor.advance(10)
    assert (client.names(), server.hub.on_ticks_pending) == ([], None)


def test_a_hub_feeds_one_fan_out_at_a_time():
    server = Server()
    client = server.subscribed(TICK)
    second = FanOut(server.hub, server.clock, batch_window=0, metrics=server.metrics)
    scheduled = pending(server)
    with pytest.raises(RuntimeError, match=r"^a hub feeds one factory: give each factory a hub"):
        second.start()
    assert pending(server) == scheduled
    server.publish(1.0)
    assert client.names() == []  # the first one's window
    server.factory.stopFactory()
    second.start()
    server.publish(2.0)
    assert client.names() == [[1.0], [2.0]]


def test_it_can_be_stopped_and_started_again():
    server = Server()
    client = server.subscribed(SECOND)
    for _ in range(2):
        server.factory.stopFactory()
        server.factory.startFactory()
    server.advance(1)
    assert client.names() == [[]]


def test_what_is_counted_is_what_was_sent():
    server = Server(batch_window=0)
    clients = [server.subscribed(TICK) for _ in range(2 * TIMED_RUN + 3)]
    server.publish(*[1.0] * 1001)
    received = [client.read() for client in clients]
    metrics = server.metrics
    assert metrics.messages_sent == sum(map(len, received)) == 2 * len(clients)
    assert metrics.publish_latency_ms.counts == [metrics.messages_sent] + [0] * 13


def test_latency_is_that_of_the_run_of_subscribers():
    server = Server(batch_window=0)
    clients = [server.subscribed(TICK) for _ in range(TIMED_RUN + 1)]
    write = clients[0].transport.write

    def slow(data):
        server.reactor.rightNow += 0.003
        write(data)

    clients[0].transport.write = slow
    server.publish(1.0)
    latency = server.metrics.publish_latency_ms
    counts = dict(zip(latency.bounds, latency.counts, strict=False))
    assert {bound: times for bound, times in counts.items() if times} == {5.0: TIMED_RUN + 1}


def test_snapshots_are_counted_too():
    server = Server()
    server.publish(1.0)
    client = server.connect()
    client.send(auth(), subscribe(TICK, snapshot=False))
    before = client.connection.bytes_sent
    other = server.connect()
    other.send(auth(), subscribe(TICK, snapshot=True))
    assert other.names() == ["ACK", "ACK", [1.0]]
    assert server.metrics.messages_sent == 1
    assert server.metrics.bytes_sent == other.connection.bytes_sent - before


def test_batches_are_split_at_the_limit_of_ticks_for_bars_too():
    server = Server()
    client = server.subscribed(SECOND)
    server.hub.publish([Tick(f"S{n}", 1.0) for n in range(1500)])
    server.advance(1)
    assert [len(batch.ticks) for batch in client.read()] == [1000, 500]
    late = server.subscribed(SECOND)
    server.advance(1)
    (mine,), (theirs,) = client.read(), late.read()
    assert mine.batch_sequence == theirs.batch_sequence
