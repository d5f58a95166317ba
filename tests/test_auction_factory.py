"""The auction's factory: who may come in, what is logged, and the drain."""

from ipaddress import ip_network

import pytest
from bidding import Server, WireBidder, bid, watch
from conversation import START
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent, globalLogPublisher

from tickstorm.admission import AdmissionLimits
from tickstorm.auction.factory import EdgeLimits
from tickstorm.auction.pacing import PaceLimits
from tickstorm.emptying import HASTE
from tickstorm.errors import ShuttingDown


@pytest.fixture(name="lines")
def keep_lines():
    """What is logged."""
    found = []

    def observe(event):
        found.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def limited(**limits):
    return Server(edge_limits=EdgeLimits(AdmissionLimits(**limits)))


# The door.


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"block": (ip_network("10.0.0.0/8"),)}, "NOT_PERMITTED"),
        ({"allow": (ip_network("10.1.0.0/16"),)}, "NOT_PERMITTED"),
        ({"max_connections": 0}, "OVERLOADED"),
        ({"max_connections_per_address": 1}, "RATE_LIMITED"),
    ],
)
def test_who_may_not_come_in_is_told_so(limits, code):
    server = limited(**limits)
    if code == "RATE_LIMITED":
        server.connect()
    bidder = server.connect()
    assert (bidder.ask(bid(1)), bidder.closed) == ([code], True)
    assert server.factory.edge.rejections.total() == 1
    bidder.vanish()


def test_who_leaves_makes_room():
    server = limited(max_connections=1)
    server.connect().vanish()
    assert server.connect().ask(bid(1)) == [("ACCEPTED", 1)]


def test_of_many_that_are_turned_away_only_some_are_told():
    server = limited(max_connections=0)
    bidders = [server.connect() for _ in range(70)]
    told = [bidder for bidder in bidders if bidder.read()]
    assert (len(told), sum(bidder.transport.disconnected for bidder in bidders)) == (64, 6)


def test_behind_a_proxy_it_is_who_that_says():
    server = limited(block=(ip_network("10.9.0.0/16"),))
    bidder = WireBidder(server, wrapped=True)
    assert bidder.connection.address == ""
    bidder.send(bid(5))
    server.turn()
    assert bidder.connection.address == "10.0.0.1"
    bidder.wire.drain()
    assert bidder.read() == [("ACCEPTED", 5)]
    assert bidder.connection.pace_address == "10.0.0.1"


def test_on_a_unix_socket_there_is_no_rate_of_an_address():
    server = Server(pace=PaceLimits(0, 1))
    connection = server.factory.buildProtocol(None)
    connection.makeConnection(StringTransport(peerAddress=UNIXAddress(b"")))
    assert (connection.address, connection.pace_address) == ("unix", "")


def test_an_ipv6_host_has_one_rate_for_its_network():
    server = Server()
    connection = server.factory.buildProtocol(None)
    peer = IPv4Address("TCP", "2001:db8::1:2", 50000)
    connection.makeConnection(StringTransport(peerAddress=peer))
    assert connection.pace_address == "2001:db8::/64"


# The log.


def test_why_a_conversation_ended_is_logged(lines):
    server = Server()
    server.connect().ask(b"\x09\x00")
    assert lines == ["bidder 1 from 10.0.0.1 ended: INVALID_MESSAGE, unknown frame type 9"]


def test_every_end_is_logged_if_it_is_to_be(lines):
    server = Server(verbose=True)
    server.connect().vanish()
    assert lines == ["bidder 1 from 10.0.0.1 closed: Connection was closed cleanly."]


# The drain.


def test_everybody_is_told_and_closed_behind_their_results():
    server = Server(slow=True)
    bidder, watcher = server.connect(), server.connect()
    watcher.ask(watch())
    bidder.ask(bid(1), bid(2))
    drained = server.factory.drain(5.0)
    assert (watcher.read(), watcher.closed) == (["SHUTTING_DOWN"], True)
    assert (bidder.ask(bid(3)), bidder.closed) == ([], False)
    server.store.answer()
    assert bidder.ask() == [("ACCEPTED", 1), ("ACCEPTED", 2), "SHUTTING_DOWN"]
    assert bidder.closed
    watcher.vanish()
    assert not drained.called
    bidder.vanish()
    assert drained.called
    assert server.left_behind() == {}


def test_nobody_comes_in_during_a_drain():
    server = Server()
    server.connect()
    server.factory.drain(5.0)
    assert server.connect().ask(bid(1)) == ["SHUTTING_DOWN"]


def test_in_a_window_everybody_has_a_moment_and_bids_until_then():
    server = Server()
    bidders = [server.connect() for _ in range(50)]
    server.factory.drain(20.0, 10.0)
    closed = [sum(bidder.closed for bidder in bidders)]
    for _ in range(10):
        server.advance(1.0, step=0.05)
        closed.append(sum(bidder.closed for bidder in bidders))
        for bidder in bidders:
            if not bidder.closed:
                (said,) = bidder.ask(bid(1))
                assert said[0] in ("ACCEPTED", "EQUAL")
    assert closed == sorted(closed)
    assert closed[0] < 10 < closed[5] < 45
    assert closed[-1] == 50


def test_who_does_not_close_is_cut_at_the_end():
    server = Server()
    bidder = server.connect()
    drained = server.factory.drain(2.0)
    server.advance(3)
    assert bidder.transport.disconnected
    bidder.vanish()
    assert drained.called


def test_a_drain_can_be_hastened():
    server = Server()
    bidders = [server.connect() for _ in range(20)]
    drained = server.factory.drain(100.0, 80.0)
    server.factory.hasten()
    assert all(bidder.closed for bidder in bidders)
    server.advance(HASTE + 1)
    assert all(bidder.transport.disconnected for bidder in bidders)
    for bidder in bidders:
        bidder.vanish()
    assert drained.called
    assert server.reactor.seconds() < START + 10


def test_without_connections_a_drain_is_over():
    server = Server()
    assert server.factory.drain(5.0).called
    server.factory.hasten()


def test_a_drain_says_goodbye_once():
    server = Server()
    bidder = server.connect()
    server.factory.drain(5.0)
    bidder.connection.see_off(ShuttingDown("again"))
    bidder.connection.see_off(None)
    assert bidder.read() == ["SHUTTING_DOWN"]


def test_it_may_listen_again():
    server = Server()
    server.factory.drain(5.0)
    server.factory.doStop()
    server.factory.doStart()
    assert server.connect().ask(bid(1)) == [("ACCEPTED", 1)]
