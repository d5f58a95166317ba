"""server_process: which processes are the server, and what they use, out of a proc file system."""

import os
import socket

import pytest

from tickstorm.bench.server_process import (
    Process,
    Server,
    ancestors,
    descendants,
    find_server,
    machine_busy,
    processes,
    root_of,
)

TICKS = os.sysconf("SC_CLK_TCK")
TABLE = {
    pid: Process(pid, parent, group, 0.0, program)
    for pid, parent, group, program in [
        (1, 0, 1, "/init"),
        (10, 1, 10, "/bin/sh"),
        (11, 10, 10, "/bin/python"),  # the server
        (12, 11, 10, "/bin/python"),  # a helper of it
        (13, 12, 10, "/bin/python"),  # a worker that listens
        (14, 12, 10, "/bin/python"),
        (15, 14, 15, "/bin/other"),
        (20, 10, 20, "/bin/python"),
    ]
}


def test_ancestors():
    assert list(ancestors(TABLE, 13)) == [13, 12, 11, 10, 1]
    assert list(ancestors(TABLE, 99)) == []


@pytest.mark.parametrize(
    ("pid", "ours", "root"),
    [(13, (), 11), (13, (11, 10, 1), 12), (11, (), 11), (20, (), 20), (15, (), 15), (1, (), 1)],
)
def test_the_root(pid, ours, root):
    assert root_of(TABLE, pid, ours) == root


def test_descendants():
    assert descendants(TABLE, [11]) == (11, 12, 13, 14, 15)
    assert descendants(TABLE, [13, 20, 99]) == (13, 20)
    assert descendants(TABLE, [11], without=[14, 20]) == (11, 12, 13)
    assert descendants(TABLE, [14], without=[14]) == ()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(name="proc")
def make_proc(tmp_path):
    """A machine with a shell (50), a server (60) with a worker (61), and us (as it is)."""
    rows = [(50, 1, 50, 3, 4), (60, 50, 60, 10, 20), (61, 60, 60, 100, 200), (62, 61, 60, 0, 1)]
    for pid, parent, group, user, system in rows:
        stat = f"{pid} (a ) name) S {parent} {group} {'0 ' * 8}{user} {system} 0 0"
        write(tmp_path / str(pid) / "stat", stat)
        rollup = f"00-ff ---p 00 00:00 0 [rollup]\nRss: 9 kB\nPss:   {pid} kB\nPss_Anon: 1 kB\n"
        write(tmp_path / str(pid) / "smaps_rollup", rollup)
        (tmp_path / str(pid) / "fd").mkdir()
    (tmp_path / "61" / "fd" / "3").symlink_to("socket:[777]")
    (tmp_path / "61" / "fd" / "4").symlink_to("/dev/null")
    write(tmp_path / "stat", "cpu  100 1 50 900 40 2 3 4 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    row = "  0: {address}:1F90 00000000:0000 {state} 0:0 00:00 0 0 0 {inode} 1 0 100 0\n"
    lines = [
        row.format(address="0100007F", state="01", inode=1),  # a connection
        row.format(address="0200007F", state="0A", inode=2),  # another address
        row.format(address="0100007F", state="0A", inode=777),
    ]
    write(tmp_path / "net" / "tcp", header + "".join(lines))
    write(tmp_path / "sys" / "nothing", "")
    return tmp_path


def test_the_processes(proc):
    table = processes(proc)
    assert table[61] == Process(61, 60, 60, 300 / TICKS)
    assert sorted(table) == [50, 60, 61, 62]


def test_who_listens_is_found_with_its_whole_tree(proc):
    server = find_server("127.0.0.1", 8080, proc)
    assert server.cpu() == {60: 30 / TICKS, 61: 300 / TICKS, 62: 1 / TICKS}
    assert server.memory() == (60 + 61 + 62) * 1024


def test_some_processes_are_looked_at_without_the_others(proc):
    (proc / "60" / "stat").unlink()
    (proc / "50" / "stat").unlink()
    assert Server([60], proc).cpu_of([60, 61, 99]) == {61: 300 / TICKS}


def test_one_that_has_ended_is_gone_but_what_it_used_is_known(proc):
    stat = (proc / "61" / "stat").read_text()
    (proc / "61" / "stat").write_text(stat.replace(") S ", ") Z "))
    server = Server([60], proc)
    assert sorted(server.cpu()) == [60]
    assert server.cpu_of([60, 61]) == {60: 30 / TICKS, 61: 300 / TICKS}


def test_the_whole_machine(proc):
    assert machine_busy(proc) == 160 / TICKS


def test_processes_that_have_all_ended_take_nothing_that_is_known(proc):
    assert (Server([99], proc).cpu(), Server([99], proc).memory()) == ({}, None)


def test_a_server_without_some_that_it_has_started(proc):
    server = Server([50], proc, without=[61])
    assert server.cpu().keys() == {50, 60}
    assert server.memory() == (50 + 60) * 1024


def test_nobody_listens(proc):
    assert find_server("127.0.0.1", 8081, proc) is None
    assert find_server("127.0.0.3", 8080, proc) is None


@pytest.mark.parametrize(
    ("file", "address"),
    [
        ("tcp", "00000000"),
        ("tcp6", "0" * 32),
        ("tcp6", "0000000000000000FFFF00000100007F"),
    ],
)
def test_who_listens_at_every_address(proc, file, address):
    row = f"  0: {address}:0050 0:0 0A 0:0 00:00 0 0 0 777 1\n"
    write(proc / "net" / file, f"header\n{row}")
    assert find_server("127.0.0.1", 80, proc).cpu().keys() == {60, 61, 62}


def test_a_listener_of_another_user_is_not_known(proc):
    (proc / "61" / "fd" / "3").unlink()
    assert find_server("127.0.0.1", 8080, proc) is None


def test_a_process_that_has_ended_takes_no_memory(proc):
    (proc / "62" / "smaps_rollup").unlink()
    assert Server([60], proc).memory() == (60 + 61) * 1024


def test_memory_that_may_not_be_known(proc):
    (proc / "61" / "smaps_rollup").unlink()
    (proc / "61" / "smaps_rollup").mkdir()  # reading it fails, as it does without permission
    assert Server([60], proc).memory() is None


@pytest.mark.real
def test_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = find_server(*listening.getsockname())
        assert os.getpid() in server.cpu()
        assert server.cpu()[os.getpid()] > 0
        assert server.memory() > 2**20
