"""The list of connections: what is told of each, which page is asked for, and bad questions."""

import pytest
from conversation import (
    START,
    Server,
    WireClient,
    auth,
    subscribe,
)

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.admission import AdmissionLimits
from tickstorm.web.connections import BadQuery, Query, describe, read_query, select

SECOND = pb.SUBSCRIPTION_MODE_SECOND


def ids(server, **query):
    return [connection.id for connection in select(server.factory, Query(**query))]


def stop_reading(client):
    client.transport.producer.pauseProducing()


# What is told.


def test_a_connection_that_has_said_nothing():
    server = Server()
    client = server.connect("10.0.0.7")
    assert describe(client.connection, False, START + 1.23456) == {
        "id": 1,
        "peer": "10.0.0.7",
        "user": None,
        "certificate": None,
        "mode": None,
        "symbols": None,
        "age_s": 1.235,
        "bytes_sent": 0,
        "pending_bytes": 0,
        "congested": False,
    }


def test_one_that_was_turned_away_is_told_of_until_it_is_gone():
    server = Server(admission_limits=AdmissionLimits(max_connections=0))
    assert describe(server.connect().connection, False, START)["peer"] == "10.0.0.1"


def test_one_whose_proxy_has_not_said_who_it_is_has_no_peer():
    server = Server()
    client = WireClient(server, wrapped=True)
    assert describe(client.connection, False, START)["peer"] is None


def test_a_subscriber_that_reads():
    server = Server()
    client = server.connect()
    client.send(auth(), subscribe(SECOND, "GBPUSD", "EURUSD"))
    sent = len(client.transport.value())
    assert describe(client.connection, False, START) == {
        "id": 1,
        "peer": "10.0.0.1",
        "user": "alice",
        "certificate": None,
        "mode": "SECOND",
        "symbols": ["EURUSD", "GBPUSD"],
        "age_s": 0.0,
        "bytes_sent": sent,
        "pending_bytes": 0,
        "congested": False,
    }


def test_a_subscriber_to_everything_has_no_list_of_symbols():
    server = Server()
    found = describe(server.subscribed(SECOND).connection, False, START)
    assert (found["mode"], found["symbols"]) == ("SECOND", None)


def test_what_waits_for_a_subscriber_that_does_not_read_is_pending():
    server = Server()
    client = server.subscribed()
    stop_reading(client)
    server.publish(1.5)
    server.advance(0.005)
    assert client.connection.pending_bytes > 0
    found = describe(client.connection, client.connection in server.factory.congested, START)
    assert found["pending_bytes"] == client.connection.pending_bytes
    assert found["congested"] is True


def test_no_secret_is_told():
    server = Server()
    client = server.subscribed()
    assert "correct-horse" not in repr(describe(client.connection, False, START))


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


# What is asked.


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, Query(limit=1000, after=0, by_pending=False)),
        ({b"limit": [b"1"], b"after": [b"0"]}, Query(1, 0)),
        ({b"limit": [b"10000"], b"after": [b"999999999999"]}, Query(10_000, 999_999_999_999)),
        ({b"sort": [b"pending"], b"limit": [b"7"]}, Query(7, 0, True)),
        ({b"sort": [b"id"], b"after": [b"7"]}, Query(1000, 7, False)),
    ],
)
def test_a_good_question(arguments, query):
    assert read_query(arguments) == query


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({b"limit": [b"0"]}, "limit is 1 to 10000"),
        ({b"limit": [b"10001"]}, "limit is 1 to 10000"),
        ({b"limit": [b"-1"]}, "limit is 1 to 10000"),
        ({b"limit": [b""]}, "limit is 1 to 10000"),
        ({b"limit": [b"1_0"]}, "limit is 1 to 10000"),
        ({b"limit": ["\u0661".encode()]}, "limit is 1 to 10000"),
        ({b"limit": [b"9" * 5000]}, "limit is 1 to 10000"),
        ({b"after": [b"x"]}, "after is 0 to 1000000000000000000"),
        ({b"limit": [b"1", b"2"]}, "limit is given more than once"),
        ({b"sort": [b"age"]}, "sort is id or pending"),
        ({b"sort": [b"pending"], b"after": [b"1"]}, "after goes with sort=id only"),
        ({b"lim\xff": [b"1"]}, "'lim\ufffd' is not limit, after or sort"),
    ],
)
def test_a_bad_question(arguments, reason):
    with pytest.raises(BadQuery) as raised:
        read_query(arguments)
    assert str(raised.value) == reason
