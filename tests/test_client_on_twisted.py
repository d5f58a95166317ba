"""The Twisted edge: a real server on loopback, over each kind of transport."""

import pytest
import pytest_twisted
from certificates import authority
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

from tickstorm.client import Mode, twisted_client
from tickstorm.client.on_twisted import TwistedFramework, as_endpoint
from tickstorm.clock import system_clock
from tickstorm.credentials import SharedCredentials
from tickstorm.errors import InvalidAuth
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.hub import Hub
from tickstorm.ticks import Tick

LONGEST = 20
"""Seconds after which a test that hangs is ended."""

pytestmark = pytest.mark.real


@pytest.fixture
def hub():
    hub = Hub("e1", system_clock(reactor).wall_ns)
    hub.publish([Tick("ACME", 10.0)])
    return hub


async def first_price(hub, listening, place, password="secret"):
    """The first price that a client at `place` gets of a server that listens there."""
    clock = system_clock(reactor)
    factory = TickstormFactory(FanOut(hub, clock), SharedCredentials("ann", "secret"), clock)
    port = await serverFromString(reactor, listening).listen(factory)
    client = twisted_client(
        reactor,
        place.format(port=getattr(port.getHost(), "port", None)),
        username="ann",
        password=password,
        mode=Mode.TICK,
        snapshot=True,
    )
    first = Deferred.fromCoroutine(client.__anext__()).addTimeout(LONGEST, reactor)
    try:
        return (await first).ticks[0].price
    finally:
        await client.close()
        await port.stopListening()
        await factory.drain(1)


@pytest.mark.parametrize("place", ["127.0.0.1:{port}", "tcp:127.0.0.1:{port}"])
@pytest_twisted.ensureDeferred
async def test_over_tcp(hub, place):
    assert await first_price(hub, "tcp:0:interface=127.0.0.1", place) == 10.0


@pytest_twisted.ensureDeferred
async def test_over_a_unix_socket(hub, tmp_path):
    assert await first_price(hub, f"unix:{tmp_path}/s", f"unix:{tmp_path}/s") == 10.0


@pytest_twisted.ensureDeferred
async def test_over_tls(hub, tmp_path):
    ca = authority()
    certificate, key = ca.issue("localhost").save(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(ca.pem())
    listening = f"ssl:0:interface=127.0.0.1:certKey={certificate}:privateKey={key}"
    place = f"tls:localhost:{{port}}:trustRoots={tmp_path}"
    assert await first_price(hub, listening, place) == 10.0


@pytest_twisted.ensureDeferred
async def test_a_wrong_password(hub):
    with pytest.raises(InvalidAuth):
        await first_price(hub, "tcp:0:interface=127.0.0.1", "127.0.0.1:{port}", password="wrong")


class Listener:
    """A receiver that keeps its link."""

    def connected(self, link):
        self.link = link

    def lost(self, error):
        self.error = error


@pytest_twisted.ensureDeferred
async def test_a_heartbeat_does_not_wait_for_a_fuller_segment():
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(
        Factory.forProtocol(Protocol)
    )
    endpoint = as_endpoint(reactor, f"127.0.0.1:{port.getHost().port}")
    listener = Listener()
    await TwistedFramework(endpoint, system_clock(reactor)).dial(listener)
    assert listener.link.transport.getTcpNoDelay()
    listener.link.abort()
    await port.stopListening()
