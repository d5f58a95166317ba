"""The server as the kernel sees it, when it is on this machine: its processes, CPU and memory."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_LISTEN = "0A"
"""TCP_LISTEN of net/tcp_states.h, as proc_pid_net(5) writes it."""
_ENDED = {"Z", "X"}
"""States of proc_pid_stat(5): zombie, and dead."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """One row of the process table.

    Attributes:
        parent: the process that it is a child of.
        group: its process group.
        cpu: user and system seconds so far.
        program: the file that it runs; empty if that may not be known.
    """

    pid: int
    parent: int
    group: int
    cpu: float
    program: str = ""


class Server:
    """The processes of a server: some, and all their descendants.

    Args:
        roots: some.
        proc: where the proc file system is.
        without: processes that do not belong to it, and neither do their descendants.
    """

    def __init__(
        self, roots: Collection[int], proc: Path = PROC, without: Collection[int] = ()
    ) -> None:
        self._roots = roots
        self._proc = proc
        self._without = without

    def cpu(self) -> dict[int, float]:
        """Return the user and system seconds that each of its processes has used by now."""
        table = processes(self._proc)
        return {pid: table[pid].cpu for pid in self._pids(table)}

    def cpu_of(self, pids: Iterable[int]) -> dict[int, float]:
        """Return the same of some processes, as far as there are such, without a look at others."""
        found = {}
        for pid in pids:
            with suppress(OSError):
                found[pid] = _process(pid, (self._proc / str(pid) / "stat").read_text(), "").cpu
        return found

    def memory(self) -> int | None:
        """Return the bytes of memory they take, shared pages divided.

        None if that may not be known, or there is no process.

        It is the sum of Pss in smaps_rollup, see proc_pid_smaps(5).
        """
        total = 0
        for pid in self._pids(processes(self._proc)):
            try:
                rollup = (self._proc / str(pid) / "smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            except OSError:
                return None
            pss = rollup.partition("\nPss:")[2].split(maxsplit=1)
            total += int(pss[0]) * 1024 if pss else 0  # a process that is ending has none
        return total or None

    def _pids(self, table: dict[int, Process]) -> tuple[int, ...]:
        return descendants(table, self._roots, self._without)


def find_server(host: str, port: int, proc: Path = PROC) -> Server | None:
    """Return the server that listens on a port of this machine; None if that cannot be seen.

    The processes that listen may be children of one that does not. So each stands for the whole
    tree that it belongs to: up to the highest ancestor of the same process group that runs the same
    program, but not up to one that this process descends from.

    Args:
        host: the IP address that was connected to.
        port: of TCP.
        proc: where the proc file system is.
    """
    inodes = frozenset(_listening(host, port, proc))
    listening = _having(inodes, proc) if inodes else []
    if not listening:
        return None
    table = processes(proc)
    ours = frozenset(ancestors(table, os.getpid()))
    return Server(frozenset(root_of(table, pid, ours) for pid in listening), proc)


def processes(proc: Path = PROC) -> dict[int, Process]:
    """Return the process table, without those that have ended and only wait for their parent."""
    table = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                pid, stat = int(folder.name), (folder / "stat").read_text()
                if not _has_ended(stat):
                    table[pid] = _process(pid, stat, _link(folder / "exe"))
    return table


def ancestors(table: dict[int, Process], pid: int) -> Iterator[int]:
    """Yield a process, its parent, and so on."""
    while pid in table:
        yield pid
        pid = table[pid].parent


def root_of(table: dict[int, Process], pid: int, ours: Collection[int]) -> int:
    """Return the highest of a process's ancestors up to one of another program, or of `ours`."""
    root = pid
    for ancestor in ancestors(table, pid):
        if ancestor in ours or _kin(table[ancestor]) != _kin(table[pid]):
            break
        root = ancestor
    return root


def descendants(
    table: dict[int, Process], roots: Iterable[int], without: Collection[int] = ()
) -> tuple[int, ...]:
    """Return those of `roots` that there are, and all that came of them, in order.

    Not those of `without`, nor what came of these.
    """
    found = {root for root in roots if root in table and root not in without}
    waiting = list(found)
    children: dict[int, list[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    while waiting:
        new = set(children.get(waiting.pop(), ())).difference(found, without)
        found.update(new)
        waiting += new
    return tuple(sorted(found))


def machine_busy(proc: Path = PROC) -> float:
    """Return the seconds that the cores together were not idle, since the machine was started."""
    # proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
    first = (proc / "stat").read_text().partition("\n")[0]
    times = [int(word) for word in first.split()[1:9]]
    return (sum(times) - sum(times[3:5])) / _TICKS_PER_SECOND


def _kin(process: Process) -> tuple[int, str]:
    return process.group, process.program


def _has_ended(stat: str) -> bool:
    return stat.rpartition(")")[2].split(maxsplit=1)[0] in _ENDED


def _process(pid: int, stat: str, program: str) -> Process:
    # proc_pid_stat(5): the fields behind the name in parentheses begin with the third.
    fields = stat.rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
    return Process(pid, int(fields[1]), int(fields[2]), cpu, program)


def _listening(host: str, port: int, proc: Path) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on a port, at this address or at all."""
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            address, _, in_hex = fields[1].partition(":")
            if fields[3] == _LISTEN and int(in_hex, 16) == port and _covers(address, host):
                yield fields[9]


def _covers(in_hex: str, host: str) -> bool:
    """Say whether an address as the kernel writes it, in words of its own byte order, is meant."""
    words = bytes.fromhex(in_hex)
    packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    listened = ip_address(packed)
    if isinstance(listened, IPv6Address) and listened.ipv4_mapped is not None:
        listened = listened.ipv4_mapped
    return listened.is_unspecified or listened == ip_address(host)


def _having(inodes: Collection[str], proc: Path) -> list[int]:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found = []
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it is another user's, or has ended meanwhile
                if any(_link(file) in wanted for file in (folder / "fd").iterdir()):
                    found.append(int(folder.name))
    return sorted(found)


def _link(file: Path) -> str:
    try:
        return os.readlink(file)
    except OSError:
        return ""
