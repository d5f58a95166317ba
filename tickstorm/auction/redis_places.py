"""Which server of Redis has an auction: the only one, the master that Sentinel knows, or a node.

Whatever changes there, an auction is asked for at one server at a time.
"""

from binascii import crc_hqx
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.interfaces import StoreUnavailable
from tickstorm.auction.redis_door import Door
from tickstorm.auction.redis_link import Beat, Connection, Link, entered
from tickstorm.auction.redis_replies import (
    Address,
    ConnectionGone,
    Meaning,
    Refused,
    read_redirection,
)
from tickstorm.auction.redis_time import RedisClock
from tickstorm.clock import Clock

SLOTS = 16384
SWITCHES = b"+switch-master"
"""The channel on which a Sentinel tells of another master."""
SENTINEL_PATIENCE = 0.5
"""Seconds that a Sentinel has to answer in, before the next is asked."""


class Node(NamedTuple):
    """One server.

    Attributes:
        link: the way to it.
        clock: its time.
    """

    link: Link
    clock: RedisClock


class Places(Protocol):
    """Where the auctions are."""

    @property
    def state(self) -> BreakerState:
        """The worst of any server's."""

    def of(self, key: bytes, /) -> Node:
        """Return who has a key.

        Raises:
            StoreUnavailable: nobody is known to.
        """

    def redirected(self, refused: Refused, by: Node, /) -> Node | None:
        """Return who is to be asked instead, after a MOVED or an ASK."""

    async def anywhere(self) -> Address:
        """Return where to subscribe."""

    def start(self) -> Deferred[None]:
        """Look for the servers; the Deferred has its result after the first try."""

    def stop(self) -> None:
        """Give up all connections."""


class OnePlace:
    """A single master.

    Args:
        node: it.
        find: says where it is.
        news: the link on which it is told that another has become the master.
    """

    def __init__(self, node: Node, find: "Find", news: Link | None = None) -> None:
        self._node = node
        self._find = find
        self._news = news

    @property
    def state(self) -> BreakerState:
        """Its state."""
        return self._node.link.state

    def of(self, _key: bytes, /) -> Node:
        """Return it."""
        return self._node

    def redirected(self, _refused: Refused, _by: Node, /) -> Node | None:
        """Return None: there is no other."""
        return None

    async def anywhere(self) -> Address:
        """Return where it is."""
        return await self._find()

    def start(self) -> Deferred[None]:
        """Connect."""
        if self._news is not None:
            self._news.start()
        return self._node.link.start()

    def stop(self) -> None:
        """Disconnect."""
        if self._news is not None:
            self._news.stop()
        self._node.link.stop()


class Find(Protocol):
    """Says where the master is."""

    async def __call__(self) -> Address:
        """Return its address."""


def always(address: Address) -> Find:
    """Return what says that the master is at one address."""

    async def find() -> Address:
        return address

    return find


class Sentinels:
    """Say where the master is.

    Args:
        addresses: theirs; each time another is asked first, as one may be behind.
        master: what they call it.
        door: connects to them. They are asked without a login.
        clock: the times.
    """

    _log = Logger()

    def __init__(self, addresses: Sequence[Address], master: str, door: Door, clock: Clock) -> None:
        self._addresses = list(addresses)
        self._master = master
        self._door = door
        self._clock = clock

    async def __call__(self) -> Address:
        """Return where the master is.

        Raises:
            ConnectionGone: no Sentinel says so.
        """
        for _ in range(len(self._addresses)):
            self._addresses.append(self._addresses.pop(0))
            asking = Deferred.fromCoroutine(self._ask(self._addresses[0]))
            asking.addTimeout(SENTINEL_PATIENCE, self._clock.scheduler)
            try:
                return await asking
            except CancelledError:
                raise
            except Exception as error:  # whatever is wrong with this one: the next may know
                self._log.warn("a Sentinel does not know: {why}", why=str(error))
        raise ConnectionGone(f"no Sentinel knows where {self._master!r} is")

    def is_switch(self, message: bytes) -> bool:
        """Whether a message of SWITCHES is about this master."""
        return message.split(b" ")[0] == self._master.encode()

    async def subscribe(self, heard: Callable[[bytes], object]) -> Connection:
        """Return a connection to one of them, subscribed to SWITCHES."""
        self._addresses.append(self._addresses.pop(0))
        connection = await self._door.knock(self._addresses[0], heard)
        return await entered(connection, connection.ask(b"SUBSCRIBE", SWITCHES))

    async def _ask(self, address: Address) -> Address:
        connection = await self._door.knock(address)
        try:
            host, port = await connection.ask(
                b"SENTINEL", b"get-master-addr-by-name", self._master.encode()
            )
        finally:
            connection.abort()
        return Address(host.decode(), int(port))


class Cluster:
    """The masters of a Cluster, each with the slots that it has.

    Args:
        seeds: some of the nodes, masters or not.
        node_at: makes a node for an address.
        map_link: makes the link on which the map is asked for, from what says where, and what takes
            it.
    """

    _log = Logger()

    def __init__(
        self,
        seeds: Sequence[Address],
        node_at: Callable[[Address], Node],
        map_link: Callable[[Find, Beat], Link],
    ) -> None:
        self._known = list(seeds)
        self._seeds = tuple(seeds)
        self._node_at = node_at
        self._nodes: dict[Address, Node] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._starting: dict[Address, Deferred[None]] = {}
        self._map = map_link(self.anywhere, Beat((b"CLUSTER", b"SLOTS"), self.learn))

    @property
    def state(self) -> BreakerState:
        """The worst of the masters' and the map's."""
        links = [self._map, *(node.link for node in self._nodes.values())]
        return max((link.state for link in links), key=lambda state: state.value)

    def of(self, key: bytes) -> Node:
        """Return who has a key."""
        address = self._owners[slot_of(key)]
        if address is None:
            raise StoreUnavailable("no node has the slot", self._map.retry_after_ms)
        return self._nodes[address]

    def redirected(self, refused: Refused, by: Node) -> Node | None:
        """Return who is to be asked instead."""
        try:
            slot, address = read_redirection(refused, self._address_of(by))
        except ValueError:
            return None
        if refused.meaning is Meaning.MOVED:
            self._owners[slot] = address
        return self._at(address)

    async def anywhere(self) -> Address:
        """Return another node each time."""
        self._known.append(self._known.pop(0))
        return self._known[0]

    def start(self) -> Deferred[None]:
        """Ask for the map, and connect to the masters that it names."""
        return self._map.start().addCallback(lambda _: self._tried())

    def stop(self) -> None:
        """Disconnect from all."""
        for link in [self._map, *(node.link for node in self._nodes.values())]:
            link.stop()
        self._nodes = {}
        self._owners = [None] * SLOTS

    def learn(self, slots: Any) -> None:
        """Take a new map: the reply to CLUSTER SLOTS."""
        owners: list[Address | None] = [None] * SLOTS
        known: dict[Address, None] = {}
        for first, last, *nodes in slots:
            addresses = [Address((host or b"").decode(), int(port)) for host, port, *_ in nodes]
            known |= dict.fromkeys(address for address in addresses if address.host)
            master = addresses[0] if addresses[0].host else None  # it does not know its own yet
            owners[first : last + 1] = [master] * (last + 1 - first)
        self._owners = owners
        self._known = [*known, *(seed for seed in self._seeds if seed not in known)]
        self._keep({address for address in owners if address is not None})

    def _keep(self, masters: set[Address]) -> None:
        for address in self._nodes.keys() - masters:
            self._nodes.pop(address).link.stop()
        for address in masters:
            self._at(address)

    def _at(self, address: Address) -> Node:
        if address not in self._nodes:
            self._log.info("a master of the Cluster is at {address}", address=address)
            self._nodes[address] = self._node_at(address)
            starting = self._starting[address] = self._nodes[address].link.start()
            starting.addCallback(lambda _: self._started(address))
        return self._nodes[address]

    def _tried(self) -> Deferred[None]:
        return gatherResults(list(self._starting.values())).addCallback(lambda _: None)

    def _started(self, address: Address) -> None:
        self._starting.pop(address, None)

    def _address_of(self, node: Node) -> Address:
        addresses = (address for address, each in self._nodes.items() if each is node)
        return next(addresses, Address("", 0))  # it has left the Cluster meanwhile


def slot_of(key: bytes) -> int:
    """Return the slot of a key: of what stands in its first braces, if anything does.

    Source: Redis Cluster specification, "Hash tags"; the sum is CRC16-XMODEM.
    """
    _, opened, rest = key.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    return crc_hqx(tag if opened and closed and tag else key, 0) % SLOTS
