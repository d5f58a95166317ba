"""Serving: what the service asks of it is there in one process and in several."""

from contextlib import ExitStack, closing
from types import SimpleNamespace

import pytest
from conversation import PASSWORD, TICK, USER, Server, auth, subscribe
from pools import GRACE, Pool
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IProtocolFactory

from tickstorm.listing import Listing, Query, listing
from tickstorm.metrics import Metrics
from tickstorm.reading import Reading
from tickstorm.serving import InProcess, WorkerReading
from tickstorm.settings import Settings
from tickstorm.workers.link import Drained, Leaving, Listed, Load, Report


def in_process(server=None):
    server = server or Server()
    return server, InProcess(server.factory, server.intake, None)


# Of both.


def one_process(stack):
    """A server that serves by itself, with a client that goes when it is told to."""
    server, serving = in_process()
    client = server.connect()
    return SimpleNamespace(serving=serving, go=client.vanish, answer=lambda: None, workers=[])


def one_worker(stack):
    """The same with a worker, which says of its one client what the parent is to know."""
    pool = stack.enter_context(closing(Pool(10)))
    (worker,) = pool.begin_all()
    worker.say(Load(1, 1), Report(Reading(1, 0, 0, {}, Metrics()), 1.5, 4096))

    def answer():
        worker.say(Listed(1, Listing(1, [{"id": 1}])))

    def go():
        worker.say(Leaving(), Drained())
        worker.die()

    workers = [
        WorkerReading(
            number=1,
            pid=worker.pid,
            up=True,
            restarts=0,
            connections=1,
            cpu_seconds=1.5,
            resident_bytes=4096,
        )
    ]
    return SimpleNamespace(serving=pool.pool, go=go, answer=answer, workers=workers)


@pytest.fixture(name="one", params=[one_process, one_worker])
def make_one(request):
    """An instance with one client."""
    with ExitStack() as stack:
        yield request.param(stack)


def test_a_port_listens_with_a_factory(one):
    assert IProtocolFactory.providedBy(one.serving.protocol_factory)


def test_its_numbers_are_those_of_the_whole(one):
    assert (type(one.serving.read()), one.serving.read().connections) == (Reading, 1)


def test_its_workers_are_told_of_if_it_has_any(one):
    assert list(one.serving.workers()) == one.workers


def test_its_connections_are_listed_now_or_later(one):
    found = []
    maybeDeferred(one.serving.list, Query()).addCallback(found.append)
    one.answer()
    (page,) = found
    assert (page.total, [row["id"] for row in page.rows], page.missing) == (1, [1], 0)


def test_it_may_be_told_to_read_certificates_and_accept_nobody(one):
    one.serving.reload(Settings(username=USER, password=PASSWORD), [10], {})
    one.serving.stop_accepting()
    assert one.serving.read().connections == 1


def test_a_drain_is_over_when_the_last_client_is_gone(one):
    over = []
    one.serving.stop_accepting()
    one.serving.drain(GRACE, 0.0).addCallback(over.append)
    assert over == []
    one.go()
    assert over == [None]
    assert one.serving.read().connections == 0


# In one process.


def test_the_ports_call_the_factory_itself():
    server, serving = in_process()
    assert serving.protocol_factory is server.factory
    serving.accept_from([])
    client = server.connect()
    serving.stop_accepting()
    serving.reload(Settings(username=USER, password=PASSWORD), [10], {})
    accepted_before = server.connect()
    for each in (client, accepted_before):
        each.send(auth(), subscribe(TICK))
    server.publish(1.5)
    server.advance(1)
    assert [each.names() for each in (client, accepted_before)] == [["ACK", "ACK", [1.5]]] * 2


def test_the_numbers_are_those_of_this_moment():
    server, serving = in_process()
    before = serving.read()
    server.subscribed(TICK)
    assert (before.connections, before.subscribers["TICK"]) == (0, 0)
    assert serving.read() == server.factory.read()
    assert (serving.read().connections, serving.read().subscribers["TICK"]) == (1, 1)


def test_a_page_of_connections_is_there_at_once():
    server, serving = in_process()
    for _ in range(3):
        server.connect()
    query = Query(limit=1, after=1)
    assert serving.list(query) == listing(server.factory, query)
    assert [row["id"] for row in serving.list(query).rows] == [2]


def test_a_drain_tells_every_client_and_cuts_who_stays():
    server, serving = in_process()
    goes, stays = server.connect(), server.subscribed(TICK)
    over = []
    serving.drain(GRACE, 0.0).addCallback(over.append)
    assert [client.names() for client in (goes, stays)] == [["SHUTTING_DOWN"], ["GOAWAY"]]
    goes.vanish()
    server.advance(GRACE - 1)
    assert not stays.cut
    server.advance(1)
    assert (stays.cut, over) == (True, [])
    stays.vanish()
    assert over == [None]
