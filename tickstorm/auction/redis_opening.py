"""A store in Redis, made from its URL: what has which part, and nothing else."""

from collections.abc import Callable, Sequence
from functools import partial
from random import random as any_random
from typing import Any

from tickstorm.auction.breaker import Breaker, BreakerLimits
from tickstorm.auction.redis_calls import SCRIPT, CallOptions, Calls
from tickstorm.auction.redis_door import Door, endpoints
from tickstorm.auction.redis_following import Following
from tickstorm.auction.redis_limits import RedisLimits
from tickstorm.auction.redis_link import Beat, Connection, Dial, Link, LinkLimits, Way, entered
from tickstorm.auction.redis_packing import channel_of
from tickstorm.auction.redis_places import (
    SENTINEL_PATIENCE,
    Cluster,
    Find,
    Node,
    OnePlace,
    Places,
    Sentinels,
    always,
)
from tickstorm.auction.redis_replies import Address
from tickstorm.auction.redis_store import RedisStore
from tickstorm.auction.redis_time import RedisClock
from tickstorm.auction.redis_url import Kind, RedisURL
from tickstorm.clock import Clock

_PING = Beat((b"PING",), lambda _: None)


def redis_store(
    reactor: Any,
    url: RedisURL,
    clock: Clock,
    limits: RedisLimits = RedisLimits(),
    random: Callable[[], float] = any_random,
) -> RedisStore:
    """Return a store that is to be started.

    Args:
        reactor: connects.
        url: where Redis is; see `redis_url.parse_redis_url`.
        clock: the times.
        limits: see there.
        random: gives a number from 0 up to but not including 1.

    Raises:
        ConfigError: a file that the URL names cannot be used.
    """
    from tickstorm.auction.redis_connection import connected  # it is an extra's

    connect = partial(connected, clock)
    return _Parts(
        Door(url, endpoints(reactor, url.tls), connect), url, clock, limits, random
    ).store()


class _Parts:
    # Makes the parts of one store.

    def __init__(
        self,
        door: Door,
        url: RedisURL,
        clock: Clock,
        limits: RedisLimits,
        random: Callable[[], float],
    ) -> None:
        self._door = door
        self._url = url
        self._clock = clock
        self._limits = limits
        self._random = random
        self._following = Following()
        self._channel = channel_of(url.database)
        self._time = self._redis_clock()  # of whichever server was heard last
        self._single: list[Link] = []  # those to the one master

    def store(self) -> RedisStore:
        places = self._places()
        calls = Calls(places, self._options(), self._time)
        hears = self._link("the channel of the auctions", partial(self._subscribe, places), _PING)
        self._single += [hears]
        return RedisStore(
            places,
            calls,
            hears,
            self._following,
            clock=self._time,
            keep_ms=self._limits.keep_ms,
        )

    def _options(self) -> CallOptions:
        limits = self._limits
        patience_ms = round(limits.timeout * 1000)
        return CallOptions(patience_ms, limits.record, limits.replicas, self._channel)

    def _places(self) -> Places:
        if self._url.kind is Kind.CLUSTER:
            return Cluster(self._url.addresses, self._node_at, self._map_link)
        if self._url.kind is Kind.ONE:
            find = always(self._url.addresses[0])
            return OnePlace(self._master(find), find)
        sentinels = Sentinels(self._url.addresses, self._url.master, self._door, self._clock)
        dial = partial(sentinels.subscribe, partial(self._heard_of_switch, sentinels))
        news = self._link("Sentinel", dial, _PING)
        return OnePlace(self._master(sentinels), sentinels, news)

    def _master(self, find: Find) -> Node:
        node = self._node("Redis", partial(self._enter_found, find))
        self._single += [node.link]
        return node

    def _heard_of_switch(self, sentinels: Sentinels, message: bytes) -> None:
        if not sentinels.is_switch(message):
            return
        for link in self._single:
            link.drop("Sentinel has another master")

    def _node_at(self, address: Address) -> Node:
        return self._node(f"Redis at {address.host}:{address.port}", partial(self._enter, address))

    def _node(self, name: str, dial: Dial) -> Node:
        clock = self._redis_clock()

        def heard(reply: Sequence[bytes]) -> None:
            clock.heard_reply(reply)
            self._time.heard_reply(reply)

        return Node(self._link(name, dial, Beat((b"TIME",), heard)), clock)

    def _redis_clock(self) -> RedisClock:
        return RedisClock(self._clock.monotonic, self._clock.wall_ms)

    def _map_link(self, anywhere: Find, beat: Beat) -> Link:
        dial = partial(self._enter_any, anywhere)
        return self._link("the map of the Cluster", dial, beat)

    def _link(self, name: str, dial: Dial, beat: Beat) -> Link:
        breaker = Breaker(BreakerLimits(), self._random)
        patience = self._limits.timeout
        if self._url.kind is Kind.SENTINEL:
            patience += SENTINEL_PATIENCE * len(self._url.addresses)
        limits = LinkLimits(self._limits.timeout, patience)
        return Link(Way(name, dial, beat), breaker, self._clock, limits, self._following.resumed)

    async def _enter(self, address: Address) -> Connection:
        return await self._door.enter_master(address, SCRIPT)

    async def _enter_found(self, find: Find) -> Connection:
        return await self._enter(await find())

    async def _enter_any(self, anywhere: Find) -> Connection:
        return await self._door.enter(await anywhere())

    async def _subscribe(self, places: Places) -> Connection:
        connection = await self._door.enter(await places.anywhere(), self._following.heard)
        return await entered(connection, connection.ask(b"SUBSCRIBE", self._channel))
