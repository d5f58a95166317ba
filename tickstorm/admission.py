"""Who may connect and try to log in, and how often. Every table here is bounded.

An address is an IP address as text, or anything else that names a peer (the path of a Unix socket).
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from math import ceil
from typing import NamedTuple

from tickstorm.departures import STOPPING
from tickstorm.errors import NotPermitted, Overloaded, ProtocolError, RateLimited, ShuttingDown

Network = IPv4Network | IPv6Network


class Rejection(Enum):
    """Why a connection was turned away at the door."""

    BLOCKED = "blocked"
    NOT_ALLOWED = "not_allowed"
    TOO_MANY = "too_many"
    TOO_MANY_FROM_ADDRESS = "too_many_from_address"
    SHUTTING_DOWN = "shutting_down"

    @property
    def error(self) -> ProtocolError:
        """What the client is told."""
        match self:
            case Rejection.BLOCKED | Rejection.NOT_ALLOWED:
                return NotPermitted("this address may not connect")
            case Rejection.TOO_MANY:
                return Overloaded("the server has as many connections as it takes")
            case Rejection.TOO_MANY_FROM_ADDRESS:
                return RateLimited("too many connections from this address")
            case Rejection.SHUTTING_DOWN:
                return ShuttingDown(STOPPING)


class AdmissionLimits(NamedTuple):
    """Who may come in.

    Attributes:
        max_connections: in all.
        max_connections_per_address: 0 for no limit of its own.
        allow: if not empty, only addresses in these networks are let in.
        block: addresses in these networks are not, even if they are in `allow`.
        max_login_failures: from one address within `login_failure_window`, at least 1.
        login_failure_window: in seconds.
        max_addresses: how many failing addresses are remembered; the longest quiet is forgotten.
    """

    max_connections: int = 100_000
    max_connections_per_address: int = 0
    allow: tuple[Network, ...] = ()
    block: tuple[Network, ...] = ()
    max_login_failures: int = 10
    login_failure_window: float = 60.0
    max_addresses: int = 10_000


def counted_as(address: str) -> str:
    """Return what an address shares its limits with.

    An IPv4 address written as IPv6 is the same address; an IPv6 address stands for its /64 network,
    which one host has to itself (RFC 4291, 2.5.1).
    """
    if ":" not in address:
        return address
    ip = _ip(address)
    if not isinstance(ip, IPv6Address):
        return address if ip is None else str(ip)
    return str(IPv6Network((int(ip) >> 64 << 64, 64)))


class Door:
    """Counts who is in, and decides who may come.

    Args:
        limits: the rules. For a peer without an IP address, as on a Unix socket, only the limit of
            connections in all holds.
    """

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._total = 0
        self._open = True
        self.on_change: Callable[[str, int], object] = lambda _address, _change: None
        """Called with what an address counts as, and by how many more (or fewer) are in, if that
        number is limited."""

    @property
    def total(self) -> int:
        """How many are in."""
        return self._total

    def enter(self, address: str) -> Rejection | None:
        """Let one in, or say why not."""
        rejection = self._judge(address)
        if rejection is None:
            self._total += 1
            self._count(address, 1)
        return rejection

    def shut(self) -> None:
        """Let nobody in any more."""
        self._open = False

    def reopen(self) -> None:
        """Let people in again."""
        self._open = True

    def change(self, limits: AdmissionLimits, inside: Iterable[str]) -> None:
        """Let come by other rules; who is in stays.

        Args:
            limits: the rules.
            inside: the address of each that is in.
        """
        counted = self._limits.max_connections_per_address > 0
        self._limits = limits
        if counted and limits.max_connections_per_address:
            return
        self._by_address.clear()
        if limits.max_connections_per_address:
            for key, connections in Counter(map(counted_as, inside)).items():
                self.count_elsewhere(key, connections)
                self.on_change(key, connections)

    def leave(self, address: str) -> None:
        """Note that one that was let in has gone."""
        self._total -= 1
        self._count(address, -1)

    def count_elsewhere(self, key: str, change: int) -> None:
        """Note that as many more (or fewer) are in by another door.

        Args:
            key: what their address counts as.
            change: how many.
        """
        self._by_address[key] += change
        if not self._by_address[key]:
            del self._by_address[key]

    def _count(self, address: str, change: int) -> None:
        if self._limits.max_connections_per_address:
            key = counted_as(address)
            self.count_elsewhere(key, change)
            self.on_change(key, change)

    def _judge(self, address: str) -> Rejection | None:
        limits = self._limits
        if not self._open:
            return Rejection.SHUTTING_DOWN
        if self._total >= limits.max_connections:
            return Rejection.TOO_MANY
        if not (limits.allow or limits.block or limits.max_connections_per_address):
            return None
        ip = _ip(address)
        if ip is None:
            return None
        if any(ip in network for network in limits.block):
            return Rejection.BLOCKED
        if limits.allow and not any(ip in network for network in limits.allow):
            return Rejection.NOT_ALLOWED
        most = limits.max_connections_per_address
        if most and self._by_address[counted_as(address)] >= most:
            return Rejection.TOO_MANY_FROM_ADDRESS
        return None


def _ip(address: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


class LoginFailures:
    """Remembers failed logins by address for a sliding window.

    Args:
        limits: how many, for how long, and of how many addresses.
    """

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._forgotten_at: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._forgotten_at)

    def change(self, limits: AdmissionLimits) -> None:
        """Judge by other rules; a failure that is remembered is so for as long as it was to be."""
        self._limits = limits
        for key, times in self._forgotten_at.items():
            self._forgotten_at[key] = deque(times, limits.max_login_failures)

    def record(self, address: str, now: float) -> None:
        """Note a failure."""
        key = counted_as(address)
        times = self._forgotten_at.setdefault(key, deque(maxlen=self._limits.max_login_failures))
        times.append(now + self._limits.login_failure_window)
        self._forgotten_at.move_to_end(key)
        while len(self._forgotten_at) > self._limits.max_addresses:
            self._forgotten_at.popitem(last=False)

    def check(self, address: str, now: float) -> None:
        """Let an address try to log in.

        Raises:
            RateLimited: it has failed too often; says when the next try will be heard.
        """
        if not self._forgotten_at:  # as nearly always, and then the address need not be read
            return
        key = counted_as(address)
        times = self._forgotten_at.get(key)
        if times is None:
            return
        while times and times[0] <= now:
            times.popleft()
        if not times:
            del self._forgotten_at[key]
        elif len(times) >= self._limits.max_login_failures:
            raise RateLimited(
                f"{self._limits.max_login_failures} failed logins "
                f"within {self._limits.login_failure_window:g} s",
                retry_after_ms=ceil((times[0] - now) * 1000),
            )
