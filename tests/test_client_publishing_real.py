"""The publisher on both frameworks, against a real server on loopback."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString

from tickstorm.client import (
    Admitted,
    Published,
    Tick,
    asyncio_publisher,
    twisted_publisher,
)
from tickstorm.client.address import endpoint_string
from tickstorm.clock import system_clock
from tickstorm.credentials import SharedCredentials
from tickstorm.errors import InvalidAuth, InvalidPublication, InvalidTick, PublisherClosed
from tickstorm.factory import TickstormFactory
from tickstorm.fanout import FanOut
from tickstorm.hub import Hub, HubLimits
from tickstorm.publishing import Intake
from tickstorm.symbols import SymbolSet

LONGEST = 20
"""Seconds after which a test that hangs is ended."""
RIGHTS = {"ann": SymbolSet("*")}
TICKS = [Tick(f"S{index % 7}", 1.0 + index) for index in range(2500)]

pytestmark = pytest.mark.real


class Heard:
    """A hub that keeps what is published."""

    def __init__(self, clock):
        self.hub = Hub("e1", clock.wall_ns, HubLimits(max_symbols=8))
        self.ticks = []

    def publish(self, ticks):
        count = self.hub.publish(ticks)
        self.ticks += ticks
        return count


@asynccontextmanager
async def serving():
    """A server in this process: where it is, and what it has heard."""
    clock = system_clock(reactor)
    heard = Heard(clock)
    fan_out = FanOut(heard.hub, clock, intake=Intake(heard.publish, RIGHTS))
    factory = TickstormFactory(
        fan_out, SharedCredentials("ann", "secret"), clock, publish_rights=RIGHTS
    )
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
    try:
        yield f"127.0.0.1:{port.getHost().port}", heard
    finally:
        await port.stopListening()
        await factory.drain(1)


def in_asyncio(coroutine_function, *arguments):
    """Run it on an event loop of its own thread; a Deferred of what it returns."""
    done = Deferred()

    def run():
        try:
            result = asyncio.run(asyncio.wait_for(coroutine_function(*arguments), LONGEST))
        except BaseException as error:
            reactor.callFromThread(done.errback, error)
        else:
            reactor.callFromThread(done.callback, result)

    threading.Thread(target=run, daemon=True).start()
    return done


def on_twisted(use, place, **options):
    options = {"username": "ann", "password": "secret", **options}
    return Deferred.fromCoroutine(
        use(twisted_publisher(reactor, endpoint_string(place), **options))
    ).addTimeout(LONGEST, reactor)


def on_asyncio(use, place, **options):
    options = {"username": "ann", "password": "secret", **options}

    async def run():
        return await use(asyncio_publisher(place, **options))

    return in_asyncio(run)


@pytest.fixture(params=[on_twisted, on_asyncio], name="framework")
def choose_framework(request):
    return request.param


@pytest_twisted.ensureDeferred
async def test_ticks_are_published(framework):
    async def use(publisher):
        async with publisher:
            first = await publisher.publish(iter(TICKS))
            return first, await publisher.publish(TICKS[:1])

    events = []
    async with serving() as (place, heard):
        published = await framework(use, place, on_event=events.append)
    assert published == (Published(2500, 3, 0), Published(1, 1, 0))
    assert [tick.price for tick in heard.ticks] == [tick.price for tick in (*TICKS, TICKS[0])]
    assert events == [Admitted("e1", 15.0, 20.0)]


@pytest_twisted.ensureDeferred
async def test_refusals_are_raised_and_leave_the_publisher_as_it_was(framework):
    async def use(publisher):
        async with publisher:
            with pytest.raises(InvalidPublication, match=r"^tick 1200: S8 is one more than 8 s"):
                await publisher.publish([*TICKS[:1199], *(Tick(f"S{n}", 1.0) for n in (7, 8))])
            with pytest.raises(InvalidTick, match=r"^tick 1: .*; the first tick was published$"):
                await publisher.publish([TICKS[0], Tick("A", 0.0)])
            return await publisher.publish(TICKS[:2])

    async with serving() as (place, heard):
        assert await framework(use, place) == Published(2, 1, 0)
    assert len(heard.ticks) == 1000 + 1 + 2


@pytest_twisted.ensureDeferred
async def test_a_wrong_password(framework):
    async def use(publisher):
        errors = []
        for _ in range(2):
            try:
                await publisher.publish(TICKS[:1])
            except InvalidAuth as error:
                errors.append(error.message)
        await publisher.close()
        return errors

    async with serving() as (place, _):
        errors = await framework(use, place, password="wrong")
    wrong = "the name or the password is wrong"
    assert errors == [f"{wrong}; no tick was published", wrong]


@pytest_twisted.ensureDeferred
async def test_calls_of_several_tasks_on_asyncio_and_one_that_is_cancelled():
    async def use(publisher):
        async with publisher:
            tasks = [asyncio.create_task(publisher.publish(TICKS)) for _ in range(4)]
            await asyncio.sleep(0)
            tasks[3].cancel()
            results = await asyncio.gather(*tasks[:3])
        with pytest.raises(PublisherClosed):
            await publisher.publish(TICKS)
        return results

    async with serving() as (place, heard):
        assert await on_asyncio(use, place) == [Published(2500, 3, 0)] * 3
    prices = [tick.price for tick in heard.ticks]
    assert prices == [tick.price for tick in TICKS] * 3
