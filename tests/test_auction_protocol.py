"""One bidder's connection, from its first byte to its last."""

import struct
from math import nan
from socket import IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY

import pytest
from bidding import LOGIN, Server, WireBidder, bid, read, watch
from conversation import START, USER
from hypothesis import given
from hypothesis import strategies as st
from signing import BY_KEY, BY_SECRET, SECRET, SIGNING, signed
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred

from tickstorm.auction.dispatcher import DispatchLimits
from tickstorm.auction.factory import EdgeLimits
from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.auction.pacing import PaceLimits
from tickstorm.auction.protocol import LINGER
from tickstorm.auction.session import SessionLimits
from tickstorm.auction.tokens import Tokens
from tickstorm.auction.wire import auth_frame, bid_frame
from tickstorm.credentials import User
from tickstorm.errors import ErrorCode
from tickstorm.overload import BacklogLimits

NO_PACE = PaceLimits(0, 0)


# Bids.


def test_each_bid_has_its_result_in_one_write():
    server = Server()
    bidder = server.connect()
    bidder.send(bid(100), bid(100), bid(50), bid(200))
    assert bidder.transport.value() == b""
    server.turn()
    assert bidder.read() == [
        ("ACCEPTED", 100),
        ("EQUAL", 100),
        ("TOO_LOW", 50),
        ("ACCEPTED", 200),
    ]


@given(cuts=st.lists(st.integers(0, 200), max_size=20))
def test_however_the_bytes_are_cut_the_results_are_the_same(cuts):
    server = Server()
    bidder = server.connect()
    data = b"".join(bid(100 * number, id=number) for number in range(1, 8))
    at, said = 0, []
    for cut in (*cuts, len(data)):
        bidder.send(data[at : at + cut])
        at += cut
        said += bidder.ask()
    assert said == [("ACCEPTED", number) for number in range(1, 8)]


def test_what_is_no_bid_and_what_is_no_auction():
    bidder = Server().connect()
    frames = [bid(0), bid_frame(1, 7, nan), bid(5, auction=9), bid(5, auction=2**32 - 1), bid(5)]
    assert bidder.ask(*frames) == [
        ("MALFORMED", 0),
        ("MALFORMED", 0),
        ("UNKNOWN_AUCTION", 5),
        ("UNKNOWN_AUCTION", 5),
        ("ACCEPTED", 5),
    ]


def test_results_come_in_the_order_of_the_bids_whatever_is_decided_first():
    server = Server(slow=True)
    server.open(2)
    bidder = server.connect()
    assert bidder.ask(bid(1, id=1), bid(2, auction=2, id=2)) == []
    assert bidder.ask(bid(3, id=3)) == []
    server.store.answer(1)
    assert bidder.ask() == []
    server.store.answer(0)
    assert bidder.ask() == [("ACCEPTED", 1), ("ACCEPTED", 2)]
    server.store.answer(0)
    assert bidder.ask() == [("ACCEPTED", 3)]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(StoreUnavailable("away"), "UNAVAILABLE"), (AnswerLost("lost"), "UNDECIDED")],
)
def test_a_store_without_an_answer_is_a_result_too(error, outcome):
    server = Server(slow=True)
    bidder = server.connect()
    bidder.ask(bid(1))
    server.store.fail(error)
    assert bidder.ask() == [(outcome, 1)]
    assert not bidder.closed


def test_too_fast_is_a_result_too():
    server = Server(pace=PaceLimits(2, 3))
    bidder, other = server.connect(), server.connect("10.0.0.2")
    assert bidder.ask(*map(bid, (1, 2, 3))) == [
        ("ACCEPTED", 1),
        ("ACCEPTED", 2),
        ("RATE_LIMITED", 3),
    ]
    assert other.ask(bid(9)) == [("RATE_LIMITED", 9)]  # the user's, on whatever connection
    assert bidder.ask(bid(8, user=8), bid(9, user=9)) == [("ACCEPTED", 8), ("RATE_LIMITED", 9)]


# What is held back.


def test_more_than_the_pipeline_is_read_when_there_are_results():
    server = Server(slow=True, pace=NO_PACE, session_limits=SessionLimits(max_untold=3))
    bidder = server.connect()
    bidder.ask(*[bid(1, id=number) for number in range(1, 8)])
    assert (server.store.sizes, bidder.reads) == ([(1, 3)], True)
    bidder.ask(bid(1, id=8))
    assert (server.store.sizes, bidder.reads) == ([(1, 3)], False)
    said = []
    while server.store.asked:
        server.store.answer()
        said += bidder.ask()
    assert [id for _, id in said] == list(range(1, 9))
    assert bidder.reads


def test_malformed_bids_need_no_store_to_get_through_the_pipeline():
    server = Server(session_limits=SessionLimits(max_untold=3))
    bidder = server.connect()
    assert bidder.ask(*[bid(0)] * 20) == [("MALFORMED", 0)] * 20
    assert bidder.reads


def test_beyond_what_is_in_flight_bidders_wait_and_go_on_in_turn():
    server = Server(slow=True, pace=NO_PACE, dispatch_limits=DispatchLimits(4, 512))
    flood, alice, bob = server.connect(), server.connect(), server.connect()
    flood.send(*[bid(1, id=number) for number in range(1, 7)])
    alice.send(bid(1, id=11), bid(1, id=12))
    bob.send(bid(1, id=21))
    server.turn()
    said = {"flood": [], "alice": [], "bob": []}
    sizes = []
    for _ in range(6):
        sizes.append([size for _, size in server.store.sizes])
        if server.store.asked:
            server.store.answer()
        for name, bidder in (("flood", flood), ("alice", alice), ("bob", bob)):
            said[name] += [id for _, id in bidder.ask()]
    assert sizes == [[4], [2], [2], [1], [], []]
    assert said == {"flood": [1, 2, 3, 4, 5, 6], "alice": [11, 12], "bob": [21]}
    assert server.factory.dispatcher.waiting == 0


def test_one_that_waits_and_sends_more_is_not_read():
    server = Server(slow=True, dispatch_limits=DispatchLimits(2, 512))
    flood, alice = server.connect(), server.connect()
    flood.send(bid(1), bid(2))
    alice.send(bid(3))
    assert alice.reads
    alice.send(bid(4))
    assert not alice.reads
    server.turn()
    server.store.answer()
    server.turn()
    assert alice.reads
    server.store.answer()
    assert alice.ask() == [("ACCEPTED", 3), ("ACCEPTED", 4)]


def test_half_a_bid_waits_for_nothing():
    server = Server(slow=True, dispatch_limits=DispatchLimits(2, 512))
    flood, alice, bob = server.connect(), server.connect(), server.connect()
    flood.send(bid(1), bid(2))
    alice.send(bid(3)[:7])
    bob.send(bid(4)[:7])
    server.turn()
    server.store.answer()
    server.turn()
    assert server.factory.dispatcher.waiting == 0
    alice.send(bid(3)[7:])
    server.turn()
    assert server.store.sizes == [(1, 1)]


def test_who_does_not_read_is_not_read():
    server = Server(pace=NO_PACE)
    bidder = WireBidder(server, room=100)
    bidder.send(bid(1), bid(2))
    server.turn()
    assert not bidder.reads
    bidder.wire.take(1000)
    server.turn()
    assert bidder.reads
    assert bidder.read() == [("ACCEPTED", 1), ("ACCEPTED", 2)]


@pytest.mark.parametrize("wrapped", [False, True])
def test_who_never_reads_is_cut_after_the_deadline(wrapped):
    limits = EdgeLimits(backlog=BacklogLimits(write_deadline=5.0))
    server = Server(pace=NO_PACE, edge_limits=limits)
    bidder = WireBidder(server, room=100, wrapped=wrapped)
    for _ in range(400):
        bidder.send(*map(bid, range(1, 20)))
        server.turn()
    assert len(bidder.wire.buffered) < 20_000
    assert len(bidder.socket.inbox) > 100_000  # it stays with the kernel
    server.advance(20)
    assert bidder.closed
    bidder.wire.cut()
    assert server.left_behind() == {}
    assert server.factory.edge.slow_consumers == 1


def test_its_end_does_not_wait_for_results_that_it_would_not_read():
    server = Server(slow=True)
    bidder = WireBidder(server, room=10)
    bidder.send(bid(1))
    server.turn()
    bidder.send(bid(2))
    server.store.answer()
    server.turn()
    server.advance(6)
    assert server.store.sizes == [(1, 1)]
    last_words = bidder.wire.buffered.partition(b"\x03")[2]
    assert (last_words[1], bidder.closed) == (ErrorCode.SLOW_CONSUMER, False)
    assert server.factory.edge.slow_consumers == 1


def test_a_slow_reader_costs_nobody_else_anything():
    server = Server(pace=NO_PACE)
    slow, other = WireBidder(server, room=10), server.connect()
    slow.send(*map(bid, range(1, 20)))
    server.turn()
    assert other.ask(bid(500)) == [("ACCEPTED", 500)]


# Logins.


def test_a_login_comes_first():
    server = Server(with_login=True)
    bidder = server.connect()
    assert bidder.ask(bid(1)) == ["AUTH_REQUIRED"]
    assert bidder.closed


def test_who_has_logged_in_bids_for_whom_it_may():
    server = Server(with_login=True, permits={USER: frozenset({7, 8})})
    bidder = server.connect()
    assert bidder.ask(LOGIN, bid(1, user=7), bid(2, user=9), bid(3, user=8)) == [
        "AUTH alice",
        ("ACCEPTED", 1),
        ("NOT_PERMITTED", 2),
        ("ACCEPTED", 3),
    ]
    assert server.factory.edge.logins == {"accepted": 1}


def test_who_has_no_permit_bids_for_nobody():
    bidder = Server(with_login=True).connect()
    assert bidder.ask(LOGIN, bid(1)) == ["AUTH alice", ("NOT_PERMITTED", 1)]


@pytest.mark.parametrize("text", [f"{USER}:wrong", "nobody:correct-horse", "a-token", ":", "é"])
def test_a_wrong_login_ends_it(text):
    server = Server(with_login=True)
    bidder = server.connect()
    assert bidder.ask(auth_frame(text), bid(1)) == ["INVALID_AUTH"]
    assert bidder.closed
    assert server.factory.edge.logins == {"INVALID_AUTH": 1}


def test_ten_wrong_ones_from_an_address_end_that():
    server = Server(with_login=True)
    for _ in range(10):
        assert server.connect().ask(auth_frame(f"{USER}:wrong")) == ["INVALID_AUTH"]
    assert server.connect().ask(LOGIN) == ["RATE_LIMITED"]
    assert server.connect("10.0.0.2").ask(LOGIN) == ["AUTH alice"]


class Slowly:
    """An authenticator that answers later."""

    def __init__(self):
        self.asked = []

    def authenticate(self, login, peer):
        self.asked.append((login.username, login.password, peer.address))
        self.answer = Deferred()
        return self.answer


def test_what_comes_behind_a_login_that_takes_time_waits():
    checker = Slowly()
    server = Server(checker, with_login=True, permits={"alice": None})
    bidder = server.connect()
    assert bidder.ask(auth_frame("alice:a:b"), bid(1)) == []
    assert checker.asked == [("alice", "a:b", "10.0.0.1")]
    assert not bidder.reads
    checker.answer.callback(User("alice"))
    assert bidder.ask() == ["AUTH alice", ("ACCEPTED", 1)]
    assert bidder.reads


def test_a_login_that_is_refused_later():
    checker = Slowly()
    server = Server(checker, with_login=True)
    bidder = server.connect()
    bidder.ask(auth_frame("alice:x"), bid(1))
    checker.answer.errback(UnauthorizedLogin())
    assert bidder.ask() == ["INVALID_AUTH"]
    bidder.vanish()
    assert server.left_behind() == {}


def test_who_goes_while_its_login_is_checked_is_forgotten():
    checker = Slowly()
    server = Server(checker, with_login=True)
    bidder = server.connect()
    bidder.ask(auth_frame("alice:x"))
    bidder.vanish()
    assert server.left_behind() == {}


def test_a_login_has_its_time():
    server = Server(with_login=True, session_limits=SessionLimits(auth_timeout=3.0))
    bidder = server.connect()
    server.advance(2)
    assert not bidder.closed
    server.advance(2)
    assert (bidder.read(), bidder.closed) == (["AUTH_REQUIRED"], True)


def test_who_has_logged_in_may_be_silent():
    server = Server(with_login=True)
    bidder = server.connect()
    bidder.ask(LOGIN)
    server.advance(1000)
    assert not bidder.closed
    assert len(server.factory._wheel) == 0


# Tokens.


def with_tokens(key=BY_SECRET, **options):
    return Server(with_login=True, tokens=Tokens(key), permits={USER: None}, **options)


def token(*users, seconds=1000.0, key=SECRET, name=USER):
    """An AUTH whose token ends in so many seconds."""
    claims = {"sub": name, "user_id": list(users), "exp": START + seconds - 5}
    return auth_frame(signed(claims, key))


@pytest.mark.parametrize(("signing", "key"), [(SECRET, BY_SECRET), (SIGNING, BY_KEY)])
def test_who_has_a_token_bids_for_whom_that_says(signing, key):
    bidder = with_tokens(key).connect()
    assert bidder.ask(token(7, 8, key=signing), bid(1), bid(2, user=9), bid(3, user=8)) == [
        "AUTH alice",
        ("ACCEPTED", 1),
        ("NOT_PERMITTED", 2),
        ("ACCEPTED", 3),
    ]


@pytest.mark.parametrize(
    ("signing", "key", "room"), [(SIGNING, BY_KEY, 98), (SECRET, BY_SECRET, 130)]
)
def test_how_much_a_token_may_say(signing, key, room):
    claims = b'{"user_id":7,"exp":1000000060,"sub":"%s"}'
    name = b"a" * (room - len(claims) + 2)
    frame = auth_frame(signed(claims % name, signing))
    assert len(frame) == 2 + 255
    assert with_tokens(key).connect().ask(frame) == [f"AUTH {name.decode()}"]


def test_a_wrong_token_ends_it():
    server = with_tokens()
    bidder = server.connect()
    assert bidder.ask(token(7, seconds=0), bid(1)) == ["INVALID_AUTH"]
    assert bidder.closed
    assert server.factory.edge.logins == {"INVALID_AUTH": 1}


def test_wrong_tokens_and_wrong_passwords_count_together():
    server = with_tokens()
    for wrong in [token(7, key=SIGNING), auth_frame(f"{USER}:wrong")] * 5:
        assert server.connect().ask(wrong) == ["INVALID_AUTH"]
    assert server.connect().ask(LOGIN) == ["RATE_LIMITED"]
    assert server.connect().ask(token(7)) == ["RATE_LIMITED"]
    assert server.connect("10.0.0.2").ask(token(7)) == ["AUTH alice"]


def test_a_token_that_expires_ends_it_behind_the_results():
    server = with_tokens(slow=True)
    bidder = server.connect()
    assert bidder.ask(token(7, seconds=60), bid(1), bid(2)) == ["AUTH alice"]
    server.advance(59)
    bidder.ask(bid(3))
    server.advance(1)
    assert (bidder.ask(bid(4)), bidder.closed) == ([], False)
    server.store.answer()
    assert bidder.ask() == [("ACCEPTED", 1), ("ACCEPTED", 2)]
    server.store.answer()
    assert bidder.ask() == [("ACCEPTED", 3), "INVALID_AUTH"]
    assert (bidder.closed, server.store.sizes) == (True, [])
    bidder.vanish()
    assert server.left_behind() == {}


def test_a_token_that_expires_is_no_failed_login():
    server = with_tokens()
    bidder = server.connect()
    bidder.ask(token(7, seconds=30))
    server.advance(30)
    assert (bidder.read(), bidder.closed) == (["INVALID_AUTH"], True)
    assert server.factory.edge.logins == {"accepted": 1}
    assert server.factory.edge.protocol_errors == {"INVALID_AUTH": 1}
    assert len(server.factory.login_failures) == 0


def test_a_token_expires_between_two_sweeps_too():
    server = with_tokens()
    bidder = server.connect()
    bidder.ask(token(7, seconds=60.5))
    server.advance(60.25, step=0.25)
    assert bidder.ask(bid(1)) == [("ACCEPTED", 1)]
    server.advance(0.25)
    assert bidder.ask(bid(2)) == ["INVALID_AUTH"]


def test_a_token_may_end_before_the_time_for_a_login_does():
    server = with_tokens(session_limits=SessionLimits(auth_timeout=1000.0))
    bidder = server.connect()
    bidder.ask(token(7, seconds=3))
    server.advance(2)
    assert not bidder.closed
    server.advance(1)
    assert (bidder.read(), bidder.closed) == (["INVALID_AUTH"], True)


def test_a_connection_with_a_token_is_looked_for_once():
    server = with_tokens()
    bidders = [server.connect() for _ in range(10)]
    for bidder in bidders:
        bidder.ask(token(7))
    server.advance(900)
    assert len(server.factory._wheel) == 10
    assert [bidder.closed for bidder in bidders] == [False] * 10
    for bidder in bidders:
        bidder.vanish()
    assert server.left_behind() == {}


def test_who_vanishes_before_its_token_expires_is_forgotten():
    server = with_tokens()
    bidder = server.connect()
    bidder.ask(token(7, seconds=3))
    bidder.vanish()
    assert server.left_behind() == {}
    server.advance(10)


# The end.


@pytest.mark.parametrize("frame", [b"\x09\x00", b"\x01\x03abc", b"\x02\x41", bid(1)[:1] + b"\x11"])
def test_what_is_no_frame_ends_it_behind_the_results(frame):
    server = Server(slow=True)
    bidder = server.connect()
    assert bidder.ask(bid(1), bid(2), frame, bid(3)) == []
    assert not bidder.closed
    server.store.answer()
    assert bidder.ask() == [("ACCEPTED", 1), ("ACCEPTED", 2), "INVALID_MESSAGE"]
    assert bidder.closed


def test_what_comes_after_the_end_is_not_read():
    server = Server()
    bidder = server.connect()
    bidder.ask(b"\x09\x00")
    assert bidder.ask(bid(1)) == []
    assert bidder.reads


def test_who_does_not_close_is_cut():
    server = Server()
    bidder = server.connect()
    bidder.ask(b"\x09\x00")
    server.advance(LINGER - 1)
    assert not bidder.transport.disconnected
    server.advance(2)
    assert bidder.transport.disconnected


def test_an_end_does_not_wait_for_a_store_for_ever():
    server = Server(slow=True)
    bidder = server.connect()
    bidder.ask(bid(1), b"\x09\x00")
    server.advance(LINGER + 2)
    assert bidder.transport.disconnected


def test_who_vanishes_has_its_bids_decided_and_is_forgotten():
    server = Server(slow=True)
    bidder, other = server.connect(), server.connect()
    bidder.ask(bid(100), watch())
    bidder.vanish()
    server.store.answer()
    server.turn()
    assert other.ask(bid(100)) == []
    server.store.answer()
    assert other.ask() == [("EQUAL", 100)]
    other.vanish()
    assert server.left_behind() == {}


def test_who_vanishes_while_it_waits_is_forgotten():
    server = Server(slow=True, dispatch_limits=DispatchLimits(1, 512))
    flood, alice = server.connect(), server.connect()
    flood.send(bid(1))
    alice.send(bid(2), bid(3))
    alice.vanish()
    server.turn()
    server.store.answer()
    server.turn()
    flood.vanish()
    assert server.left_behind() == {}


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_whatever_is_sent_is_answered_with_frames(chunks):
    server = Server()
    bidder = server.connect()
    for chunk in chunks:
        bidder.send(chunk)
    bidder.ask()
    bidder.vanish()
    server.turn()
    assert server.left_behind() == {}


# The transport.


def test_behind_tls_the_same_holds():
    server = Server(pace=NO_PACE)
    bidder = WireBidder(server, wrapped=True)
    bidder.send(bid(1), bid(2))
    server.turn()
    bidder.wire.drain()
    assert bidder.read() == [("ACCEPTED", 1), ("ACCEPTED", 2)]


def test_the_sockets_options_are_set():
    server = Server()
    bidder = WireBidder(server)
    assert bidder.socket.options[SOL_SOCKET, SO_KEEPALIVE] == 1
    assert bidder.socket.options[IPPROTO_TCP, TCP_NODELAY] == 1


def test_a_result_is_as_the_wire_has_it():
    server = Server()
    bidder = server.connect()
    bidder.send(bid(1250, id=77))
    server.turn()
    data = bidder.transport.value()
    assert data[:2] == bytes((2, 65))
    assert struct.unpack_from(">IIdBdIQQ", data, 2) == (1, 7, 12.5, 1, 12.5, 7, 1, 77)
    assert read(data) == [("ACCEPTED", 77)]
