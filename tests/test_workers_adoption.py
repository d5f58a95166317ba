"""The intake: what is handed over is served, with its id, and nothing that fails stops the rest."""

import errno
import os
import socket
from contextlib import ExitStack

import pytest
from adopting import Reactor
from places import is_closed
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import formatEvent, globalLogPublisher

from tickstorm.workers.adoption import Adoption, ConnectionIds
from tickstorm.workers.handover import Handed, hand_over, pair


class Serving(Factory):
    """Notes the id that each connection gets."""

    def __init__(self, ids):
        self.ids = ids
        self.served = []

    def buildProtocol(self, addr):
        self.served.append(next(self.ids))
        return Protocol()


class Intake:
    """An adoption for some ports, and the end where connections are handed over."""

    def __init__(self, ports=1):
        self.reactor = Reactor()
        self.giver, end = pair()
        ids = ConnectionIds()
        self.ports = [Serving(ids) for _ in range(ports)]
        self.adoption = Adoption(self.reactor, end, self.ports, ids)
        self.adoption.start()
        self._stack = ExitStack()

    def hand(self, first_id, count=1, port=0):
        """Hand connections over; the clients' ends of them."""
        clients = []
        for _ in range(count):
            client, server = socket.socketpair()
            client.setblocking(False)
            self._stack.enter_context(client)
            clients.append((client, server))
        descriptors = [server.fileno() for _, server in clients]
        assert hand_over(self.giver, Handed(port, socket.AF_UNIX, first_id, descriptors))
        for _, server in clients:
            server.close()
        return [client for client, _ in clients]

    @property
    def served(self):
        return [port.served for port in self.ports]

    def close(self):
        self._stack.close()
        self.giver.close()
        if self.adoption in self.reactor.readers:
            self.adoption.connectionLost(None)


@pytest.fixture(name="intake")
def make_intake():
    intake = Intake(ports=2)
    yield intake
    intake.close()


def test_each_connection_is_served_with_its_id_by_its_port(intake):
    intake.hand(7, count=3)
    intake.hand(20, port=1)
    intake.hand(10)
    for _ in range(3):
        intake.reactor.turn()
    assert intake.served == [[7, 8, 9, 10], [20]]
    assert intake.adoption.handed.total() == 5
    assert intake.reactor.families == [socket.AF_UNIX] * 5


def test_the_descriptor_itself_is_closed(intake):
    (client,) = intake.hand(1)
    assert not is_closed(client)
    intake.reactor.turn()  # this reactor keeps none of its own
    assert is_closed(client)


def test_a_turn_takes_one_packet(intake):
    for number in (1, 2):
        intake.hand(number)
    intake.reactor.turn()
    assert intake.adoption.handed.total() == 1
    intake.reactor.turn()
    assert intake.adoption.handed.total() == 2


def test_but_all_can_be_taken_at_once(intake):
    for number in (1, 2, 3):
        intake.hand(number)
    intake.adoption.take_all()
    assert intake.served == [[1, 2, 3], []]
    intake.hand(99)
    intake.giver.close()
    for _ in range(2):
        intake.adoption.take_all()
    assert (intake.served[0][-1], intake.reactor.readers) == (99, set())


def test_a_client_that_is_gone_already_is_counted_and_no_error(intake):
    intake.reactor.refusal = OSError("not connected")
    (client,) = intake.hand(1)
    intake.reactor.turn()
    assert (intake.served, intake.adoption.handed.total()) == ([[], []], 1)
    assert is_closed(client)
    intake.reactor.refusal = None
    intake.hand(2)
    intake.reactor.turn()
    assert intake.served == [[2], []]


@pytest.fixture(name="logged")
def keep_log():
    """What is said, as level and text."""
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [(event["log_level"].name, formatEvent(event)) for event in events]
    globalLogPublisher.removeObserver(events.append)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_one_that_there_is_no_room_for_is_an_error(intake, logged, code):
    intake.reactor.refusal = OSError(code, os.strerror(code))
    intake.hand(1)
    intake.reactor.turn()
    assert logged() == [("error", f"1 connections were dropped: {os.strerror(code)}")]


def test_one_that_is_gone_is_none(intake, logged):
    intake.reactor.refusal = OSError(errno.ENOTCONN, "not connected")
    intake.hand(1)
    intake.reactor.turn()
    assert [level for level, _ in logged()] == ["debug"]


def test_those_that_did_not_arrive_have_been_handed_over_all_the_same(intake, logged):
    intake.adoption._adopt_all(Handed(0, socket.AF_UNIX, 7, [], dropped=3))
    assert intake.adoption.handed.total() == 3  # else the parent would keep their room for them
    assert logged() == [("error", "3 connections were dropped: Too many open files")]


def test_one_that_fails_takes_nobody_along(intake, failures):
    build = intake.ports[0].buildProtocol

    def fail_once(addr):
        intake.ports[0].buildProtocol = build
        next(intake.ports[0].ids)
        raise ZeroDivisionError

    intake.ports[0].buildProtocol = fail_once
    clients = intake.hand(5, count=3)
    intake.reactor.turn()
    assert intake.served == [[6, 7], []]
    assert [is_closed(client) for client in clients] == [True] * 3
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    failures.clear()


def test_what_was_handed_over_before_the_end_is_served(intake):
    intake.hand(1)
    intake.giver.close()
    intake.reactor.turn()
    assert intake.served == [[1], []]


def test_when_nothing_more_can_come_it_stops(intake):
    intake.giver.close()
    intake.reactor.turn()
    assert intake.reactor.readers == set()
    assert intake.adoption.fileno() == -1


def test_a_reactor_that_cannot_read_it_stops_it(intake):
    intake.adoption.connectionLost(ConnectionDone())
    assert intake.reactor.readers == set()
    with pytest.raises(BrokenPipeError):
        intake.giver.send(b"nobody")
