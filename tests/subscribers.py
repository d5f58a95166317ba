"""Many clients at once, in the thread of the test: what has come is taken whenever it waits."""

import errno
import os
import selectors
import socket
from itertools import cycle, pairwise
from ssl import SSLWantReadError
from time import monotonic

from conversation import TICK, auth, names, subscribe
from test_tap import LOGIN

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import FrameDecoder, FrameType

TIMEOUT = 30.0
"""Seconds after which a test that waits has failed."""
HELLO = auth(*LOGIN.values())
EVERY_TICK = HELLO + subscribe(TICK)
"""What a client says that wants everything."""
SOURCES = tuple(f"127.0.0.{last}" for last in range(2, 12))
"""Addresses of this machine that clients come from: each has as many ports as there are."""

_ANSWERS = {
    FrameType.ACK: pb.AckResponse,
    FrameType.ERROR: pb.ErrorResponse,
    FrameType.GOAWAY: pb.GoAway,
    FrameType.PONG: pb.HeartbeatResponse,
}


class Subscriber:
    """One client, and what it was told.

    Attributes:
        answers: what came beside batches, as `names` has it.
        waits_ms: after how many milliseconds to come back, as often as that was told.
        sequences: of the batches.
        end: how it ended: "closed" or what the error is called; "" while it is open.
    """

    def __init__(self, connection, unsent):
        self.socket = connection
        self.answers = []
        self.waits_ms = []
        self.sequences = []
        self.end = ""
        self._unsent = unsent
        self._decoder = FrameDecoder(2**20)

    @property
    def streams(self):
        """Whether it gets batches."""
        return bool(self.sequences)

    def has_hole(self):
        """Whether a batch was lost between two that came."""
        return any(later != earlier + 1 for earlier, later in pairwise(self.sequences))

    def write(self):
        """Send what is left to be sent; whether that was all."""
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._ended(error)
        return not self._unsent

    def say(self, *frames):
        """Send some more: it is little, and there is room."""
        assert not self._unsent
        self.socket.sendall(b"".join(frames))

    def read(self):
        """Take what has come."""
        try:
            while data := self.socket.recv(2**18):
                self._take(data)
        except (BlockingIOError, SSLWantReadError):
            pass
        except OSError as error:
            self._ended(error)
        else:
            self.end = "closed"

    def _ended(self, error):
        self.end = errno.errorcode.get(error.errno, str(error))

    def _take(self, data):
        self._decoder.feed(data)
        while (frame := self._decoder.next_frame()) is not None:
            if frame.type is FrameType.DATA_BATCH:
                self.sequences.append(pb.DataBatch.FromString(frame.payload).batch_sequence)
            else:
                answer = _ANSWERS[frame.type].FromString(frame.payload)
                self.answers += names([answer])
                if wait_ms := getattr(answer, "retry_after_ms", 0):
                    self.waits_ms.append(wait_ms)


class Crowd:
    """Clients, until the end of the block.

    Args:
        kind: makes a client of its socket and of what it says first.

    Attributes:
        clients: those that have joined, the gone ones too.
    """

    def __init__(self, kind=Subscriber):
        self.clients = []
        self._kind = kind
        self._selector = selectors.DefaultSelector()
        self._sources = cycle(SOURCES)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave(self.clients)
        self._selector.close()

    def add(self, connection, *frames):
        """A client on a socket that is connected, or about to be."""
        connection.setblocking(False)
        client = self._kind(connection, b"".join(frames))
        self.clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
        return client

    def join(self, port, count=1, *frames, source=None, room=None):
        """So many clients over TCP, who say this as soon as they are connected.

        Args:
            port: where to.
            count: how many.
            frames: what they say.
            source: the address that they come from; None for one after the other.
            room: about how much the kernel keeps for each that is not read; None for as it is.
        """
        return [self._dial(port, frames or (EVERY_TICK,), source, room) for _ in range(count)]

    def leave(self, clients):
        """Close clients."""
        for client in clients:
            self.ignore(client)
            client.socket.close()

    def ignore(self, client):
        """Take nothing more of what comes for a client."""
        if client.socket.fileno() >= 0 and client.socket in self._selector.get_map():
            self._selector.unregister(client.socket)

    def heed(self, client):
        """Take again what comes for it."""
        self._selector.register(client.socket, selectors.EVENT_READ, client)

    def turn(self, seconds=0.01):
        """Take what is there, or what comes first within this time."""
        for key, events in self._selector.select(seconds):
            client = key.data
            if events & selectors.EVENT_WRITE and client.write():
                self._selector.modify(client.socket, selectors.EVENT_READ, client)
            if events & selectors.EVENT_READ:
                client.read()
            if client.end:
                self._selector.unregister(client.socket)

    def until(self, holds, what, seconds=TIMEOUT):
        """Take what comes until something holds, and return what it gave."""
        over = monotonic() + seconds
        while not (found := holds()):
            assert monotonic() < over, f"it never came to that: {what}: {self.summary()}"
            self.turn()
        return found

    def until_streaming(self, clients=None):
        """Wait until clients get batches, all of them if it is not said which."""
        waiting = list(self.clients if clients is None else clients)

        def all_stream():
            while waiting and waiting[-1].streams:
                waiting.pop()
            return not waiting

        self.until(all_stream, "all of them stream")

    def until_more(self, batches=20, stalled=0):
        """Wait until those that are open have got so many batches more, but for some."""
        wanted = [
            (client, len(client.sequences) + batches) for client in self.clients if not client.end
        ]
        self.until(
            lambda: sum(len(c.sequences) < count for c, count in wanted) <= stalled,
            "the open ones get more",
        )

    def gone(self):
        """Those that have ended."""
        return [client for client in self.clients if client.end]

    def with_holes(self):
        """Those that have lost something."""
        return [client for client in self.clients if client.has_hole()]

    def summary(self):
        """What a failed test is to know."""
        ends = [(client.end, tuple(client.answers)) for client in self.clients]
        return {each: ends.count(each) for each in set(ends)}

    def _dial(self, port, frames, source, room):
        connection = socket.socket()
        connection.setblocking(False)
        if room is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((source or next(self._sources), 0))
        error = connection.connect_ex(("127.0.0.1", port))
        assert error in (0, errno.EINPROGRESS), os.strerror(error)
        return self.add(connection, *frames)
