"""Who opens what: the connections shared among processes and source addresses. Pure.

No share is beyond what the machine allows: a plan that cannot be carried out is refused with the
limit that stands in its way.
"""

from math import ceil
from typing import NamedTuple

from tickstorm.errors import ConfigError

RESERVED_FILES = 64
"""What a process needs beside its connections: modules, pipes, the epoll instance."""
CONNECTIONS_PER_LOOPBACK_ADDRESS = 2_000
"""Few enough that the kernel finds a free port at once."""
CONNECTIONS_PER_PROCESS = 1_000
"""Below this a second process is not worth its while."""
LOOPBACK_ADDRESSES = 255 * 250 * 250


class Machine(NamedTuple):
    """What this machine allows.

    Attributes:
        cores: of the processor.
        files_per_process: open files, at most.
        files: all processes' open files, at most.
        ports: a source address can have so many connections to one server.
    """

    cores: int
    files_per_process: int
    files: int
    ports: int


class Wish(NamedTuple):
    """What is asked for.

    Attributes:
        connections: at least 1.
        processes: None leaves it to the plan.
        sources: addresses to connect from; none leaves them to the plan on loopback, and to the
            kernel elsewhere.
        loopback: whether the server is at an address of 127.0.0.0/8.
    """

    connections: int
    processes: int | None = None
    sources: tuple[str, ...] = ()
    loopback: bool = False


class Share(NamedTuple):
    """What one process does.

    Attributes:
        first: the number of its first connection among all, from 0.
        connections: how many it opens.
        sources: the addresses that it connects from, in turn; none leaves them to the kernel.
    """

    first: int
    connections: int
    sources: tuple[str, ...]


def make_plan(wish: Wish, machine: Machine) -> tuple[Share, ...]:
    """Share the connections out.

    Raises:
        ConfigError: the machine does not allow so many.
    """
    _check_files(wish, machine)
    _check_ports(wish, machine)
    processes = _processes(wish, machine)
    size, more = divmod(wish.connections, processes)
    shares: list[Share] = []
    first = addresses = 0
    for index in range(processes):
        connections = size + (index < more)
        sources = _sources(wish, connections, addresses)
        shares.append(Share(first, connections, sources))
        first += connections
        addresses += len(sources)
    return tuple(shares)


def loopback_address(number: int) -> str:
    """Return an address of 127.0.0.0/8: 127.1.1.1 for 0, and others up to LOOPBACK_ADDRESSES."""
    high, low = divmod(number, 250)
    highest, high = divmod(high, 250)
    return f"127.{highest + 1}.{high + 1}.{low + 1}"


def _room(machine: Machine) -> int:
    return max(0, machine.files_per_process - RESERVED_FILES)


def _check_files(wish: Wish, machine: Machine) -> None:
    if wish.connections > machine.files:
        raise ConfigError(
            f"{wish.connections:,} connections are more than the {machine.files:,} files that "
            "this system can have open (fs.file-max)"
        )
    room = _room(machine)
    processes = wish.processes
    if room == 0 or (processes is not None and processes * room < wish.connections):
        raise ConfigError(
            f"{wish.connections:,} connections do not fit: a process has at most {room:,}, as it "
            f"may open {machine.files_per_process:,} files (ulimit -Hn)"
        )


def _check_ports(wish: Wish, machine: Machine) -> None:
    addresses = len(wish.sources) or (LOOPBACK_ADDRESSES if wish.loopback else 1)
    if wish.connections > addresses * machine.ports:
        raise ConfigError(
            f"{wish.connections:,} connections do not fit: a source address has {machine.ports:,} "
            "ports (net.ipv4.ip_local_port_range); give more of them with --source-address"
        )


def _processes(wish: Wish, machine: Machine) -> int:
    if wish.processes is not None:
        return min(wish.processes, wish.connections)
    needed = ceil(wish.connections / _room(machine))
    # The server needs a core, too, if it is on this machine.
    useful = min(max(1, machine.cores - 1), ceil(wish.connections / CONNECTIONS_PER_PROCESS))
    return max(needed, useful)


def _sources(wish: Wish, connections: int, used: int) -> tuple[str, ...]:
    """Return where a process connects from; on loopback, nowhere that another one does."""
    if wish.sources or not wish.loopback:
        return wish.sources
    count = ceil(connections / CONNECTIONS_PER_LOOPBACK_ADDRESS)
    return tuple(loopback_address((used + index) % LOOPBACK_ADDRESSES) for index in range(count))
