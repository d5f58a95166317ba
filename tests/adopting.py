"""A reactor in memory on which adopted sockets become connections that a test can talk on."""

import socket

from conversation import START, Client
from places import turn
from twisted.internet.testing import MemoryReactorClock

from tickstorm.workers.link import LinkDecoder, control


class Reactor(MemoryReactorClock):
    """Every adopted socket is a Client: its far end is the test's.

    Attributes:
        adopted: the clients, in their order.
        families: those of their sockets.
        peer: the address that the next ones come from.
        refusal: raised instead of adopting.
    """

    def __init__(self):
        super().__init__()
        self.rightNow = START
        self.adopted = []
        self.families = []
        self.peer = "10.0.0.1"
        self.refusal = None

    def adoptStreamConnection(self, descriptor, family, factory):
        if self.refusal is not None:
            raise self.refusal
        with socket.socket(fileno=socket.dup(descriptor)) as adopted:
            assert adopted.family == family
        self.families.append(family)
        self.adopted.append(Client(factory, self.peer))

    def turn(self):
        """One round: everybody reads who wants to."""
        turn(self)

    def pass_time(self, seconds, step=0.25):
        """Let time pass, and read meanwhile."""
        for _ in range(round(seconds / step)):
            self.advance(step)
            self.turn()


class Far:
    """The far end of a link, at which a test says and hears messages.

    Args:
        client: the link's connection, as the reactor has adopted it.
    """

    def __init__(self, client):
        self.client = client
        self.link = client.connection
        self._decoder = LinkDecoder()

    def say(self, *messages):
        for message in messages:
            self.link.dataReceived(control(message))

    def heard(self, *kinds):
        """What came since the last call; of these kinds, if any are named."""
        data = self.client.transport.value()
        self.client.transport.clear()
        messages = list(self._decoder.receive(data))
        return [message for message in messages if not kinds or type(message) in kinds]

    @property
    def given_up(self):
        """Whether this end was closed at once by the other."""
        return self.client.cut

    def vanish(self):
        self.client.vanish()
