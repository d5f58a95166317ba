"""Overload on real sockets: what a client reads late is what was published, or told of as lost."""

import pytest
import pytest_twisted
from certificates import authority
from conversation import TICK, auth, epoch_of, subscribe
from dial import NOTHING, Server, ask, client_context, dial, listening, until
from lagging import Account
from twisted.internet.threads import deferToThread

from tickstorm.frames import FrameDecoder
from tickstorm.history import HistoryLimits
from tickstorm.hub import HubLimits
from tickstorm.overload import BacklogLimits
from tickstorm.subscriptions import Overload
from tickstorm.ticks import Tick

SYMBOLS = 40


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The file of an authority, and those of the server that it has certified."""
    directory = tmp_path_factory.mktemp("certificates")
    root = authority()
    return root.save(directory, "root")[0], root.issue("localhost").save(directory, "server")


def publish(server, count):
    """Publish so many batches of a tick of each symbol, whose prices rise."""
    for _ in range(count):
        price = server.hub.ticks_published + 1.0
        server.hub.publish([Tick(f"S{number}", price) for number in range(SYMBOLS)])


def read_on(caller, account, last):
    """Read until the batch of this number, or the end."""
    decoder = FrameDecoder()
    while account.expected <= last and (data := caller.frame()):
        decoder.feed(data)
        account.read(decoder.next_frame())


@pytest.mark.real
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("policy", [Overload.CONFLATE, Overload.DROP_OLDEST])
@pytest_twisted.ensureDeferred
async def test_who_reads_late_has_or_is_told_of_everything(policy, tls, files):
    limits = BacklogLimits(max_frames=10**6, soft_bytes=100_000)
    server = Server(backlog_limits=limits)
    description = "tcp:0:interface=127.0.0.1"
    if tls:
        certificate, key = files[1]
        description = f"tls:0:interface=127.0.0.1:cert={certificate}:key={key}"
    async with listening(description, server.factory) as port:
        caller = await dial(port, client_context(files[0]) if tls else None)
        assert await ask(caller, 2, auth(), subscribe(TICK, overload=policy)) == ["ACK", "ACK"]
        account = Account(1)
        while not server.factory.congestion.warned:
            publish(server, 100)
        publish(server, 500)
        queued = server.factory.congestion.queued_bytes
        assert queued < 2 * limits.soft_bytes
        published = server.hub.ticks_published
        await deferToThread(read_on, caller, account, published // SYMBOLS)
        assert account.ticks + sum(account.lost.values()) == published
        assert server.metrics.ticks_lost == {
            reason: lost for reason, lost in account.lost.items() if lost
        }
        assert len(account.gaps) > 0
        newest = published - SYMBOLS + 1.0
        assert account.newest == {f"S{number}": newest for number in range(SYMBOLS)}
        await until(lambda: not server.factory.congested)
        publish(server, 1)
        await deferToThread(read_on, caller, account, published // SYMBOLS + 1)
        assert account.ticks + sum(account.lost.values()) == published + SYMBOLS
        caller.socket.close()
        await until(lambda: server.left_behind() == NOTHING)
        assert server.factory.congestion.queued_bytes == 0


MISSED = 4000
"""Batches that a subscriber was not there for: some 6 MB."""


@pytest.mark.real
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("policy", Overload)
@pytest_twisted.ensureDeferred
async def test_who_comes_back_and_reads_late_gets_all_that_it_missed_first(policy, tls, files):
    limits = BacklogLimits(max_frames=100, max_bytes=1_000_000, soft_bytes=100_000)
    history = HubLimits(history=HistoryLimits(1e9, 10**9, 10**9, 10))
    server = Server(backlog_limits=limits, hub_limits=(history,))
    description = "tcp:0:interface=127.0.0.1"
    if tls:
        certificate, key = files[1]
        description = f"tls:0:interface=127.0.0.1:cert={certificate}:key={key}"
    context = client_context(files[0]) if tls else None
    async with listening(description, server.factory) as port:
        caller = await dial(port, context)
        assert await ask(caller, 2, auth(), subscribe(TICK)) == ["ACK", "ACK"]
        caller.socket.close()
        await until(lambda: not server.factory.connections)
        publish(server, MISSED)
        caller = await dial(port, context)
        resume = subscribe(TICK, overload=policy, resume_epoch=epoch_of(), resume_after_sequence=0)
        assert await ask(caller, 2, auth(), resume) == ["ACK", "ACK"]
        await until(lambda: server.factory.congested)
        publish(server, 90 if policy is Overload.DISCONNECT else 900)
        (connection,) = server.factory.congested
        assert connection.pending_bytes > limits.max_bytes
        queued = server.factory.congestion.queued_bytes
        assert queued == connection.cost < 2 * limits.soft_bytes
        published = server.hub.ticks_published
        account = Account(1)
        await deferToThread(read_on, caller, account, published // SYMBOLS)
        assert (account.error, account.expected) == (None, published // SYMBOLS + 1)
        assert account.ticks + sum(account.lost.values()) == published
        assert all(first > MISSED for first, _, _, _ in account.gaps)
        assert bool(account.gaps) is (policy is not Overload.DISCONNECT)
        caller.socket.close()
        await until(lambda: not server.factory.connections)
        assert server.factory.congestion.queued_bytes == 0
