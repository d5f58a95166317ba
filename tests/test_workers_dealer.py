"""The dealer: who gets what comes, and where it waits while nobody can take it."""

import socket
from contextlib import ExitStack, closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import Filled, Port, is_closed, turn
from twisted.internet.testing import MemoryReactorClock

from tickstorm.workers.dealer import RETRY, Dealer
from tickstorm.workers.handover import MAX_BATCH, PortKind

SUBSCRIBERS, BIDDERS = PortKind


class Table:
    """A dealer with places, and ports where clients come."""

    def __init__(self, *shares, ports=1, kinds=None):
        self.reactor = MemoryReactorClock()
        self.filled = [Filled(number, share) for number, share in enumerate(shares, 1)]
        kinds = kinds or [SUBSCRIBERS] * ports
        self.ports = [Port() for _ in kinds]
        self.dealer = Dealer(self.reactor, [each.place for each in self.filled])
        self.dealer.accept_from(list(zip(self.ports, kinds, strict=True)))

    def connect(self, count=1, port=0):
        """Clients that came, one batch after the other was dealt."""
        clients = self.ports[port].connect(count)
        for _ in range(count // MAX_BATCH + 1):
            turn(self.reactor)
        return clients

    @property
    def places(self):
        return [each.place for each in self.filled]

    def dealt(self):
        """How many each worker was handed since the last time."""
        return [len(each.take_ids()) for each in self.filled]

    @property
    def accepts(self):
        return len(self.reactor.readers) == len(self.ports)

    def close(self):
        self.dealer.stop()
        for each in (*self.filled, *self.ports):
            each.close()


@pytest.fixture(name="table")
def make_table():
    """Makes tables, and clears them away."""
    with ExitStack() as stack:
        yield lambda *shares, **more: stack.enter_context(closing(Table(*shares, **more)))


# Who gets it.


@pytest.mark.parametrize(
    ("shares", "connections", "expected"),
    [
        ((5,), 3, [3]),
        ((5, 5), 4, [2, 2]),
        ((3, 1, 2), 1, [1, 0, 0]),
        ((3, 1, 2), 3, [2, 0, 1]),
        ((3, 1, 2), 6, [3, 1, 2]),
        ((200, 100), 150, [125, 25]),
    ],
)
def test_each_connection_goes_to_the_roomiest(table, shares, connections, expected):
    one = table(*shares)
    one.connect(connections)
    assert one.dealt() == expected


@pytest.mark.parametrize("at_once", [True, False])
def test_one_by_one_and_all_at_once_come_to_the_same(table, at_once):
    one = table(4, 2, 5)
    for count in [9] if at_once else [1] * 9:
        one.connect(count)
    assert one.dealt() == [4, 1, 4]


@given(
    st.integers(1, 6),
    st.lists(st.integers(0, 2 * MAX_BATCH), max_size=5),
    st.data(),
)
def test_equal_workers_stay_equal_within_one(workers, bursts, data):
    with closing(Table(*[1000] * workers)) as one:
        open_at = [0] * workers
        for burst in bursts:
            one.connect(burst)
            open_at = [before + more for before, more in zip(open_at, one.dealt(), strict=True)]
            assert max(open_at) - min(open_at) <= 1
            # As many leave at each, so that they stay equal.
            leaving = data.draw(st.integers(0, min(open_at)))
            for at, filled in enumerate(one.filled):
                filled.lose(leaving)
                open_at[at] -= leaving


def test_a_worker_that_was_replaced_gets_what_it_is_missing(table):
    one = table(100, 100)
    one.connect(40)
    assert one.dealt() == [20, 20]
    one.filled[1].fill()
    one.connect(20)
    assert one.dealt() == [0, 20]
    one.connect(10)
    assert one.dealt() == [5, 5]


def test_whose_clients_left_gets_the_next_ones(table):
    one = table(100, 100)
    one.connect(40)
    one.dealt()
    one.filled[0].lose(6)
    one.connect(6)
    assert one.dealt() == [6, 0]


def test_what_is_on_its_way_counts_already(table):
    one = table(100, 90)
    one.connect(10)
    one.connect(2)
    assert one.dealt() == [11, 1]


def test_when_all_are_full_the_emptiest_gets_it_all_the_same(table):
    one = table(1, 2)
    one.connect(3)
    assert one.dealt() == [1, 2]
    one.filled[1].lose(0)
    one.connect(2)
    assert one.dealt() == [1, 1]
    assert one.accepts


# What is said of it.


def test_ids_rise_and_are_never_given_twice(table):
    one = table(100, 100)
    ids = []
    for count in (1, 5, MAX_BATCH + 3, 2):
        one.connect(count)
        ids.append(sorted(id for each in one.filled for id in each.take_ids()))
    given_out = [id for each in ids for id in each]
    assert given_out == list(range(1, len(given_out) + 1))


def test_the_port_and_its_family_are_told(table):
    one = table(10, ports=3)
    one.connect(2, port=2)
    one.connect(1, port=0)
    assert one.filled[0].take() == [(2, socket.AF_UNIX, [1, 2]), (0, socket.AF_UNIX, [3])]


def test_the_client_s_connection_is_that_which_was_handed_over(table):
    one = table(10)
    (client,) = one.connect()
    assert not is_closed(client)
    one.dealt()  # takes it, and closes it
    assert is_closed(client)


def test_a_port_is_read_by_nobody_else(table):
    assert not table(1).ports[0].reading


# Where it waits.


def test_while_nobody_is_there_nothing_is_accepted(table):
    one = table(10, 10)
    for each in one.filled:
        each.close()
    one.dealer.offer()
    assert one.reactor.readers == set()
    one.ports[0].connect()
    turn(one.reactor)
    one.filled[1].fill(up=False)
    one.dealer.offer()
    assert one.reactor.readers == set()
    one.filled[1].place.up = True
    one.dealer.offer()
    turn(one.reactor)
    assert one.filled[1].take_ids() == [1]
    assert one.accepts


def test_without_a_port_there_is_nothing_to_do():
    reactor = MemoryReactorClock()
    Dealer(reactor, []).offer()
    assert (reactor.readers, reactor.getDelayedCalls()) == (set(), [])


def test_while_a_worker_is_on_its_way_nobody_is_turned_away(table):
    one = table(1, 1)
    one.filled[1].fill(up=False)
    one.connect(1)
    assert one.dealt() == [1, 0]
    one.dealer.offer()
    assert not one.accepts
    one.connect(1)
    assert one.dealt() == [0, 0]
    one.filled[1].place.up = True
    one.dealer.offer()
    turn(one.reactor)
    assert one.dealt() == [0, 1]


def test_one_that_leaves_is_not_waited_for(table):
    one = table(1, 1)
    one.connect(2)
    one.dealt()
    one.filled[1].place.let_go()
    one.dealer.offer()
    assert one.accepts
    one.connect(1)
    assert len(one.filled[0].take_ids()) == 1


def test_what_a_worker_cannot_take_yet_is_offered_again(table):
    one = table(100)
    blocked = one.filled[0].block()
    clients = one.connect(3)
    assert not one.accepts
    one.reactor.advance(RETRY)
    assert not one.accepts
    assert len(one.filled[0].take()) == blocked
    one.reactor.advance(RETRY)
    assert one.filled[0].take_ids() == [1, 2, 3]
    assert one.accepts
    assert [is_closed(client) for client in clients] == [True] * 3
    assert one.reactor.getDelayedCalls() == []


def test_another_worker_gets_what_one_has_not_taken(table):
    one = table(100, 50)
    one.filled[0].block()
    one.connect(2)
    one.filled[0].close()
    one.dealer.offer()
    assert one.filled[1].take_ids() == [1, 2]


def test_one_that_takes_nothing_keeps_nobody_from_the_others(table):
    one = table(100, 100)
    blocked = one.filled[0].block()
    one.connect(4)
    assert len(one.filled[1].take_ids()) == 2
    one.filled[1].lose(0)
    assert len(one.filled[0].take()) == blocked
    one.reactor.advance(RETRY)
    assert len(one.filled[0].take_ids()) == 2


def test_a_worker_that_is_gone_before_it_is_known_loses_nobody(table):
    one = table(100, 100)
    one.filled[0].taker.close()
    one.connect(4)
    assert len(one.filled[1].take_ids()) == 2
    one.filled[0].fill()
    one.dealer.offer()
    assert len(one.filled[0].take_ids()) == 2


# Workers that are not to be had.


def test_while_one_is_on_its_way_nobody_is_turned_away(table):
    one = table(1, 1)
    one.connect(2)
    assert one.dealt() == [1, 1]
    one.filled[1].place.empty()
    one.dealer.offer()
    assert not one.accepts


def test_when_it_is_not_to_come_soon_who_comes_is_told_by_the_others(table):
    one = table(1, 1)
    one.connect(2)
    assert one.dealt() == [1, 1]
    one.filled[1].place.empty()
    one.filled[1].place.wait = 1.6
    one.dealer.offer()
    assert one.accepts
    one.connect(2)
    assert len(one.filled[0].take_ids()) == 2


def test_what_is_held_while_there_is_nobody_is_not_offered_in_vain(table):
    one = table(100)
    one.filled[0].block()
    (client,) = one.connect()
    one.filled[0].place.empty()
    one.reactor.advance(RETRY)
    assert (one.reactor.getDelayedCalls(), is_closed(client)) == ([], False)
    one.filled[0].fill()
    one.dealer.offer()
    assert (len(one.filled[0].take_ids()), is_closed(client)) == (1, True)


# The end.


def test_after_the_stop_nothing_is_accepted_and_what_waits_is_dropped(table):
    one = table(100)
    one.filled[0].block()
    (client,) = one.connect()
    one.dealer.stop()
    assert is_closed(client)
    assert (one.reactor.readers, one.reactor.getDelayedCalls()) == (set(), [])
    one.dealer.offer()
    assert one.reactor.readers == set()


def test_the_port_itself_is_left_to_whoever_stops_it(table):
    one = table(100)
    one.dealer.stop()
    assert one.ports[0].fileno() >= 0


# Ports of two kinds.


def test_each_kind_has_room_of_its_own(table):
    one = table(2, 2, kinds=[SUBSCRIBERS, BIDDERS])
    one.connect(3, port=0)
    one.connect(3, port=1)
    assert one.dealt() == [4, 2]
    one.connect(1, port=0)
    one.connect(1, port=1)
    assert one.dealt() == [0, 2]
    assert [[place.room(kind) for kind in PortKind] for place in one.places] == [[0, 0]] * 2


def test_they_alternate_and_are_spread_equally_each(table):
    one = table(10, 10, kinds=[SUBSCRIBERS, BIDDERS])
    for _ in range(4):
        one.connect(1, port=0)
        one.connect(1, port=1)
    assert [[place.room(kind) for kind in PortKind] for place in one.places] == [[8, 8]] * 2


def test_while_one_is_on_its_way_only_the_full_kind_waits(table):
    one = table(1, 1, kinds=[SUBSCRIBERS, BIDDERS])
    one.filled[1].fill(up=False)
    one.connect(1, port=0)
    waiting = one.connect(1, port=0)
    one.connect(1, port=1)
    assert [port for port, _, _ in one.filled[0].take()] == [0, 1]
    assert len(one.reactor.readers) == 0
    one.filled[1].place.up = True
    one.dealer.offer()
    turn(one.reactor)
    assert len(one.filled[1].take_ids()) == len(waiting)
