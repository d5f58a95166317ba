"""A real server of auctions, and fifty bidders on real sockets that all want the same."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from threading import Event
from urllib.request import Request, urlopen

import pytest

from tickstorm.auction.rule import Outcome
from tickstorm.auction.wire import (
    FROM_SERVER,
    Decoder,
    FrameType,
    auth_frame,
    bid_frame,
    read_error,
    read_result,
    read_update,
    watch_frame,
)

pytestmark = pytest.mark.real

TWISTD = Path(sys.executable).with_name("twistd")
ENVIRONMENT = {
    **os.environ,
    "STREAM_USER": "alice",
    "STREAM_PASS": "secret",
    "TICKSTORM_AUCTION_USERS": "alice:*",
}
SECONDS = 60.0
"""After so long a test has failed."""
BIDDERS, BIDS, PIPELINE = 50, 400, 32
HOUR_MS = 3_600_000


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Running:
    """A server that runs: its ports, and its page."""

    def __init__(self, process, stream, auction, page):
        self.process, self.stream, self.auction, self.page = process, stream, auction, page

    def ask(self, path, method="GET"):
        request = Request(f"http://127.0.0.1:{self.page}{path}", method=method)
        with urlopen(request, timeout=SECONDS) as answer:
            return answer.read().decode()

    def create(self, id, **terms):
        terms = {"id": id, "closes_ms": int(time.time() * 1000) + HOUR_MS, **terms}
        query = "&".join(f"{name}={value}" for name, value in terms.items())
        return json.loads(self.ask(f"/auctions?{query}", "POST"))

    def connect(self):
        return Caller(self.auction)


@contextmanager
def serving(*options, **environ):
    stream, auction, page = free_ports(3)
    loopback = "interface=127.0.0.1"
    process = subprocess.Popen(
        [
            *(TWISTD, "-n", "--pidfile=", "tickstorm", *options),
            *("--port", f"tcp:{stream}:{loopback}", "--http", f"tcp:{page}:{loopback}"),
            *("--auction", f"tcp:{auction}:{loopback}"),
        ],
        env={**ENVIRONMENT, **environ},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            for line in process.stdout:
                if "listening for bidders" in line:
                    break
            yield Running(process, stream, auction, page)
        finally:
            process.terminate()
            process.stdout.read()


class Caller:
    """The far end of a connection, which blocks; it keeps all that it has heard."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.decoder = Decoder(FROM_SERVER)
        self.results, self.updates, self.finals, self.others = [], [], [], []

    def send(self, *frames):
        self.socket.sendall(b"".join(frames))

    def hear(self, enough):
        """Read until there is enough, or the end."""
        while not enough():
            data = self.socket.recv(65536)
            if not data:
                break
            self.decoder.feed(data)
            while (frame := self.decoder.next_frame()) is not None:
                self._keep(*frame)
        return self

    def _keep(self, type, value):
        if type is FrameType.RESULT:
            result = read_result(value)
            final = result.answer.outcome >= Outcome.SOLD
            (self.finals if final else self.results).append(result)
        elif type is FrameType.UPDATE:
            self.updates.append(read_update(value))
        elif type is FrameType.ERROR:
            self.others.append(read_error(value))
        else:
            self.others.append(value.decode())


def race(server, number, everybody_done):
    """One bidder: logs in, watches, bids without waiting for each answer, and waits for the end."""
    random = Random(number)
    caller = server.connect()
    caller.send(auth_frame("alice:secret"), watch_frame(1))
    amounts = [random.randint(1, 20_000) for _ in range(BIDS)]
    bids = iter(
        [bid_frame(1, 1000 + number, cents / 100, id) for id, cents in enumerate(amounts, 1)]
    )
    sent = 0
    while sent < BIDS:
        wanted = len(caller.results) + PIPELINE - sent
        frames = list(islice(bids, wanted))
        sent += len(frames)
        caller.send(*frames)
        answered = len(caller.results)
        caller.hear(lambda answered=answered: len(caller.results) > answered)
    caller.hear(lambda: len(caller.results) == BIDS)
    everybody_done.wait(SECONDS)
    caller.hear(lambda: caller.finals)
    caller.socket.close()
    return amounts, caller


@pytest.mark.parametrize("workers", [0, 3])
def test_fifty_bidders_and_one_winner(workers):
    everybody_done = Event()
    options = ("--workers", str(workers))
    with serving(*options) as server, ThreadPoolExecutor(BIDDERS) as threads:
        server.create(1, start="5.00", increment="0.03", reserve="100")
        running = [threads.submit(race, server, n, everybody_done) for n in range(BIDDERS)]
        metric = 'tickstorm_auction_bids_total{outcome="([A-Z_]+)"} ([0-9.]+)'
        give_up_at = time.monotonic() + SECONDS
        outcomes = {}
        while sum(outcomes.values()) < BIDDERS * BIDS:
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
            found = re.findall(metric, server.ask("/metrics"))
            outcomes = {name: int(float(count)) for name, count in found}
        closed = json.loads(server.ask("/auctions/close?id=1", "POST"))
        everybody_done.set()
        races = [each.result(SECONDS) for each in running]
    callers = [caller for _, caller in races]
    results = [result for caller in callers for result in caller.results]
    accepted = sorted(
        (answer.standing.sequence, bid.user_id, answer.cents)
        for bid, answer in results
        if answer.outcome is Outcome.ACCEPTED
    )

    # Exactly one RESULT a bid, in the order of the bids, to the amounts that were sent.
    for amounts, caller in races:
        told = [(bid.bid_id, answer.cents) for bid, answer in caller.results]
        assert told == list(enumerate(amounts, 1))
        assert caller.others == ["alice"]
    counted = Counter(answer.outcome.name for _, answer in results)
    assert {name: count for name, count in outcomes.items() if count} == counted

    # The sequence has no gap, and each leader is above the one before by the increment.
    assert [sequence for sequence, _, _ in accepted] == list(range(1, len(accepted) + 1))
    prices = [cents for _, _, cents in accepted]
    assert prices[0] >= 500
    assert all(next >= last + 3 for last, next in pairwise(prices))
    for _, answer in results:
        refused = answer.outcome is not Outcome.ACCEPTED
        assert not refused or answer.cents < answer.standing.minimum

    # The highest that could lead has won, and everybody has heard the same, once.
    highest = max(cents for amounts, _ in races for cents in amounts)
    assert highest - prices[-1] < 3
    sequence, winner, price = accepted[-1]
    for caller in callers:
        heard = [update.sequence for update in caller.updates]
        assert heard == sorted(set(heard))
        last = caller.updates[-1]
        assert (last.sequence, last.user_id, last.cents) == (sequence, winner, price)
        ((bid, answer),) = caller.finals
        assert (answer.outcome, bid.user_id, bid.cents) == (Outcome.SOLD, winner, price)
    assert (closed["outcome"], closed["sequence"], closed["bidder"]) == ("SOLD", sequence, winner)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_server_that_stops_answers_first_and_says_so(workers):
    with serving("--workers", str(workers)) as server:
        server.create(1)
        caller = server.connect()
        caller.send(auth_frame("alice:secret"), bid_frame(1, 1, 5.0))
        caller.hear(lambda: caller.results)
        server.process.terminate()
        caller.hear(lambda: False)
        assert caller.others[0] == "alice"
        assert [error.code for error in caller.others[1:]] == [15]
        caller.socket.close()
        server.process.wait(SECONDS)
        assert server.process.returncode == -signal.SIGTERM
