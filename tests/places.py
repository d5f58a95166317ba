"""Workers' places in memory: at their far end is the test, which takes what is handed over."""

import os
import socket

from tickstorm.workers.handover import Handed, hand_over, pair, take_over
from tickstorm.workers.link import Load
from tickstorm.workers.place import Place


class Link:
    """The way to a worker, which keeps what was sent."""

    def __init__(self):
        self.sent = []
        self.outlet = object()

    def send(self, message):
        self.sent.append(message)


class Filled:
    """A place with a worker that takes what it is handed when it is told to."""

    def __init__(self, number=1, share=10):
        self.place = Place(number, share)
        self.taker = None
        self.fill()

    def fill(self, now=0.0, up=True):
        """Put a new worker there."""
        self.close()
        connections, self.taker = pair()
        self.link = Link()
        self.place.fill(self.link, connections, now)
        self.place.up = up
        self.arrived = self.open = 0

    def take(self):
        """What was handed over since the last time, as (port, family, ids); it is closed."""
        taken = []
        while (handed := take_over(self.taker)) is not None:
            for descriptor in handed.descriptors:
                os.close(descriptor)
            count = len(handed.descriptors)
            self.arrived += count
            self.open += count
            ids = list(range(handed.first_id, handed.first_id + count))
            taken.append((handed.port, handed.family, ids))
        return taken

    def take_ids(self):
        return [id for _, _, ids in self.take() for id in ids]

    def lose(self, count):
        """Say that so many of its connections are closed."""
        self.open -= count
        self.place.take_load(Load(self.arrived, self.open))

    def block(self):
        """Fill the way to the worker; return how many packets that took."""
        packets = 0
        with socket.socket() as one:
            while hand_over(self.place._connections, Handed(0, socket.AF_UNIX, 0, [one.fileno()])):
                packets += 1
        return packets

    def close(self):
        self.place.empty()
        if self.taker is not None:
            self.taker.close()


class Port:
    """A listening socket, as a port of Twisted's has it."""

    def __init__(self):
        self.addressFamily = socket.AF_UNIX
        self.reading = True
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind("")  # the kernel chooses an abstract name (unix(7))
        self._socket.listen(512)
        self._clients = []

    def fileno(self):
        return self._socket.fileno()

    def stopReading(self):
        self.reading = False

    def connect(self, count=1):
        """Let clients come; they wait to be accepted."""
        clients = []
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX)
            client.connect(self._socket.getsockname())
            client.setblocking(False)
            clients.append(client)
        self._clients += clients
        return clients

    def close(self):
        for each in (self._socket, *self._clients):
            each.close()


def is_closed(client):
    """Whether the server's end of a connection is closed."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def turn(reactor):
    """One round of a reactor in memory: everybody reads who wants to."""
    for reader in list(reactor.readers):
        if reader in reactor.readers:
            reader.doRead()
