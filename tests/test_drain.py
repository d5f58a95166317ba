"""The way down: every client is told, gets what is queued for it, and is cut if it does not go."""

from conversation import TICK, Server, WireClient, auth, subscribe
from twisted.logger import LogLevel, globalLogPublisher


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
    assert streaming.names() == [[1.0], stopping]
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
    assert client.names() == [[1.0], "SHUTTING_DOWN"]


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
    assert client.connection.pending_bytes == 0
    client.wire.drain()
    assert client.names() == [[1.0], [2.0], [3.0], "SHUTTING_DOWN"]
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
    assert client.names() == [*([price] for price in prices), "SHUTTING_DOWN"]
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
    assert client.names() == [[1.0], [2.0], "SHUTTING_DOWN"]


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
    assert (late.names(), late.closed) == (["SHUTTING_DOWN"], True)
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
