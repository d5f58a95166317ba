"""What stands between a store and Redis, and spoils the replies."""

from contextlib import asynccontextmanager

from redis_servers import HOST
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol


class Outward(Protocol):
    """The connection to Redis."""

    def __init__(self, proxy, inward):
        self._proxy = proxy
        self._inward = inward

    def dataReceived(self, data):
        self._proxy.reply(self._inward, data)

    def connectionLost(self, reason):
        self._inward.transport.loseConnection()


class Inward(Protocol):
    """The connection of the store."""

    def __init__(self, proxy):
        self._proxy = proxy
        self._outward = None
        self._early = b""

    def connectionMade(self):
        self._proxy.open.add(self)
        endpoint = TCP4ClientEndpoint(reactor, HOST, self._proxy.behind)
        dialing = connectProtocol(endpoint, Outward(self._proxy, self))
        dialing.addCallbacks(self._connected, lambda _: self.transport.loseConnection())

    def _connected(self, outward):
        self._outward = outward
        outward.transport.write(self._early)

    def dataReceived(self, data):
        if self._outward is None:
            self._early += data
        else:
            self._outward.transport.write(data)

    def connectionLost(self, reason):
        self._proxy.open.discard(self)
        if self._outward is not None:
            self._outward.transport.loseConnection()


class Proxy(Factory):
    """Hands on what is said.

    Attributes:
        delay: seconds by which each reply comes later.
        cut_after: the connection of the next reply ends after so many of its bytes; 0 for none.
        instead: what comes in place of each reply, if anything.
    """

    noisy = False

    def __init__(self, behind):
        self.behind = behind
        self.port = 0
        self.delay = 0.0
        self.cut_after = 0
        self.instead = b""
        self.open = set()

    @property
    def url(self):
        return f"redis://{HOST}:{self.port}"

    def buildProtocol(self, _):
        return Inward(self)

    def cut(self):
        """End all connections now, whatever is under way."""
        for inward in list(self.open):
            inward.transport.abortConnection()

    def reply(self, inward, data):
        if self.delay:
            reactor.callLater(self.delay, inward.transport.write, data)
            return
        # Not what is told on a channel: that is an array.
        if self.cut_after and len(data) > self.cut_after and data.startswith(b"$"):
            inward.transport.write(data[: self.cut_after])
            inward.transport.loseConnection()
            self.cut_after = 0
            return
        inward.transport.write(self.instead or data)


@asynccontextmanager
async def proxied(port):
    """A proxy before a port."""
    proxy = Proxy(port)
    listening = await TCP4ServerEndpoint(reactor, 0, interface=HOST).listen(proxy)
    proxy.port = listening.getHost().port
    try:
        yield proxy
    finally:
        await listening.stopListening()
