"""Spread delivery: each connection has its own slot of the period, and the load is flat."""

import pytest
from conversation import SECOND, START, Server

SPREAD = 200
"""Moments of a period: they are 5 ms apart in a second."""


def spread_server(start=START + 0.0025):
    return Server(slots=SPREAD, start=start)


def pass_slots(server, slots):
    """Advance slot by slot, and return what moments there were."""
    for _ in range(slots):
        server.reactor.advance(0.005)
        yield server.clock.wall_ms()


def test_each_connection_gets_a_batch_a_period_in_its_own_slot_evenly():
    server = spread_server()
    clients = [server.subscribed(SECOND) for _ in range(2 * SPREAD)]
    moments = {number: [] for number in range(len(clients))}
    per_slot = []
    for at in pass_slots(server, 3 * SPREAD):
        got = [number for number, client in enumerate(clients) if client.read()]
        per_slot.append(len(got))
        for number in got:
            moments[number].append(at)
    assert set(per_slot) == {2}
    assert {len(times) for times in moments.values()} == {3}
    assert {times[1] - times[0] for times in moments.values()} == {1000}
    assert len({times[0] % 1000 for times in moments.values()}) == SPREAD


def test_bars_are_those_of_the_period_up_to_the_slot():
    server = spread_server()
    clients = [server.subscribed(SECOND) for _ in range(SPREAD)]
    server.publish(1.0)
    for _ in pass_slots(server, SPREAD):
        pass
    assert {tuple(client.names()[0]) for client in clients} == {(1.0,)}
    for _ in pass_slots(server, SPREAD):
        pass
    assert {tuple(client.names()[0]) for client in clients} == {()}


def test_it_catches_up_at_most_one_period_after_a_blocked_reactor():
    server = spread_server()
    clients = [server.subscribed(SECOND) for _ in range(SPREAD)]
    server.publish(1.0)
    server.reactor.advance(7.3)
    batches = [client.read() for client in clients]
    assert {len(each) for each in batches} == {1}
    for _ in pass_slots(server, SPREAD):
        pass
    assert {len(client.read()) for client in clients} == {1}


def test_it_numbers_a_round_alike_in_all_slots():
    server = spread_server()
    clients = [server.subscribed(SECOND) for _ in range(SPREAD)]
    for _ in pass_slots(server, 3 * SPREAD):
        pass
    by_round = {}
    for client in clients:
        for batch in client.read():
            second = -(-batch.batch_timestamp_ms // 1000)
            by_round.setdefault(batch.batch_sequence, set()).add(second)
    assert all(max(seconds) - min(seconds) <= 1 for seconds in by_round.values())
    assert sorted(by_round) == list(range(min(by_round), max(by_round) + 1))


def test_it_begins_without_a_burst():
    server = spread_server()
    clients = [server.subscribed(SECOND) for _ in range(SPREAD)]
    server.reactor.advance(0.005)
    assert sum(len(client.read()) for client in clients) == 1


@pytest.mark.parametrize("seconds", [-3600.25, -1.0, -0.25, 0.25, 1.0, 3600.25])
def test_it_numbers_a_round_alike_when_the_clock_was_set(seconds):
    server = spread_server()
    clients = [server.subscribed(SECOND) for _ in range(SPREAD)]
    for _ in pass_slots(server, SPREAD + SPREAD // 2):
        pass
    server.set_wall_clock(seconds)
    for _ in pass_slots(server, 4 * SPREAD):
        pass
    second = server.clock.wall_ms() // 1000 - 1
    received = [client.read() for client in clients]
    last_round = [
        batch.batch_sequence
        for batches in received
        for batch in batches
        if batch.batch_timestamp_ms // 1000 == second
    ]
    assert last_round == last_round[:1] * SPREAD
    for batches in received:
        numbers = [batch.batch_sequence for batch in batches]
        assert numbers == sorted(set(numbers))
