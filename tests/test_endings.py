"""Every kind of end: it comes once, takes nobody along, and leaves nothing in any table."""

import pytest
from conversation import (
    TICK,
    Server,
    WireClient,
    auth,
    heartbeat,
    subscribe,
)
from twisted.internet.error import ConnectionLost

from tickstorm.errors import ShuttingDown
from tickstorm.protocol import LINGER
from tickstorm.states import State


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
def test_a_lost_connection_leaves_nothing_in_any_table(state):
    server = Server()
    client = server.connect()
    STATES[state](client)
    assert client.connection._session.state is state
    client.vanish(ConnectionLost)
    assert server.left_behind() == {}
    before = dict(server.metrics.protocol_errors)
    server.publish(1.0)
    server.advance(60)
    assert server.metrics.protocol_errors == before


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_the_deadline_of_one_that_is_gone_is_infinite(state):
    client = Server().connect()
    STATES[state](client)
    client.vanish()
    assert client.connection.deadline == float("inf")


def test_a_lost_connection_that_was_congested_leaves_nothing():
    server = Server(batch_window=0)
    client = WireClient(server)
    client.send(auth(), subscribe(TICK))
    client.socket.room = 0
    server.publish(1.0)
    assert server.factory.congested == {client.connection}
    client.vanish()
    assert server.left_behind() == {}


def test_fail_after_the_end_is_nothing():
    server = Server()
    client = server.connect()
    client.connection.fail(ShuttingDown("once"))
    client.connection.fail(ShuttingDown("twice"))
    assert client.names() == ["SHUTTING_DOWN"]
    assert server.metrics.protocol_errors == {"SHUTTING_DOWN": 1}


def test_fail_after_the_connection_is_lost_is_nothing():
    server = Server()
    client = server.connect()
    client.vanish()
    client.connection.fail(ShuttingDown("to nobody"))
    assert (client.read(), server.metrics.protocol_errors) == ([], {})


def test_a_client_has_five_seconds_to_take_the_last_words():
    assert LINGER == 5.0
