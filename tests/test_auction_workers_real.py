"""Real workers with bidders: one is killed in the middle; wherever the auctions are, all agree."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count, islice, pairwise
from pathlib import Path
from random import Random
from threading import Event, Semaphore

import pytest
from conversation import TICK, auth, subscribe
from redis_servers import RedisServer
from test_auction_real import BIDS, PIPELINE, SECONDS, serving

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import auth_frame, bid_frame, watch_frame
from tickstorm.frames import FrameDecoder, FrameType

pytestmark = pytest.mark.real

WORKERS, BIDDERS = 3, 12
LOGIN = auth_frame("alice:secret")
TRY_AGAIN = (Outcome.UNAVAILABLE, Outcome.UNDECIDED)


def children(pid):
    """The ids of the processes that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
            if int(parent) == pid and state not in "XZ":
                found.append(int(entry.name))
    return sorted(found)


def workers(server):
    (nursery,) = children(server.process.pid)
    return children(nursery)


def until(holds, what):
    give_up_at = time.monotonic() + SECONDS
    while not (found := holds()):
        assert time.monotonic() < give_up_at, what
        time.sleep(0.02)
    return found


def number(server, name):
    """One of the server's metrics."""
    for line in server.ask("/metrics").splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    return None


def is_up(server, worker):
    return number(server, f'tickstorm_worker_up{{worker="{worker}"}}') == 1


@pytest.fixture(name="kept", params=["memory", "redis"])
def keep_auctions(request, tmp_path):
    """What a server has in its environment to keep auctions there."""
    if request.param == "memory":
        yield {}
        return
    redis = RedisServer(tmp_path)
    try:
        yield {"TICKSTORM_REDIS": redis.url}
    finally:
        redis.kill()


def created(server, **terms):
    """Auction 1, None if the store is away still."""
    try:
        return server.create(1, **terms)
    except OSError:
        return None


class Persistent:
    """A bidder that sends again, on another connection, whatever it has no answer to."""

    def __init__(self, server, user):
        self.server, self.user = server, user
        self.amounts = [Random(user).randint(1, 20_000) for _ in range(BIDS)]
        self.answers = {}
        self.lost = 0
        self.caller = None

    def race(self, halfway, killed):
        while len(self.answers) < BIDS:
            try:
                self._go_on(halfway, killed)
            except OSError:
                self.caller = None
                self.lost += 1
        return self

    def _go_on(self, halfway, killed):
        if self.caller is None:
            self.caller = self.server.connect()
            self.caller.send(LOGIN)
        missing = (id for id in count(1) if id not in self.answers)
        ids = list(islice(missing, min(PIPELINE, BIDS - len(self.answers))))
        self.caller.send(*(bid_frame(1, self.user, self.amounts[id - 1] / 100, id) for id in ids))
        if BIDS // 2 in ids and not killed.is_set():
            halfway.release()
            killed.wait(SECONDS)
        self.caller.results.clear()
        self.caller.hear(lambda: len(self.caller.results) == len(ids))
        for bid, answer in self.caller.results:
            if answer.outcome not in TRY_AGAIN:
                self.answers[bid.bid_id] = answer
        if len(self.caller.results) < len(ids):
            raise ConnectionError


def test_a_worker_that_is_killed_costs_no_bid_and_no_order(kept):
    halfway, killed = Semaphore(0), Event()
    with (
        serving("--workers", str(WORKERS), **kept) as server,
        ThreadPoolExecutor(BIDDERS) as threads,
    ):
        until(lambda: created(server, increment="0.03"), "the store is there")
        until(lambda: all(map(partial(is_up, server), range(1, WORKERS + 1))), "all serve")
        bidders = [Persistent(server, 1000 + n) for n in range(BIDDERS)]
        racing = [threads.submit(each.race, halfway, killed) for each in bidders]
        for _ in bidders:
            assert halfway.acquire(timeout=SECONDS)
        victim, *others = workers(server)
        os.kill(victim, signal.SIGKILL)
        killed.set()
        for each in racing:
            each.result(SECONDS)
        until(lambda: len(workers(server)) == WORKERS, "another is in its place")
        assert set(others) < set(workers(server))
        standing = server.ask("/auctions/show?id=1")
        for each in bidders:
            each.caller.socket.close()

    # Exactly those of one worker were cut (who came back before that was known maybe once more).
    assert sum(each.lost > 0 for each in bidders) == BIDDERS // WORKERS
    accepted = sorted(
        (answer.standing.sequence, each.user, answer.cents)
        for each in bidders
        for answer in each.answers.values()
        if answer.outcome is Outcome.ACCEPTED
    )
    # Every leader was told to its bidder in the end: the sequence has no gap.
    assert [sequence for sequence, _, _ in accepted] == list(range(1, len(accepted) + 1))
    prices = [cents for _, _, cents in accepted]
    assert all(next >= last + 3 for last, next in pairwise(prices))
    for each in bidders:
        for id, answer in each.answers.items():
            assert answer.cents == each.amounts[id - 1]
    assert f'"sequence": {len(accepted)},' in standing
    assert f'"bidder": {accepted[-1][1]},' in standing


class Ticks:
    """A subscriber of one auction's ticks."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.stream), SECONDS)
        self.socket.sendall(auth("alice", "secret") + subscribe(TICK, "AUCTION.1"))
        self.decoder = FrameDecoder()
        self.acks, self.ticks = 0, []

    def hear(self, enough):
        while not enough():
            self.decoder.feed(self.socket.recv(65536))
            while (frame := self.decoder.next_frame()) is not None:
                self.acks += frame.type is FrameType.ACK
                if frame.type is FrameType.DATA_BATCH:
                    self.ticks += pb.DataBatch.FromString(frame.payload).ticks
        return self


def test_workers_share_auctions_and_a_leader_is_one_tick(kept):
    with serving("--workers", "2", **kept) as server:
        until(lambda: created(server), "the store is there")
        ticks = Ticks(server)
        ticks.hear(lambda: ticks.acks == 2)
        callers = [server.connect() for _ in range(4)]
        for caller in callers:
            caller.send(LOGIN, watch_frame(1))
            caller.hear(lambda caller=caller: caller.updates)
        for cents in range(1, 101):
            caller = callers[cents % 4]
            caller.results.clear()
            caller.send(bid_frame(1, cents, cents / 100, cents))
            ((_, answer),) = caller.hear(lambda caller=caller: caller.results).results
            assert (answer.outcome, answer.standing.sequence) == (Outcome.ACCEPTED, cents)
        for caller in callers:
            caller.hear(lambda caller=caller: caller.updates[-1].sequence == 100)
        ticks.hear(lambda: ticks.ticks[-1:] and ticks.ticks[-1].metadata["sequence"] == "100")
        sequences = [int(tick.metadata["sequence"]) for tick in ticks.ticks]
        assert sequences == sorted(set(sequences))
        assert sum(tick.volume for tick in ticks.ticks) == 100
        counted = 'tickstorm_auction_bids_total{outcome="ACCEPTED"}'
        until(lambda: number(server, counted) == 100, "all bids are counted")
        assert number(server, "tickstorm_auction_connections") == 4
        for each in (ticks, *callers):
            each.socket.close()
