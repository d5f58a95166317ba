"""A worker is killed while it serves: its clients go on at another, and miss nothing."""

import os
import selectors
import signal
import socket
from contextlib import suppress
from time import monotonic

import pytest
from conversation import SECOND, TICK, subscribe
from subscribers import HELLO
from workers_server import TIMEOUT, Launched

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType

pytestmark = pytest.mark.real

REQUESTS = {
    "every tick": (TICK, (), {}),
    "some ticks": (TICK, ("SIM1*", "SIM2"), {}),
    "seconds": (SECOND, (), {}),
    "50 ms": (0, (), {"interval_ms": 50}),
}
EACH = 6
"""Clients of each kind."""


class Follower:
    """One who comes back whenever it is cut, and goes on where it was.

    Attributes:
        batches: each payload by its number.
        cuts: how often it was cut.
    """

    def __init__(self, port, request):
        self.batches = {}
        self.cuts = 0
        self.epochs = set()
        self.is_subscribed = False
        self._port = port
        self._request = request
        self._last = None
        self._connect()

    def _connect(self):
        mode, symbols, fields = self._request
        if self._last is not None:
            (epoch,) = self.epochs
            fields = {**fields, "resume_epoch": epoch, "resume_after_sequence": self._last}
        self.socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
        self.socket.sendall(HELLO + subscribe(mode, *symbols, **fields))
        self.socket.setblocking(False)
        self.is_subscribed = False
        self._decoder = FrameDecoder(2**20)

    def read(self):
        """Take what has come; what was cut in the middle is thrown away with the connection."""
        data = b""
        with suppress(BlockingIOError, ConnectionResetError):
            data = self.socket.recv(2**18)
        if not data:
            self.cuts += 1
            self.socket.close()
            self._connect()
            return
        self._decoder.feed(data)
        while (frame := self._decoder.next_frame()) is not None:
            self._take(frame)

    def _take(self, frame):
        if frame.type is FrameType.DATA_BATCH:
            batch = pb.DataBatch.FromString(frame.payload)
            assert self._last is None or batch.batch_sequence == self._last + 1
            assert not batch.is_snapshot
            self._last = batch.batch_sequence
            self.batches[self._last] = frame.payload
            return
        assert frame.type is FrameType.ACK
        ack = pb.AckResponse.FromString(frame.payload)
        if ack.ack_type == pb.MESSAGE_TYPE_SUBSCRIBE:
            self.is_subscribed = True
            self.epochs.add(ack.metadata["epoch"])
            resumes = self._last is not None
            assert ack.metadata.get("recovered") == ("true" if resumes else None)
            if resumes:
                assert int(ack.metadata["next_sequence"]) == self._last + 1


def follow(followers, holds, what):
    """Take what comes for each until something holds."""
    over = monotonic() + TIMEOUT
    while not holds():
        assert monotonic() < over, f"it never came to that: {what}"
        with selectors.DefaultSelector() as selector:
            for each in followers:
                selector.register(each.socket, selectors.EVENT_READ, each)
            for key, _ in selector.select(0.05):
                key.data.read()


def until_back(followers, cuts):
    """Wait until there were so many cuts, and all have come back and got more."""
    follow(followers, lambda: sum(each.cuts for each in followers) >= cuts, "some are cut")
    follow(followers, lambda: all(each.is_subscribed for each in followers), "all are back")
    enough = [(each, len(each.batches) + 2) for each in followers]
    follow(
        followers,
        lambda: all(len(each.batches) >= wanted for each, wanted in enough),
        "all get more",
    )


@pytest.mark.parametrize("delivery", ["aligned", "spread"])
def test_who_was_at_a_worker_that_was_killed_goes_on_at_another(tmp_path, delivery):
    source = ("--source", "walk:rate=300", "--delivery", delivery)
    with Launched(tmp_path, *source, workers=2) as server:
        followers = {
            name: [Follower(server.port, request) for _ in range(EACH)]
            for name, request in REQUESTS.items()
        }
        everybody = [each for group in followers.values() for each in group]
        try:
            follow(everybody, lambda: all(each.batches for each in everybody), "all get some")
            for times in (1, 2):
                os.kill(server.workers()[times % 2], signal.SIGKILL)
                until_back(everybody, times * len(everybody) // 4)
                server.until_said("serves", times=2 + times)
        finally:
            for each in everybody:
                each.socket.close()
        assert {len(each.epochs) for each in everybody} == {1}
        assert_one_history_each(everybody, followers)


def assert_one_history_each(everybody, followers):
    """Whoever has a number of a stream has the same batch, and each has all between two."""
    for each in everybody:
        numbers = list(each.batches)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for group in followers.values():
        known = {}
        for each in group:
            (epoch,) = each.epochs
            for number, payload in each.batches.items():
                assert known.setdefault((epoch, number), payload) == payload
