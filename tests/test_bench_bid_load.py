"""bid_load: a process that bids, with a server and a kernel that do what a test wants."""

import select
from itertools import count

import pytest

from tickstorm.auction.rule import Answer, Outcome, Standing
from tickstorm.auction.wire import Decoder, auth_frame, error_frame, result_frame
from tickstorm.bench.bid_load import BidLoad
from tickstorm.bench.bids import Bids
from tickstorm.bench.jobs import Begin, Bidding, Job, Place, Progress, Stop
from tickstorm.bench.login import Requests
from tickstorm.errors import InvalidAuth, ShuttingDown

CONTROL = 3
ORDER = [(CONTROL, select.EPOLLIN | select.EPOLLRDNORM)]
MS, S = 10**6, 10**9
STANDING = Standing(1250, 7, 3, 1300, 1_800_000_000_000)
PLACE = Place(2, ("127.0.0.1", 1))


class Server:
    """A wire whose other end answers bids.

    Args:
        sizes: how many bytes each read brings, in turn; then all that there is.
        takes: how many bytes each write takes, in turn, None for none at all; then all.
        full: for how many polls nothing can be written after a write that did not take all.
        heard: how many bids are answered.
        broken: what everybody gets instead of RESULTs.
        farewell: what the first connection gets instead of its fifth RESULT, before its end.
    """

    def __init__(self, sizes=(), takes=(), *, full=0, heard=10**9, broken=None, farewell=None):
        self._sizes, self._takes, self._full = list(sizes), list(takes), full
        self._broken, self._farewell = broken, farewell
        self.heard = heard
        self.decoders, self.bids, self.logins = {}, {}, []
        self.answers, self.ended = {}, set()
        self.unwritable, self.closed = {}, []

    def open(self, _place, _source):
        connection = 10 + len(self.decoders)
        self.decoders[connection], self.answers[connection] = Decoder(), b""
        self.bids[connection] = []
        self.unwritable[connection] = 0
        return connection

    def write(self, connection, data):
        taken = self._takes.pop(0) if self._takes else len(data)
        if taken is None:
            self.unwritable[connection] = self._full
            raise BlockingIOError
        decoder = self.decoders[connection]
        decoder.feed(data[:taken])
        if taken < len(data):
            self.unwritable[connection] = self._full
        self._hear(connection, decoder)
        return min(taken, len(data))

    def _hear(self, connection, decoder):
        while True:
            for bid in decoder.take_bids(10**6):
                self.bids[connection].append(bid)
                self._answer(connection, bid)
            frame = decoder.next_frame()
            if frame is None:
                return
            self.logins.append(frame.value.decode())
            self.answers[connection] += auth_frame("alice")

    def _answer(self, connection, bid):
        if self._broken is not None:
            self.answers[connection] = self._broken
        elif self._farewell is not None and connection == 10 and len(self.bids[10]) == 5:
            self.answers[10] = self._farewell
            self.ended.add(10)
        elif self.heard:
            self.heard -= 1
            outcome = Outcome.TOO_LOW if bid.cents < 100 else Outcome.ACCEPTED
            self.answers[connection] += result_frame(bid, Answer(outcome, bid.cents, STANDING))

    def read(self, connection, _size):
        size = self._sizes.pop(0) if self._sizes else None
        data = self.answers[connection]
        self.answers[connection] = data[size:] if size is not None else b""
        if not data and connection not in self.ended:
            raise BlockingIOError
        return data[:size] if size is not None else data

    def close(self, connection):
        self.closed.append(connection)
        del self.answers[connection]
        self.unwritable.pop(connection, None)


class Kernel:
    """What epoll says: who can be written to is, once; then who has something to read."""

    def __init__(self, server, order_at, stop_at):
        self._server = server
        self._order_at, self._stop_at = order_at, stop_at
        self.watched = {}
        self.polls = 0

    def register(self, descriptor, mask):
        self.watched[descriptor] = mask

    modify = register

    def poll(self, _seconds, _events):
        self.polls += 1
        if self.polls == self._order_at or self.polls > self._stop_at:
            return ORDER
        events, server = [], self._server
        for connection in sorted(server.answers):
            if self._can_be_written(connection) and self.watched[connection] & select.EPOLLOUT:
                del server.unwritable[connection]
                events.append((connection, select.EPOLLOUT))
            elif server.answers[connection] or connection in server.ended:
                events.append((connection, select.EPOLLIN))
        return events

    def _can_be_written(self, connection):
        unwritable = self._server.unwritable
        if connection not in unwritable:
            return False
        unwritable[connection] -= 1
        return unwritable[connection] < 0


class Control:
    """Brings orders in turn, then Stop, and keeps what it is told."""

    def __init__(self, *orders):
        self._orders = list(orders)
        self.told = []

    def fileno(self):
        return CONTROL

    def recv(self):
        return self._orders.pop(0) if self._orders else Stop()

    def send(self, told):
        self.told.append(told)


BIDDING = Bidding((7,), (1, 9), 1, float("inf"), 100, 0)
JOB = Job(PLACE, None, Requests(b"", b""), 0, 0, 2, (), float("inf"), None, bidding=BIDDING)
WINDOW = Begin(1 * S, 2 * S)
FINE = {"tick_ns": MS // 100, "stop_at": 100_000}


class Run:
    """A process that bids, whose clock goes on by a tick with each look at it."""

    def __init__(
        self,
        server,
        bidding=BIDDING,
        *,
        window=WINDOW,
        job=JOB,
        order_at=6,
        stop_at=4000,
        tick_ns=MS // 10,
    ):
        self.server = server
        self.kernel = Kernel(server, order_at, stop_at)
        self.control = Control(window)
        self.waited = []
        self._tick_ns = tick_ns
        self._clock = count(S - 20 * MS, tick_ns)
        load = BidLoad(
            job,
            bidding,
            self.control,
            server,
            self.kernel,
            wait=self._wait,
            wall_ns=self._clock.__next__,
            monotonic=count(0.0, 0.5).__next__,
        )
        self.tally = load.run()

    def _wait(self, seconds):
        self.waited.append(seconds)
        for _ in range(int(seconds * 1e9 / self._tick_ns)):
            next(self._clock)

    @property
    def sent(self):
        """How many bids each connection sent, beside its first."""
        return [len(bids) - 1 for bids in self.server.bids.values()]


def test_each_connection_bids_when_its_result_is_there():
    run = Run(Server())
    tally = run.tally
    assert (tally.connections, tally.subscribed, tally.refused, tally.closed) == (2, 2, 0, 0)
    assert sum(tally.handshakes.values()) == 2
    assert min(run.sent) > 10
    # The last may still have been under way when it was told to stop.
    assert 0 <= sum(run.sent) - sum(tally.latencies.values()) < 60
    assert tally.unconfirmed == tally.unsent == tally.garbled == 0
    assert run.control.told[-1] == Progress(2, 0, ready=True)
    assert set(tally.outcomes) <= {Outcome.ACCEPTED, Outcome.TOO_LOW}
    assert run.server.closed == [10, 11]


def test_the_first_bid_says_only_that_a_connection_is_there():
    run = Run(Server(), window=Stop(), order_at=-1, stop_at=100)
    assert run.sent == [0, 0]
    first = [bids[0] for bids in run.server.bids.values()]
    assert [(bid.auction_id, bid.user_id, bid.cents) for bid in first] == [(7, 1, 1), (7, 2, 1)]
    assert run.tally.outcomes == {}


def test_who_must_log_in_does_so_before_the_first_bid():
    job = JOB._replace(requests=Requests(auth_frame("alice:secret"), b""))
    run = Run(Server(), job=job)
    assert run.server.logins == ["alice:secret"] * 2
    assert run.tally.subscribed == 2
    assert min(run.sent) > 10


def test_there_are_never_more_outstanding_than_the_pipeline():
    server = Server(heard=2 + 3)
    run = Run(server, BIDDING._replace(pipeline=4), window=Begin(S, S + 15 * MS))
    # Three of them were answered, and so as many more were sent.
    assert sum(run.sent) == 4 + 4 + 3
    assert run.tally.unconfirmed == 4 + 4


@pytest.mark.parametrize("size", [1, 30, 66, 67, 68, 150])
def test_results_cut_anywhere_are_counted(size):
    run = Run(Server(sizes=[size] * 300), BIDDING._replace(pipeline=3))
    assert (run.tally.garbled, run.tally.subscribed, run.tally.unconfirmed) == (0, 2, 0)


@pytest.mark.parametrize("full", [0, 3])
def test_what_the_socket_does_not_take_is_sent_later(full):
    server = Server(takes=[18, 18, 43, None, 20, None, 1, 1], full=full)
    run = Run(server, BIDDING._replace(pipeline=3))
    assert (run.tally.garbled, run.tally.closed) == (0, 0)
    assert min(run.sent) > 10
    sent = sorted(bid for bids in server.bids.values() for bid in bids[1:])
    again = Decoder()
    again.feed(Bids(BIDDING, 0).take(len(sent)))
    assert sent == sorted(again.take_bids(len(sent)))
    # Who has nothing more to send is not told that it could.
    assert {run.kernel.watched[connection] for connection in (10, 11)} == {select.EPOLLIN}


def test_at_a_rate_bids_are_sent_when_they_are_due():
    bidding = BIDDING._replace(per_second=500.0)
    run = Run(Server(), bidding, window=Begin(S, S + 30 * MS), **FINE)
    # 1,000 a second on both: 30 in the time, and those from the order to measure on.
    tally = run.tally
    assert sum(tally.corrected.values()) == sum(tally.latencies.values()) == 30
    assert abs(sum(tally.outcomes.values()) - 30) <= 1  # those under way at both ends
    assert (tally.unconfirmed, tally.unsent) == (0, 0)
    assert max(tally.corrected) < 3000
    assert 0 < max(run.waited) <= 0.001
    assert abs(run.sent[0] - run.sent[1]) <= 1


def test_a_bid_that_waits_for_others_counts_from_when_it_was_due():
    bidding = BIDDING._replace(per_second=500.0)
    server = Server(heard=2 + 20 + 6)
    run = Run(server, bidding, window=Begin(S, S + 30 * MS), **FINE)
    tally = run.tally
    # One of each connection has no RESULT, and the others behind it were never sent.
    assert tally.unconfirmed == 2
    assert tally.unsent > 20
    assert sum(tally.corrected.values()) == 30
    assert sum(tally.latencies.values()) < 10
    assert max(tally.corrected) > S // 1000


def test_it_ends_when_all_is_answered_and_else_a_second_later():
    assert Run(Server(), window=Begin(S, S + 5 * MS)).kernel.polls < 100
    waiting = Run(Server(heard=2), window=Begin(S, S + 5 * MS))
    assert waiting.kernel.polls > 100
    assert waiting.tally.unconfirmed == 2


def test_a_refusal_before_the_first_result():
    run = Run(Server(broken=error_frame(InvalidAuth("the name or the password is wrong"))))
    assert (run.tally.subscribed, run.tally.refusals) == (0, {"INVALID_AUTH": 2})
    assert (run.tally.errors, run.tally.closed) == ({}, 0)
    assert run.control.told[-1] == Progress(0, 2, ready=True, deserted=True)


def test_an_error_later_is_one_and_ends_the_connection():
    run = Run(Server(farewell=error_frame(ShuttingDown("it stops"))))
    assert (run.tally.errors, run.tally.closed) == ({"SHUTTING_DOWN": 1}, 1)
    assert run.tally.unconfirmed == 1
    assert run.sent[1] > 10 > run.sent[0]


def test_a_connection_that_is_closed_by_the_server():
    run = Run(Server(farewell=b""))
    assert (run.tally.errors, run.tally.closed, run.tally.unconfirmed) == ({}, 1, 1)


def test_what_is_no_auction_is_garbled():
    run = Run(Server(broken=b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    assert (run.tally.garbled, run.tally.subscribed) == (2, 0)
    assert run.tally.refusals == {"garbled": 2}
