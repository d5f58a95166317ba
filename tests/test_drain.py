"""The way down: every client is told, gets what is queued for it, and is cut if it does not go."""

from random import Random

import pytest
from conversation import SECOND, TICK, Server, WireClient, auth, error, heartbeat, subscribe
from lagging import FAT
from twisted.logger import LogLevel, globalLogPublisher

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.draining import STEP
from tickstorm.emptying import HASTE
from tickstorm.history import HistoryLimits
from tickstorm.hub import HubLimits
from tickstorm.ticks import Tick


def drained(server, seconds=3.0):
    fired = []
    server.factory.stopFactory()
    server.factory.drain(seconds).addCallback(lambda _: fired.append(server.factory.door.total))
    return fired


def test_drain_tells_everybody_and_fires_when_the_last_is_gone():
    server = Server()
    streaming, logged_in, new = server.subscribed(TICK), server.connect(), server.connect()
    logged_in.send(auth())
    logged_in.read()
    server.publish(1.0)
    fired = drained(server)
    stopping = "SHUTTING_DOWN"
    assert streaming.names() == [[1.0], "GOAWAY"]
    assert (logged_in.names(), new.names()) == ([stopping], [stopping])
    assert all(client.closed and not client.cut for client in (streaming, logged_in, new))
    streaming.vanish()
    logged_in.vanish()
    assert fired == []
    new.vanish()
    assert len(fired) == 1
    assert server.left_behind() == {}
    assert [call for call in server.reactor.getDelayedCalls() if call.active()] == []


def test_when_drain_fires_nobody_is_in():
    server = Server()
    client = server.connect()
    fired = drained(server)
    client.vanish()
    assert fired == [0]


def test_drain_sends_the_ticks_collected_so_far():
    server = Server()
    client = server.subscribed(TICK)
    server.publish(1.0)
    server.factory.drain(1.0)
    assert client.names() == ["GOAWAY", [1.0]]


def test_drain_cuts_who_does_not_go():
    server = Server()
    stubborn = server.subscribed(TICK)
    fired = drained(server, 3.0)
    server.advance(2.5, step=0.5)
    assert not stubborn.cut
    server.advance(0.5)
    assert stubborn.cut
    assert fired == []
    stubborn.vanish()
    assert len(fired) == 1


def test_drain_of_nobody_fires_at_once_and_leaves_nothing_scheduled():
    server = Server()
    assert len(drained(server)) == 1
    assert [call for call in server.reactor.getDelayedCalls() if call.active()] == []


def test_drain_of_transports_that_close_at_once():
    server = Server()
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        client.transport.loseConnection = client.vanish
    assert len(drained(server)) == 1
    assert [call for call in server.reactor.getDelayedCalls() if call.active()] == []


def congested(server, *prices):
    """A client whose socket is full, with all but the first of these prices queued."""
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.read()
    client.socket.room = 10
    for price in prices:
        server.publish(price)
    assert client.connection.pending_bytes > 0
    return client


def test_drain_sends_a_congested_client_what_is_queued_before_its_last_words():
    server = Server(batch_window=0)
    client = congested(server, 1.0, 2.0, 3.0)
    fired = drained(server)
    assert client.connection not in server.factory.congested
    assert client.connection.pending_bytes == len(client.wire.buffered)
    client.wire.drain()
    assert server.factory.congestion.queued_bytes == 0
    assert client.names() == [[1.0], "GOAWAY", [2.0], [3.0]]
    assert len(fired) == 1


def test_drain_gives_a_client_that_reads_slowly_all_of_its_time():
    prices = [float(price) for price in range(1, 201)]
    server = Server(batch_window=0)
    client = congested(server, *prices)
    fired = drained(server, 10.0)
    for _ in range(9):
        client.wire.take(1000)
        server.advance(1)
    assert (fired, client.closed) == ([], False)
    client.wire.drain()
    assert [name for name in client.names() if name != "GOAWAY"] == [[price] for price in prices]
    assert len(fired) == 1


def test_drain_cuts_a_client_that_reads_too_slowly():
    server = Server(batch_window=0)
    client = congested(server, *map(float, range(1, 201)))
    fired = drained(server, 10.0)
    for _ in range(10):
        client.wire.take(100)
        server.advance(1)
    server.advance(0)  # what is cut is lost in the reactor's next turn
    assert (len(fired), client.closed) == (1, True)
    assert server.left_behind() == {}


def test_drain_sends_what_is_queued_for_a_wrapped_client_too():
    server = Server(batch_window=0)
    client = server.subscribed(TICK)
    client.transport.producer.pauseProducing()  # as TLS does
    server.publish(1.0)
    server.publish(2.0)
    drained(server)
    assert client.names() == ["GOAWAY", [1.0], [2.0]]


def test_two_drains_both_fire():
    server = Server()
    client = server.connect()
    first, second = drained(server), drained(server)
    client.vanish()
    assert (len(first), len(second)) == (1, 1)


def test_who_comes_while_it_drains_is_turned_away():
    server = Server()
    server.connect()
    drained(server)
    late = server.connect()
    told = error(pb.ERROR_CODE_SHUTTING_DOWN, "this server process is stopping", retryable=True)
    assert (late.read(), late.closed) == ([told], True)
    assert server.metrics.rejections == {"shutting_down": 1}


def test_a_drain_is_no_warning_a_client():
    events = []
    server = Server()
    for _ in range(10):
        server.connect()
    globalLogPublisher.addObserver(events.append)
    drained(server)
    globalLogPublisher.removeObserver(events.append)
    assert [event for event in events if event["log_level"] >= LogLevel.warn] == []


def test_a_drain_of_connections_that_have_not_said_who_they_are_is_no_login():
    server = Server()
    server.connect()
    drained(server)
    server.connect()
    assert server.metrics.logins == {}
    assert server.metrics.protocol_errors == {"SHUTTING_DOWN": 2}


def test_who_comes_when_the_factory_has_been_started_again_is_let_in():
    server = Server()
    drained(server)
    server.factory.startFactory()
    assert not server.connect().closed


# Over a window of time.


def emptying(server, seconds=10.0, window=8.0):
    """A drain whose streams go on; what is there once it is over."""
    fired = []
    server.factory.drain(seconds, window).addCallback(fired.append)
    return fired


def closing_times(server, clients, seconds, step=0.01):
    """When each client was closed, in seconds from now; those that were are gone then."""
    began, times = server.reactor.seconds(), {}
    while server.reactor.seconds() < began + seconds:
        server.reactor.advance(step)
        for client in clients:
            if client.closed and client not in times:
                times[client] = server.reactor.seconds() - began
                client.vanish()
    return [times.get(client) for client in clients]


def returns(clients, times):
    """When each client is told to come back, in seconds from the beginning of the drain."""
    told = [client.read() for client in clients]
    return [
        time + message.retry_after_ms / 1000
        for time, messages in zip(times, told, strict=True)
        for message in messages
        if isinstance(message, pb.GoAway | pb.ErrorResponse)
    ]


@pytest.mark.parametrize("count", [1, 2, 20])
def test_closes_are_spread_evenly_over_the_window(count):
    server = Server(random=Random(7))
    clients = [server.subscribed(SECOND) for _ in range(count)]
    fired = emptying(server, window=8.0)
    times = closing_times(server, clients, 8.1)
    assert fired == [None]
    part, late = 8.0 / count, STEP + 0.01
    outside = [
        time
        for index, time in enumerate(sorted(times))
        if not index * part <= time <= (index + 1) * part + late
    ]
    assert outside == []
    assert times != sorted(times) or count < 3


def test_clients_come_back_spread_whether_they_are_told_at_once_or_at_their_close():
    server = Server(random=Random(7))
    extended = [server.subscribed(TICK) for _ in range(20)]
    others = [server.subscribed(SECOND) for _ in range(20)]
    emptying(server, window=8.0)
    told_at_once = returns(extended, [0.0] * 20)
    times = closing_times(server, [*extended, *others], 8.1)
    told_at_close = returns(others, times[20:])
    assert [
        0.5 <= back - close < 1.5 + STEP
        for back, close in zip([*told_at_once, *told_at_close], times, strict=True)
    ] == [True] * 40
    assert len({*told_at_once, *told_at_close}) == 40


def test_who_knows_goaway_gets_it_at_once_and_no_error():
    server = Server(random=Random(7))
    clients = [
        server.subscribed(SECOND, snapshot=True),
        server.subscribed(TICK),
        server.subscribed(SECOND, "EURUSD", start_time_ms=5, metadata={"desk": "7"}),
    ]
    emptying(server)
    first = [client.read() for client in clients]
    assert [[type(message) for message in messages] for messages in first] == [
        [pb.GoAway],
        [pb.GoAway],
        [],
    ]
    assert [message.reason for message, *_ in first[:2]] == ["this server process is stopping"] * 2
    server.advance(8.0)
    later = [[type(message) for message in client.read()] for client in clients]
    assert [[kind for kind in kinds if kind is not pb.DataBatch] for kinds in later] == [
        [],
        [],
        [pb.ErrorResponse],
    ]
    assert [client.closed for client in clients] == [True] * 3
    assert server.metrics.protocol_errors == {"SHUTTING_DOWN": 1}


def test_the_error_of_a_client_of_version_1_says_when_to_come_back():
    server = Server(random=Random(7))
    client = server.connect()
    emptying(server, window=0.0)
    (told,) = client.read()
    retry_after_ms = told.retry_after_ms
    assert 500 <= retry_after_ms < 1500
    assert told == error(
        pb.ERROR_CODE_SHUTTING_DOWN,
        "this server process is stopping",
        retryable=True,
        retry_after_ms=retry_after_ms,
    )


def test_streams_logins_and_heartbeats_go_on_until_a_client_is_closed():
    server = Server(random=Random(7), batch_window=0)
    streaming, late = server.subscribed(TICK), server.connect()
    emptying(server, window=8.0)
    late.send(auth(), subscribe(TICK))
    for price in (1.0, 2.0):
        server.publish(price)
    streaming.send(heartbeat())
    assert streaming.names() == ["GOAWAY", [1.0], [2.0], "PONG"]
    assert late.names() == ["ACK", "ACK", [1.0], [2.0]]
    server.advance(8.0)
    # It was told when it had not asked for anything yet, so this is its notice.
    assert (late.names(), streaming.names()) == (["SHUTTING_DOWN"], [])


class Late(Random):
    """Has everything happen as late as can be."""

    def random(self):
        return 0.999


def test_a_silent_client_is_reaped_meanwhile():
    server = Server(random=Late())
    client = server.connect()
    emptying(server, 60.0, window=50.0)
    server.advance(12.0)
    assert client.names() == ["AUTH_REQUIRED"]


def test_a_goaway_goes_ahead_of_what_is_queued():
    server = Server(random=Random(7), batch_window=0)
    client = congested(server, 1.0, 2.0, 3.0)
    emptying(server, window=8.0)
    server.publish(4.0)
    client.wire.drain()
    assert client.names() == [[1.0], "GOAWAY", [2.0], [3.0], [4.0]]
    assert not client.closed


def test_who_is_behind_goes_first():
    server = Server(random=Random(7), batch_window=0)
    clients = [server.subscribed(TICK) for _ in range(5)]
    slow = congested(server, 1.0, 2.0)
    emptying(server, window=6.0)
    server.advance(1.0 + STEP, step=STEP)
    slow.wire.drain()
    assert (slow.closed, [client.closed for client in clients]) == (True, [False] * 5)


def test_who_leaves_by_itself_is_done_and_an_empty_server_ends_at_once():
    server = Server(random=Random(7))
    clients = [server.subscribed(TICK) for _ in range(3)]
    fired = emptying(server)
    for client in clients:
        assert fired == []
        client.vanish()
    assert fired == [None]
    assert server.left_behind() == {}
    server.factory.stopFactory()
    assert server.reactor.getDelayedCalls() == []
    assert [len(emptying(server)) for _ in range(2)] == [1, 1]
    assert server.reactor.getDelayedCalls() == []


def test_a_drain_that_is_hastened_closes_all_at_once_and_cuts_who_stays():
    server = Server(random=Random(7))
    clients = [server.subscribed(TICK), server.subscribed(SECOND)]
    fired = emptying(server, 60.0, window=48.0)
    server.factory.hasten()
    assert [client.names() for client in clients] == [["GOAWAY"], ["SHUTTING_DOWN"]]
    assert [client.closed for client in clients] == [True, True]
    clients[0].vanish()
    server.advance(HASTE)
    assert (clients[1].cut, fired) == (True, [])
    clients[1].vanish()
    assert fired == [None]
    server.factory.stopFactory()
    assert server.reactor.getDelayedCalls() == []


def test_there_is_nothing_to_hasten_without_a_drain():
    server = Server()
    client = server.subscribed(TICK)
    server.factory.hasten()
    server.advance(HASTE)
    assert (client.names(), client.closed) == ([], False)


def test_a_second_drain_tells_nobody_again():
    server = Server(random=Random(7))
    clients = [server.subscribed(TICK), server.subscribed(SECOND)]
    first, second = emptying(server, window=8.0), emptying(server, window=8.0)
    server.advance(8.0)
    told = [[name for name in client.names() if isinstance(name, str)] for client in clients]
    assert told == [["GOAWAY"], ["SHUTTING_DOWN"]]
    for client in clients:
        client.vanish()
    assert (first, second) == ([None], [None])


class Awkward:
    """A connection that breaks down whatever is asked of it."""

    pending_bytes = 0

    def announce_end(self, retry_after_ms, reason):
        raise ZeroDivisionError

    def see_off(self, last_words):
        raise ZeroDivisionError


def test_one_that_breaks_down_keeps_nobody_from_its_close(failures):
    server = Server(random=Random(7))
    clients = [server.subscribed(TICK) for _ in range(3)]
    server.factory._emptying._draining.begin([Awkward(), *server.factory.connections.values()], 0.0)
    assert [client.closed for client in clients] == [True] * 3
    assert [type(failure) for failure in failures] == [ZeroDivisionError] * 2
    failures.clear()


def test_a_drain_flushes_no_more_of_what_is_kept_than_all_may_have_waiting():
    history = HubLimits(history=HistoryLimits())
    server = Server(max_backlog_bytes=2_000_000, hub_limits=(history,), batch_window=0)
    keeper = server.subscribed(TICK)
    for _ in range(60):
        server.hub.publish([Tick(f"S{number}", 1.0, metadata=FAT) for number in range(4)])
    clients = [WireClient(server, address=f"10.0.{number}.1") for number in range(10)]
    for client in clients:
        client.send(auth())
        client.socket.room = 0
        client.send(subscribe(TICK, start_time_ms=1, overload=1))
    kept = server.hub.history.bytes
    assert server.factory.congestion.queued_bytes < kept < 2_000_000 < 10 * kept
    server.factory.drain(10.0)
    handed = [len(client.wire.buffered) for client in clients]
    assert 1_000_000 < sum(handed) <= server.factory.congestion.queued_bytes <= 2_000_000
    for client in clients:
        client.wire.drain()
        assert client.closed
        assert sum(getattr(said, "reason", "") != "" for said in client.read()) == 1
    keeper.vanish()
