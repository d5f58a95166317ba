"""A bidder on Twisted in memory, over a server of auctions, and a road between that can be cut."""

from decimal import Decimal
from typing import ClassVar

from bidding import Server
from scripted import ScriptedEndpoint
from twisted.internet.defer import Deferred

from tickstorm.client.auction import BidderLimits, twisted_bidder

TURNS = 6
"""How often bytes are passed on until nobody has more to say."""


class Road:
    """One connection of a bidder, and what is on its way."""

    def __init__(self, scene):
        self._scene = scene
        self._near = scene.endpoint.accept()
        self._far = scene.server.connect()
        self._up, self._down = b"", b""

    def up(self, size=None):
        """Pass on so many bytes of what the bidder has sent, or all."""
        self._up += self._near.transport.value()
        self._near.transport.clear()
        data, self._up = self._up[:size], self._up[len(self._up[:size]) :]
        if data:
            self._far.send(data)
        self._scene.server.turn()

    def down(self, size=None):
        """Pass on so many bytes of what the server has answered, or all."""
        self._down += self._far.transport.value()
        self._far.transport.clear()
        data, self._down = self._down[:size], self._down[len(self._down[:size]) :]
        if data:
            self._near.say(data)
        if self._far.closed and not self._down:
            self.cut()

    @property
    def ended(self):
        """Whether the bidder has ended it."""
        return self._near.transport.disconnecting

    def pass_all(self):
        for _ in range(TURNS):
            if self in self._scene.roads:
                self.up()
                self.down()
        if self.ended and self in self._scene.roads:
            self.cut()

    def cut(self):
        """Lose it, with all that is on its way."""
        self._far.vanish()
        self._near.lose()
        self._scene.roads.remove(self)


class Scene:
    """A server, and a bidder of it.

    Attributes:
        made: all of them, for who has them come to their end.
        runs: what runs with this one, and can be stopped.
    """

    made: ClassVar = []

    def __init__(self, server=None, *, on_event=None, limits=BidderLimits(), **options):
        self.server = server or Server()
        self.endpoint = ScriptedEndpoint()
        self.roads = []
        self.runs = []
        self.made.append(self)
        self.events = []
        self.bidder = twisted_bidder(
            self.server.reactor,
            self.endpoint,
            on_event=on_event or self.events.append,
            limits=limits,
            clock=self.server.clock,
            random=lambda: 0.5,
            **options,
        )

    @property
    def store(self):
        return self.server.store

    def bid(self, amount, *, auction=1, user=7, **options):
        return Deferred.fromCoroutine(self.bidder.bid(auction, user, Decimal(amount), **options))

    def watch(self, auction=1):
        """Who leads, as it is told, in a list."""
        told = []

        async def follow(watch):
            async for leader in watch:
                told.append(leader)  # noqa: PERF401 - what is told so far is looked at

        self.following = Deferred.fromCoroutine(follow(self.bidder.watch(auction)))
        self.following.addErrback(lambda failure: told.append(failure.value))
        return told

    def connect_only(self):
        """Let the bidder connect, and nothing be passed on."""
        road = Road(self)
        self.roads.append(road)
        return road

    def connect(self):
        """Let the bidder connect, and both say all that they have to say."""
        road = self.connect_only()
        road.pass_all()
        return road

    def go_on(self, seconds=0.0):
        """Let time pass, and then all be said."""
        self.server.reactor.advance(seconds)
        for road in tuple(self.roads):
            road.pass_all()

    def end(self):
        """Have all come to its end."""
        for run in self.runs:
            run.stop()
        self.bidder.close()
        for road in tuple(self.roads):
            road.cut()
        self.server.advance(20.0)

    def dials(self):
        """Whether the bidder wants to connect."""
        return bool(self.endpoint.dialed)


def outcome(deferred):
    """What became of a bid: its outcome; the error if there was one; None if there is none yet."""
    found = []
    deferred.addBoth(lambda result: found.append(result) or result)
    if not found:
        return None
    value = getattr(found[0], "value", None)
    if isinstance(value, BaseException):
        deferred.addErrback(lambda _: None)
        return value
    return found[0].outcome
