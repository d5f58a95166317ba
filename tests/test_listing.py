"""The listing: what is told of each connection, and which page of them."""

from conversation import (
    TICK,
    Server,
    WireClient,
    auth,
    subscribe,
)

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.admission import AdmissionLimits
from tickstorm.errors import SlowConsumer
from tickstorm.listing import Listing, Query, listing, together

SECOND = pb.SUBSCRIPTION_MODE_SECOND


def ids(server, **query):
    return [row["id"] for row in listing(server.factory, Query(**query)).rows]


def only_row(server):
    (row,) = listing(server.factory, Query()).rows
    return row


def stop_reading(client):
    client.transport.producer.pauseProducing()


# What is told.


def test_a_connection_that_has_said_nothing():
    server = Server()
    server.connect("10.0.0.7")
    server.reactor.advance(1.23456)
    assert only_row(server) == {
        "id": 1,
        "peer": "10.0.0.7",
        "user": None,
        "certificate": None,
        "mode": None,
        "interval_ms": None,
        "symbols": None,
        "overload": None,
        "age_s": 1.235,
        "bytes_sent": 0,
        "pending_bytes": 0,
        "congested": False,
        "warned": False,
    }


def test_one_that_was_turned_away_is_told_of_until_it_is_gone():
    server = Server(admission_limits=AdmissionLimits(max_connections=0))
    server.connect()
    assert only_row(server)["peer"] == "10.0.0.1"


def test_one_whose_proxy_has_not_said_who_it_is_has_no_peer():
    server = Server()
    WireClient(server, wrapped=True)
    assert only_row(server)["peer"] is None


def test_a_subscriber_that_reads():
    server = Server()
    client = server.connect()
    client.send(auth(), subscribe(SECOND, "GBPUSD", "EURUSD"))
    sent = len(client.transport.value())
    assert only_row(server) == {
        "id": 1,
        "peer": "10.0.0.1",
        "user": "alice",
        "certificate": None,
        "mode": "SECOND",
        "interval_ms": 1000,
        "symbols": ["EURUSD", "GBPUSD"],
        "overload": "DISCONNECT",
        "age_s": 0.0,
        "bytes_sent": sent,
        "pending_bytes": 0,
        "congested": False,
        "warned": False,
    }


def test_a_subscriber_to_everything_has_no_list_of_symbols():
    server = Server()
    server.subscribed(SECOND)
    found = only_row(server)
    assert (found["mode"], found["symbols"]) == ("SECOND", None)


def test_what_waits_for_a_subscriber_that_does_not_read_is_pending():
    server = Server()
    client = server.subscribed()
    stop_reading(client)
    server.publish(1.5)
    server.advance(0.005)
    assert client.connection.pending_bytes > 0
    found = only_row(server)
    assert found["pending_bytes"] == client.connection.pending_bytes
    assert found["congested"] is True


def test_no_secret_is_told():
    server = Server()
    server.subscribed()
    assert "correct-horse" not in repr(only_row(server))


# Which page.


def test_pages_follow_one_another_by_id():
    server = Server()
    clients = [server.connect() for _ in range(5)]
    assert ids(server) == [1, 2, 3, 4, 5]
    assert ids(server, limit=2) == [1, 2]
    clients[0].vanish()
    clients[2].vanish()
    server.connect()
    assert ids(server, limit=2, after=2) == [4, 5]
    assert ids(server, limit=2, after=5) == [6]
    assert ids(server, after=6) == []


def test_the_largest_backlog_comes_first():
    server = Server()
    clients = [server.subscribed() for _ in range(4)]
    stop_reading(clients[3])
    server.publish(1.5)
    server.advance(0.005)
    stop_reading(clients[1])
    stop_reading(clients[2])
    server.publish(1.5)
    server.advance(0.005)
    assert ids(server, by_pending=True) == [4, 2, 3, 1]
    assert ids(server, by_pending=True, limit=2) == [4, 2]


def test_who_lingers_comes_behind_those_who_are_still_served():
    server = Server(batch_window=0)
    clients = [server.subscribed(TICK) for _ in range(3)]
    for client in clients[1:]:
        stop_reading(client)
    server.publish(1.5)
    clients[2].connection.too_slow(SlowConsumer("so says the test"))
    rows = listing(server.factory, Query(by_pending=True)).rows
    assert [(row["id"], row["congested"], row["pending_bytes"] > 0) for row in rows] == [
        (2, True, True),
        (3, False, True),
        (1, False, False),
    ]


# Several processes.


def row(id, pending=0):
    return {"id": id, "pending_bytes": pending, "congested": pending > 0}


def test_answers_of_several_processes_are_one_page_by_id():
    answers = [Listing(3, [row(1), row(4)]), Listing(2, [row(2), row(3)], missing=1)]
    assert together(answers, Query(limit=3)) == Listing(5, [row(1), row(2), row(3)], 1)


def test_or_by_what_is_pending():
    answers = [Listing(2, [row(2, 5), row(1)]), Listing(2, [row(4, 9), row(3, 5)])]
    page = together(answers, Query(limit=4, by_pending=True))
    assert [each["id"] for each in page.rows] == [4, 2, 3, 1]
